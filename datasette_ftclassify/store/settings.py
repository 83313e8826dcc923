"""Settings of a database: what one person chose for all, by a key."""

from __future__ import annotations

import sqlite3

from ..core.database import quote
from .cell_size import NAME_BYTES, fits
from .schema import upsert

SETTING = upsert("_ftclassify_settings", ["key"], ["value"])
"""SQL that writes a setting: its values are the key and the text."""


def read_setting(
    conn: sqlite3.Connection, key: str, schema: str = "main", most: int = NAME_BYTES
) -> str | None:
    """The text; None where there is none, or what stands there is no text or has more bytes than
    `most`."""
    row = conn.execute(
        f"select value from {quote(schema)}._ftclassify_settings"
        f" where key = ? and typeof(value) = 'text' and {fits('value', most)}",
        [key],
    ).fetchone()
    return None if row is None else str(row[0])
