"""Schedules the requests to one model at a service: sends, retries, gives up, stores answers.

Runs in the job's thread. A request counts as under way until its answer is committed, so a process
that is killed loses at most as many answers as requests may be under way.
"""

from __future__ import annotations

import sqlite3
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta, timezone
from heapq import heappop, heappush
from itertools import count, islice
from types import TracebackType

from ...core.errors import FtclassifyError, JobPaused
from ...core.sqlite_errors import OPERATIONAL_ERRORS, SQLITE_ERRORS
from ...ledger import LedgerError
from ...store.answers import CachedAnswer, input_key
from ...store.disk_space import has_room, is_full, no_room
from ...store.jobs.job import Job
from ...store.jobs.state import save_progress
from ...store.schema import transaction
from ...store.spending import Spent, add_spending
from ...trainers.service import InferenceClient, InferenceResponse
from ...trainers.service_errors import MOST_AGAIN, AskAgain, RowRejected, ServiceRefused, TryAgain
from ..interrupts import uninterrupted
from ..lease import Lease
from .answer_cache import Answers, kept_from, no_answer
from .budget import Budget
from .concurrency import ConcurrencyLimit, RetryPolicy
from .network import Engine, InferenceRequest, Result

_LOOK_EVERY = 0.25
"""Seconds between checks for a requested pause or cancellation, while no response arrives."""

_SHOWN_FROM = 2.0
"""Seconds; a shorter wait is not shown."""

_MOST_GIVEN_UP = 10_000


DEFAULT_RETRY_POLICY = RetryPolicy()


class InferenceLoop:
    """Use it as a context manager: what is under way when it ends is waited for, and kept."""

    def __init__(
        self,
        lease: Lease,
        answers: Answers,
        inference_client: InferenceClient,
        budget: Budget,
        *,
        concurrency: int | None = None,
        retry_policy: RetryPolicy | None = None,
    ) -> None:
        self.conn: sqlite3.Connection = lease.conn
        self.job = lease.job
        self._retry_policy = retry_policy or DEFAULT_RETRY_POLICY
        self.pace = ConcurrencyLimit(
            concurrency, base=self._retry_policy.base, cap=self._retry_policy.cap
        )
        self.spent = Spent()
        self._lease = lease
        self._answers = answers
        self._inference_client = inference_client
        self._budget = budget
        self._engine = Engine(inference_client)
        self._open: dict[bytes, InferenceRequest] = {}
        self._given_up: dict[bytes, CachedAnswer] = {}
        self._ready: deque[InferenceRequest] = deque()
        self._later: list[tuple[float, int, InferenceRequest]] = []
        self._number = count()
        self._under_way = 0
        self._fresh: list[tuple[InferenceRequest, Spent]] = []
        self._lost = Spent()
        self._failures = 0
        self._pausing: JobPaused | None = None
        self._broken: Exception | None = None
        self._out_of_money = False
        self._step = self.job.step
        self._shown_until = 0.0
        self._waits_for = ""

    def __enter__(self) -> InferenceLoop:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if error is not None and not isinstance(error, SQLITE_ERRORS):
                interrupted = isinstance(error, KeyboardInterrupt)
                self._leave(
                    self._retry_policy.interrupt if interrupted else self._retry_policy.leave
                )
        except (FtclassifyError, *SQLITE_ERRORS):
            pass  # the first error says more
        finally:
            self._engine.close()
            self._close_budget()

    def _close_budget(self) -> None:
        """What was given up counts as spent; what the ledger cannot note now it counts as under way
        until it can."""
        try:
            unstored = sum((cost for _, cost in self._fresh), self._lost)
            lost = unstored + self._budget.account.close()
            if lost != Spent() and not self._lease.lost.is_set():
                with transaction(self.conn):
                    add_spending(self.conn, self.job.id, lost)
        except (FtclassifyError, *SQLITE_ERRORS):
            pass

    @contextmanager
    def _pausing_without_ledger(self) -> Iterator[None]:
        """Pauses the job when the ledger cannot be used: nothing may be sent then."""
        try:
            yield
        except LedgerError as error:
            self._pausing = self._pausing or JobPaused.by(error)

    @property
    def unanswered(self) -> int:
        """Number of requests that are under way or waiting."""
        return len(self._open)

    @property
    def wants_more(self) -> bool:
        """Whether further texts should be added: fewer requests wait than may be sent at once."""
        return len(self._ready) + len(self._later) < self.pace.allowed

    def requests(self, texts: Sequence[str]) -> list[InferenceRequest]:
        """A request for each text, the same one for equal texts; those with a cached answer are
        answered already."""
        keys = [input_key(text) for text in texts]
        asked = dict(zip(keys, texts, strict=True))
        unknown = [k for k in asked if k not in self._open and k not in self._given_up]
        kept = self._answers.find({key: asked[key] for key in unknown})
        found: dict[bytes, InferenceRequest] = {}
        for key, text in asked.items():
            found[key] = self._open.get(key) or self._request_for(key, text, kept.get(key))
        return [found[key] for key in keys]

    def _request_for(self, key: bytes, text: str, kept: CachedAnswer | None) -> InferenceRequest:
        if kept is not None:
            return InferenceRequest(key, "", kept, kept=True)
        if key in self._given_up:
            return InferenceRequest(key, "", self._given_up[key])
        request = self._open[key] = InferenceRequest(key, text)
        self._ready.append(request)
        return request

    @property
    def has_uncommitted(self) -> bool:
        """Whether there are answers that are not committed yet."""
        return bool(self._fresh)

    def turn(self) -> None:
        """Sends the requests that may be sent, and collects responses; call `commit` if
        `has_uncommitted`.

        Raises JobStopped when that is requested, JobPaused when nothing more can be sent.
        """
        self._lease.check()
        if self._broken is not None:
            raise self._broken
        self._send()
        self._show_wait()
        if self._under_way:
            with uninterrupted():  # what was collected would be lost, and is paid for
                self._take(self._engine.collect(_LOOK_EVERY, self._under_way))
        elif self._pausing is not None:
            raise self._pausing
        elif self._out_of_money:
            raise JobPaused.by(self._budget.reached(self._budget.account.room))
        elif self._open:
            time.sleep(min(_LOOK_EVERY, self._idle_for()))

    def _idle_for(self) -> float:
        """Seconds until something may be sent, when nothing is under way."""
        if self._ready:
            return self.pace.held_for
        due = self._later[0][0] - time.monotonic() if self._later else 0.0
        return max(due, self.pace.held_for, 0.0)

    def _send(self) -> None:
        if self._pausing is not None or self.pace.held_for:
            self._note_spent()
            return
        while self._later and self._later[0][0] <= time.monotonic():
            self._ready.appendleft(heappop(self._later)[2])
        free = max(self.pace.allowed - self._under_way, 0)
        chosen = list(islice(self._ready, free))
        self._out_of_money = False
        if not chosen or not self._has_room():
            self._note_spent()
            return
        # One transaction of the ledger for all of them, before any is sent, and for what those
        # cost that were answered: until then it counts as under way.
        reserved: list[float] = []
        with self._pausing_without_ledger():
            reserved = self._budget.reserve(
                [self._inference_client.expected(q.text) for q in chosen]
            )
        self._out_of_money = len(reserved) < len(chosen)
        going = chosen[: len(reserved)]
        for request, usd in zip(going, reserved, strict=True):
            request.reserved, request.round = usd, self.pace.round
            self._ready.popleft()
        self._under_way += len(going)
        if going:
            self._engine.send(going)

    def _has_room(self) -> bool:
        if has_room(self.conn):
            return True
        self._pause(no_room())
        return False

    def _note_spent(self) -> None:
        with self._pausing_without_ledger():
            self._budget.account.save()

    def _take(self, results: list[Result]) -> None:
        for request, result in results:
            if isinstance(result, InferenceResponse):
                self._answered(request, result)
                continue
            self._under_way -= 1
            self._lost += self._budget.failed(request.reserved, result)
            if isinstance(result, AskAgain) and request.again < MOST_AGAIN:
                request.again += 1
                self._ready.appendleft(request)
            elif isinstance(result, RowRejected):
                self._failures = 0  # the service is well
                self._give_up(request, str(result))
            elif isinstance(result, TryAgain):
                self._try_again(request, result)
            elif isinstance(result, ServiceRefused):
                self._refused(request, result)
            else:
                self._broken = result

    def _answered(self, request: InferenceRequest, response: InferenceResponse) -> None:
        self._failures = 0
        self._waits_for = ""
        self.pace.answered()
        if response.hold:
            self.pace.hold(response.hold)
        request.answer, request.kept = kept_from(response), True
        self._fresh.append((request, self._budget.settle(request.reserved, response.usage)))

    def _try_again(self, request: InferenceRequest, problem: TryAgain) -> None:
        if problem.rate_limited:
            self.pace.refused(request.round, problem.after)
            self._ready.appendleft(request)
            return
        self._failures += 1
        request.tries += 1
        if problem.after is not None:
            self.pace.hold(problem.after)
        if request.tries < self._retry_policy.tries:
            due = time.monotonic() + self.pace.backoff(request.tries)
            heappush(self._later, (due, next(self._number), request))
        elif self._failures >= self._retry_policy.down:
            self._ready.appendleft(request)
            self._pause(f"The service does not answer: {problem}")
        else:
            request.exhausted = True
            self._give_up(request, f"no answer after {request.tries} tries: {problem}")

    def _refused(self, request: InferenceRequest, problem: ServiceRefused) -> None:
        self._ready.appendleft(request)
        if problem.code == "model_not_found" and self._answers.is_new(self._retry_policy.ready_for):
            self._waits_for = ": the model is not there yet"
            self.pace.hold(self._retry_policy.ready_every)
        else:
            self._pause(str(problem))

    def _pause(self, why: str) -> None:
        """Pauses the job once the requests under way have ended."""
        self._pausing = self._pausing or JobPaused(why)

    def _give_up(self, request: InferenceRequest, reason: str) -> None:
        request.answer, request.text = no_answer(reason), ""
        self._open.pop(request.key, None)
        if len(self._given_up) < _MOST_GIVEN_UP:
            self._given_up[request.key] = request.answer

    def commit(self, also: Callable[[], None] = lambda: None, *, wait: bool = True) -> None:
        """Keeps the answers that have come, what they cost, and how far the job is, together with
        whatever else is to be written.

        On a full disk it waits for room, and nothing more is sent meanwhile: what has come is paid.
        When none comes, as many answers are kept as there is room for.
        wait: whether it does
        Raises JobError when the job was taken over, JobPaused without room.
        """
        deadline = time.monotonic() + (self._retry_policy.full if wait else 0.0)
        while True:
            try:
                with uninterrupted():
                    self._commit(also)
                return
            except OPERATIONAL_ERRORS as error:
                if not is_full(error):
                    raise
                if time.monotonic() >= deadline:
                    self._keep_one_by_one()
                    raise JobPaused(no_room(error)) from error
            self._engine.settle()
            time.sleep(_LOOK_EVERY)
            self._lease.check()

    def _keep_one_by_one(self) -> None:
        """Of the answers in hand, those that there is room for, without anything beside them."""
        fresh, unstored = self._fresh, list[tuple[InferenceRequest, Spent]]()
        with uninterrupted():
            for answer in fresh:
                self._fresh = [answer]
                try:
                    self._commit(lambda: None)
                except OPERATIONAL_ERRORS:
                    unstored.append(answer)
        self._fresh = unstored

    def _commit(self, also: Callable[[], None]) -> None:
        spent = sum((cost for _, cost in self._fresh), self._lost)
        with _undone_with(self.job), transaction(self.conn, self._engine.going_on):
            if spent != Spent():
                answers = {q.key: q.answer for q, _ in self._fresh if q.answer is not None}
                self._answers.keep(answers)
                add_spending(self.conn, self.job.id, spent)
            also()
            save_progress(self.conn, self.job)
        self.spent = self.spent + spent
        self._under_way -= len(self._fresh)
        for request, _ in self._fresh:
            request.text = ""
            self._open.pop(request.key, None)
        self._fresh.clear()
        self._lost = Spent()
        self._engine.settle()

    def _show_wait(self) -> None:
        """Says in the job's record for how long nothing is sent."""
        seconds = self.pace.held_for
        until = time.monotonic() + seconds if seconds >= _SHOWN_FROM else 0.0
        if abs(until - self._shown_until) < _SHOWN_FROM:
            return
        self._shown_until = until
        at = datetime.now(timezone.utc) + timedelta(seconds=seconds)
        waiting = f"waiting for the service until {at:%H:%M:%S} UTC{self._waits_for}"
        self.job.step = waiting if until else self._step
        self.commit()

    def _leave(self, seconds: float) -> None:
        """Waits so long for what is under way, and keeps what comes of it."""
        deadline = time.monotonic() + seconds
        while self._under_way > len(self._fresh) and not self._lease.lost.is_set():
            left = deadline - time.monotonic()
            if left <= 0:
                break
            self._take(self._engine.collect(min(left, _LOOK_EVERY), self._under_way))
            if self._fresh:
                with suppress(JobPaused):  # there is no room for it
                    self.commit(wait=False)
        self.commit(wait=False)


@contextmanager
def _undone_with(job: Job) -> Iterator[None]:
    """Around a transaction: what is undone in the database is undone in the job's place, too, since
    what is under way is kept after an error."""
    before = (job.position, job.total, job.done, job.skipped, job.failed)
    try:
        yield
    except BaseException:
        job.position, job.total, job.done, job.skipped, job.failed = before
        raise
