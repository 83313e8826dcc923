"""Where the ledger is, and how its file is opened."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..core.data_folder import data_folder, open_own
from ..core.errors import FtclassifyError
from ..core.settings import LEDGER
from ..core.sqlite_errors import SQLITE_ERRORS
from .schema import VERSIONS

_APPLICATION = 0x66744C67
"""SQLite's application_id of a ledger, so that no other database is taken for one."""


class LedgerError(FtclassifyError):
    """The ledger cannot be read or written, so nothing that costs money may be done."""


def default_path() -> Path:
    """FTCLASSIFY_LEDGER, else ledger.db in the user's data folder for this package.

    Not beside Datasette's internal database: commands do not know it, and what a command and a
    server spend has one limit.
    """
    if named := LEDGER.of({}, os.environ):
        return Path(named).expanduser()
    return data_folder() / "ledger.db"


def connect(path: Path) -> sqlite3.Connection:
    """See `open_own`. Raises LedgerError."""
    other = f"{path} is a database, but not a ledger: set {LEDGER.variable} to a file of its own."
    with explained(path):
        return open_own(path, _APPLICATION, VERSIONS, LedgerError(other))


def file_at(path: Path) -> tuple[int, int] | None:
    """Which file stands there, by its device and inode; None: none does."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Raises LedgerError in the place of what SQLite and the system say."""
    try:
        yield
    except (*SQLITE_ERRORS, OSError, RuntimeError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise LedgerError(
            f"The ledger {path}, which keeps what is spent here, cannot be used: {why}. Nothing "
            f"that costs money is done until then; {LEDGER.variable} names another file."
        ) from error


@contextmanager
def transaction(
    conn: sqlite3.Connection, path: Path, *, writes: bool = True
) -> Iterator[sqlite3.Connection]:
    """In which no other process writes; or, where it only reads, one that sees one state and waits
    for no writer. Raises LedgerError."""
    with explained(path):
        conn.execute("begin immediate" if writes else "begin")
        with conn:
            yield conn
