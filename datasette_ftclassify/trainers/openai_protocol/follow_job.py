"""Polling a fine-tuning job until it ends, and passing on a requested pause or cancellation.

Nothing is lost when a request fails: the job goes on at the service, and polling goes on here for
as long as it takes.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any

from ...core.errors import TrainingError
from ...core.job_events import LEFT_AT_SERVICE
from ..service_errors import RowRejected, ServiceProblem, ServiceRefused, TryAgain
from .training_metrics import point
from .training_requests import TRIES, TrainingSession

ENDED = ("succeeded", "failed", "cancelled")
"""Any other status is not the end, whatever it means."""

EVENTS = 50
"""Events of one request; as many as usually come within a few seconds."""

MOST_NEWS = 1_000
"""Events that are noted at once, the newest of them."""

MESSAGE = 2_000
"""Characters of an event that are noted."""

_STEPS = {
    "validating_files": "{} is checking the examples",
    "queued": "waiting in the queue at {}",
    "paused": "paused at {}",
}


def follow(session: TrainingSession, job_id: str) -> Any:
    """The job when it has ended, its events noted.

    Raises ServiceRefused when polling is refused, JobStopped when a pause or cancellation is
    requested.
    """
    return _Following(session, job_id).run()


class _Following:
    """One job, for as long as this process follows it."""

    def __init__(self, session: TrainingSession, job_id: str) -> None:
        self.session = session
        self.job_id = job_id
        self._seen: set[str] = set()
        self._events_to_be_had = True
        self._said: str | None = None

    def run(self) -> Any:
        polls = failures = 0
        status = None
        retrieve = partial(self.session.client.fine_tuning.jobs.retrieve, self.job_id)
        while True:
            try:
                job = self.session.call(retrieve, need="status")
                if job.status == "paused":
                    self._meet_pause()
                failures = 0
            except TryAgain as trouble:
                self._say_once(f"{trouble} The training continues there; asking again.")
                self.session.wait(failures, trouble.after)
                failures += 1
                self.session.training_log.check()
                continue
            if job.status in ENDED:
                self._note_last_events()
                return job
            with suppress(TryAgain):
                self._note_events()
            self._report_progress(job.status)
            polls = 0 if job.status != status else polls + 1
            status = job.status
            self.session.wait(polls)
            self.session.training_log.check()

    def _report_progress(self, status: str) -> None:
        step = _STEPS.get(status, "training at {}").format(self.session.host)
        self.session.training_log.report_progress(step, self.session.state.get("share", 0.0))

    def _say_once(self, message: str) -> None:
        if message != self._said:
            self._said = message
            self.session.training_log.event(message)

    def _meet_pause(self) -> None:
        """Resumes what we paused; what somebody else paused is waited for."""
        if not self.session.state.get("paused"):
            self._say_once(
                f"The job is paused at {self.session.host}, and continues when it is resumed there."
            )
            return
        self.session.call(lambda: self.session.client.fine_tuning.jobs.resume(self.job_id))
        self.session.training_log.save(paused=False)

    def _note_last_events(self) -> None:
        with suppress(TryAgain):
            replace(self.session, ignore_stop=True).retry(self._note_events)

    def _note_events(self) -> None:
        """Notes what is new, oldest first. Raises TryAgain while that is not to be had."""
        if not self._events_to_be_had:
            return
        try:
            news = self._news()
        except TryAgain:
            raise
        except ServiceProblem:
            # Some servers have none; whether the job may still be asked about is seen elsewhere.
            self._events_to_be_had = False
            return
        share = None
        for event in news:
            figures = point(event.data) if isinstance(event.data, Mapping) else {}
            self.session.training_log.event(
                str(event.message)[:MESSAGE],
                data=figures if "step" in figures else None,
                key=event.id,
            )
            if figures.get("total_steps"):
                share = min(figures.get("step", 0) / figures["total_steps"], 1.0)
        if news:
            changes = {"last_event": str(news[-1].id)}
            self.session.training_log.save(**changes, **({} if share is None else {"share": share}))
            self._seen |= {str(event.id) for event in news}

    def _news(self) -> list[Any]:
        """Events that were not noted yet, oldest first. Raises ServiceProblem."""
        known = {*self._seen, str(self.session.state.get("last_event"))}
        news: list[Any] = []
        jobs = self.session.client.fine_tuning.jobs
        for page in self.session.pages(lambda: jobs.list_events(self.job_id, limit=EVENTS)):
            fresh = [event for event in page if str(event.id) not in known]
            news += fresh[: max(MOST_NEWS - len(news), 0)]
            if len(fresh) < len(page) or len(news) == MOST_NEWS:
                break
        # Newest first as they come; of one second, in the order that this implies.
        news.reverse()
        return sorted(news, key=lambda event: event.created_at or 0)


def pause_job(session: TrainingSession, job_id: str) -> None:
    """Asks the service to pause. Where it does not do that, the training goes on there."""
    session.training_log.save(paused=True)
    try:
        session.request_with_retry(lambda: session.client.fine_tuning.jobs.pause(job_id))
    except ServiceProblem as trouble:
        # One that is paused already, as by ourselves before we were killed, is refused as well.
        if not _may_be_paused(session, job_id):
            session.training_log.save(paused=False)
            session.training_log.event(
                f"The job {job_id} cannot be paused now and goes on at {session.host}: {trouble}",
                kind=LEFT_AT_SERVICE,
            )
            return
    session.training_log.event(f"The job {job_id} is paused at {session.host}")


def _may_be_paused(session: TrainingSession, job_id: str) -> bool:
    """Also when that cannot be found out: a job that is not will not be resumed."""
    try:
        job = session.call(lambda: session.client.fine_tuning.jobs.retrieve(job_id), need="status")
    except ServiceProblem:
        return True
    return bool(job.status == "paused")


def cancel_job(session: TrainingSession, job_id: str) -> None:
    """Ends the job at the service, and sees that it has ended.

    Raises TrainingError when that could not be had: the job may still run, and cost.
    """
    jobs = session.client.fine_tuning.jobs
    last = f"its status is not {ENDED[-1]}."
    for attempt in range(2 * TRIES):
        try:
            job = session.call(lambda: jobs.retrieve(job_id), need="status")
            if job.status not in ENDED:
                job = session.call(lambda: jobs.cancel(job_id), need="status")
            if job.status in ENDED:
                _note_end(session, job)
                return
        except (TryAgain, RowRejected) as trouble:
            # It may have ended between the two requests, which is a refusal.
            last = str(trouble)
        except ServiceRefused as refusal:
            last = str(refusal)
            if attempt >= 2:
                break
        session.wait(attempt)
    raise TrainingError(
        f"The job {job_id} at {session.host} could not be cancelled and may still run and cost "
        f"money: cancel it there. {last}"
    )


def _note_end(session: TrainingSession, job: Any) -> None:
    if job.status == "cancelled":
        session.training_log.event(f"The job {job.id} is cancelled at {session.host}")
        return
    model = getattr(job, "fine_tuned_model", None)
    left = f" Its model {model} is there, and was paid for." if model else ""
    session.training_log.event(
        f"The job {job.id} had {job.status} at {session.host} already.{left}"
    )
