"""A class for what is none of the labels: unlabelled rows that count as a label of their own.

A classifier of hockey and baseball has no answer for football but one of the two. Rows that are
neither, marked by a condition, teach it a third one. The condition is kept with the task, and
nothing is written into the label column.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from dataclasses import replace

from .database import (
    Key,
    Params,
    Relation,
    check_condition,
    condition,
    quote,
    quote_all,
    quote_text,
    reading,
    relation,
)
from .errors import TaskError
from .foreign_keys import find_lookup
from .label_kinds import BINARY, MULTICLASS
from .labels import unlabelled_sql
from .literals import of_keys
from .task import Other, Task

MOST_ROWS = 20_000
"""Of the class; more would drown the others."""

MOST_KEYS = 1_000
"""Rows that may be marked one by one."""

HOW = ("is", "contains")
"""How a column tells the rows of the class."""

LONGEST_LABEL = 200
"""Characters."""


def with_other(
    conn: sqlite3.Connection,
    task: Task,
    where: str,
    params: Params | None = None,
    label: str = "other",
) -> Task:
    """The task with the unlabelled rows that meet a condition as one label more, in the place of
    those that it had before. Raises TaskError where there cannot be one, SourceError when the
    condition does not run."""
    source = relation(conn, task.source)
    _check(conn, task, source, label)
    check_condition(conn, source, where, {**task.params, **(params or {})})
    for name, value in (params or {}).items():
        if task.params.get(name, value) != value:
            raise TaskError(
                f"The classifier's own condition has a :{name} of another value: choose another "
                "name.",
                fields=("where",),
            )
    kind = MULTICLASS.name if task.kind == BINARY.name else task.kind
    return replace(
        task, kind=kind, params={**task.params, **(params or {})}, other=Other(label.strip(), where)
    )


def _check(conn: sqlite3.Connection, task: Task, source: Relation, label: str) -> None:
    if not task.exclusive:
        raise TaskError(
            "A row may have several labels, or none: rows that are none of them need no class of "
            "their own. Label them with an empty list, and train again."
        )
    if not source.identity:
        raise TaskError(
            f"{source.name} is a view, whose rows have no identity: train on its table."
        )
    if task.split_column is not None:
        raise TaskError(
            f"Column {task.split_column} says which rows are trained on: label the other rows in "
            f"{task.labels[0]}, and give them a split."
        )
    if find_lookup(conn, task) is not None:
        raise TaskError(
            f"The labels are keys of another table: add {label} to it, and label the rows with "
            "its key."
        )
    if not label.strip() or len(label) > LONGEST_LABEL or not label.isprintable():
        raise TaskError(
            f"The label of the other rows must be a text of 1 to {LONGEST_LABEL} characters.",
            fields=("label",),
        )


def keys_condition(source: Relation, keys: Iterable[Key]) -> str:
    """A condition for these rows. Raises TaskError for a table without a primary key, whose rows
    may get other numbers, for more than MOST_KEYS, and for a key that cannot be written."""
    listed = list(keys)
    if not source.primary_key:
        raise TaskError(
            f"{source.name} has no primary key to mark its rows by: mark them by a condition."
        )
    if not 0 < len(listed) <= MOST_KEYS:
        raise TaskError(f"Between 1 and {MOST_KEYS:,} rows can be marked one by one.")
    where = of_keys(source.primary_key, listed)
    if where is None:
        raise TaskError(
            f"A row's key in {source.name} has no simple form in SQL: mark the rows by a condition."
        )
    return where


def column_condition(source: Relation, column: str, how: str, value: str) -> str:
    """A condition for the rows whose column is or contains (see HOW) the value, whatever its type;
    capital letters are others only where it is the whole. Raises SourceError, TaskError."""
    source.require_columns([column])
    if how not in HOW or not value:
        raise TaskError(
            f"Say what the column {HOW[0]} or {HOW[1]} in the rows of the class.", fields=("value",)
        )
    cell = f"cast({quote(column)} as text)"
    if how == HOW[0]:
        return f"{cell} = {quote_text(value)}"
    return f"instr(lower({cell}), lower({quote_text(value)})) > 0"


def other_keys(conn: sqlite3.Connection, task: Task) -> frozenset[Key]:
    """The rows that count as the task's other label; none where it has none.

    Raises SourceError when its condition does not run, TaskError when it is met by too many rows.
    """
    if task.other is None:
        return frozenset()
    source = relation(conn, task.source)
    sql = (
        f"select {quote_all(source.identity)} from {quote(source.name)}"
        f" where {condition(task.where)} and {condition(task.other.where)}"
        f" and {unlabelled_sql(task.labels, source.name)} limit {MOST_ROWS + 1}"
    )
    with reading(source, task.other.where):
        keys = frozenset(tuple(row) for row in conn.execute(sql, dict(task.params)))
    if len(keys) > MOST_ROWS:
        raise TaskError(
            f"More than {MOST_ROWS:,} unlabelled rows are marked as {task.other.label}: narrow the "
            "condition.",
            fields=("where",),
        )
    return keys
