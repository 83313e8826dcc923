"""Before a classifier is deleted, the jobs that use it are cancelled."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable

from ..store.deletion import cancel_jobs, plan_deletion
from ..store.jobs.job import Job
from ..store.jobs.remote_cancel import is_ending

LOOK_EVERY = 0.2
"""Seconds between looks at jobs that are to end."""


def end_jobs(
    conn: sqlite3.Connection,
    name: str,
    *,
    seconds: float | None = None,
    cancel_at_service: Callable[[Job], object] = lambda job: None,
) -> None:
    """Asks the jobs that are busy with the classifier to end, and waits until they have.

    seconds:           how long to wait at most; None: until they have ended
    cancel_at_service: called with each job that is queued only for its cancellation at a service;
                  by default a worker does that
    Some may be left when the time is over or a service cannot be reached: their cancellation stays
    requested, and `delete_classifier` refuses. Raises ClassifierNotFound.
    """
    until = None if seconds is None else time.monotonic() + seconds
    cancel_jobs(conn, name)
    while busy := plan_deletion(conn, name).busy:
        for job in filter(is_ending, busy):
            cancel_at_service(job)
        left = [job for job in plan_deletion(conn, name).busy if job.state in ("queued", "running")]
        if not left or (until is not None and time.monotonic() > until):
            return
        time.sleep(LOOK_EVERY)
        if any(job.interrupted for job in left):
            cancel_jobs(conn, name)  # its process died before it had heard of it
