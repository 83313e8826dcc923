"""What our pages, menus and cells ask of Datasette's connections: only a file whose tables are
ours, and no longer than a moment.

Datasette has a few read threads for all databases, so one file that never answers would hold up
every page of every other.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Collection, Mapping
from inspect import signature
from typing import Generic, TypeVar
from weakref import WeakKeyDictionary

from datasette.app import Datasette
from datasette.database import Database
from datasette.utils.asgi import Request

from ..core.errors import ArtifactError, FtclassifyError
from ..core.sqlite_errors import OPERATIONAL_ERRORS, SQLITE_ERRORS
from ..core.time_limit import TooSlow, within, work_time
from ..sql.loading import StillLoading, has_to_wait
from ..sql.table_guard import ours_behind, reading_ours
from ..store.tables import check_tables

T = TypeVar("T")
D = TypeVar("D")

PART_SECONDS = 0.2
"""Of the processor, for what we add to a page of Datasette's, such as an item of a menu, or to a
decision of its: a page has some five. How busy the machine is decides about none of them."""


def page_seconds(datasette: Datasette) -> float:
    """For one look into the database by a page of ours: what the operator allows a query."""
    return float(datasette.setting("sql_time_limit_ms")) / 1000


async def read(
    database: Database,
    function: Callable[[sqlite3.Connection], T],
    seconds: float = PART_SECONDS,
    clock: Callable[[], float] = work_time,
) -> T:
    """What a function finds with one of Datasette's connections for reading.

    clock: see `within`
    Raises ArtifactError when our tables are not tables like ours, TooSlow after so many seconds,
    StillLoading.
    """

    def run(conn: sqlite3.Connection) -> T:
        try:
            with reading_ours(conn), within(conn, seconds, clock):
                check_tables(conn)
                return function(conn)
        except (TooSlow, *OPERATIONAL_ERRORS):
            if has_to_wait():
                raise StillLoading from None
            raise

    result: T = await database.execute_fn(run)
    return result


async def read_or(
    database: Database, function: Callable[[sqlite3.Connection], T], otherwise: D
) -> T | D:
    """The same, or `otherwise` where nothing can be read: no page of Datasette's fails for our
    sake."""
    try:
        return await read(database, function)
    except (*SQLITE_ERRORS, FtclassifyError):
        return otherwise


async def find_ours_behind(
    database: Database | None, tables: Collection[str]
) -> Mapping[str, set[str] | None]:
    """By each table or view, the tables of ours whose rows it shows; None: that cannot be known."""
    if database is None or not tables:
        return {}
    try:
        return await read(database, lambda conn: ours_behind(conn, tables))
    except ArtifactError:  # nothing is read in such a file
        return {}
    except (*SQLITE_ERRORS, FtclassifyError):
        return dict.fromkeys(tables)


class ReadCache(Generic[T]):
    """What was read from databases, by a key of each, until its time is up."""

    def __init__(self) -> None:
        self._found: WeakKeyDictionary[Database, dict[str, tuple[float, T]]] = WeakKeyDictionary()

    def get(self, database: Database, key: str = "") -> T | None:
        until, value = self._found.get(database, {}).get(key, (0.0, None))
        return value if time.monotonic() < until else None

    def keep(self, database: Database, value: T, seconds: float, key: str = "") -> T:
        self._found.setdefault(database, {})[key] = (time.monotonic() + seconds, value)
        return value


async def write(
    database: Database, function: Callable[[sqlite3.Connection], T], request: Request | None = None
) -> T:
    """What a function does with Datasette's connection for writing; it commits by itself.

    request: on whose behalf rows of the user's own are changed: Datasette 1.0 tells its plugins
    Raises ArtifactError when our tables are not tables like ours.
    """

    def run(conn: sqlite3.Connection) -> T:
        with reading_ours(conn):
            check_tables(conn)
            return function(conn)

    tells = request is not None and "request" in signature(database.execute_write_fn).parameters
    result: T = await database.execute_write_fn(run, **({"request": request} if tells else {}))
    return result
