"""Which columns of the user's tables hold our predictions."""

from __future__ import annotations

import sqlite3


def column_owners(conn: sqlite3.Connection, source: str) -> dict[str, str]:
    """{column: name of the classifier that filled it} for the columns that we made in a table."""
    rows = conn.execute(
        "select column_name, classifier from _ftclassify_columns where source = ?", [source]
    )
    return dict(rows.fetchall())


def own_column(
    conn: sqlite3.Connection, source: str, column: str, classifier: str, role: str
) -> None:
    """Notes that the column holds the classifier's answers. Call inside a transaction."""
    conn.execute(
        "replace into _ftclassify_columns (source, column_name, classifier, role)"
        " values (?, ?, ?, ?)",
        [source, column, classifier, role],
    )
