"""A time limit for what a connection may take."""

from __future__ import annotations

import gc
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from .errors import FtclassifyError
from .sqlite_errors import SQLITE_ERRORS

_STEPS = 10_000
"""Of SQLite's machine between looks at the clock: well under a millisecond."""

_ends: dict[int, list[float]] = {}
"""The limits of each connection that has some now, by its id; the last one is the nearest."""


class _Collecting(threading.local):
    """Of the processor's time of a thread, what the collector of garbage took there."""

    seconds = 0.0
    since = 0.0


_collecting = _Collecting()
_noting = threading.Lock()


def _note_collection(phase: str, _: dict[str, int]) -> None:
    if phase == "start":
        _collecting.since = time.thread_time()
    else:
        _collecting.seconds += time.thread_time() - _collecting.since


def work_time() -> float:
    """Seconds that the processor has worked for this thread, for `within`: neither those in which
    it was busy elsewhere, nor those of the collector of garbage, which looks at all that the
    process holds, and takes a quarter of a second for 400,000 objects.

    Only for servers: Python drops a KeyboardInterrupt that comes while a callback of the collector
    runs.
    """
    with _noting:
        if _note_collection not in gc.callbacks:
            gc.callbacks.append(_note_collection)
    return time.thread_time() - _collecting.seconds


class TooSlow(FtclassifyError):
    """What was asked of the database takes longer than it may."""

    status = 503


@contextmanager
def within(
    conn: sqlite3.Connection, seconds: float, clock: Callable[[], float] = time.monotonic
) -> Iterator[None]:
    """Ends what runs on the connection after so long. Raises TooSlow then, whatever the code
    inside makes of the interruption.

    Limits may stand in each other: the nearest end counts, and the outer one goes on after the
    inner one. SQLite has one handler a connection and does not tell which, so this is not for a
    SQL function, where Datasette's own limit runs.

    clock: in seconds, the same for limits that stand in each other; time.process_time where nobody
           else works in the process, and a busy machine should not count
    """
    ends = _ends.setdefault(id(conn), [])
    end = min([clock() + seconds, *ends[-1:]])
    ends.append(end)
    late: list[bool] = []
    _watch(conn, end, late, clock)
    try:
        yield
    except (*SQLITE_ERRORS, FtclassifyError) as error:
        if clock() > end:
            raise _too_slow(seconds) from error
        raise
    finally:
        ends.pop()
        if ends:
            _watch(conn, ends[-1], [], clock)
        else:
            del _ends[id(conn)]
            conn.set_progress_handler(None, 0)
    if late:
        raise _too_slow(seconds)


def _watch(
    conn: sqlite3.Connection, end: float, late: list[bool], clock: Callable[[], float]
) -> None:
    def is_over() -> bool:
        if clock() <= end:
            return False
        late.append(True)
        return True

    conn.set_progress_handler(is_over, _STEPS)


def _too_slow(seconds: float) -> TooSlow:
    return TooSlow(
        f"The database took longer than {seconds:g} s to answer. Try again when it is less busy; "
        "if that does not help, a table or view of the file is too large or never ends."
    )
