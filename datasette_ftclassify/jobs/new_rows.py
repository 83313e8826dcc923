"""Classifying new rows as they come.

One prediction over all rows of a table stores its cursor, as every job does. Whenever there are
rows after it, the same job is queued again and resumes there: so new rows are found by the table's
rowid, at the cost of one look into an index. Rows that are changed later keep their answers, and so
do those that get the rowid of a deleted one.
"""

from __future__ import annotations

import sqlite3

from ..core.errors import FtclassifyError, PredictError
from ..store.classifiers import Classifier, find_by_uid
from ..store.jobs.job import Job
from ..store.jobs.new_rows import Following, add_following, go_on, list_following
from ..store.jobs.state import get_job
from ..store.schema import ensure_schema, transaction
from ..trainers.access import Access
from ..trainers.configuration import read_access
from .agreements import agreement_to
from .load_classifier import service_of
from .plan import Plan, PredictRequest
from .predict import submit_plan
from .rows import find_target
from .settings import PredictSettings, settings_of


def check_follow(
    conn: sqlite3.Connection, classifier: Classifier, table: str, request: PredictRequest
) -> None:
    """Raises PredictError when new rows cannot be followed in this way."""
    if service_of(classifier) is not None:
        raise PredictError(
            f"{classifier.title} is asked at a service: new rows are classified as they come only "
            "by classifiers whose model is in the file."
        )
    if request.where or request.unlabelled:
        raise PredictError("New rows are classified as they come only where all rows are chosen.")
    target = find_target(conn, classifier, table)
    if target.rowid is None:
        raise PredictError(
            f"Table {target.name} is without a rowid, so its new rows cannot be told from others."
        )


def submit_follow(
    conn: sqlite3.Connection, plan: Plan, request: PredictRequest, access: Access | None = None
) -> Job:
    """A queued job that classifies all rows, and then new ones until it is paused or cancelled."""
    check_follow(conn, plan.classifier, plan.target.name, request)
    ensure_schema(conn)
    with transaction(conn):
        job = submit_plan(conn, plan, request, access=access)
        add_following(conn, plan.target.name, plan.classifier.uid, job.id)
    return job


def queue_new_rows(conn: sqlite3.Connection, access: Access | None = None) -> list[int]:
    """Queues the jobs whose tables have new rows; gives their ids. Cheap when there are none.

    Not those that failed or are paused, which must be resumed first, nor those that nobody on this
    machine has agreed to.
    """
    reach = access or read_access()
    return [one.job_id for one in list_following(conn) if _has_new_rows(conn, one, reach)
            and go_on(conn, one.job_id)]  # fmt: skip


def _has_new_rows(conn: sqlite3.Connection, following: Following, access: Access) -> bool:
    try:
        job = get_job(conn, following.job_id)
        if job.state != "finished" or agreement_to(conn, job, access) is None:
            return False
        settings = settings_of(job, PredictSettings)
        if settings.table != following.source:
            return False
        classifier = find_by_uid(conn, following.uid)
        # First of all: a condition from a file is not to run in a server's own process.
        check_follow(conn, classifier, following.source, PredictRequest(where=settings.where,
                     unlabelled=settings.unlabelled))  # fmt: skip
        plan = Plan(conn, classifier, settings)
        return plan.rows.has_more(conn, plan.row_cursor.now(conn, job.position))
    except FtclassifyError:
        return False  # the table, the classifier or the job is gone, or no longer fits
