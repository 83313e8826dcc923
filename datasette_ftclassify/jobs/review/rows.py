"""A row that is reviewed, as it is now: its text, its labels, and whether they can be changed."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256

from ...core.database import (
    Cell,
    Key,
    NotUtf8,
    Relation,
    decode,
    quote,
    quote_all,
    relation,
    row_condition,
)  # fmt: skip
from ...core.errors import ReviewError, RowChanged
from ...core.foreign_keys import all_keys, find_lookup, with_names
from ...core.label_kinds import MULTICLASS
from ...core.label_notations import label_reader
from ...core.labels import Kind, LabelSet, LabelValue, label_name
from ...core.task import Task
from ...core.text import text_hash
from ...store.jobs.job import Job
from ...store.label_changes import times_changed
from ...store.reviews import QueuedRow


@contextmanager
def exact(conn: sqlite3.Connection) -> Iterator[None]:
    """Texts that are no UTF-8 are read with their bytes, so that they are found again: connections
    of Datasette's own read them otherwise."""
    before = conn.text_factory
    conn.text_factory = decode
    try:
        yield
    finally:
        conn.text_factory = before


@dataclass(frozen=True)
class OpenQueue:
    """A queue that can be worked in.

    labels: those that can be chosen
    people: how many label each row, each for themselves
    """

    job: Job
    task: Task
    source: Relation
    labels: LabelSet
    people: int

    def read(self, cells: Sequence[Cell]) -> tuple[LabelValue, ...] | None:
        """What label cells say; None: the row is not labelled, or not properly."""
        return label_reader(self.task.label_reading, self.task.labels)(cells).values

    def names(self, values: Sequence[LabelValue]) -> list[str]:
        index, name_of = self.labels.index, self.labels.name_of
        return [label_name(v) if index(v) is None else name_of(v) for v in values]


@dataclass(frozen=True)
class RowNow:
    """A row as it is in the table.

    cells:  of the label columns; labels: what they say; None: it is not labelled, or not properly
    text:   as a classifier reads it; None: it has none
    seen:   names this state of the row: another one when its text or its labels have been changed,
            or somebody has reviewed it
    moved:  whether its text is not the one that the queue was made of
    """

    key: Key
    cells: tuple[Cell, ...]
    text: str | None
    labels: tuple[LabelValue, ...] | None
    seen: str
    moved: bool


def find_source(conn: sqlite3.Connection, task: Task) -> Relation:
    """The table whose labels are reviewed. Raises ReviewError when they cannot be changed there,
    SourceError when it is gone or lacks a column."""
    source = relation(conn, task.source)
    source.require_columns([*task.text, *task.labels])
    if source.is_view:
        raise ReviewError(
            f"{source.name} is a view, and labels are corrected where they are stored: review the "
            "table behind it."
        )
    if source.is_virtual:
        raise ReviewError(
            f"{source.name} is a virtual table, such as one of full text: review the labels in the "
            "table that it is made of."
        )
    if not source.identity:
        raise ReviewError(
            f"Table {source.name} has no primary key and columns called rowid, _rowid_ and oid, so "
            "its rows cannot be told apart: rename one of those columns."
        )
    computed = _generated(conn, source)
    for column in task.labels:
        if column in computed:
            raise ReviewError(
                f"Column {column} of {source.name} is computed from other columns, so its labels "
                "cannot be corrected: correct those."
            )
        if column in source.primary_key:
            raise ReviewError(
                f"Column {column} is a part of the primary key of {source.name}: a row with "
                "another label would be another row."
            )
    return source


def _generated(conn: sqlite3.Connection, source: Relation) -> set[str]:
    sql = "select name from pragma_table_xinfo(?) where hidden in (2, 3)"
    return {str(name) for (name,) in conn.execute(sql, [source.name]).fetchall()}


def read_row(
    conn: sqlite3.Connection, queue: OpenQueue, queued: QueuedRow, *, any_text: bool = False
) -> RowNow | None:
    """None where it is gone. Without a primary key, a row with another text may be another row,
    which VACUUM has given its number: that counts as gone, too, but for `any_text`."""
    task, source = queue.task, queue.source
    condition = row_condition(source, queued.key)
    if condition is None:
        return None
    where, values = condition
    found = conn.execute(
        f"select {quote_all([*task.text, *task.labels])} from {quote(source.name)} where {where}",
        values,
    ).fetchone()
    if found is None:
        return None
    n = len(task.text)
    cells = tuple(found[n:])
    text = task.renderer()(found[:n]).text
    moved = text is None or text_hash(text) != queued.text_hash
    if moved and not source.primary_key and not any_text:
        return None
    done = times_changed(conn, source.name, queued.key)
    # What is sent as somebody's own answer must not become the decision about all of them.
    stage = ["answered"] if queued.state == "answered" else []
    return RowNow(
        key=queued.key,
        cells=cells,
        text=text,
        labels=queue.read(cells),
        seen=sha256(repr((list(map(_exact, found)), done, *stage)).encode()).hexdigest()[:32],
        moved=moved,
    )


def row_gone(source: Relation) -> RowChanged:
    """The error for a row that `read_row` does not find."""
    if source.primary_key:
        return RowChanged("This row was deleted meanwhile.")
    return RowChanged(
        f"This row of {source.name} was deleted or has another text by now. The table has no "
        "primary key, so it may be another one (VACUUM): nothing was written."
    )


def _exact(cell: Cell) -> object:
    return ("not UTF-8", cell.raw) if isinstance(cell, NotUtf8) else cell


def offered_labels(conn: sqlite3.Connection, task: Task, known: LabelSet) -> LabelSet:
    """Those that a row can be given: of the queue, and all that the table of names has."""
    lookup = find_lookup(conn, task)
    if lookup is None:
        return known
    more = [
        key
        for key in all_keys(conn, task, lookup, known.values).values()
        if known.index(key) is None
    ]
    return with_names(conn, task, LabelSet((*known.values, *more), _kind(known, len(more))))


def with_added(labels: LabelSet, added: Sequence[LabelValue]) -> LabelSet:
    """The labels, and behind them those that were added on purpose since the queue was made, so
    that positions stay what they are."""
    more = [value for value in dict.fromkeys(added) if labels.index(value) is None]
    if not more or labels.given is not None:
        return labels
    return LabelSet((*labels.values, *more), _kind(labels, len(more)))


def _kind(labels: LabelSet, more: int) -> Kind:
    most = labels.label_kind.most
    return labels.kind if most is None or len(labels) + more <= most else MULTICLASS.name
