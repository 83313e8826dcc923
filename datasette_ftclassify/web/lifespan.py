"""Starts the worker with the server, and stops it with the server.

The worker starts when the server has started, and ends when it shuts down: ASGI's lifespan, which
both lines of Datasette have. So `datasette --get`, test clients and commands have none; a `startup`
hook, and on Datasette 1.0 a background task, would run in some of them, too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datasette.app import Datasette

    from .worker import Worker

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_workers: dict[Datasette, Worker] = {}


def with_worker(app: App, datasette: Datasette) -> App:
    """The application, with a worker from its server's start to its end."""

    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            await app(scope, receive, send)
            return

        async def receive_and_stop() -> dict[str, Any]:
            message = await receive()
            if message["type"] == "lifespan.shutdown":
                await _stop(datasette)
            return message

        async def send_and_start(message: dict[str, Any]) -> None:
            await send(message)
            if message["type"] == "lifespan.startup.complete":
                _start(datasette)

        await app(scope, receive_and_stop, send_and_start)

    return wrapped


def wake(datasette: Datasette) -> bool:
    """Has the worker look now, for a page that has just queued something. False: there is none."""
    worker = _workers.get(datasette)
    if worker is not None:
        worker.wake()
    return worker is not None


def has_worker(datasette: Datasette) -> bool:
    """Whether this server runs jobs."""
    return datasette in _workers


def _start(datasette: Datasette) -> None:
    from ..core.distribution import only_answers
    from .operator_settings import runs_jobs
    from .worker import Worker

    if runs_jobs(datasette) and not only_answers() and datasette not in _workers:
        _workers[datasette] = Worker(datasette, asyncio.get_running_loop())


async def _stop(datasette: Datasette) -> None:
    worker = _workers.pop(datasette, None)
    if worker is not None:
        await asyncio.to_thread(worker.stop)
