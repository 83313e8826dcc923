"""Keeps our tables from the SQL of others on a connection that we share with them.

SQLite asks an authorizer about every column that a statement reads, through views, joins and
full-text tables as well, but only when the statement is prepared. Statements are remembered, by
Python and by virtual tables, and then nobody is asked. So all of them are prepared anew when we
have read something ourselves, and when the connection begins to serve somebody else.

Rows may be counted, as Datasette does for each of its lists of tables.
"""

from __future__ import annotations

import sqlite3
import weakref
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress

from ..core.database import quote
from ..core.sqlite_errors import PROGRAMMING_ERRORS, SQLITE_ERRORS
from ..jobs.row_updates import is_about_the_file
from ..store.tables import PREFIX
from .registration import Borrowed

_COPIES = ("sqlite_stat3", "sqlite_stat4", "sqlite_dbpage")
"""What some builds of SQLite have, with cells of all tables: samples, and the pages of the file."""


class TableGuard:
    """The authorizer of a connection.

    may_read: whether who is served just now may read a table of ours: schema, table

    What we read between `begin` and `end` is allowed.
    """

    def __init__(self, conn: sqlite3.Connection, may_read: Callable[[str, str], bool]) -> None:
        self._connection = Borrowed(conn)
        self._may_read = may_read
        self._depth = 0
        self._has_read = False
        self._served: object = None
        conn.set_authorizer(self)
        _guards[id(conn)] = self

    def __call__(
        self, action: int, table: str | None, column: str | None, schema: str | None, _: str | None
    ) -> int:
        if action != sqlite3.SQLITE_READ or not column or not _is_ours(table or ""):
            return sqlite3.SQLITE_OK
        if self._depth:
            self._has_read = True
            return sqlite3.SQLITE_OK
        allowed = self._may_read(schema or "main", table or "")
        return sqlite3.SQLITE_OK if allowed else sqlite3.SQLITE_DENY

    def begin(self) -> None:
        self._depth += 1

    def end(self) -> None:
        self._depth -= 1
        if self._has_read and not self._depth:
            self._has_read = False
            self._prepare_anew()

    def serve(self, whom: object) -> None:
        """Call it before the connection does something for somebody. whom: equal for those who may
        read the same."""
        if whom != self._served:
            self._served = whom
            self._prepare_anew()

    def _prepare_anew(self) -> None:
        with suppress(*PROGRAMMING_ERRORS):  # it is closed
            self._connection().set_authorizer(self)


_guards: weakref.WeakValueDictionary[int, TableGuard] = weakref.WeakValueDictionary()
"""By the address of the connection, which alone holds its guard: they end together."""


def is_guarded(conn: sqlite3.Connection) -> bool:
    """Whether it is one of a server's, with a guard and functions that know it."""
    return id(conn) in _guards


@contextmanager
def reading_ours(conn: sqlite3.Connection) -> Iterator[None]:
    """What is executed in it are statements of ours."""
    guard = _guards.get(id(conn))
    if guard is None:
        yield
        return
    guard.begin()
    try:
        yield
    finally:
        guard.end()


def ours_behind(conn: sqlite3.Connection, names: Collection[str]) -> dict[str, set[str]]:
    """By each of the tables and views the tables of ours whose rows it shows, in small letters.
    Only for a connection with a guard."""
    # A plain table shows nothing but itself.
    sql = (
        "select name, type = 'view' from sqlite_master where type in ('table', 'view')"
        " and sql not like 'create table %'"
    )
    opaque = {name.lower(): bool(is_view) for name, is_view in conn.execute(sql)}
    read = set[str]()

    def note(action: int, table: str | None, column: str | None, *_: str | None) -> int:
        if action == sqlite3.SQLITE_READ and table and column:
            read.add(table.lower())
        return sqlite3.SQLITE_OK

    def behind(name: str) -> set[str]:
        read.clear()
        read.add(name.lower())
        looked = set[str]()
        while more := (read & opaque.keys()) - looked:
            conn.set_authorizer(note)  # each time, as a statement that is remembered asks nobody
            looked |= more
            for table in more:
                _read_a_row(conn, table, opaque[table])
        return {table for table in read if _is_ours(table)}

    try:
        return {name: behind(name) for name in names}
    finally:
        conn.set_authorizer(_guards[id(conn)])


def _read_a_row(conn: sqlite3.Connection, name: str, is_view: bool) -> None:
    """As far as it tells what is behind it: of a view preparing it does, of a virtual table reading
    it."""
    sql = f"select * from {quote(name)} limit 1"
    try:
        conn.execute(f"explain {sql}" if is_view else sql).fetchone()
    except SQLITE_ERRORS as error:
        if is_about_the_file(error):
            raise
        # Nothing can be read there, such as of a view of what is gone.


def _is_ours(table: str) -> bool:
    name = table.lower()
    return name.startswith(PREFIX) or name in _COPIES
