"""The state of a job's batches, and how changes of it are stored.

Every change is committed together with a check of the lease, so a process that lost its lease to
another one can change nothing any more.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from ...core.job_events import EventKind
from ...store.batches import Batch, Changes, add_batch, change_batch
from ...store.jobs.state import add_event, save_progress
from ...store.schema import transaction
from ...trainers.service import BatchClient
from ...trainers.service_errors import ServiceProblem, TryAgain
from ..lease import Lease
from .batch_requests import BatchInputs
from .budget import Reservations

if TYPE_CHECKING:
    from typing_extensions import Unpack

T = TypeVar("T")


@dataclass(frozen=True)
class Pace:
    """Waits, in seconds.

    first, longest: between two polls of the batches, doubling from one to the other
    give_up_after:  how long a service may fail to respond before the job fails
    cancelling:     how long a cancelled job waits for what its batches had answered
    """

    first: float = 1.0
    longest: float = 60.0
    give_up_after: float = 3600.0
    cancelling: float = 60.0


@dataclass
class SentBatch:
    """A batch that is not done.

    refused:    requests that the service will not answer
    met_others: another of the job's batches was, or may have been, at the service with it
    """

    batch: Batch
    refused: int = 0
    met_others: bool = False

    @property
    def keys(self) -> frozenset[bytes]:
        """Of its requests, as far as they are known."""
        return self.batch.keys or frozenset()

    @property
    def is_made(self) -> bool:
        """Whether the service has it; else its file waits there until there is room."""
        return self.batch.batch_id is not None

    @property
    def file_name(self) -> str:
        """Holds the tag, so that a file whose arrival was not noted is found again."""
        return f"{self.batch.tag}.jsonl"


class BatchTracker:
    """The batches of a job that are not done, and the connection, the lease, the service, and what
    the ledger holds for them.

    kept:      answers of all batches seen so far
    is_ending: the job was cancelled, and nothing stops what is left to do
    """

    def __init__(
        self, lease: Lease, batch_client: BatchClient, pace: Pace, holds: Reservations
    ) -> None:
        self.lease = lease
        self.conn = lease.conn
        self.job = lease.job
        self.batch_client = batch_client
        self.pace = pace
        self.holds = holds
        self.open: list[SentBatch] = []
        self.kept = 0
        self.is_ending = False
        self._closed = 0

    @property
    def asked(self) -> int:
        """Requests of the batches seen so far."""
        return self._closed + sum(sent.batch.requests for sent in self.open)

    def add(self, load: BatchInputs, usd: float | None, tag: str) -> SentBatch:
        """usd: what the batch may cost"""
        with transaction(self.conn):
            sent = SentBatch(add_batch(self.conn, self.job.id, load.keys, usd, tag))
            self.open.append(sent)
            self.save()
        return sent

    def note(self, sent: SentBatch, **changes: Unpack[Changes]) -> None:
        """Writes changes of the batch down; see store.batches.change_batch."""
        with transaction(self.conn):
            sent.batch = change_batch(self.conn, sent.batch, **changes)
            self.save()

    def save(self) -> None:
        """Shows how far the job is, and proves the lease: call it in every transaction."""
        self.job.step = f"{self.kept:,} of {self.asked:,} requests answered in batches"
        save_progress(self.conn, self.job)

    def close(self, sent: SentBatch, detail: str | None, *, is_read: bool = False) -> None:
        """Nothing more will come of the batch: its file at the service goes."""
        if sent.batch.file_id is not None:
            self.delete(sent.batch.file_id)
        self.open.remove(sent)
        if is_read:
            self._closed += sent.batch.requests
        self.note(sent, state="done", detail=detail)
        unanswered = max(sent.batch.requests - sent.batch.done, 0)
        self.holds.end(sent.batch.tag, unbilled=unanswered if is_read else 0)

    def delete(self, file_id: str) -> None:
        """As far as possible: the service deletes files of batches by itself after a month."""
        try:
            self.batch_client.delete(file_id)
        except ServiceProblem:
            pass

    def note_event(self, kind: EventKind, message: str, key: str | None = None) -> None:
        add_event(self.conn, self.job, kind, message, key=key)

    def check(self) -> None:
        if not self.is_ending:
            self.lease.check()

    def wait(self, seconds: float) -> None:
        """Raises JobStopped soon after a pause or cancellation is requested."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self.check()
            time.sleep(min(left, 0.2))

    def patiently(self, act: Callable[[], T], find: Callable[[], T | None] | None = None) -> T:
        """Does something at the service, with retries for up to `give_up_after` seconds.

        find: looks for what an attempt may have made there; called before another attempt
        Raises what `act` does; TryAgain only when the time is over.
        """
        step: Callable[[], T | None] = act
        delay, began = self.pace.first, time.monotonic()
        while True:
            try:
                made = step()
            except TryAgain as error:
                if self.is_ending or time.monotonic() - began > self.pace.give_up_after:
                    raise
                self.wait(max(delay, error.after or 0.0))
                delay = min(2 * delay, self.pace.longest)
                step = find or act
                continue
            if step is act or made is not None:
                return made  # type: ignore[return-value]
            step = act
