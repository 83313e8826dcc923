"""SQLite's errors, of whichever module a connection is.

Datasette opens its connections with pysqlite3 where that is installed, as on Vercel, and what they
raise is no `sqlite3.Error`. So no other module names those classes: `tests/test_layers.py`.
"""

from __future__ import annotations

import sqlite3
from importlib import import_module
from typing import Any

_datasettes: Any = sqlite3
try:
    _datasettes = import_module("pysqlite3")
except ImportError:
    pass

SQLITE_ERRORS: tuple[type[sqlite3.Error], type[sqlite3.Error]] = (
    sqlite3.Error, _datasettes.Error
)  # fmt: skip
DATABASE_ERRORS: tuple[type[sqlite3.DatabaseError], type[sqlite3.DatabaseError]] = (
    sqlite3.DatabaseError, _datasettes.DatabaseError
)  # fmt: skip
OPERATIONAL_ERRORS: tuple[type[sqlite3.OperationalError], type[sqlite3.OperationalError]] = (
    sqlite3.OperationalError, _datasettes.OperationalError
)  # fmt: skip
PROGRAMMING_ERRORS: tuple[type[sqlite3.ProgrammingError], type[sqlite3.ProgrammingError]] = (
    sqlite3.ProgrammingError, _datasettes.ProgrammingError
)  # fmt: skip
SQLITE_WARNINGS: tuple[type[sqlite3.Warning], type[sqlite3.Warning]] = (
    sqlite3.Warning, _datasettes.Warning
)  # fmt: skip
"""What Python 3.10 raises of several statements in one."""
