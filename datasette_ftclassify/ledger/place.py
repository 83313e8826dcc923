"""Where the ledger is, and how its file is opened.

The write-ahead log with `synchronous = NORMAL` makes a commit take some 50 microseconds. What is
committed outlives every end of the process; a power cut, or a crash of the system, may lose the
commits since the last checkpoint.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..core.data_folder import data_folder
from ..core.errors import FtclassifyError
from ..core.settings import LEDGER
from ..core.sqlite_errors import SQLITE_ERRORS
from .schema import VERSIONS

BUSY_SECONDS = 10.0
"""How long to wait for another process: each holds the ledger for less than a millisecond."""

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
    """Opens the ledger; makes it, readable by its owner alone, when it is not there. For one
    thread. Raises LedgerError."""
    with explained(path):
        if not path.exists():
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
        conn = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)
        try:
            _prepare(conn, path)
        except BaseException:
            conn.close()
            raise
        return conn


def file_at(path: Path) -> tuple[int, int] | None:
    """Which file stands there, by its device and inode; None: none does."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _prepare(conn: sqlite3.Connection, path: Path) -> None:
    conn.execute("pragma synchronous = normal")
    if _version(conn) >= len(VERSIONS):
        return
    conn.execute("pragma journal_mode = wal")
    conn.execute("begin immediate")
    with conn:
        version = _version(conn)  # another process may have been faster
        if not version and conn.execute("select 1 from sqlite_master limit 1").fetchone():
            raise LedgerError(
                f"{path} is a database, but no ledger: set {LEDGER.variable} to a file of its own."
            )
        for statements in VERSIONS[version:]:
            for statement in statements:
                conn.execute(statement)
        conn.execute(f"pragma application_id = {_APPLICATION}")
        conn.execute(f"pragma user_version = {max(version, len(VERSIONS))}")


def _version(conn: sqlite3.Connection) -> int:
    """Of the tables; 0 for no ledger."""
    is_ledger = _pragma(conn, "application_id") == _APPLICATION
    return _pragma(conn, "user_version") if is_ledger else 0


def _pragma(conn: sqlite3.Connection, name: str) -> int:
    return int(conn.execute(f"pragma {name}").fetchone()[0])


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Raises LedgerError in the place of what SQLite and the system say."""
    try:
        yield
    except (*SQLITE_ERRORS, OSError, RuntimeError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise LedgerError(
            f"The ledger {path}, which keeps what is spent here, cannot be used: {why}. Nothing "
            f"that costs money is done before it can; {LEDGER.variable} names another file."
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
