"""The columns that predictions are written to: their names, and whose they are."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace

from ..errors import PredictError
from ..sql import Relation, quote
from ..store.classifiers import Classifier
from ..store.columns import column_owners, own_column

ROLES = ("label", "score", "logprob", "logprobs", "raw", "reason")
"""What a column may hold. `raw` is what a language model said, `reason` why that is no label."""


@dataclass(frozen=True)
class Columns:
    """Names of the columns to write; None for one that is not wanted."""

    label: str | None
    score: str | None
    logprob: str | None
    logprobs: str | None
    raw: str | None = None
    reason: str | None = None

    @classmethod
    def named(cls, prefix: str, *, says_anything: bool = False) -> Columns:
        """PREFIX_label and so on; `raw` and `reason` for answers that may be anything."""
        roles = ROLES if says_anything else ROLES[:4]
        return cls(*(f"{prefix}_{role}" for role in roles))

    def renamed(self, names: Mapping[str, str]) -> Columns:
        """With other names for some roles; an empty one leaves the column out."""
        return replace(self, **{role: name or None for role, name in names.items()})

    def items(self) -> list[tuple[str, str]]:
        """(role, column) of those that are wanted."""
        return [(role, name) for role, name in asdict(self).items() if name]


def column_prefix(classifier_name: str) -> str:
    """The classifier's name as the start of a column name: letters, digits and underscores."""
    return re.sub(r"\W+", "_", classifier_name).strip("_") or "ft"


def check_columns(
    conn: sqlite3.Connection,
    target: Relation,
    columns: Columns,
    classifier: Classifier,
    overwrite: bool,
) -> None:
    """Raises PredictError when a column to write is somebody else's."""
    task = classifier.task
    for _, column in columns.items():
        name = target.column(column)
        if name is None:
            continue
        if name in (*target.primary_key, *task.text, *task.labels, task.split_column):
            raise PredictError(f"Column {name} is what the classifier reads: choose another name.")
    taken = taken_columns(conn, target, columns, classifier)
    if taken and not overwrite:
        raise PredictError(
            f"Table {target.name} already has a column {taken[0]}: choose another prefix, "
            "or allow overwriting (--overwrite)."
        )


def taken_columns(
    conn: sqlite3.Connection, target: Relation, columns: Columns, classifier: Classifier
) -> list[str]:
    """Those of the columns that the table has, and that this classifier did not fill."""
    owners = column_owners(conn, target.name)
    names = (target.column(column) for _, column in columns.items())
    return [name for name in names if name is not None and owners.get(name) != classifier.name]


def make_columns(
    conn: sqlite3.Connection, target: Relation, columns: Columns, classifier: Classifier
) -> bool:
    """Adds those that are missing, and notes that they are ours; whether any was missing. Call
    inside a transaction."""
    types = {"label": classifier.labels.sqlite_type, "score": "REAL", "logprob": "REAL"}
    table = quote(target.name)
    missing = [column for _, column in columns.items() if target.column(column) is None]
    for role, column in columns.items():
        if column in missing:
            type_ = types.get(role, "TEXT")
            conn.execute(f"alter table {table} add column {quote(column)} {type_}")
        own_column(conn, target.name, column, classifier.name, role)
    return bool(missing)
