"""Lets SQL functions keep the time limit of the query that calls them.

SQLite ends a query that takes too long through its connection's progress handler, which it calls
between its own instructions: never while a Python function runs, and in Datasette only after the
next 1,000 instructions, a third of which may be calls of functions. So the functions call the same
handler themselves. Its answer holds for the very query that runs, whoever set it and however long
that query may take: a page, a facet, a count. Where nobody limits queries there is no handler, and
nothing is limited: the command line, jobs.
"""

from __future__ import annotations

import gc
import inspect
import sqlite3
import time
from collections.abc import Callable
from types import FunctionType, MethodType

from ..core.sqlite_errors import OPERATIONAL_ERRORS

LOOK_EVERY = 0.001
"""Seconds between two calls of the handler: less than one long text takes."""


class QueryStopped(Exception):
    """The query has used up its time: it is to end as SQLite would end it."""


class QueryLimit:
    """Calls the progress handler of a connection, from within its functions."""

    def __init__(self, connection: Callable[[], sqlite3.Connection]) -> None:
        self._connection = connection
        self._looked = 0.0

    def check(self) -> None:
        """Raises QueryStopped when the running query is to end."""
        now = time.perf_counter()
        if now - self._looked < LOOK_EVERY:
            return
        handler = progress_handler(self._connection())
        if handler is not None and _ends_query(handler):
            raise QueryStopped
        self._looked = now


def was_stopped(error: BaseException | None) -> bool:
    """Whether the query's time ran out while a function read the database itself, which SQLite then
    ends like the query: as interrupted."""
    while error is not None:
        if isinstance(error, OPERATIONAL_ERRORS) and str(error) == "interrupted":
            return True
        error = error.__cause__
    return False


def progress_handler(conn: sqlite3.Connection) -> Callable[[], object] | None:
    """The Python function that was given to the connection's set_progress_handler; None without
    one, or with one that is no plain function or method.

    sqlite3 has no way to ask for it, but shows it to the garbage collector, as it shows its other
    callbacks. No other one is called without an argument (text_factory and the trace callback get
    one, row_factory two, the authorizer five), so one that takes none is the progress handler.
    """
    for held in gc.get_referents(conn):
        function = held.__func__ if isinstance(held, MethodType) else held
        if isinstance(function, FunctionType):
            code = function.__code__
            takes = code.co_argcount + code.co_kwonlyargcount - isinstance(held, MethodType)
            if takes == 0 and not code.co_flags & (inspect.CO_VARARGS | inspect.CO_VARKEYWORDS):
                return held  # type: ignore[no-any-return]
    return None


def _ends_query(handler: Callable[[], object]) -> bool:
    try:
        return bool(handler())
    except Exception:
        return True  # as sqlite3 takes it
