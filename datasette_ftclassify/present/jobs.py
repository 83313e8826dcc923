"""The description of a job that pages and commands share."""

from __future__ import annotations

import math
import time
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ..core.errors import FtclassifyError
from ..core.humanize import dollars, duration
from ..store.classifiers import find_by_id

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Iterator

    from ..store.classifiers import Classifier
    from ..store.jobs.job import Job
    from ..store.jobs.queries import Find


@dataclass(frozen=True)
class Pace:
    """How fast a job is, by the rate of this attempt; None where that is not known."""

    rows_per_second: float | None = None
    seconds_left: int | None = None

    @property
    def left(self) -> str:
        """In words; empty where it is not known or nearly nothing."""
        return f"about {duration(self.seconds_left)} left" if self.seconds_left else ""


@dataclass(frozen=True)
class JobFacts:
    """A job, what it has spent so far, in USD, and how fast it is."""

    job: Job
    usd: float
    pace: Pace

    def to_dict(self) -> dict[str, Any]:
        return {**self.job.to_dict(), "usd": self.usd, **asdict(self.pace)}


def describe(conn: sqlite3.Connection, job: Job) -> JobFacts:
    from ..store.spending import spent_by_job

    return _described(conn, job, spent_by_job(conn, job.id).usd)


def describe_all(conn: sqlite3.Connection, jobs: Iterable[Job]) -> Iterator[JobFacts]:
    """Many jobs, and what they spent with one look."""
    from ..store.spending import Spent, spent_by_each_job

    spent = spent_by_each_job(conn)
    return (_described(conn, job, spent.get(job.id, Spent()).usd) for job in jobs)


def _described(conn: sqlite3.Connection, job: Job, usd: float) -> JobFacts:
    return JobFacts(job, round(usd, 6), pace(conn, job))


def pace(conn: sqlite3.Connection, job: Job) -> Pace:
    if job.state != "running" or job.interrupted:
        return Pace()
    if not job.total:
        ends_at = job.ends_at
        if ends_at is None or not math.isfinite(ends_at):  # the latter in a stranger's file
            return Pace()
        return Pace(seconds_left=max(round(ends_at - time.time()), 0))
    from ..store.jobs.queries import last_start

    began = last_start(conn, job.id)
    before = None if began is None else (began.data or {}).get("rows")
    if began is None or not isinstance(before, int):
        return Pace()
    seconds = (moment(job.updated_at) - moment(began.at)).total_seconds()
    rows = job.rows_done - before
    if seconds < 1 or rows <= 0:
        return Pace()
    rate = rows / seconds
    return Pace(round(rate, 2), round((job.total - job.rows_done) / rate))


def classifier_of(conn: sqlite3.Connection, job: Job, find: Find = find_by_id) -> Classifier | None:
    """That the job used or made, while it is there."""
    try:
        return None if job.classifier_id is None else find(conn, job.classifier_id)
    except FtclassifyError:
        return None


_UNLIKE = "unlike the training rows, so without a label"


def progress_text(job: Job, pace: Pace) -> str:
    """Rows done, those without a label and why, the rate and the time left."""
    if job.total is None:
        return pace.left
    parts = [f"{job.rows_done:,} of {job.total:,} rows"]
    if job.skipped:
        parts.append(f"{job.skipped:,} without a text")
    if job.failed:
        parts.append(f"{job.failed:,} without an answer")
    for name, why in (("abstained", "below the minimum score"), ("unlike", _UNLIKE)):
        count = (job.result or {}).get(name)
        if job.kind == "predict" and isinstance(count, int) and count > 0:
            parts.append(f"{count:,} {why}")
    if rate := pace.rows_per_second:
        parts.append(f"{rate:,.0f} rows/s" if rate >= 10 else f"{rate:.2g} rows/s")
    parts += [pace.left] if pace.left else []
    return ", ".join(parts)


def moment(text: str) -> datetime:
    """A time as the store writes it. Raises ValueError for anything else."""
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ")


def shows_step(job: Job) -> bool:
    """Whether the step says something of now: what it is doing, or why it waits."""
    return (job.state == "running" and not job.interrupted) or job.step.startswith("waits: ")


def money(job: Job, usd: float) -> str:
    """What was spent, and what was expected; empty where nothing is paid for."""
    expected = job.terms.usd
    if expected is None:
        return f"{dollars(usd)} spent" if usd else ""
    return f"{dollars(usd)} spent of about {dollars(expected)}" if usd or expected else ""
