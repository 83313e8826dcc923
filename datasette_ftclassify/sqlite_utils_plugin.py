"""The SQL functions in sqlite-utils."""

from __future__ import annotations

import sqlite3

from sqlite_utils import hookimpl

from .sql.functions import register
from .sql.table_guard import is_guarded


@hookimpl
def prepare_connection(conn: sqlite3.Connection) -> None:
    # Datasette 1.0 looks at tables with sqlite-utils, on connections whose functions already have
    # their guard, limits and settings: others in their place would answer nothing.
    if not is_guarded(conn):
        register(conn)
