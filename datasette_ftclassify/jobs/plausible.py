"""Whether the chosen columns look like a mistake, before anything is trained.

A key or a number is easily chosen instead of a label or a text, and a training on it takes long and
is worthless. So such a choice has to be confirmed.
"""

from __future__ import annotations

import sqlite3

from ..core.database import condition, quote, relation
from ..core.errors import Implausible
from ..core.labels import unlabelled_sql
from ..core.task import Task

_FEWEST = 20
"""Rows below which nothing is said: there, anything is unique."""

MANY_LABELS = 1_000


def check_plausible(conn: sqlite3.Connection, task: Task) -> None:
    """Counts the different cells of the label column, and the numbers of a key that is the text.

    Raises Implausible when the one looks like keys, or the other is the table's key and holds
    numbers. Numbers in any other column may be the codes that somebody wants to learn from.
    """
    source = relation(conn, task.source)
    rows = f"from {quote(source.name)} where {condition(task.where)}"
    rows += f" and not ({unlabelled_sql(task.labels)})"
    params = dict(task.params)
    if len(task.labels) == 1 and task.exclusive:
        column = quote(task.labels[0])
        sql = f"select count(*), count(distinct {column}) {rows}"
        total, different = conn.execute(sql, params).fetchone()
        if total >= _FEWEST and (different * 2 > total or different >= MANY_LABELS):
            raise Implausible(
                f"The label column {task.labels[0]} has {different:,} different values in "
                f"{total:,} rows, which looks like a key or a number: choose another label "
                "column, or train despite that.",
                fields=("label", "despite_findings"),
            )
    if len(task.text) == 1 and task.text[0] in source.identity:
        column = quote(task.text[0])
        plain = f"typeof({column}) in ('integer', 'real') or cast({column} as text) not glob"
        sql = (
            f"select count(*), coalesce(sum({plain} '*[^0-9.]*'), 0)"
            f" {rows} and {column} is not null"
        )
        total, numbers = conn.execute(sql, params).fetchone()
        if total >= _FEWEST and numbers == total:
            raise Implausible(
                f"The text column {task.text[0]} has nothing but numbers and is a key of the "
                "table: choose another text column, or train despite that.",
                fields=("text", "despite_findings"),
            )
