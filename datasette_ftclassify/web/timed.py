"""A limit for what a connection may take, for pages that somebody waits at."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager

from ..errors import FtclassifyError

_STEPS = 10_000
"""Of SQLite's machine between looks at the clock: well under a millisecond."""


class TooSlow(FtclassifyError):
    """What was asked of the database takes longer than a page may."""


@contextmanager
def within(conn: sqlite3.Connection, seconds: float) -> Iterator[None]:
    """Ends what runs on the connection after so long. Raises TooSlow then, whatever the code
    inside makes of the interruption."""
    end = time.monotonic() + seconds
    conn.set_progress_handler(lambda: time.monotonic() > end, _STEPS)
    try:
        yield
    except (sqlite3.Error, FtclassifyError) as error:
        if time.monotonic() > end:
            raise TooSlow(f"This took longer than {seconds:g} s.") from error
        raise
    finally:
        conn.set_progress_handler(None, 0)
