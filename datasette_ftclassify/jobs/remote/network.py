"""The network side: an event loop in a thread of its own, without knowledge of rows and budgets.

It runs only while the job's thread waits: for it, or for the disk. Two threads that both have
work to do are slower than one: SQLite gives way to the other after every row that it reads or
writes, and gets its turn back milliseconds later. Meanwhile what comes waits in the system's
buffers. The thread is there because the job's own may have an event loop already, and is the one
that Ctrl-C interrupts.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Coroutine, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from ...store.answers import CachedAnswer
from ...trainers.service import InferenceClient, InferenceResponse

TOGETHER = 12
"""Results that are taken at once. What comes together is committed together, but in a larger group
the first would wait long for the last, and so would the requests that are to follow."""

_CLOSE_SECONDS = 5.0


@dataclass(slots=True, eq=False)
class InferenceRequest:
    """A text to classify, and the state of the request for it.

    answer: None: none yet. It has a reason instead of labels when the row gets none
    kept:   whether the answer is the model's own, which is cached
    tries:  failures so far that were not for too many requests
    again:  requests that only found out which fields the server takes
    exhausted: whether it was given up because it was tried too often
    round, reserved: of `ConcurrencyLimit`, and of the budget, when it was sent
    """

    key: bytes
    text: str
    answer: CachedAnswer | None = None
    kept: bool = False
    tries: int = 0
    again: int = 0
    exhausted: bool = False
    round: int = 0
    reserved: float = 0.0


Result = tuple[InferenceRequest, InferenceResponse | Exception]


class Engine:
    """Sends requests; use it from one thread, and close it in the end."""

    def __init__(self, inference_client: InferenceClient) -> None:
        self._inference_client = inference_client
        self._results: deque[Result] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._news = asyncio.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="asking")
        self._meanwhile: Future[Any] | None = None

    def send(self, requests: Sequence[InferenceRequest]) -> None:
        """Sends all of them at once, while `collect` waits."""
        self.settle()
        for request in requests:
            task = self._loop.create_task(
                self._ask(request, self._inference_client.ask(request.text))
            )
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def collect(self, timeout: float, most: int) -> list[Result]:
        """Results that have come, at most so many; waits for the first one up to `timeout`."""
        # Also with results at hand: one turn of the loop sends what was handed over since.
        self._run(self._wait(timeout)).result()
        taken = min(most, TOGETHER, len(self._results))
        return [self._results.popleft() for _ in range(taken)]

    @contextmanager
    def going_on(self) -> Iterator[None]:
        """What is under way goes on in here, while the caller waits for something that is not
        Python. It ends soon after; call `settle` to be sure of that."""
        over = asyncio.Event()
        self._meanwhile = self._run(over.wait())
        try:
            yield
        finally:
            self._loop.call_soon_threadsafe(over.set)

    def settle(self) -> None:
        """Waits for the end of what went on."""
        if self._meanwhile is not None:
            self._meanwhile.result()
            self._meanwhile = None

    def close(self) -> None:
        """Gives up what is under way."""
        try:
            self._run(self._end()).result(_CLOSE_SECONDS)
        except Exception:  # whatever it is, nobody is interested any more
            pass
        finally:
            self._thread.submit(self._loop.close)
            self._thread.shutdown(wait=False)

    def _run(self, work: Coroutine[Any, Any, Any]) -> Future[Any]:
        return self._thread.submit(self._loop.run_until_complete, work)

    async def _wait(self, timeout: float) -> None:
        if not self._results:
            self._news.clear()
            timer = self._loop.call_later(timeout, self._news.set)
            await self._news.wait()
            timer.cancel()
        if len(self._results) < TOGETHER:
            await asyncio.sleep(0)

    async def _ask(
        self, request: InferenceRequest, answering: Coroutine[Any, Any, InferenceResponse]
    ) -> None:
        result: InferenceResponse | Exception
        try:
            result = await answering
        except Exception as error:
            result = error
        self._results.append((request, result))
        self._news.set()

    async def _end(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._inference_client.close()
