"""Runs the queued jobs, one after the other."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

from ..core.distribution import require_whole
from ..store.jobs.job import Job
from ..store.jobs.remote_cancel import is_ending
from ..store.jobs.state import get_job, next_job
from ..trainers.access import Access
from ..trainers.configuration import read_access
from .agreements import paid_trainer, why_not_agreed
from .kinds import kind_of
from .lease import leased
from .predict_result import RowProgress, no_row_progress


def run_job(
    conn: sqlite3.Connection,
    job_id: int,
    *,
    access: Access | None = None,
    rows: RowProgress = no_row_progress,
    digest: str | None = None,
) -> Job:
    """Claims the job and runs it to its end; gives it as it then stands.

    access: to services, and the limits of what they may cost; None: from the environment
    digest: of the job as it was agreed to, from the process that started this one; None: see the
            ledger
    Raises NotInstalled where only what answers is installed, JobError when it cannot be claimed, or
    nobody on this machine has agreed to it, JobStopped when a pause or cancellation was requested,
    JobPaused when it pauses for a reason of its own, and whatever made it fail.
    """
    require_whole()
    reach = read_access() if access is None else access
    with leased(conn, job_id, reach, digest) as lease:
        lease.result = kind_of(lease.job.kind).run(lease, reach, rows)
    return get_job(conn, job_id)


def may_run(conn: sqlite3.Connection, job: Job, access: Access) -> str | None:
    """Why a worker may not start this job by itself; None if it may.

    The file, and with it the job, may come from anywhere: it waits for a person on this machine.
    What costs money waits for the operator's limits, too.
    """
    if why := why_not_agreed(conn, job, access):
        return why
    if is_ending(job) or (paid := paid_trainer(conn, job)) is None:
        return None
    return access.why_unlimited(f"Job {job.id} ({paid})")


def work(
    conn: sqlite3.Connection,
    *,
    access: Access | None = None,
    started: Callable[[Job], None] = lambda job: None,
    ended: Callable[[Job], None] = lambda job: None,
    held: Callable[[Job, str], None] = lambda job, why: None,
    rows: RowProgress = no_row_progress,
) -> int:
    """Runs the waiting jobs until none is left; gives how many it ran.

    A job that fails says so in its own record, and the next one follows. One that may not run (see
    `may_run`) stays in the queue, and `held` is called with the reason, once in each call.
    """
    reach = read_access() if access is None else access
    ran = 0
    left: set[int] = set()
    while (job_id := next_job(conn, left)) is not None:
        job = get_job(conn, job_id)
        why = may_run(conn, job, reach)
        if why is not None:
            left.add(job_id)
            held(job, why)
            continue
        started(job)
        try:
            run_job(conn, job_id, access=reach, rows=rows)
        except Exception:
            # Paused, cancelled, failed or taken: it is in the job's record, or there is no end.
            if get_job(conn, job_id).state == "queued":
                raise
        ended(get_job(conn, job_id))
        ran += 1
    return ran
