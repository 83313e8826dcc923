"""Which columns of the user's tables hold our predictions."""

from __future__ import annotations

import sqlite3

from ..core.database import Relation
from .cell_size import fits
from .classifiers import has_store
from .schema import upsert

MOST_COLUMNS = 10_000
"""Of all tables together that are drawn as ours. A table can have 2,000."""
MOST_LISTED = 100
"""Of one classifier that are listed: who looks at each must be allowed to."""

_FIT = " and ".join(fits(name) for name in ("source", "column_name", "classifier", "role"))
"""Rows of a size that we write."""


def column_owners(conn: sqlite3.Connection, source: str) -> dict[str, str]:
    """{column: name of the classifier that filled it} for the columns that we made in a table."""
    rows = conn.execute(
        "select column_name, classifier from _ftclassify_columns"
        f" where source = ? and {_FIT} limit {MOST_COLUMNS}",
        [source],
    )
    return dict(rows.fetchall())


def predicted_columns(conn: sqlite3.Connection, source: Relation) -> frozenset[str]:
    """The columns of a table that hold predictions, of whatever classifier; of a view, those that
    are called as a column with predictions is in any table."""
    if not has_store(conn):
        return frozenset()
    rows = conn.execute(
        "select column_name from _ftclassify_columns"
        f" where (? or source = ?) and {_FIT} limit {MOST_COLUMNS}",
        [source.is_view, source.name],
    )
    return frozenset(name for (name,) in rows.fetchall())


def own_column(
    conn: sqlite3.Connection, source: str, column: str, classifier: str, role: str
) -> None:
    """Notes that the column holds the classifier's answers. Call inside a transaction."""
    conn.execute(
        upsert("_ftclassify_columns", ["source", "column_name"], ["classifier", "role"]),
        [source, column, classifier, role],
    )


def label_column(conn: sqlite3.Connection, source: str, classifier: str) -> str | None:
    """The column of a table that holds the labels which a classifier gave; None when it gave
    none."""
    row = conn.execute(
        "select column_name from _ftclassify_columns"
        f" where source = ? and classifier = ? and role = 'label' and {_FIT} limit 1",
        [source, classifier],
    ).fetchone()
    return None if row is None else str(row[0])


def our_columns(conn: sqlite3.Connection) -> dict[tuple[str, str], tuple[str, str]]:
    """{(table, column): (role, kind)} of all columns that predictions were written to.

    kind: of the labels; empty when the classifier is gone
    """
    rows = conn.execute(
        "select source, column_name, role, coalesce((select kind from _ftclassify_classifiers c"
        " where c.name = classifier order by version desc limit 1), '') from _ftclassify_columns"
        f" where {_FIT} limit {MOST_COLUMNS}"
    )
    return {(source, column): (role, kind) for source, column, role, kind in rows.fetchall()}


def label_columns_of(conn: sqlite3.Connection, classifier: str) -> list[tuple[str, str]]:
    """(table, column) of the labels that a classifier gave, the first MOST_LISTED."""
    rows = conn.execute(
        "select source, column_name from _ftclassify_columns"
        f" where classifier = ? and role = 'label' and {_FIT} order by source, column_name"
        f" limit {MOST_LISTED}",
        [classifier],
    )
    return rows.fetchall()
