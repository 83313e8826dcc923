"""The SQL functions in sqlite-utils."""

from __future__ import annotations

import sqlite3

from sqlite_utils import hookimpl

from .sql.functions import register


@hookimpl
def prepare_connection(conn: sqlite3.Connection) -> None:
    register(conn)
