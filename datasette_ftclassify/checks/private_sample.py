"""Private data in a sample of whole tables, before they are published."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from ..core.database import Relation, key_text, quote, quote_all, relation
from .private_data import DETECTORS

SAMPLED_ROWS = 1_000
"""Rows of a table that are looked at, in ten places of it."""

_PLACES = 10
_MOST_TABLES = 50
_MOST_CHARACTERS = 5_000
_SHOWN_KEYS = 5


@dataclass(frozen=True)
class PrivateRows:
    """Rows of a sample whose texts hold something private.

    code:    the finding, and `what` it is, see `private_data.DETECTORS`
    rows:    how many of the `sampled` ones
    keys:    of some of them, as JSON
    """

    table: str
    code: str
    what: str
    rows: int
    sampled: int
    keys: tuple[str, ...]


def private_rows(
    conn: sqlite3.Connection, tables: Collection[str], hosts: Collection[str] = ()
) -> Iterator[PrivateRows]:
    """What is found in the texts of the tables, of the first 50. A second's work for a table of
    long texts.

    hosts: of services, which columns of reasons may name
    """
    detectors = {
        **DETECTORS,
        "service-host": (
            "the host of a model's service",
            lambda text: any(h in text for h in hosts),
        ),
    }
    for table in list(tables)[:_MOST_TABLES]:
        seen: dict[str, list[str]] = {code: [] for code in detectors}
        sampled = 0
        for key, texts in _sample(conn, relation(conn, table)):
            sampled += 1
            for code, (_, detect) in detectors.items():
                if any(detect(text) for text in texts):
                    seen[code].append(key)
        for code, keys in seen.items():
            if keys:
                what, shown = detectors[code][0], tuple(keys[:_SHOWN_KEYS])
                yield PrivateRows(table, code, what, len(keys), sampled, shown)


def _sample(conn: sqlite3.Connection, source: Relation) -> Iterator[tuple[str, list[str]]]:
    """Keys and texts of rows; the first ones of a table whose rows have no numbers."""
    cells = ", ".join(
        f"case typeof({quote(c)}) when 'text' then substr({quote(c)}, 1, {_MOST_CHARACTERS}) end"
        for c in source.columns
    )
    keys = quote_all(source.primary_key) or source.rowid or "null"
    width = len(source.primary_key) or 1
    select = f"select {keys}, {cells} from main.{quote(source.name)}"
    for where, values in _places(conn, source):
        for row in conn.execute(f"{select}{where} limit ?", values):
            yield key_text(row[:width]), [text for text in row[width:] if text]


def _places(conn: sqlite3.Connection, source: Relation) -> Iterator[tuple[str, Sequence[int]]]:
    rowid = source.rowid
    if rowid is None:
        yield "", [SAMPLED_ROWS]
        return
    ends = f"select min({rowid}), max({rowid}) from main.{quote(source.name)}"
    low, high = conn.execute(ends).fetchone()
    if low is None:
        return
    step = (high - low) // _PLACES + 1
    for place in range(_PLACES):
        start = low + place * step
        if start > high:
            return
        yield (
            f" where {rowid} >= ? and {rowid} <= ? order by {rowid}",
            [start, min(start + step - 1, high), SAMPLED_ROWS // _PLACES],
        )
