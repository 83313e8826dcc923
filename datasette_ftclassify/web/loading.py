"""Reads again what had to wait for a classifier to be loaded, when that is done: no thread is held
meanwhile, and a read has all of its time for its answers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from ..core.time_limit import TooSlow
from ..sql.loading import Load, noting_loads

T = TypeVar("T")

LOAD_SECONDS = 30.0
"""That a read waits for classifiers in all."""

ATTEMPTS = 3
"""Each of which may need one more classifier."""

_POLL_SECONDS = 0.02


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
    """The outcome of a read; while that fails and has to wait for a classifier, it is made again.
    Call it where an event loop runs.

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
    while not load.done() and time.monotonic() < until:
        await asyncio.sleep(_POLL_SECONDS)
