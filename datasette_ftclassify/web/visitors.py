"""For whom Datasette reads just now, so that its SQL and pages read our tables for those alone who
may.

A request's visitor is in a context variable, which goes along into the threads that read.
Statements outside of any request are the server's own.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor, Future
from contextvars import ContextVar, copy_context
from functools import partial
from typing import Any
from weakref import WeakSet

from datasette.app import Datasette
from datasette.utils import await_me_maybe
from datasette.utils.asgi import Request

from ..sql.loading import read_when_loaded
from ..sql.table_guard import TableGuard
from .lifespan import App, Receive, Scope, Send
from .permissions import may_read_ours


class Visitor:
    """Who sent a request; nobody that is known until Datasette has found out."""

    def __init__(self, datasette: Datasette) -> None:
        self._datasette = datasette
        self.note(None)

    def note(self, actor: Any) -> None:
        self.actor = actor
        self._known: dict[tuple[str, str], bool] = {}

    def may_read(self, database: str, table: str) -> bool:
        key = database, table.lower()
        if key not in self._known:
            self._known[key] = may_read_ours(self._datasette, self.actor, *key)
        return self._known[key]


_visitor: ContextVar[Visitor | None] = ContextVar("ftclassify_visitor", default=None)


def with_visitors(app: App, datasette: Datasette) -> App:
    """The application, each of whose requests has a visitor."""
    if datasette.executor is not None and not isinstance(datasette.executor, _Readers):
        datasette.executor = _Readers(datasette.executor)

    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await app(scope, receive, send)
            return
        before = _visitor.set(Visitor(datasette))
        try:
            await app(scope, receive, send)
        finally:
            _visitor.reset(before)

    return wrapped


def note_actor(request: Request, found: list[Any]) -> list[Any]:
    """What plugins say of who sent a request, each noted when Datasette believes it."""
    visitor = _visitor.get()
    if visitor is None:
        return found
    visitor.note(request.scope.get("actor"))

    def noting(said: Any) -> Callable[[], Awaitable[Any]]:
        async def noted() -> Any:
            actor = await await_me_maybe(said)
            if actor and not visitor.actor:
                visitor.note(actor)
            return actor

        return noted

    return [noting(said) for said in found]


def visiting_actor() -> Any:
    """Who sent the request that is answered just now; None outside of any."""
    visitor = _visitor.get()
    return None if visitor is None else visitor.actor


def guard_tables(conn: sqlite3.Connection, database: str, datasette: Datasette) -> TableGuard:
    """Of a connection that Datasette has just made, in the thread that will use it."""

    def may_read(schema: str, table: str) -> bool:
        if datasette.executor is None:
            # Everybody's statements are remembered together, and nothing says whose turn it is.
            return False
        visitor = _visitor.get()
        name = database if schema == "main" else schema
        return visitor is None or visitor.may_read(name, table)

    guard = TableGuard(conn, may_read)
    guard.serve(_whom())
    _thread.guards.add(guard)
    return guard


class _Thread(threading.local):
    def __init__(self) -> None:
        self.guards: WeakSet[TableGuard] = WeakSet()


_thread = _Thread()


def _whom() -> object:
    visitor = _visitor.get()
    return None if visitor is None else ("visitor", repr(visitor.actor))


class _Readers(Executor):
    """Datasette's threads for reading. Each task brings its visitor along (as 1.0 sees to itself),
    and is said to the guards of its thread's connections."""

    def __init__(self, threads: Executor) -> None:
        self._threads = threads

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        read = partial(copy_context().run, _serve, fn, *args, **kwargs)
        return read_when_loaded(self._threads.submit, read)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        self._threads.shutdown(wait=wait, cancel_futures=cancel_futures)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._threads, name)


def _serve(fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    whom = _whom()
    for guard in list(_thread.guards):
        guard.serve(whom)
    return fn(*args, **kwargs)
