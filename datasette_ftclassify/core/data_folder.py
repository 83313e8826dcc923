"""Where this package keeps files of its own on this machine, outside the user's databases."""

from __future__ import annotations

import os
import sqlite3
import sys
from collections.abc import Sequence
from pathlib import Path


def data_folder() -> Path:
    """The folder of this package in the user's data folder; it may not be there yet."""
    return _usual() / "datasette-ftclassify"


def _usual() -> Path:
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support"
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")


BUSY_SECONDS = 10.0
"""How long to wait for another process: each holds such a file for a moment."""


def open_own(
    path: Path, application: int, versions: Sequence[Sequence[str]], other: Exception
) -> sqlite3.Connection:
    """A SQLite file of this installation, for one thread; made, readable by its owner alone, when
    it is not there.

    The write-ahead log with `synchronous = NORMAL` makes a commit take some 50 microseconds. What
    is committed outlives every end of the process; a power cut, or a crash of the system, may lose
    the commits since the last checkpoint.

    application: SQLite's application_id of such a file, so that no other database is taken for one
    versions:    the statements that make each version of its tables of the one before
    Raises `other` for a database of something else.
    """
    if not path.exists():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    conn = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)
    try:
        conn.execute("pragma synchronous = normal")
        if _version(conn, application) < len(versions):
            conn.execute("pragma journal_mode = wal")
            conn.execute("begin immediate")
            with conn:
                known = _version(conn, application)  # another process may have been faster
                if not known and conn.execute("select 1 from sqlite_master limit 1").fetchone():
                    raise other
                for statements in versions[known:]:
                    for statement in statements:
                        conn.execute(statement)
                conn.execute(f"pragma application_id = {application}")
                conn.execute(f"pragma user_version = {max(known, len(versions))}")
    except BaseException:
        conn.close()
        raise
    return conn


def _version(conn: sqlite3.Connection, application: int) -> int:
    """Of the tables; 0 for a file that is none of these."""
    found, version = (
        int(conn.execute(f"pragma {name}").fetchone()[0])
        for name in ("application_id", "user_version")
    )
    return max(version, 1) if found == application else 0
