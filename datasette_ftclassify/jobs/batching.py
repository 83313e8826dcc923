"""The questions of a prediction job through a service's batches, which cost less and take longer.

A batch lives for up to a day, and processes do not: everything that is done at the service is
written down before it is done, and looked for there before it is done again. So a process may be
killed between any two lines, and no question is paid for twice and no answer lost.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

from ..errors import JobStopped, LimitReached
from ..store.batches import new_tag, open_batches
from ..store.classifiers import Classifier
from ..trainers.service import Batcher, BatchState, ServiceProblem, ServiceRefused, Usage
from .batch_answers import Keeper
from .batch_desk import Desk, Pace, Sent
from .budget import Holds
from .gathering import Gatherer, Load, Pages
from .lease import Lease

__all__ = ["AT_ONCE", "ROUNDS", "Pace", "Pages", "fill_by_batches"]

AT_ONCE = 4
"""Batches that are at the service at the same time."""

ROUNDS = 3
"""How often a question is sent at most, while its batches expire. After that it is left out."""

TOO_MUCH = ("token_limit_exceeded", "file_too_large")
"""A service's codes for a queue that is full, or a batch that is larger than it takes."""


def fill_by_batches(
    lease: Lease,
    classifier: Classifier,
    batcher: Batcher,
    pages: Pages,
    *,
    cost: Callable[[Usage], float | None],
    holds: Holds,
    progress: Callable[[int, int], None] = lambda done, total: None,
    pace: Pace | None = None,
) -> None:
    """Asks about every text of the job's rows that has no kept answer, and keeps the answers.

    Afterwards go through the rows in the ordinary way: nearly every answer is there. Missing are
    those that the service refused for their text, and those that no batch answered in ROUNDS.
    Nothing is done when that has begun (the job has a position).

    pages:    gives the texts of the job's rows, see gathering.Pages
    cost:     USD at the price of batches; None: not known
    holds:    sets aside what a batch may cost before it is made; when it raises LimitReached, the
              others are waited for and kept first
    progress: called with the answers kept and the questions asked in batches so far
    Raises ServiceRefused in the service's words, TryAgain when it did not answer for an hour,
    JobStopped when the job was asked to pause (the batches go on at the service, and are read when
    it is resumed) or to end (they are cancelled, and what they had answered is kept), JobError when
    another process has taken it over.
    """
    if lease.job.position is not None:
        return
    desk = Desk(lease, batcher, pace or Pace(), holds)
    gatherer = Gatherer(lease.conn, classifier.id, batcher, pages)
    keeper = Keeper(desk, classifier.id, gatherer, cost, progress)
    run = _Run(desk, gatherer, keeper, cost)
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

    missing:       questions that a batch of this round did not answer
    is_smaller:    a batch was too large, and its questions are to be sent in smaller ones
    limit_reached: what forbade a batch; nothing more is sent then
    """

    def __init__(
        self,
        desk: Desk,
        gatherer: Gatherer,
        keeper: Keeper,
        cost: Callable[[Usage], float | None],
    ) -> None:
        self.desk = desk
        self.batcher = desk.batcher
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
            # Smaller batches come to an end by themselves, when one of one question is too large.
            rounds += not self.is_smaller
            again = False

    def stop(self) -> None:
        """Pause: leaves the batches to the service. Cancel: ends them, and keeps their answers."""
        desk = self.desk
        if desk.job.wanted != "cancel":
            self.rest()
            return
        desk.is_ending = True
        try:
            self._cancel_all()
        except ServiceProblem as error:
            desk.tell(f"Not everything was cancelled at the service: {error}")
        if desk.open:
            desk.tell("What batches had answered is not there yet: retry the job later to fetch it")

    def rest(self) -> None:
        """Says what goes on without us."""
        made = sum(sent.is_made for sent in self.desk.open)
        if made:
            batches = "1 batch goes on" if made == 1 else f"{made} batches go on"
            self.desk.tell(f"{batches} at the service: resume the job to fetch the answers")

    # From questions to a batch at the service

    def _take_up(self) -> bool:
        """Goes on with the batches that an earlier process left; whether there were any."""
        batches = open_batches(self.desk.conn, self.desk.job.id)
        self.desk.holds.keep([batch.tag for batch in batches])
        for batch in batches:
            sent = Sent(batch, met_others=True)
            self.desk.open.append(sent)
            self._find_upload(sent)
            if sent.batch.file_id is None:
                self._close(sent, "not sent")
                continue
            self.desk.kept += batch.done
            self.gatherer.busy |= sent.keys
            if not sent.is_made:
                self._make(sent, unsure=True)
        if any(sent.batch.keys is None for sent in self.desk.open):
            self._drain()  # what they asked, of an older version, is known when they are read
        return bool(batches)

    def _give_up(self, sent: Sent) -> None:
        """No batch was made of its file, so its questions are gathered anew."""
        self._find_upload(sent)
        self._close(sent, "not sent")

    def _find_upload(self, sent: Sent) -> None:
        """Notes the file of a process that sent it, and ended before it could note that."""
        if sent.batch.file_id is None:
            file_id = self.desk.patiently(lambda: self.batcher.find_file(sent.file_name))
            if file_id is not None:
                self.desk.note(sent, state="uploaded", file_id=file_id)

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

    def _add(self, load: Load) -> Sent | None:
        """Notes the batch; None when a limit forbids it."""
        usd, tag = self.cost(load.usage), new_tag()
        hold = partial(self.desk.holds.hold, tag, usd, len(load.keys))
        return self.desk.add(load, usd, tag) if self._may(hold) else None

    def _wait_for_room(self) -> None:
        delay = self.desk.pace.first
        while len(self.desk.open) >= AT_ONCE or not all(s.is_made for s in self.desk.open):
            delay = self._look(delay)

    def _may(self, hold: Callable[[], object]) -> bool:
        """Whether what a batch may cost could be set aside."""
        if self.limit_reached is not None:
            return False
        try:
            return hold() is not False
        except LimitReached as error:
            self.limit_reached = error
            if any(sent.is_made for sent in self.desk.open):
                self.desk.tell(f"{error} Waits for the answers of batches that were sent before.")
            return False

    def _send(self, sent: Sent, load: Load) -> None:
        try:
            file_id = self.desk.patiently(
                lambda: self.batcher.upload(load.file, sent.file_name),
                lambda: self.batcher.find_file(sent.file_name),
            )
        except ServiceRefused as error:
            self._refused(sent, error)
            return
        self.desk.note(sent, state="uploaded", file_id=file_id)
        self._make(sent)

    def _make(self, sent: Sent, unsure: bool = False) -> None:
        """Makes the batch of the file that was sent.

        unsure: it may have been made already, by a process that died
        """
        desk, batch, file_id = self.desk, sent.batch, str(sent.batch.file_id)

        def find() -> str | None:
            return self.batcher.find(batch.tag, file_id)

        batch_id = desk.patiently(find) if unsure else None
        if unsure and batch_id is None:
            desk.check()  # it may have been asked to end, by whom the last process did not hear
        if unsure and batch_id is None and not self._may(partial(desk.holds.renew, batch.tag)):
            self._give_up(sent)
            return
        try:
            if batch_id is None:
                self._meet(sent)
                batch_id = desk.patiently(lambda: self.batcher.create(file_id, batch.tag), find)
        except ServiceRefused as error:
            self._refused(sent, error)
            return
        desk.note(sent, state="running", batch_id=batch_id, detail=None)
        desk.tell(f"batch {batch_id} has {batch.requests:,} questions", key=f"sent {batch_id}")

    def _meet(self, sent: Sent) -> None:
        """Notes that the batches at the service share its queue from now on. Which of them the
        service refuses for that is seen later, when the others may have ended."""
        others = [other for other in self.desk.open if other.is_made]
        sent.met_others = bool(others)
        for other in others:
            other.met_others = True

    def _refused(self, sent: Sent, error: ServiceRefused) -> None:
        """A batch that is too much beside others is made again of the file that is there, when one
        of them has ended; one that is too much alone is sent in smaller ones. Raises any other
        refusal."""
        if error.code not in TOO_MUCH:
            # What was not made a batch is found again by whoever goes on with the job.
            if sent.is_made:
                self._close(sent, str(error))
            if self.desk.is_ending:
                return
            raise error
        if sent.met_others and sent.batch.file_id is not None:
            self.desk.note(sent, state="uploaded", batch_id=None, detail=str(error))
            return
        self._close(sent, str(error))
        if sent.batch.requests == 1:
            raise error
        self.gatherer.most = min(self.gatherer.most, sent.batch.requests // 2)
        self.is_smaller = True

    def _close(self, sent: Sent, detail: str) -> None:
        self.desk.close(sent, detail)
        self.gatherer.ended(sent.keys)

    # From a batch at the service to answers

    def _drain(self) -> None:
        delay = self.desk.pace.first
        while self.desk.open:
            delay = self._look(delay)

    def _look(self, delay: float) -> float:
        """Looks at every batch once, and waits when none has ended. Gives the next delay."""
        desk = self.desk
        desk.check()
        before = len(desk.open)
        for sent in [sent for sent in desk.open if sent.is_made]:
            state = desk.patiently(partial(self.batcher.state, str(sent.batch.batch_id)))
            if state.status != "running":
                self._end(sent, state)
        ended = len(desk.open) < before
        waiting = [sent for sent in desk.open if not sent.is_made]
        if waiting and not desk.is_ending and (ended or len(waiting) == len(desk.open)):
            self._make(waiting[0])
        if ended:
            return desk.pace.first
        desk.wait(delay)
        return min(2 * delay, desk.pace.longest)

    def _end(self, sent: Sent, state: BatchState) -> None:
        if state.status != "failed":
            self.missing += self.keeper.read(sent, state)
            return
        what = f"The service refused batch {sent.batch.batch_id} of {sent.batch.requests:,} texts"
        why = state.detail or "it does not say why."
        self._refused(sent, ServiceRefused(f"{what}: {why}", code=state.code))

    def _cancel_all(self) -> None:
        desk = self.desk
        for sent in list(desk.open):
            if not sent.is_made and sent.batch.file_id is not None:
                batch_id = self.batcher.find(sent.batch.tag, sent.batch.file_id)
                desk.note(sent, batch_id=batch_id)
            if sent.is_made:
                self._cancel(sent)
            else:
                self._give_up(sent)
        until = time.monotonic() + desk.pace.cancelling
        delay = desk.pace.first
        while desk.open and time.monotonic() < until:
            delay = self._look(delay)

    def _cancel(self, sent: Sent) -> None:
        try:
            self.batcher.cancel(str(sent.batch.batch_id))
        except ServiceRefused:
            pass  # it has ended meanwhile
