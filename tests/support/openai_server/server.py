"""The server in a thread of the test, on a port of its own."""

from __future__ import annotations

import asyncio
import concurrent.futures
import socket
import threading
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from openai import OpenAI

from .app import App
from .batches import ENDED as BATCH_ENDED
from .examples import Example
from .faults import Faults
from .http import Request
from .jobs import change, find
from .learner import Learner
from .settings import Settings
from .state import ENDED as JOB_ENDED
from .state import Batch, Job, State
from .vocabulary import vocabulary
from .wire import Connection

T = TypeVar("T")


class OpenAIServer:
    """A server that speaks OpenAI's protocol, learns from what it is sent, and fails on demand.

    Use it as a context manager. `settings` and `faults` may be changed while it runs. With a
    folder it keeps its state there, and goes on with it after `kill` and `start`, at the same port.
    """

    def __init__(self, *, folder: Path | None = None, port: int = 0, **settings: Any) -> None:
        """settings: the fields of Settings"""
        self.settings = Settings(**settings)
        self.faults = Faults()
        self.folder = folder
        self.port = port
        self.app = App(State.load(folder), self.settings, self.faults)
        self._ready = threading.Event()
        self._leaving = asyncio.Event()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def base_url(self) -> str:
        """What OPENAI_BASE_URL is set to."""
        return (
            f"{self.origin}/openai/v1" if self.settings.dialect == "azure" else f"{self.origin}/v1"
        )

    @property
    def api_key(self) -> str:
        return self.settings.api_key

    @property
    def log(self) -> list[Request]:
        """All requests that arrived, oldest first, however they were answered."""
        return self.app.log

    @property
    def state(self) -> State:
        return self.app.state

    @property
    def jobs(self) -> dict[str, Job]:
        return self.app.state.jobs

    @property
    def batches(self) -> dict[str, Batch]:
        return self.app.state.batches

    @property
    def jobs_created(self) -> int:
        """Paid trainings: jobs that were accepted, whether or not the caller learned of it."""
        return self.app.state.jobs_created

    @property
    def batches_created(self) -> int:
        return self.app.state.batches_created

    @property
    def requests_in_flight(self) -> int:
        return self.app.in_flight

    @property
    def requests_in_flight_max(self) -> int:
        return self.app.in_flight_max

    def count(self, route: str) -> int:
        """Requests like `POST /fine_tuning/jobs`."""
        method, path = route.split()
        return sum(r.method == method and r.path == path for r in self.log)

    def requests_with(self, text: str, *, headers: bool = False) -> list[Request]:
        """Those with the text in their URL or body, or also in a header."""
        return [
            r for r in self.log
            if text in r.url or text.encode() in r.body or any(text in v for _, v in r.query)
            or (headers and any(text in v for v in r.headers.values()))
        ]  # fmt: skip

    def client(self, **options: Any) -> OpenAI:
        """The SDK's client; without retries, so that tests see each failure."""
        usual = {
            "base_url": self.base_url, "api_key": self.api_key, "max_retries": 0, "timeout": 30.0,
        }  # fmt: skip
        return OpenAI(**{**usual, **options})

    def hold(self, *states: str) -> None:
        """Jobs and batches that are or come into these states stay there."""
        self.app.held |= set(states)

    def release(self) -> None:
        self.app.held.clear()

    def set_job(self, id: str, status: str) -> None:
        """Cancels, pauses or resumes a job as somebody else would."""
        self._call(lambda: change(find(self.app, id), status))
        self.app.state.save()

    def wait(self, id: str, *statuses: str, timeout: float = 60.0) -> str:
        """The status of a job or batch once it is one of these, or it has ended.

        Raises TimeoutError after `timeout` seconds.
        """
        return self._run_there(self._reached(id, statuses), timeout)

    async def _reached(self, id: str, statuses: tuple[str, ...]) -> str:
        while True:
            record = (self.jobs.get(id) or self.batches[id]).record
            if record["status"] in (*statuses, *JOB_ENDED, *BATCH_ENDED):
                return str(record["status"])
            await asyncio.sleep(0.002)

    def deploy(self, model: str, name: str) -> None:
        """Azure: makes a model answer under the name."""
        self.app.state.deployments[name] = model
        self.app.state.save()

    def shut_down(self, model: str, date: str) -> None:
        """Gives a model, tuned or not, a shutdown date (ISO); one that has passed ends it."""
        tuned = self.app.state.models.get(model)
        if tuned is not None:
            tuned.shutdown_date = date
            return
        exact = self.app.dated(model)
        for name in {model, exact}:
            self.settings.models[name] = replace(self.settings.models[name], shutdown_date=date)

    def teach(self, texts: Sequence[str], labels: Sequence[str], epochs: int = 3) -> None:
        """What decisions know about choices with these names, in place of a guess."""
        examples = [Example((), t, label) for t, label in zip(texts, labels, strict=True)]
        self.app.taught.append(Learner(examples, epochs))

    def __enter__(self) -> OpenAIServer:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> OpenAIServer:
        """Listens; returns when requests will be answered."""
        for name in ("o200k_base", "cl100k_base"):
            vocabulary(name)  # reads the environment: not in another thread
        # With its protocol named, so that asyncio turns Nagle's algorithm off: 40 ms an answer.
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", self.port))
        self.port = listener.getsockname()[1]
        self._ready.clear()
        self._thread = threading.Thread(target=asyncio.run, args=(self._live(listener),))
        self._thread.daemon = True
        self._thread.start()
        if not self._ready.wait(30):
            raise RuntimeError("The server did not start.")
        return self

    async def _live(self, listener: socket.socket) -> None:
        """Listens until it is to leave, and then hangs up on everybody at once."""
        self._loop = asyncio.get_running_loop()
        self._leaving = asyncio.Event()
        connections: set[Connection] = set()
        app = self.app
        server = await self._loop.create_server(
            lambda: Connection(app.serve, connections), sock=listener, backlog=2048
        )
        app.go_on()
        self._ready.set()
        await self._leaving.wait()
        server.close()
        for connection in list(connections):
            connection.abort()
        await asyncio.sleep(0)

    def stop(self) -> None:
        """Hangs up on everybody and ends the thread; with a folder, the state is kept."""
        if self._thread is None:
            return
        self._call(self._leaving.set)
        self._thread.join()
        self._thread = None

    def kill(self) -> None:
        """As stop, and what is in memory alone is lost: `start` goes on from the folder."""
        self.stop()
        log, counted = self.app.log, self.app.in_flight_max
        self.app = App(State.load(self.folder), self.settings, self.faults)
        self.app.log, self.app.in_flight_max = log, counted

    def _call(self, function: Callable[[], T]) -> T:
        """Runs a function in the server's thread. Raises what it raises."""

        async def run() -> T:
            return function()

        return self._run_there(run(), 10)

    def _run_there(self, work: Coroutine[Any, Any, T], timeout: float) -> T:
        assert self._loop is not None
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result(timeout)
        except concurrent.futures.TimeoutError:
            future.cancel()
            raise TimeoutError(f"Nothing came of it within {timeout} seconds.") from None
