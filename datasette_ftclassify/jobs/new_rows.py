"""Classifying new rows as they come, and edited ones again.

One prediction over all rows of a table stores its cursor, as every job does. Whenever there are
rows after it, the same job is queued again and resumes there: so new rows are found by the table's
key, at the cost of one look into an index. Edited rows, and those whose keys are among the others',
are found by the fingerprints of their answers: all texts are read again, a little at a time, and
only when the file has changed.
"""

from __future__ import annotations

import math
import os
import sqlite3
import time
from typing import Any, Literal

from ..core.database import Key, path_of, stored_key
from ..core.errors import FtclassifyError, PredictError
from ..store.classifiers import Classifier, find_by_uid
from ..store.jobs.job import Job
from ..store.jobs.new_rows import Following, add_following, go_on, list_following
from ..store.jobs.state import get_job
from ..store.schema import ensure_schema, transaction
from ..trainers.access import Access
from ..trainers.configuration import read_access
from .agreements import agreement_to
from .fingerprints import FOLLOWED
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
            f"{classifier.title} is at a service: only classifiers whose model is in the file can "
            "classify new rows automatically."
        )
    if request.where or request.unlabelled:
        raise PredictError("New rows can be classified automatically only if all rows are chosen.")
    target = find_target(conn, classifier, table)
    if target.rowid is None and request.columns and not request.columns.fingerprint:
        raise PredictError(
            f"Table {target.name} is without a rowid, so its new rows can be told from others only "
            "by the column fingerprint: write it, too."
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


class EditSearch:
    """Looks for new and edited rows among those of a file that were answered.

    seconds: that one look may take; the next one goes on
    """

    def __init__(self, seconds: float = math.inf) -> None:
        self._seconds = seconds
        self._places: dict[int, list[Any]] = {}
        self._begun: dict[int, object] = {}
        self._ended: dict[int, object] = {}
        self._found: dict[int, set[tuple[Key, int]]] = {}

    def finds(self, conn: sqlite3.Connection, plan: Plan, job: Job) -> bool:
        """Whether there is one, as far as was looked. A row that it found before, and that is as
        it was, counts no more: a trigger keeps it so."""
        if plan.columns.fingerprint is None:
            return False
        changes = _changes(conn)
        place = self._places.pop(job.id, None)
        if place is None:
            if changes is not None and self._ended.get(job.id) == changes:
                return False
            self._begun[job.id] = changes
        end = time.monotonic() + self._seconds
        known = self._found.setdefault(job.id, set())
        for batch in plan.rows_of(FOLLOWED).ages(conn, place):
            found = {(key, plan.fingerprints.of(text)) for key, text, age in batch
                     if age in FOLLOWED} - known  # fmt: skip
            if found:
                if len(known) > _MOST_FOUND:
                    known.clear()
                known |= found
                return True
            place = stored_key(batch[-1][0])
            if time.monotonic() > end:
                self._places[job.id] = place
                return False
        self._ended[job.id] = self._begun[job.id]
        return False


_MOST_FOUND = 10_000
"""Rows of a job that are remembered."""


def _changes(conn: sqlite3.Connection) -> object:
    """Something that is another one when the file has changed; None where nothing tells."""
    path = path_of(conn)
    marks: list[tuple[int, int] | None] = []
    for name in (path, f"{path}-wal"):
        try:
            found = os.stat(name)
        except OSError:
            marks.append(None)
        else:
            marks.append((found.st_mtime_ns, found.st_size))
    return tuple(marks) if path else None


def queue_new_rows(
    conn: sqlite3.Connection, access: Access | None = None, search: EditSearch | None = None
) -> list[int]:
    """Queues the jobs whose tables have new or edited rows; gives their ids. Cheap when the file
    has not changed.

    Not those that failed or are paused, which must be resumed first, nor those that nobody on this
    machine has agreed to.

    search: of this file; None: all rows are looked at
    """
    reach = access or read_access()
    search = search or EditSearch()
    queued = []
    for one in list_following(conn):
        found = _look(conn, one, reach, search)
        if found and go_on(conn, one.job_id, from_the_first=found == "edited"):
            queued.append(one.job_id)
    return queued


def _look(
    conn: sqlite3.Connection, following: Following, access: Access, search: EditSearch
) -> Literal["new", "edited"] | None:
    try:
        job = get_job(conn, following.job_id)
        if job.state != "finished" or agreement_to(conn, job, access) is None:
            return None
        settings = settings_of(job, PredictSettings)
        if settings.table != following.source:
            return None
        classifier = find_by_uid(conn, following.uid)
        # First of all: a condition from a file is not to run in a server's own process.
        check_follow(conn, classifier, following.source, PredictRequest(where=settings.where,
                     unlabelled=settings.unlabelled, columns=settings.columns))  # fmt: skip
        plan = Plan(conn, classifier, settings)
        if plan.rows.has_more(conn, plan.row_cursor.now(conn, job.position)):
            return "new"
        return "edited" if search.finds(conn, plan, job) else None
    except FtclassifyError:
        return None  # the table, the classifier or the job is gone, or no longer fits
