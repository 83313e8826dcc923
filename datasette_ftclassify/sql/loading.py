"""Loaded classifiers, which the connections of a process share. Each is loaded once, in a thread of
its own.

How long that takes says nothing of a query, which runs in one of a few threads and has a time limit
of its own. So a query waits for no longer than it may, and the loading goes on without it: the next
one finds the classifier. A query that is sent again then (`read_when_loaded`) is told at once that
it has to wait, and holds no thread meanwhile. One classifier of a file is loaded at a time, and few
in all, so that no file takes the processor or the memory for itself.
"""

from __future__ import annotations

import asyncio
import math
import threading
import time
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager, suppress
from typing import Protocol, TypeVar

from ..core.prediction import Answerer
from ..core.time_limit import TooSlow
from .query_limit import QueryStopped

MAX_LOADED = 8
"""Classifiers kept in memory at once, in all."""

MAX_LOADED_BYTES = 400_000_000
"""Of what was read from files for all classifiers in memory; one is kept, whatever its size."""

MOST_LOADING = 3
"""Files of which a classifier is loaded at once."""

NOTED_SECONDS = 0.2
"""That a query waits whose sender sends it again."""

LOAD_SECONDS = 30.0
"""That a query which is sent again waits for classifiers in all."""

ATTEMPTS = 3
"""To send it, each of which may need one more classifier."""

_LOOK_EVERY = 0.01

T = TypeVar("T")

Key = tuple[str, str]
"""Database file, and the classifier's uid."""
Load = Future[Answerer]


class Rests(Protocol):
    def rest(self) -> None:
        """Lets go of classifiers that it does not use just now. Any thread may call this."""


users: weakref.WeakSet[Rests] = weakref.WeakSet()
"""Those who hold loaded classifiers, too; changed under `lock`."""
lock = threading.Lock()
_answerers: OrderedDict[Key, tuple[Answerer, int]] = OrderedDict()
_loading: dict[str, tuple[str, Load]] = {}
"""By file: the uid, and its load, which is under way, or has failed and nobody knows."""
_thread = threading.local()


@contextmanager
def noting_loads() -> Iterator[list[Load]]:
    """The loads that queries of this thread have to wait for, of which each then gives up soon:
    they are to be sent again when these are done."""
    loads: list[Load] = []
    _thread.noted = loads
    try:
        yield loads
    finally:
        _thread.noted = None


def has_to_wait() -> bool:
    """Whether a query of this thread had to, and is to be sent again."""
    return bool(getattr(_thread, "noted", None))


def loaded(
    key: Key, read: Callable[[], tuple[Callable[[], Answerer], int]], check: Callable[[], None]
) -> Answerer:
    """A classifier, as it was loaded before, or once it is. Raises what its loading raised, and
    QueryStopped.

    read:  gives what makes it, which another thread calls, and the bytes that this was read from
    check: called while it waits; may raise to stop
    """
    path, uid = key
    while True:
        with lock:
            if key in _answerers:
                _answerers.move_to_end(key)
                return _answerers[key][0]
            ahead = _ahead(path, uid)
            if ahead is None:
                load: Load = Future()
                _loading[path] = uid, load
        if ahead is None:
            _start(key, load, read)
            ahead = uid, load
        _wait(ahead[1], check)
        if ahead[0] == uid and not ahead[1].cancelled():
            with lock:
                if _loading.get(path) == ahead:
                    del _loading[path]
            return ahead[1].result()


def _ahead(path: str, uid: str) -> tuple[str, Load] | None:
    """The load to wait for before one of this file begins; None: nobody is ahead."""
    own = _loading.get(path)
    if own is not None and (own[0] == uid or not own[1].done()):
        return own
    under_way = [one for one in _loading.values() if not one[1].done()]
    return under_way[0] if len(under_way) >= MOST_LOADING else None


def _start(key: Key, load: Load, read: Callable[[], tuple[Callable[[], Answerer], int]]) -> None:
    path, _ = key
    try:
        make, size = read()
        threading.Thread(target=_run, args=(key, load, make, size)).start()
    except BaseException:
        with lock:
            del _loading[path]
        load.cancel()
        raise


def _run(key: Key, load: Load, make: Callable[[], Answerer], size: int) -> None:
    try:
        answerer = make()
    except BaseException as error:
        error.__cause__ = error.__context__ = None  # they hold all that was read
        load.set_exception(error.with_traceback(None))
        return
    with lock:
        _answerers[key] = answerer, size
        del _loading[key[0]]
    load.set_result(answerer)
    make_room(0)


def _wait(load: Load, check: Callable[[], None]) -> None:
    noted = getattr(_thread, "noted", None)
    until = math.inf
    if noted is not None and not load.done():
        noted.append(load)
        until = time.monotonic() + NOTED_SECONDS
    while not wait([load], _LOOK_EVERY).done:
        check()
        if time.monotonic() > until:
            raise QueryStopped


def make_room(size: int) -> None:
    """Forgets the classifiers that were asked least lately, where they and a new one of so many
    bytes would be too many; connections at rest, which know them as well, forget all of theirs."""
    with lock:
        before = len(_answerers)
        while len(_answerers) > 1 and (
            len(_answerers) > MAX_LOADED
            or sum(known for _, known in _answerers.values()) + size > MAX_LOADED_BYTES
        ):
            _answerers.popitem(last=False)
        if len(_answerers) < before:
            for user in list(users):
                user.rest()


class StillLoading(TooSlow):
    """A classifier is not loaded yet."""

    def __init__(self) -> None:
        super().__init__(
            "The model of a classifier is still being loaded, as it is when it is first asked "
            "after a start of the server. Try again in a moment."
        )


def read_when_loaded(
    submit: Callable[[Callable[[], object]], object], read: Callable[[], T]
) -> Future[T]:
    """The outcome of a read; while that fails and has to wait for a classifier, it is made again,
    with all of its time for its answers. Call it where an event loop runs.

    submit: has a function called in one of the threads for reading
    """
    loop = asyncio.get_running_loop()
    until = time.monotonic() + LOAD_SECONDS
    outcome: Future[T] = Future()
    left = ATTEMPTS

    def attempt() -> None:
        nonlocal left
        if not outcome.running() and not outcome.set_running_or_notify_cancel():
            return
        left -= 1
        with noting_loads() as loads:
            try:
                found = read()
            except BaseException as error:
                if loads and left and time.monotonic() < until:
                    waiting = asyncio.run_coroutine_threadsafe(_ended(loads[-1], until), loop)
                    waiting.add_done_callback(lambda _: send())
                else:
                    outcome.set_exception(error)
                return
        outcome.set_result(found)

    def send() -> None:
        try:
            submit(attempt)
        except RuntimeError as error:  # the server ends
            outcome.set_exception(error)

    send()
    return outcome


async def _ended(load: Load, until: float) -> None:
    ended, loop = asyncio.Event(), asyncio.get_running_loop()

    def wake(_: object) -> None:
        with suppress(RuntimeError):  # the server has ended
            loop.call_soon_threadsafe(ended.set)

    load.add_done_callback(wake)
    with suppress(asyncio.TimeoutError):
        await asyncio.wait_for(ended.wait(), until - time.monotonic())
