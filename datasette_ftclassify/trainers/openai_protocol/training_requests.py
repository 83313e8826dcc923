"""What every step of a training shares: requests, retries, paginated lists and waits.

Nothing here trusts that a response is what the SDK's types promise.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, TypedDict, TypeVar

import openai

from ...core.typed_json import read_stored
from ..service import TrainingLog
from ..service_errors import TryAgain
from .errors import FAILURES, problem
from .pagination import pages


class Upload(TypedDict):
    """A file on its way in parts: the upload's id, the file's MD5, bytes of a part, and the ids of
    the parts that have arrived."""

    id: str
    md5: str
    part_bytes: int
    parts: list[str]


class TrainingState(TypedDict, total=False):
    """What a training has noted of what it began, so that after a kill nothing is done twice.

    step:       what was begun last, see `fine_tuning`
    files:      the service's ids by split; None: the split has no rows
    uploads:    of large files, by split
    without:    fields that the service refused
    unheard:    a job may be there that nobody has told us of
    last_event: id of the newest event that was noted
    share, shown: how far it is, 0-1, as the service's events and as our steps say it
    paused:     we have paused it there
    """

    step: Literal["upload", "create", "follow", "over"]
    files: dict[str, str | None]
    uploads: dict[str, Upload | None]
    without: list[str]
    unheard: bool
    job_id: str | None
    last_event: str
    share: float
    shown: float
    paused: bool
    why: str


def state_of(training_log: TrainingLog) -> TrainingState:
    """Raises ArtifactError for what was not noted by this software."""
    return read_stored(
        TrainingState,
        training_log.state,
        "What was noted of the training was",
        "cancel it at the service if it goes on there, and start a new one",
    )


T = TypeVar("T")

TRIES = 10
"""Times that a request is made before its failure counts, where it may be made twice: over a minute
with the usual waits. A running job is polled without such a limit."""

LONGEST_WAIT = 3600.0
"""Seconds; a service may ask for more."""


@dataclass(frozen=True)
class TrainingSession:
    """A client, the training log, and how they are used.

    host:        for people
    poll:        seconds of the first and of the longest wait between two polls
    ignore_stop: whether to ignore a requested pause or cancellation while one is carried out
    """

    client: openai.OpenAI
    training_log: TrainingLog
    host: str
    poll: tuple[float, float]
    ignore_stop: bool = False

    @property
    def state(self) -> TrainingState:
        """As last saved."""
        return state_of(self.training_log)

    def call(self, act: Callable[[], Any], need: str = "id") -> Any:
        """One request. Raises ServiceProblem; an answer without the field `need` is TryAgain."""
        try:
            answer = act()
        except FAILURES as error:
            trouble = problem(error)
            if isinstance(trouble, TryAgain):
                share = self.state.get("shown", 0.0)
                self.training_log.report_progress(f"trying again: {trouble}", share)
            raise trouble from None
        if getattr(answer, need, None) is None:
            raise TryAgain(f"{self.host} answered something that is not in OpenAI's form.")
        return answer

    def request_with_retry(self, act: Callable[[], Any], need: str = "id") -> Any:
        """A request that may be made twice, again and again while that may help.

        Raises ServiceProblem after TRIES times, JobStopped when a pause or cancellation is
        requested meanwhile.
        """
        return self.retry(lambda: self.call(act, need))

    def retry(self, act: Callable[[], T], tries: int = TRIES) -> T:
        """Does something of several requests again, as `request_with_retry` one request."""
        for attempt in itertools.count(1):
            try:
                return act()
            except TryAgain as trouble:
                if attempt >= tries:
                    raise
                self.wait(attempt - 1, trouble.after)
                self.check_cancelled()
        raise AssertionError("the last attempt returns or raises")

    def pages(self, first: Callable[[], Any]) -> Iterator[list[Any]]:
        """The pages of a list, `first` being the request for the first. Raises ServiceProblem."""
        return pages(lambda act: self.call(act, need="data"), first)

    def check_cancelled(self) -> None:
        """Raises JobStopped when a pause or cancellation is requested, JobError when another
        process has the job."""
        if not self.ignore_stop:
            self.training_log.check()

    def wait(self, attempt: int, after: float | None = None) -> None:
        """Waits longer with each attempt (from 0), or as long as the service asked for."""
        least, most = self.poll
        seconds = min(least * 1.5 ** min(attempt, 20), most)
        if after is not None:
            seconds = max(seconds, min(after, LONGEST_WAIT))
        until = time.monotonic() + seconds
        self.training_log.wait(seconds)
        if self.ignore_stop:
            # The training log does not wait while something is wanted.
            time.sleep(max(until - time.monotonic(), 0.0))
