"""Making a review queue, as a job."""

from __future__ import annotations

import sqlite3
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace

from ...core.errors import ReviewError
from ...core.labels import LabelSet
from ...core.typed_json import as_json, read_stored
from ...store.jobs.job import Job
from ...store.jobs.state import add_job, save_progress
from ...store.reviews import add_rows
from ...store.schema import ensure_schema, transaction
from ...trainers.access import Access
from ...trainers.configuration import read_access
from ..agreements import agree
from ..lease import Lease
from ..settings import ReviewSettings, settings_of
from .queues import Queue, queue_of
from .rows import find_source

MOST_PEOPLE = 10
"""Who label the rows of a queue each for themselves."""


def submit_review(
    conn: sqlite3.Connection, settings: ReviewSettings, *, access: Access | None = None
) -> Job:
    """A queued job that makes a queue, and a person's agreement to it.

    Raises ReviewError when there is no such queue, or the labels cannot be changed there,
    SourceError when the table is gone.
    """
    queue_of(settings.queue)
    if not 1 <= settings.people <= MOST_PEOPLE:
        raise ReviewError(f"From 1 to {MOST_PEOPLE} people can label each row.", fields=("people",))
    source = find_source(conn, settings.task)
    task = replace(settings.task, source=source.name)
    words = as_json(replace(settings, task=task, once=uuid.uuid4().hex))
    ensure_schema(conn)
    with transaction(conn):
        job = add_job(conn, "review", words)
        agree(conn, job, access or read_access())
    return job


def run_review(lease: Lease) -> Mapping[str, object]:
    """Runs a claimed job. Raises ReviewError when there is too little for a queue."""
    conn, job = lease.conn, lease.job
    settings = settings_of(job, ReviewSettings)
    find_source(conn, settings.task)
    job.step = "choosing rows"
    with transaction(conn):
        save_progress(conn, job)
    made = queue_of(settings.queue).make(conn, settings)
    with transaction(conn):
        add_rows(conn, job.id, made.rows)
        job.total = job.done = len(made.rows)
        save_progress(conn, job)
    return as_json(QueueResult(made.labels, len(made.rows), made.probable, made.said))


@dataclass(frozen=True)
class QueueResult:
    """What the job of a queue gives; fields as of `queue_rows.Made`."""

    labels: LabelSet
    rows: int = 0
    probable: int | None = None
    said: str = ""


def queue_facts(job: Job) -> tuple[Queue, ReviewSettings, QueueResult]:
    """What a finished job made. Raises ReviewError for another job, or one that has not finished,
    ArtifactError for a damaged one."""
    if job.kind != "review":
        raise ReviewError(f"Job {job.id} made no review queue.")
    settings = settings_of(job, ReviewSettings)
    if job.state != "finished" or job.result is None:
        raise ReviewError(f"The queue of job {job.id} is not made yet: it is {job.state}.")
    made = read_stored(QueueResult, job.result, "This queue was", "make another one")
    return queue_of(settings.queue), settings, made
