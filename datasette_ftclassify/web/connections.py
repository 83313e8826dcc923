"""What Datasette's connections get: the SQL functions, with what they may send and write there, and
a guard of our tables."""

from __future__ import annotations

import os
import sqlite3

from datasette.app import Datasette

from ..sql.functions import register
from ..trainers.access import Access
from ..trainers.configuration import read_access
from .visitors import guard_tables

_SHARE_TO_WAIT = 0.7
"""Of a query's time, that which may be spent on waiting for services: the rest is for the answers
that there are, which would not be shown if the query were ended."""


def prepare(conn: sqlite3.Connection, database: str, datasette: Datasette) -> None:
    """Made for every connection, so the settings are read only when a service is to be asked."""

    def access() -> Access:
        from .operator_settings import plugin_settings

        return read_access(plugin_settings(datasette))

    def writable(path: str) -> bool:
        return any(
            db.is_mutable and db.path and _same(db.path, path)
            for db in datasette.databases.values()
        )

    guard = guard_tables(conn, database, datasette)
    wait = _SHARE_TO_WAIT * datasette.setting("sql_time_limit_ms") / 1000
    register(conn, time_limit=wait, access=access, writable=writable, guard=guard)


def _same(one: str | os.PathLike[str], other: str) -> bool:
    return os.path.realpath(one) == os.path.realpath(other)
