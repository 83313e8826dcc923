"""The requests of a prediction job through a service's batches, which cost less and take longer.

A batch lives for up to a day, and processes do not: everything that is done at the service is
written down before it is done, and looked for there before it is done again. So a process may be
killed between any two lines: no request is paid for twice, and no answer is lost.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

from ...core.errors import JobStopped, LimitReached
from ...core.humanize import counted
from ...core.job_events import BATCH_SENT, BATCHES_LEFT, LEFT_AT_SERVICE, LIMIT_REACHED
from ...store.batches import new_tag, open_batches
from ...store.classifiers import Classifier
from ...trainers.service import BatchClient, BatchState
from ...trainers.service_errors import ServiceProblem, ServiceRefused
from ...trainers.usage import Usage
from ..lease import Lease
from .batch_answers import BatchAnswers
from .batch_requests import BatchBuilder, BatchInputs, Pages
from .batch_state import BatchTracker, Pace, SentBatch
from .budget import Reservations

AT_ONCE = 4
"""Batches that are at the service at the same time."""

ROUNDS = 3
"""How often a request is sent at most, while its batches expire. After that it is left out."""

TOO_MUCH = ("token_limit_exceeded", "file_too_large")
"""A service's codes for a queue that is full, or a batch that is larger than it takes."""


def fill_by_batches(
    lease: Lease,
    classifier: Classifier,
    batch_client: BatchClient,
    pages: Pages,
    *,
    cost: Callable[[Usage], float | None],
    holds: Reservations,
    progress: Callable[[int, int], None] = lambda done, total: None,
    pace: Pace | None = None,
) -> None:
    """Requests an answer for every text of the job's rows that has none in the cache, and stores
    it.

    Afterwards go through the rows in the ordinary way: nearly every answer is there. Missing are
    those that the service refused for their text, and those that no batch answered in ROUNDS.
    Nothing is done when that has begun (the job has a position).

    pages:    gives the texts of the job's rows, see batch_requests.Pages
    cost:     USD at the price of batches; None: not known
    holds:    sets aside what a batch may cost before it is made; when it raises LimitReached, the
              others are waited for and kept first
    progress: called with the number of answers stored and of requests sent in batches so far
    Raises ServiceRefused in the service's words, TryAgain when it did not answer for an hour,
    JobStopped when the job was asked to pause (the batches go on at the service, and are read when
    it is resumed) or to end (they are cancelled, and what they had answered is kept), JobError when
    another process has taken it over.
    """
    if lease.job.position is not None:
        return
    tracker = BatchTracker(lease, batch_client, pace or Pace(), holds)
    gatherer = BatchBuilder(lease.conn, classifier.id, batch_client, pages)
    keeper = BatchAnswers(tracker, classifier.id, gatherer, cost, progress)
    run = _Run(tracker, gatherer, keeper, cost)
    try:
        run.fill()
    except JobStopped:
        run.stop()
        raise
    except (ServiceProblem, KeyboardInterrupt):
        run.rest()
        raise


class _Run:
    """One process's part in the batches of a job.

    missing:       requests that a batch of this round did not answer
    is_smaller:    a batch was too large, and its requests are to be sent in smaller ones
    limit_reached: what forbade a batch; nothing more is sent then
    """

    def __init__(
        self,
        tracker: BatchTracker,
        gatherer: BatchBuilder,
        keeper: BatchAnswers,
        cost: Callable[[Usage], float | None],
    ) -> None:
        self.tracker = tracker
        self.batch_client = tracker.batch_client
        self.gatherer = gatherer
        self.keeper = keeper
        self.cost = cost
        self.missing = 0
        self.is_smaller = False
        self.limit_reached: LimitReached | None = None

    def fill(self) -> None:
        again = self._take_up()
        rounds = 0
        while again or rounds < ROUNDS:
            self.missing, self.is_smaller = 0, False
            self._send_all()
            self._drain()
            if self.limit_reached is not None:
                raise self.limit_reached
            if not (again or self.missing or self.is_smaller):
                return
            # Smaller batches come to an end by themselves, when one request alone is too large.
            rounds += not self.is_smaller
            again = False

    def stop(self) -> None:
        """Pause: leaves the batches to the service. Cancel: ends them, and keeps their answers."""
        tracker = self.tracker
        if tracker.job.wanted != "cancel":
            self.rest()
            return
        tracker.is_ending = True
        try:
            self._cancel_all()
        except ServiceProblem as error:
            tracker.note_event(
                LEFT_AT_SERVICE, f"Not everything was cancelled at the service: {error}"
            )
        if tracker.open:
            tracker.note_event(
                BATCHES_LEFT,
                "What batches had answered is not there yet: retry the job later to fetch it",
            )

    def rest(self) -> None:
        """Says what goes on without us."""
        made = sum(sent.is_made for sent in self.tracker.open)
        if made:
            batches = counted(made, "batch goes on", "batches go on")
            self.tracker.note_event(
                BATCHES_LEFT, f"{batches} at the service: resume the job to fetch the answers"
            )

    # From requests to a batch at the service

    def _take_up(self) -> bool:
        """Goes on with the batches that an earlier process left; whether there were any."""
        batches = open_batches(self.tracker.conn, self.tracker.job.id)
        self.tracker.holds.keep([batch.tag for batch in batches])
        for batch in batches:
            sent = SentBatch(batch, met_others=True)
            self.tracker.open.append(sent)
            self._find_upload(sent)
            if sent.batch.file_id is None:
                self._close(sent, "not sent")
                continue
            self.tracker.kept += batch.done
            self.gatherer.busy |= sent.keys
            if not sent.is_made:
                self._make(sent, unsure=True)
        if any(sent.batch.keys is None for sent in self.tracker.open):
            self._drain()  # what they asked, of an older version, is known when they are read
        return bool(batches)

    def _give_up(self, sent: SentBatch) -> None:
        """No batch was made of its file, so its requests are gathered anew."""
        self._find_upload(sent)
        self._close(sent, "not sent")

    def _find_upload(self, sent: SentBatch) -> None:
        """Notes the file of a process that sent it, and ended before it could note that."""
        if sent.batch.file_id is None:
            file_id = self.tracker.patiently(lambda: self.batch_client.find_file(sent.file_name))
            if file_id is not None:
                self.tracker.note(sent, state="uploaded", file_id=file_id)

    def _send_all(self) -> None:
        for load in self.gatherer.loads():
            with load.file:
                self._wait_for_room()
                sent = self._add(load)
                if sent is None:
                    return
                self._send(sent, load)
            if self.limit_reached is not None:
                return

    def _add(self, load: BatchInputs) -> SentBatch | None:
        """Notes the batch, and only then sets aside what it may cost, so that nothing is held that
        the file does not know; None when a limit forbids it."""
        usd, tag = self.cost(load.usage), new_tag()
        sent = self.tracker.add(load, usd, tag)
        if self._may(partial(self.tracker.holds.hold, tag, usd, len(load.keys))):
            return sent
        self._close(sent, str(self.limit_reached))
        return None

    def _wait_for_room(self) -> None:
        delay = self.tracker.pace.first
        while len(self.tracker.open) >= AT_ONCE or not all(s.is_made for s in self.tracker.open):
            delay = self._look(delay)

    def _may(self, hold: Callable[[], object]) -> bool:
        """Whether what a batch may cost could be set aside."""
        if self.limit_reached is not None:
            return False
        try:
            return hold() is not False
        except LimitReached as error:
            self.limit_reached = error
            if any(sent.is_made for sent in self.tracker.open):
                self.tracker.note_event(
                    LIMIT_REACHED,
                    f"{error} Waits for the answers of batches that were sent before.",
                )
            return False

    def _send(self, sent: SentBatch, load: BatchInputs) -> None:
        try:
            file_id = self.tracker.patiently(
                lambda: self.batch_client.upload(load.file, sent.file_name),
                lambda: self.batch_client.find_file(sent.file_name),
            )
        except ServiceRefused as error:
            self._refused(sent, error)
            return
        self.tracker.note(sent, state="uploaded", file_id=file_id)
        self._make(sent)

    def _make(self, sent: SentBatch, unsure: bool = False) -> None:
        """Makes the batch of the file that was sent.

        unsure: it may have been made already, by a process that died
        """
        tracker, batch, file_id = self.tracker, sent.batch, str(sent.batch.file_id)

        def find() -> str | None:
            return self.batch_client.find(batch.tag, file_id)

        batch_id = tracker.patiently(find) if unsure else None
        if unsure and batch_id is None:
            tracker.check()  # it may have been asked to end, by whom the last process did not hear
        if unsure and batch_id is None and not self._may(partial(tracker.holds.renew, batch.tag)):
            self._give_up(sent)
            return
        try:
            if batch_id is None:
                self._meet(sent)
                batch_id = tracker.patiently(
                    lambda: self.batch_client.create(file_id, batch.tag), find
                )
        except ServiceRefused as error:
            self._refused(sent, error)
            return
        tracker.note(sent, state="running", batch_id=batch_id, detail=None)
        tracker.note_event(
            BATCH_SENT, f"batch {batch_id} has {batch.requests:,} requests", key=f"sent {batch_id}"
        )

    def _meet(self, sent: SentBatch) -> None:
        """Notes that the batches at the service share its queue from now on. Which of them the
        service refuses for that is seen later, when the others may have ended."""
        others = [other for other in self.tracker.open if other.is_made]
        sent.met_others = bool(others)
        for other in others:
            other.met_others = True

    def _refused(self, sent: SentBatch, error: ServiceRefused) -> None:
        """A batch that is too much beside others is made again of the file that is there, when one
        of them has ended; one that is too much alone is sent in smaller ones. Raises any other
        refusal."""
        if error.code not in TOO_MUCH:
            # What was not made a batch is found again by whoever goes on with the job.
            if sent.is_made:
                self._close(sent, str(error))
            if self.tracker.is_ending:
                return
            raise error
        if sent.met_others and sent.batch.file_id is not None:
            self.tracker.note(sent, state="uploaded", batch_id=None, detail=str(error))
            return
        self._close(sent, str(error))
        if sent.batch.requests == 1:
            raise error
        self.gatherer.most = min(self.gatherer.most, sent.batch.requests // 2)
        self.is_smaller = True

    def _close(self, sent: SentBatch, detail: str) -> None:
        self.tracker.close(sent, detail)
        self.gatherer.ended(sent.keys)

    # From a batch at the service to answers

    def _drain(self) -> None:
        delay = self.tracker.pace.first
        while self.tracker.open:
            delay = self._look(delay)

    def _look(self, delay: float) -> float:
        """Looks at every batch once, and waits when none has ended. Gives the next delay."""
        tracker = self.tracker
        tracker.check()
        before = len(tracker.open)
        for sent in [sent for sent in tracker.open if sent.is_made]:
            state = tracker.patiently(partial(self.batch_client.state, str(sent.batch.batch_id)))
            if state.status != "running":
                self._end(sent, state)
        ended = len(tracker.open) < before
        waiting = [sent for sent in tracker.open if not sent.is_made]
        if waiting and not tracker.is_ending and (ended or len(waiting) == len(tracker.open)):
            self._make(waiting[0])
        if ended:
            return tracker.pace.first
        tracker.wait(delay)
        return min(2 * delay, tracker.pace.longest)

    def _end(self, sent: SentBatch, state: BatchState) -> None:
        if state.status != "failed":
            self.missing += self.keeper.read(sent, state)
            return
        what = f"The service refused batch {sent.batch.batch_id} of {sent.batch.requests:,} texts"
        why = state.detail or "it does not say why."
        self._refused(sent, ServiceRefused(f"{what}: {why}", code=state.code))

    def _cancel_all(self) -> None:
        tracker = self.tracker
        for sent in list(tracker.open):
            if not sent.is_made and sent.batch.file_id is not None:
                batch_id = self.batch_client.find(sent.batch.tag, sent.batch.file_id)
                tracker.note(sent, batch_id=batch_id)
            if sent.is_made:
                self._cancel(sent)
            else:
                self._give_up(sent)
        until = time.monotonic() + tracker.pace.cancelling
        delay = tracker.pace.first
        while tracker.open and time.monotonic() < until:
            delay = self._look(delay)

    def _cancel(self, sent: SentBatch) -> None:
        try:
            self.batch_client.cancel(str(sent.batch.batch_id))
        except ServiceRefused:
            pass  # it has ended meanwhile
