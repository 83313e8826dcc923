"""Tables and records, made in a line."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any

from datasette_ftclassify.core.database import quote, quote_all
from datasette_ftclassify.core.examples import Record
from datasette_ftclassify.core.label_cells import Labels
from datasette_ftclassify.core.labels import LabelValue
from datasette_ftclassify.core.rendering import Rendered

HOSTILE_NAMES = [
    "with space",
    "a.b",
    'quo"te',
    '"',
    "it's",
    "[bracket]",
    "`tick`",
    "new\nline",
    "emoji 🦉",
    "select",
    "name",
    "pk",
    "hidden",
    "; drop table t; --",
    "Größe",
    "%s",
    "{{ x }}",
    "0",
    " ",
]


def database(*statements: str) -> sqlite3.Connection:
    """A database in memory after the statements."""
    conn = sqlite3.connect(":memory:")
    for statement in statements:
        conn.execute(statement)
    conn.commit()
    return conn


def table(
    columns: Sequence[str], rows: Iterable[Sequence[Any]] = (), name: str = "t"
) -> sqlite3.Connection:
    """A database with one table whose columns have no types: cells stay what they are."""
    conn = database(f"create table {quote(name)} ({quote_all(columns)})")
    marks = ", ".join("?" * len(columns))
    conn.executemany(f"insert into {quote(name)} values ({marks})", rows)
    conn.commit()
    return conn


def record(text: str | None, *labels: LabelValue, split: str | None = None, key: int = 0) -> Record:
    """A row as a splitter sees it; without a text it is not usable."""
    rendered = Rendered(text) if text is not None else Rendered(None, "null")
    return Record((key,), rendered, Labels(labels), split)
