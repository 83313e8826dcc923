"""Runs whatever job waits, one after the other."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

from ..errors import JobError
from ..store.classifiers import find_by_id
from ..store.jobs import Job, add_job, get_job, next_job
from ..trainers.base import Progress, no_progress
from .evaluate import evaluate_classifier
from .lease import Lease, leased
from .predict import RowProgress, run_predict
from .train import run_train


def run_job(
    conn: sqlite3.Connection,
    job_id: int,
    *,
    steps: Progress = no_progress,
    rows: RowProgress = lambda done, total: None,
) -> Job:
    """Claims the job and runs it to its end; gives it as it then stands.

    Raises JobError when it cannot be claimed, JobStopped when somebody asked it to pause or end,
    and whatever made it fail.
    """
    runners: dict[str, Callable[[Lease], dict[str, object]]] = {
        "train": lambda lease: run_train(lease, steps).to_dict(),
        "predict": lambda lease: run_predict(lease, rows).to_dict(),
        "evaluate": _evaluate,
    }
    with leased(conn, job_id) as lease:
        if lease.job.kind not in runners:
            raise JobError(f"Job {job_id} is a {lease.job.kind}, which this version cannot run.")
        lease.result = runners[lease.job.kind](lease)
    return get_job(conn, job_id)


def submit_evaluate(conn: sqlite3.Connection, classifier_id: int) -> Job:
    """A queued job that evaluates a classifier on its test rows."""
    return add_job(conn, "evaluate", {"classifier_id": classifier_id}, classifier_id=classifier_id)


def _evaluate(lease: Lease) -> dict[str, object]:
    classifier = find_by_id(lease.conn, int(lease.job.classifier_id or 0))
    return evaluate_classifier(lease.conn, classifier)


def work(
    conn: sqlite3.Connection,
    *,
    started: Callable[[Job], None] = lambda job: None,
    ended: Callable[[Job], None] = lambda job: None,
    steps: Progress = no_progress,
    rows: RowProgress = lambda done, total: None,
) -> int:
    """Runs the waiting jobs until none is left; gives how many it ran.

    A job that fails says so in its own record, and the next one follows.
    """
    ran = 0
    while (job_id := next_job(conn)) is not None:
        started(get_job(conn, job_id))
        try:
            run_job(conn, job_id, steps=steps, rows=rows)
        except Exception:
            # Paused, cancelled, failed or taken: it is in the job's record, or there is no end.
            if get_job(conn, job_id).state == "queued":
                raise
        ended(get_job(conn, job_id))
        ran += 1
    return ran
