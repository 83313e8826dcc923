"""Jobs that are cancelled while something of theirs goes on at a service, and is paid for there.

No process runs such a job that could cancel it at the service. So it is queued once more with
`cancel` requested, and the worker that claims it does nothing else.
"""

from __future__ import annotations

import sqlite3

from ...core.service_model import OVER
from ..batches import has_open_batches
from .job import Job

TO_BE_CANCELLED = "waits: to be cancelled at the service, where it goes on"
"""The step of a job whose end a service has yet to hear of."""


def is_ending(job: Job) -> bool:
    """Whether it is queued for nothing but to be cancelled at a service."""
    return job.state == "queued" and job.wanted == "cancel"


def goes_on_elsewhere(conn: sqlite3.Connection, job: Job) -> bool:
    """Whether a training or batches of the job may still be at a service."""
    # A service notes a step in the training log before it sends anything.
    trains = job.classifier_id is None and job.at_service.step not in (None, OVER)
    return trains or has_open_batches(conn, job.id)


def why_lost(conn: sqlite3.Connection, job_id: int) -> str:
    """Why a process may go on no more with a job that it had claimed."""
    sql = "select state, wanted from _ftclassify_jobs where id = ?"
    row = conn.execute(sql, [job_id]).fetchone()
    if row is None:
        return f"Job {job_id} was deleted meanwhile, and its classifier with it."
    if row[0] == "running":
        return f"Job {job_id} was taken over by another process, which goes on with it."
    waits = " to be cancelled at the service" if row[1] == "cancel" else ""
    return (
        f"Job {job_id} was stopped meanwhile, while this process was silent: it is {row[0]}{waits}."
    )
