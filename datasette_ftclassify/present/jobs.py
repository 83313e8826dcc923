"""The description of a job that pages and commands share."""

from __future__ import annotations

import math
import time
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ..core.humanize import dollars, duration

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping, Sequence

    from ..store.jobs.job import Job


def describe(conn: sqlite3.Connection, job: Job) -> dict[str, Any]:
    """The job as an object: what `Job.to_dict` says, what was spent, how fast it is.

    usd:             spent so far
    rows_per_second, seconds_left: by the rate of this attempt; None where that is not known
    """
    from ..store.spending import spent_by_job

    return _described(conn, job, spent_by_job(conn, job.id).usd)


def describe_all(conn: sqlite3.Connection, jobs: Sequence[Job]) -> list[dict[str, Any]]:
    """Many jobs, each as `describe` says, and what they spent with one look."""
    from ..store.spending import Spent, spent_by_each_job

    spent = spent_by_each_job(conn)
    return [_described(conn, job, spent.get(job.id, Spent()).usd) for job in jobs]


def _described(conn: sqlite3.Connection, job: Job, usd: float) -> dict[str, Any]:
    return {**job.to_dict(), "usd": round(usd, 6), **pace(conn, job)}


def pace(conn: sqlite3.Connection, job: Job) -> dict[str, Any]:
    """rows_per_second and seconds_left, as `describe` has them."""
    unknown = {"rows_per_second": None, "seconds_left": None}
    if job.state != "running" or job.interrupted:
        return unknown
    if not job.total:
        ends_at = job.ends_at
        if ends_at is None or not math.isfinite(ends_at):  # the latter in a stranger's file
            return unknown
        return {"rows_per_second": None, "seconds_left": max(round(ends_at - time.time()), 0)}
    from ..store.jobs.queries import last_start

    began = last_start(conn, job.id)
    before = None if began is None else (began.data or {}).get("rows")
    if began is None or not isinstance(before, int):
        return unknown
    seconds = (moment(job.updated_at) - moment(began.at)).total_seconds()
    rows = job.rows_done - before
    if seconds < 1 or rows <= 0:
        return unknown
    rate = rows / seconds
    left = round((job.total - job.rows_done) / rate)
    return {"rows_per_second": round(rate, 2), "seconds_left": left}


def time_left(facts: Mapping[str, Any]) -> str:
    """In words, of what `describe` says; empty where it is not known or nearly nothing."""
    return f"about {duration(facts['seconds_left'])} left" if facts["seconds_left"] else ""


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
