"""Samples rows of a table within a time limit, for pages: never the whole of it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from functools import partial

from ..core.database import Params, Relation, condition, quote
from ..core.labels import MAX_LABELS, LabelValue, unlabelled_sql
from ..core.sqlite_errors import SQLITE_ERRORS, SQLITE_WARNINGS
from ..core.time_limit import TooSlow, within

SAMPLE_POINTS = 5
"""A table is often sorted by label: its first rows alone would show one."""

_SCAN_MS = 60
"""For the labels of all rows; about 100,000 rows."""

_POINT_MS = 15
_POINT_ROWS = 200


def in_a_moment(conn: sqlite3.Connection, milliseconds: int, read: Callable[[], object]) -> bool:
    """Runs `read` with a time limit; whether it finished. Errors of SQLite count as not
    finished."""
    try:
        with within(conn, milliseconds / 1000):
            read()
    except (*SQLITE_ERRORS, *SQLITE_WARNINGS, TooSlow):
        return False
    return True


def sample_conditions(conn: sqlite3.Connection, source: Relation, rows: int) -> Iterator[str]:
    """Conditions, each with an order, for rows from PLACES on of a table that has more than
    `rows`; none for a smaller one, a view, or a table without rowid."""
    if source.rowid is None:
        return
    # Unquoted, since a quoted name that is no column would be a text; it is one of three words.
    rowid = source.rowid
    table = quote(source.name)
    # Each by itself, or SQLite reads the whole table.
    sql = f"select (select min({rowid}) from {table}), (select max({rowid}) from {table})"
    low, high = conn.execute(sql).fetchone()
    if low is None or high - low < rows:
        return
    for point in range(SAMPLE_POINTS):
        yield f"{rowid} >= {low + (high - low) * point // SAMPLE_POINTS} order by {rowid}"


def label_cells(
    conn: sqlite3.Connection,
    source: Relation,
    column: str,
    where: str | None,
    params: Params,
) -> tuple[list[LabelValue], bool]:
    """Different labels: of all rows where that takes no longer than a moment, else of some here
    and there; and whether of all. Not more than a label set can have."""
    label = quote(column)
    rows = (
        f"from {quote(source.name)} where {condition(where)}"
        f" and not ({unlabelled_sql([column], source.name)})"
    )
    found: dict[LabelValue, None] = {}

    def read(sql: str) -> None:
        for (cell,) in conn.execute(sql, dict(params)):
            if not isinstance(cell, bytes):
                found[cell] = None

    # A column may declare that case is no difference.
    every = f"select distinct {label} collate binary {rows} limit {MAX_LABELS}"
    if in_a_moment(conn, _SCAN_MS, lambda: read(every)):
        return list(found), True
    for point in sample_conditions(conn, source, 0):
        some = f"select {label} {rows} and {point} limit {_POINT_ROWS}"
        in_a_moment(conn, _POINT_MS, partial(read, some))
    return list(found), False
