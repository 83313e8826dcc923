"""Requests to a service from within a query, where the operator set a budget for that.

A query runs in one of a few shared threads, on a connection that must not write. So one thread of
this process sends the requests of all queries. They wait for a short time and then go on without an
answer; a late one is there for the next query. After a failure no request is sent for a while, so
that a page of many rows does not wait for a service that is down.
"""

from __future__ import annotations

import asyncio
import atexit
import concurrent.futures
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Coroutine
from contextlib import closing, suppress
from dataclasses import astuple, dataclass
from typing import Any, TypeVar

from ..core.errors import FtclassifyError, LimitReached
from ..store.answers import CachedAnswer, input_key
from ..store.classifiers import Classifier
from ..store.spending import Spent
from ..trainers.access import Access, Endpoint
from ..trainers.service import InferenceClient
from ..trainers.service_errors import MOST_AGAIN, AskAgain, RowRejected, ServiceProblem, TryAgain
from ..trainers.usage import Usage
from .spending import SqlSpending, open_beside

T = TypeVar("T")

ASK_SECONDS = 10.0
"""The longest that a function waits for one answer."""
LOAD_SECONDS = 10.0
"""The longest that the first one waits for the SDK to be imported."""
COOLDOWN_SECONDS = 60.0
"""How long no request is sent after a failure, unless the service says how long."""
LIMIT_SECONDS = 5.0
"""How long no request is sent once a limit is reached: checking takes time as well."""
MOST_IN_FLIGHT = 8
"""Requests under way at once in this process."""
MOST_CLIENTS = 8
MOST_REMEMBERED = 10_000
"""Answers that no file has, or not yet."""
WRITE_EVERY = (0.05, 2.0)
"""Seconds between attempts to write what was asked into a file that is locked: first, longest."""
EXIT_SECONDS = 2.0
"""How long the end of the process is held up to write the last answers."""

Key = tuple[str, str, bytes]
"""Database file, classifier's uid, and the text's key."""


class NoAnswer(FtclassifyError):
    """There is no answer to a text, and none was asked for, or none came in time."""


@dataclass(frozen=True)
class Served:
    """A classifier whose model is at a service, and the database file that it was found in; no
    path: it is in memory."""

    classifier: Classifier
    path: str


class ResponseTimeout:
    """Waits for one result, and says how long that took."""

    def __init__(self, seconds: float, note: Callable[[float], None]) -> None:
        self._seconds = seconds
        self._note = note

    def wait(self, future: concurrent.futures.Future[T]) -> T:
        """Raises what the work raised, or concurrent.futures.TimeoutError."""
        start = time.monotonic()
        try:
            return future.result(self._seconds)
        finally:
            self._note(time.monotonic() - start)


@dataclass(frozen=True)
class _Cooldown:
    """A service that gets no requests until a time (of time.monotonic), and why.

    overdue: an answer did not come in time, so one that comes ends it
    """

    until: float
    why: str
    overdue: bool


def _service(served: Served, access: Access) -> str:
    """What fails as one: a trainer at an address."""
    trainer = served.classifier.trainer
    return f"{trainer} {access.endpoint(trainer).base_url}"


@dataclass(frozen=True)
class _Request:
    """A text to classify. may_write: whether the file may be written"""

    key: Key
    served: Served
    text: str
    access: Access
    may_write: bool

    @property
    def service(self) -> str:
        return _service(self.served, self.access)


def _read_parts(served: Served) -> dict[str, bytes]:
    """What the classifier answers with beside the service, from its file."""
    from ..jobs.load_classifier import has_parts, parts_of

    if not has_parts(served.classifier):
        return {}
    if not served.path:
        raise NoAnswer("A database in memory cannot be read from here: save it in a file.")
    with closing(open_beside(served.path, "ro", LOAD_SECONDS)) as conn:
        return parts_of(conn, served.classifier)


def _spent(usage: Usage, expected: float, cost: Callable[[Usage], float | None]) -> Spent:
    """On one request; as expected where the service does not say what it used."""
    usd = None if usage == Usage() else cost(usage)
    return Spent(expected if usd is None else usd, 1, *astuple(usage))


class SqlInference:
    """The inference of all functions of a process: a thread with an event loop, started when
    needed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._pending: dict[Key, concurrent.futures.Future[CachedAnswer]] = {}
        self._remembered: OrderedDict[Key, CachedAnswer | str] = OrderedDict()
        self._cooldowns: dict[str, _Cooldown] = {}
        # What follows is used in the loop's thread alone.
        self._clients: OrderedDict[tuple[str, str], tuple[Endpoint, InferenceClient]] = (
            OrderedDict()
        )
        self._spending = SqlSpending()
        self._writers: dict[str, asyncio.Task[None]] = {}

    def ask(
        self,
        served: Served,
        text: str,
        access: Access,
        writable: Callable[[str], bool],
        timeout_for: Callable[[], ResponseTimeout],
    ) -> CachedAnswer:
        """The answer to a text that the file has none for. Raises FtclassifyError.

        timeout_for: called before a wait; raises NoAnswer when the query has waited long enough
        """
        key = (served.path, served.classifier.uid, input_key(text))
        with self._lock:
            remembered = self._recall(key)
        if remembered is not None:
            return remembered
        service = _service(served, access)
        self._check_cooldown(service)
        timeout = timeout_for()
        self._load(served, access)
        with self._lock:
            # Again, and under the same lock: the answer may have come since, and one that has come
            # is no longer pending, so that it would be paid for twice.
            remembered = self._recall(key)
            if remembered is not None:
                return remembered
            future = self._pending.get(key)
            if future is None:
                if len(self._pending) >= MOST_IN_FLIGHT:
                    raise NoAnswer("Many requests are under way already: try again later.")
                may_write = writable(served.path)
                request = _Request(key, served, text, access, may_write)
                future = self._run(self._answer(request))
                self._pending[key] = future
        try:
            return timeout.wait(future)
        except concurrent.futures.TimeoutError:
            self._start_cooldown(
                service, "It did not answer in time.", COOLDOWN_SECONDS, overdue=True
            )
            raise NoAnswer("The service did not answer in time: try again later.") from None

    def _recall(self, key: Key) -> CachedAnswer | None:
        """An answer that came earlier. Raises RowRejected when the text was rejected."""
        remembered = self._remembered.get(key)
        if isinstance(remembered, str):
            raise RowRejected(remembered)
        return remembered

    def _load(self, served: Served, access: Access) -> None:
        """Loads the client before the first request: importing the SDK takes its time."""
        with self._lock:
            loading = self._run(self._client_for(served, access))
        try:
            loading.result(LOAD_SECONDS)
        except concurrent.futures.TimeoutError:
            raise NoAnswer("The service's client is not ready yet: try again later.") from None

    def _run(self, work: Coroutine[Any, Any, T]) -> concurrent.futures.Future[T]:
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            self._thread = threading.Thread(
                target=self._loop.run_forever, name="ftclassify-sql", daemon=True
            )
            self._thread.start()
            atexit.register(self.close)
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    async def _client_for(self, served: Served, access: Access) -> InferenceClient:
        from ..jobs.load_classifier import load_inference_client

        key = (served.path, served.classifier.uid)
        endpoint = access.endpoint(served.classifier.trainer)
        held = self._clients.get(key)
        if held is None or held[0] != endpoint:
            parts = _read_parts(served)
            client = load_inference_client(served.classifier, access, parts)
            held = self._clients[key] = (endpoint, client)
            await self._close_surplus()
        self._clients.move_to_end(key)
        return held[1]

    async def _close_surplus(self) -> None:
        busy = {key[:2] for key in self._pending}
        idle = [key for key in self._clients if key not in busy]
        for key in idle[: max(len(self._clients) - MOST_CLIENTS, 0)]:
            await self._clients.pop(key)[1].close()

    async def _answer(self, request: _Request) -> CachedAnswer:
        try:
            for _ in range(MOST_AGAIN):
                with suppress(AskAgain):
                    return await self._ask(request)
            raise NoAnswer("The service refuses one request after another.")
        finally:
            with self._lock:
                self._pending.pop(request.key, None)

    async def _ask(self, request: _Request) -> CachedAnswer:
        """One request. Raises AskAgain when there is to be another."""
        from ..jobs.estimates import pricing
        from ..jobs.load_classifier import prices_of
        from ..jobs.remote.answer_cache import kept_from

        key, served, service = request.key, request.served, request.service
        inference_client = await self._client_for(served, request.access)
        cost = pricing(inference_client, prices_of(served.classifier, request.access))
        try:
            expected = cost(inference_client.expected(request.text))
            if expected is None:
                await self._clients.pop(key[:2])[1].close()  # it may be known the next time
                raise LimitReached(
                    f"No price of {inference_client.model} is known to keep to the budget by: set "
                    "FTCLASSIFY_PRICES to a table that has it."
                )
            self._spending.reserve(
                served.path, request.access, expected, writable=request.may_write
            )
        except LimitReached as error:
            self._start_cooldown(service, str(error), LIMIT_SECONDS)
            raise
        try:
            response = await inference_client.ask(request.text)
        except AskAgain as again:
            if again.usage is not None:
                self._spending.spend(served.path, expected, _spent(again.usage, expected, cost))
            else:
                self._spending.release(served.path, expected, sent=again.sent)
            raise
        except ServiceProblem as error:
            self._note_failure(key, service, error, expected)
            raise
        except BaseException:
            self._spending.lose(served.path, expected)  # nobody will know
            raise
        answer = kept_from(response)
        self._spending.spend(served.path, expected, _spent(response.usage, expected, cost))
        self._remember(key, answer)
        self._spending.keep(served.path, served.classifier.id, key[2], answer)
        self._write(served.path)
        self._note_answer(service, response.hold)
        return answer

    def _note_failure(self, key: Key, service: str, error: ServiceProblem, usd: float) -> None:
        if error.unbilled:
            self._spending.release(key[0], usd)
        else:
            self._spending.lose(key[0], usd)
            self._write(key[0])
        if isinstance(error, RowRejected):
            self._remember(key, str(error))
            return
        after = error.after if isinstance(error, TryAgain) else None
        self._start_cooldown(service, str(error), COOLDOWN_SECONDS if after is None else after)

    def _write(self, path: str) -> None:
        """Writes what is known into the file: now, or as soon as it is not locked."""
        if path not in self._writers and not self._spending.write(path):
            self._writers[path] = asyncio.get_running_loop().create_task(self._write_later(path))

    async def _write_later(self, path: str) -> None:
        wait, longest = WRITE_EVERY
        await asyncio.sleep(wait)
        while not self._spending.write(path):
            wait = min(2 * wait, longest)
            await asyncio.sleep(wait)
        del self._writers[path]

    def close(self) -> None:
        """Writes what is left and gives up what is under way, at the end of the process."""
        loop, thread = self._loop, self._thread
        if loop is None or thread is None:
            return
        self._loop = self._thread = None
        ending = asyncio.run_coroutine_threadsafe(self._end(), loop)
        with suppress(Exception):  # nobody is interested any more
            ending.result(EXIT_SECONDS)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(EXIT_SECONDS)
        if not thread.is_alive():
            loop.close()

    async def _end(self) -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        for path in self._spending.unwritten():
            self._spending.write(path)
        self._spending.close()
        for _, inference_client in self._clients.values():
            await inference_client.close()

    def _note_answer(self, service: str, hold: float | None) -> None:
        with self._lock:
            cooldown = self._cooldowns.get(service)
            if cooldown is not None and cooldown.overdue:
                del self._cooldowns[service]  # it was only slow
        if hold is not None:
            self._start_cooldown(service, "Its limit of requests is reached.", hold)

    def _start_cooldown(
        self, service: str, why: str, seconds: float, overdue: bool = False
    ) -> None:
        with self._lock:
            self._cooldowns[service] = _Cooldown(time.monotonic() + seconds, why, overdue)

    def _check_cooldown(self, service: str) -> None:
        with self._lock:
            cooldown = self._cooldowns.get(service)
        if cooldown is not None and time.monotonic() < cooldown.until:
            raise NoAnswer(f"No requests are sent for the moment. {cooldown.why}")

    def _remember(self, key: Key, answer: CachedAnswer | str) -> None:
        with self._lock:
            self._remembered[key] = answer
            while len(self._remembered) > MOST_REMEMBERED:
                self._remembered.popitem(last=False)


INFERENCE = SqlInference()
