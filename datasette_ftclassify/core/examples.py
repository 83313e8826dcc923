"""Reading a task's rows, one at a time, as records and examples."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from .database import Key, condition, count, quote, relation
from .label_cells import Labels
from .label_notations import label_reader
from .labels import LabelValue, trimmed
from .other_class import other_keys
from .rendering import Rendered
from .row_pages import read_rows
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
    without holding up others for longer than it takes to read a page: see `row_pages`.

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
