"""What a worker notes about jobs: why they wait, their current step, how their processes died."""

from __future__ import annotations

import sqlite3

from ...core.job_events import DIED, FAILED, WAITS
from ..classifiers import has_store, now
from ..schema import transaction
from .events import note
from .job import Job
from .state import ask_job, get_job

MOST_WAITING = 10_000
"""Jobs of one file that a worker knows of; the next ones come when these have ended."""

MAX_DEATHS = 3
"""How often a job's process may die before the job is given up."""


def maybe_waiting(conn: sqlite3.Connection) -> list[int]:
    """Ids of jobs that wait, or count as running, oldest first: cheap, for a look every second."""
    if not has_store(conn):
        return []
    sql = (
        "select id from _ftclassify_jobs where state in ('queued', 'running')"
        f" order by id limit {MOST_WAITING}"
    )
    return [job_id for (job_id,) in conn.execute(sql).fetchall()]


def is_waiting(job: Job) -> bool:
    """Whether a worker may take it: queued, or left behind by a dead process."""
    return job.state == "queued" or job.interrupted


def put_in_queue(conn: sqlite3.Connection, job: Job) -> Job:
    """The job, queued for a worker; a paused or failed one is resumed.

    For faces that leave a job to a worker, after `add_job`, which may give an old one.
    """
    action = {"paused": "resume", "failed": "retry"}.get(job.state)
    return job if action is None else ask_job(conn, job.id, action)


def hold_job(conn: sqlite3.Connection, job: Job, reason: str) -> None:
    """Says in a waiting job why it is not run, as its step and, once for each reason, an event."""
    step = f"waits: {reason}"
    if job.step == step:
        return
    with transaction(conn):
        if is_waiting(get_job(conn, job.id)):
            sql = "update _ftclassify_jobs set step = ?, updated_at = ? where id = ?"
            conn.execute(sql, [step, now(), job.id])
            note(conn, job.id, WAITS, step, key=step)


def note_step(
    conn: sqlite3.Connection, job_id: int, step: str, ends_at: float | None = None
) -> None:
    """Says what a running job is doing, and when it will probably end (seconds since 1970)."""
    with transaction(conn):
        conn.execute(
            "update _ftclassify_jobs set step = ?, ends_at = ? where id = ? and state = 'running'",
            [step, ends_at, job_id],
        )


def note_death(conn: sqlite3.Connection, job_id: int, how: str, *, again: bool = True) -> bool:
    """Notes that the job's process died without a word. One death too many fails the job, and so
    does one after which there is nothing to be tried `again`.

    Deaths are counted in the job's events, since somebody last asked to try again. Nothing is
    noted for a job that does not wait: it has ended, or another process has taken it.
    Gives whether it was noted. Raises JobNotFound.
    """
    with transaction(conn):
        if not is_waiting(get_job(conn, job_id)):
            return False
        every, since_retry = _deaths(conn, job_id)
        note(conn, job_id, DIED, f"its process died: {how}", key=f"died {every + 1}")
        if not again or since_retry >= MAX_DEATHS:
            error = (
                f"Its process died {MAX_DEATHS + 1} times without saying why, at last: {how}. "
                "Retry it once there is more memory, or with fewer rows."
            )
            if not again:
                error = f"Its process was ended: {how}. Fix that, then retry."
            conn.execute(
                "update _ftclassify_jobs set state = 'failed', error = ?, wanted = null,"
                " owner = null, lease_until = null, updated_at = ? where id = ?",
                [error, now(), job_id],
            )
            note(conn, job_id, FAILED, f"failed: {error}")
    return True


def _deaths(conn: sqlite3.Connection, job_id: int) -> tuple[int, int]:
    """In all, and since somebody last asked to try again."""
    sql = (
        "select count(*), coalesce(sum(id > (select coalesce(max(id), 0) from"
        " _ftclassify_job_events where job_id = ?1 and message = 'asked to retry')), 0)"
        " from _ftclassify_job_events where job_id = ?1 and event_key like 'died %'"
    )
    every, since_retry = conn.execute(sql, [job_id]).fetchone()
    return every, since_retry
