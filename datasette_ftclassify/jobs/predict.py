"""Prediction into columns: every row once, however often the process dies.

The answers of a batch of rows and the position behind it are committed together, so an interrupted
job goes on after the last row that it wrote. A local model answers here; for one at a service see
`remote.predict`.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from ..core.database import count
from ..core.prediction import Answerer
from ..store.classifiers import Classifier, find_by_uid
from ..store.jobs.job import Job
from ..store.jobs.new_rows import is_followed
from ..store.jobs.state import add_job, note_terms, save_progress
from ..store.schema import ensure_schema, transaction
from ..trainers.access import Access
from ..trainers.configuration import read_access
from .agreements import agree, spent_by
from .answer_cells import AnswerCells, Withheld
from .cursor import RowsMoved
from .fingerprints import FOLLOWED
from .lease import Lease, leased
from .load_classifier import batch_service, load_answerer, service_of
from .plan import Plan, PredictRequest
from .predict_result import PredictResult, RowProgress, no_row_progress
from .rows import Batch
from .settings import PredictSettings, settings_of

if TYPE_CHECKING:
    from .estimates import JobEstimate

BATCH = 1_000
"""Rows between commits."""


def predict_rows(
    conn: sqlite3.Connection,
    classifier: Classifier,
    table: str,
    request: PredictRequest | None = None,
    *,
    access: Access | None = None,
    estimate: JobEstimate | None = None,
    progress: RowProgress = no_row_progress,
) -> PredictResult:
    """Classifies the rows of `table`.

    Asked again in the same words after an interruption, it goes on where it stopped.
    Rows without a text get NULLs. Columns that this classifier filled before are written again;
    any other existing one needs `overwrite`.

    access:   for a model at a service; None: from the environment
    estimate: what it is expected to cost, as it was confirmed
    Raises PredictError when the table cannot be written, SourceError when it does not fit, JobError
    when another process is at it. Of a service: AccessError without a key, JobPaused when a limit
    is reached or the service refuses, PredictError when too many rows have no answer.
    """
    job = submit_predict(conn, classifier, table, request, estimate=estimate, access=access)
    with leased(conn, job.id, access) as lease:
        result = run_predict(lease, progress, access)
        lease.result = result.to_dict()
    return result


def submit_predict(
    conn: sqlite3.Connection,
    classifier: Classifier,
    table: str,
    request: PredictRequest | None = None,
    *,
    estimate: JobEstimate | None = None,
    access: Access | None = None,
) -> Job:
    """A queued job that does what `predict_rows` says, and a person's agreement to it; refuses at
    once what cannot work."""
    request = request or PredictRequest()
    ensure_schema(conn)
    plan = Plan.of(conn, classifier, table, request)
    return submit_plan(conn, plan, request, estimate=estimate, access=access)


def submit_plan(
    conn: sqlite3.Connection,
    plan: Plan,
    request: PredictRequest,
    *,
    estimate: JobEstimate | None = None,
    access: Access | None = None,
) -> Job:
    """The same, of a plan that was made of the request a moment ago, and perhaps shown."""
    from .estimates import agreed

    ensure_schema(conn)
    classifier = plan.classifier
    if request.batch:
        batch_service(classifier)
    with transaction(conn):
        job = add_job(conn, "predict", plan.settings.to_dict(), classifier_id=classifier.id)
        reach = access or read_access()
        if service_of(classifier) is None:
            agree(conn, job, reach)
            return job
        terms = agreed(estimate, request.limit_usd, spent_by(conn, job, reach))
        job = note_terms(conn, job.id, {**terms, **request.terms()})
        agree(conn, job, reach, terms["limit_usd"], terms.get("usd"))
        return job


def run_predict(lease: Lease, progress: RowProgress, access: Access | None = None) -> PredictResult:
    """Runs a claimed job from its position to the end."""
    conn, job = lease.conn, lease.job
    plan = _read_plan(conn, job)
    if service_of(plan.classifier) is not None:
        from .remote.predict import ask_rows

        return ask_rows(lease, plan, progress, access or read_access())
    answerer = load_answerer(conn, plan.classifier)
    plan.begin(conn, job)
    resumed_at = job.rows_done
    cells = AnswerCells(
        plan.classifier.labels, plan.columns, plan.threshold, plan.min_known, plan.groups
    )
    withheld: Counter[Withheld | None] = Counter()
    reasons: Counter[str] = Counter()
    while True:
        version = count(conn, "pragma data_version")  # another one when others have written
        batch = plan.rows.after(conn, job.position, BATCH)
        lease.check()
        updates, held = _answers(batch, answerer, cells, plan) if batch else ([], Counter())
        try:
            with transaction(conn):
                same = version == count(conn, "pragma data_version")
                kept = plan.write(conn, updates, [] if same else batch)
                _note_place(conn, batch, kept, plan, job)
        except RowsMoved:
            plan.find_place(conn, job)
            if job.position is None:
                withheld.clear()
                reasons.clear()
            continue
        if not batch:
            break
        withheld.update(held)
        reasons.update(kept.values())
        progress(job.rows_done, job.total or 0)
    return PredictResult.of(
        job,
        plan.columns,
        resumed_at,
        abstained=None if plan.threshold is None else withheld["score"],
        threshold=plan.threshold,
        unlike=None if plan.min_known is None else withheld["known"],
        reasons=dict(reasons),
    )


def _read_plan(conn: sqlite3.Connection, job: Job) -> Plan:
    settings = settings_of(job, PredictSettings)
    plan = Plan(conn, find_by_uid(conn, settings.uid), settings)
    if job.result is not None and plan.columns.fingerprint and is_followed(conn, job.id):
        plan.rows = plan.rows_of(FOLLOWED)  # new and edited ones
    return plan


def _answers(
    batch: Batch, answerer: Answerer, cells: AnswerCells, plan: Plan
) -> tuple[list[list[Any]], Counter[Withheld | None]]:
    """The parameters of the UPDATE, for each row, and how many rows get no label for want of what.
    Done before the write lock is taken: whoever else wants to write must wait for the writing
    alone."""
    answers, withheld = cells.of(answerer, [text for _, text in batch])
    updates = [
        [*plan.mark(answer, text), *key] for answer, (key, text) in zip(answers, batch, strict=True)
    ]
    return updates, withheld


def _note_place(
    conn: sqlite3.Connection, batch: Batch, kept: Collection[int], plan: Plan, job: Job
) -> None:
    """The job's place behind rows that were written. kept: positions of those that stayed as they
    were"""
    if not batch:
        if plan.rows.passed is not None:  # new rows are those behind all that were looked at
            job.position = plan.row_cursor.after(conn, plan.rows.passed)
            save_progress(conn, job)
        return
    answered = sum(text is not None and i not in kept for i, (_, text) in enumerate(batch))
    job.position = plan.row_cursor.after(conn, batch[-1][0])
    job.done += answered
    job.failed += len(kept)
    job.skipped += len(batch) - answered - len(kept)
    job.total = max(job.total or 0, job.rows_done)  # rows may have come since
    save_progress(conn, job)
