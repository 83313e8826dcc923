"""Reading a task's rows, one at a time, as records and examples."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from .labels import Labels, LabelValue, read_labels
from .rendering import Rendered, renderer
from .sql import Key, condition, quote, quote_all, relation
from .tasks import Task

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")


@dataclass(frozen=True, slots=True)
class Record:
    """One row of the source as the task sees it, usable or not.

    key:    values of the identity columns; for a view without them the row's number, from 1
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


def key_columns(conn: sqlite3.Connection, task: Task) -> tuple[str, ...]:
    """The names of the columns that `Record.key` holds; empty for a view."""
    return relation(conn, task.source).identity


def read_records(conn: sqlite3.Connection, task: Task) -> Iterator[Record]:
    """All rows of the task's source, in the source's own order, without holding them in memory."""
    source = relation(conn, task.source)
    identity = source.identity
    split = [task.split_column] if task.split_column else []
    columns = [*identity, *task.text, *task.labels, *split]
    rows = conn.execute(
        f"select {quote_all(columns)} from {quote(source.name)} where {condition(task.where)}",
        dict(task.params),
    )
    render = renderer(task.text, task.template)
    n_key, n_text, n_labels = len(identity), len(task.text), len(task.labels)
    text_end = n_key + n_text
    label_end = text_end + n_labels
    for number, row in enumerate(rows, 1):
        yield Record(
            key=tuple(row[:n_key]) if n_key else (number,),
            rendered=render(row[n_key:text_end]),
            labels=read_labels(row[text_end:label_end], task.kind, task.labels, task.delimiter),
            split=str(row[-1]).strip().lower() if split and row[-1] is not None else None,
        )
