"""The network side: an event loop in a thread of its own, which knows neither rows nor limits.

The job's thread has the database and all decisions. It hands questions over and takes results, so
nothing else is shared between the two.
"""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

from ...store.answers import KeptAnswer
from ...trainers.service import Asker, Reply

LINGER = 0.004
"""Seconds to wait for more results after the first: what comes together is committed together."""

_CLOSE_SECONDS = 5.0


@dataclass(slots=True, eq=False)
class Question:
    """A text to ask about, and what has come of it.

    answer: None: none yet. It has a reason in the place of labels when the row gets none
    kept:   whether the answer is one that the model gave, and stands for good
    tries:  failures so far that were not for too many requests
    exhausted: whether it was given up because it was tried too often
    round, reserved: of the pace, and of the budget, when it was sent
    """

    key: bytes
    text: str
    answer: KeptAnswer | None = None
    kept: bool = False
    tries: int = 0
    exhausted: bool = False
    round: int = 0
    reserved: float = 0.0


Result = tuple[Question, Reply | Exception]


class Engine:
    """Asks; use it from one thread. Close it, whatever happens."""

    def __init__(self, asker: Asker) -> None:
        self._asker = asker
        self._results: queue.SimpleQueue[Result] = queue.SimpleQueue()
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="asking", daemon=True)
        self._thread.start()

    def send(self, questions: Sequence[Question]) -> None:
        """Asks all of them at once."""
        self._loop.call_soon_threadsafe(self._start, list(questions))

    def collect(self, timeout: float, most: int) -> list[Result]:
        """Results that have come, at most so many; waits for the first one up to `timeout`."""
        try:
            found = [self._results.get(timeout=timeout)]
        except queue.Empty:
            return []
        if self._results.qsize() + 1 < most:
            time.sleep(LINGER)
        while len(found) < most:
            try:
                found.append(self._results.get_nowait())
            except queue.Empty:
                break
        return found

    def close(self) -> None:
        """Gives up what is under way."""
        ending = asyncio.run_coroutine_threadsafe(self._end(), self._loop)
        try:
            ending.result(_CLOSE_SECONDS)
        except Exception:  # whatever it is, nobody is interested any more
            pass
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(_CLOSE_SECONDS)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_forever()
        finally:
            self._loop.close()

    def _start(self, questions: Sequence[Question]) -> None:
        for question in questions:
            task = self._loop.create_task(self._ask(question))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _ask(self, question: Question) -> None:
        result: Reply | Exception
        try:
            result = await self._asker.ask(question.text)
        except Exception as error:
            result = error
        self._results.put((question, result))

    async def _end(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._asker.close()
