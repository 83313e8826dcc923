"""Reading a task's rows, one at a time, as records and examples."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Literal

from .database import (
    Cell,
    Key,
    NotUtf8,
    Params,
    Relation,
    condition,
    count,
    quote,
    quote_all,
    reading,
    relation,
)
from .label_cells import Labels
from .label_notations import label_reader
from .labels import LabelValue, trimmed
from .other_class import other_keys
from .rendering import Rendered
from .task import Task

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")


@dataclass(frozen=True, slots=True)
class Record:
    """One row of the source as the task sees it, usable or not.

    key:    values of the identity columns, followed by the rowid when there is a NULL among
            them; for a view without them the row's number, from 1
    split:  what the split column says, lower-cased and stripped; None without one, or for NULL
    """

    key: Key
    rendered: Rendered
    labels: Labels
    split: str | None

    @property
    def text(self) -> str | None:
        return self.rendered.text

    @property
    def usable(self) -> bool:
        """Whether the row can be trained on: it has a text, and proper labels."""
        return self.rendered.text is not None and self.labels.values is not None


@dataclass(frozen=True, slots=True)
class Example:
    """One labelled row rendered for training."""

    key: Key
    text: str
    labels: tuple[LabelValue, ...]
    split: Split


def count_records(conn: sqlite3.Connection, task: Task) -> int:
    """The rows of the task's source."""
    sql = f"select count(*) from {quote(task.source)} where {condition(task.where)}"
    return count(conn, sql, dict(task.params))


def read_records(conn: sqlite3.Connection, task: Task) -> Iterator[Record]:
    """All rows of the task's source, in the source's own order, without holding them in memory, and
    without holding up others for longer than it takes to read a page: see `read_rows`.

    Raises SourceError when the source has changed so that the task no longer fits it.
    """
    source = relation(conn, task.source)
    identity = source.identity
    split = [task.split_column] if task.split_column else []
    # SQLite takes a quoted name that is no column for a text, and would read that.
    source.require_columns([*task.text, *task.labels, *split])
    # A declared key may hold NULLs, in any number of rows.
    rowid = [source.rowid] if source.rowid and source.primary_key else []
    columns = [*identity, *task.text, *task.labels, *split, *rowid]
    render = task.renderer()
    read_labels = label_reader(task.label_reading, task.labels)
    n_key, n_text, n_labels = len(identity), len(task.text), len(task.labels)
    text_end = n_key + n_text
    label_end = text_end + n_labels
    others = other_keys(conn, task)
    rows = read_rows(conn, source, columns, task.where, task.params)
    for number, row in enumerate(rows, 1):
        key = tuple(row[:n_key])
        if rowid and None in key:
            key = (*key, row[-1])
        given = row[label_end] if split else None
        labels = read_labels(row[text_end:label_end])
        if task.other is not None and labels.blank and key in others:
            labels = Labels((task.other.label,))
        yield Record(
            key=key or (number,),
            rendered=render(row[n_key:text_end]),
            labels=labels,
            split=None if given is None else trimmed(str(given)).lower(),
        )


PAGE = 1_000
"""Rows of a table that one statement goes through, whether they meet the condition or not."""


def read_rows(
    conn: sqlite3.Connection,
    source: Relation,
    columns: Sequence[str],
    where: str | None = None,
    params: Params | None = None,
) -> Iterator[tuple[Any, ...]]:
    """The columns of all rows that meet the condition, in the order of the table's cursor, read so
    that nobody waits for it: in SQLite's default journal mode a process that reads holds up one
    that commits, and that one holds up whoever wants to begin to read. So a long reading is many
    short ones, each of which is over before anything is done with what it gave.

    Rows that come or change meanwhile may be seen or not. A view has no key to go on from: it is
    read at one go into a temporary database.
    Raises SourceError when rows cannot be read, or not by this condition.
    """
    named = [f"{quote(source.name)}.{quote(column)}" for column in columns]
    select = f"select {', '.join(named)} from {quote(source.name)} where {condition(where)}"
    if not source.cursor:
        yield from _at_one_go(conn, source, select, len(columns), where, params or {})
        return
    keys = ", ".join(f"{quote(source.name)}.{quote(key)}" for key in source.cursor)
    after: tuple[Any, ...] | None = None
    while True:
        until = _end_of_page(conn, source, keys, after)
        bounds, values = _between(keys, after, until)
        with reading(source, where):
            rows = conn.execute(
                f"{select}{bounds} order by {keys}", {**(params or {}), **values}
            ).fetchall()
        yield from rows
        if until is None:
            return
        after = until


def _end_of_page(
    conn: sqlite3.Connection, source: Relation, keys: str, after: tuple[Any, ...] | None
) -> tuple[Any, ...] | None:
    """The key of the page's last row; None for the last page."""
    bounds, values = _between(keys, after, None)
    sql = (
        f"select {quote_all(source.cursor)} from {quote(source.name)} where 1{bounds}"
        f" order by {keys} limit 1 offset {PAGE - 1}"
    )
    with reading(source, None):
        row = conn.execute(sql, values).fetchone()
    return None if row is None else tuple(row)


def _between(
    keys: str, after: tuple[Any, ...] | None, until: tuple[Any, ...] | None
) -> tuple[str, dict[str, Cell]]:
    sql = ""
    values: dict[str, Cell] = {}
    for name, sign, key in (("after", ">", after), ("until", "<=", until)):
        if key is not None:
            marks = {f"_ft_{name}_{i}": cell for i, cell in enumerate(key)}
            sql += f" and ({keys}) {sign} ({', '.join(f':{mark}' for mark in marks)})"
            values |= marks
    return sql, values


def _at_one_go(
    conn: sqlite3.Connection,
    source: Relation,
    sql: str,
    n_columns: int,
    where: str | None,
    params: Params,
) -> Iterator[tuple[Any, ...]]:
    marks = ", ".join("?" * (n_columns + 1))
    with closing(sqlite3.connect("")) as copy:  # a file of its own, which is gone when it is closed
        copy.execute(f"create table rows ({', '.join(f'c{i}' for i in range(n_columns))}, odd)")
        with reading(source, where):
            cursor = conn.execute(sql, dict(params))
            while rows := cursor.fetchmany(PAGE):
                copied = ((*row, _not_utf8(row)) for row in rows)
                copy.executemany(f"insert into rows values ({marks})", copied)
        for *cells, odd in copy.execute("select * from rows order by rowid"):
            for i, raw in json.loads(odd or "[]"):
                cells[i] = NotUtf8(cells[i], bytes.fromhex(raw))
            yield tuple(cells)


def _not_utf8(row: Sequence[Any]) -> str | None:
    """Positions and bytes of such cells, which the copy would not tell from others."""
    odd = [(i, cell.raw.hex()) for i, cell in enumerate(row) if isinstance(cell, NotUtf8)]
    return json.dumps(odd) if odd else None
