"""Whether the disk has room for what is to be stored."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

from ..core.database import path_of

ROOM = 1_000_000
"""Bytes that must be free before a service is asked: as many answers as may be under way take up
less, even the longest ones that are usual."""


def is_full(error: Exception) -> bool:
    """Whether there is no room on the disk, or within a quota: to SQLite, one that is used up is an
    error of the disk."""
    return any(words in str(error) for words in ("is full", "disk I/O error"))


def has_room(conn: sqlite3.Connection) -> bool:
    """Whether ROOM bytes are free for a database: on its disk, and within its own largest size.
    Takes microseconds; a quota is not known from it."""
    path = path_of(conn)
    if path and not has_room_beside(path):
        return False
    pages = int(_pragma(conn, "max_page_count")) - int(_pragma(conn, "page_count"))
    unused = pages + int(_pragma(conn, "freelist_count"))
    return unused * int(_pragma(conn, "page_size")) >= ROOM


def has_room_beside(path: str, more: int = 0) -> bool:
    """Whether ROOM bytes, and so many `more`, are free on the disk that has a file."""
    try:
        return shutil.disk_usage(Path(path).parent).free >= ROOM + more
    except OSError:
        return True  # then whoever writes there is told


def _pragma(conn: sqlite3.Connection, name: str) -> str:
    return str(conn.execute(f"pragma main.{name}").fetchone()[0] or 0)


def no_room(why: object = "less than a megabyte is left") -> str:
    """For a job that pauses because of that. why: SQLite's error"""
    return (
        f"There is no room on the disk ({why}), so nothing more is sent or written. Stored answers "
        "stay: make some room, then resume the job."
    )
