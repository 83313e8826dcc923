"""The statements that are run about a table, on whatever connection."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class Statements(list[str]):
    """Those that name the table, with their values, in the order in which they began."""

    def reads(self, column: str) -> list[str]:
        """Those that take the column's cells out of the table."""
        return [sql for sql in self if re.search(rf"\b{column}\b.* from ", sql, re.S | re.I)]


@contextmanager
def statements_about(table: str) -> Iterator[Statements]:
    """Of all connections that this process opens meanwhile."""
    found, opened = Statements(), sqlite3.connect

    def note(sql: str) -> None:
        if re.search(rf"\b{table}\b", sql) and not sql.lower().startswith(("--", "pragma")):
            found.append(sql)

    def connect(*args: Any, **more: Any) -> sqlite3.Connection:
        conn = opened(*args, **more)
        conn.set_trace_callback(note)
        return conn

    sqlite3.connect = connect  # type: ignore[assignment]
    try:
        yield found
    finally:
        sqlite3.connect = opened
