"""The keys of databases and jobs in the ledger."""

from __future__ import annotations

import os
import sqlite3
from dataclasses import dataclass

from ..core.database import path_of


@dataclass(frozen=True)
class JobKey:
    """A job of one database.

    database: see `identity_of`
    job:      its number there; 0 for SQL functions, for people only
    nonce:    random, noted in its row; empty for SQL functions
    """

    database: str
    job: int
    nonce: str


def identity_of(database: sqlite3.Connection | str) -> str:
    """A database file as this very file: where it really is, and its inode. A copy, and a file that
    was put in the place of another one, is another database.

    database: a connection, or a path; a database in memory is itself as long as it lasts
    """
    path = database
    if not isinstance(path, str):  # of pysqlite3, too
        path = path_of(path)
        if not path:
            return f"memory:{os.getpid()}:{id(database)}"
    if not path:
        return f"memory:{os.getpid()}"
    real = os.path.realpath(path)
    try:
        return f"{real}#{os.stat(real).st_ino}"
    except OSError:
        return real


def functions_of(database: sqlite3.Connection | str) -> JobKey:
    """What SQL functions ask in a database."""
    return JobKey(identity_of(database), 0, "")
