"""Prediction by a classifier whose model is at a service."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

from ...core.errors import JobPaused, LimitReached
from ...ledger import LedgerError
from ...prompts.price_table import PriceTable
from ...store.batches import open_batches
from ...store.classifiers import Classifier
from ...store.disk_space import has_room, no_room
from ...store.spending import spent_by_job
from ...trainers.access import Access
from ...trainers.service import InferenceClient
from ...trainers.service_errors import ServiceProblem
from ..cursor import RowsMoved
from ..estimates import check_answers, pricing
from ..lease import Lease
from ..load_classifier import load_batch_client, load_inference_client, parts_of, prices_of
from ..plan import MAX_ERRORS, MOST_CONCURRENCY, Plan
from ..predict_result import PredictResult, RowProgress
from .answer_cache import Answers, ClassifierAnswers
from .batch_state import Pace
from .batches import fill_by_batches
from .budget import Budget, Reservations
from .concurrency import MOST, RetryPolicy
from .inference_loop import InferenceLoop
from .row_window import Pages, too_many_failed


def open_inference_loop(
    lease: Lease, classifier: Classifier, access: Access, *, retry_policy: RetryPolicy | None = None
) -> InferenceLoop:
    """Opens the inference loop of a running job, within the budget that was agreed for it.

    Raises AccessError without a key, JobPaused when a limit cannot be kept to, there is no room for
    the answers, or the ledger cannot be used.
    """
    parts = parts_of(lease.conn, classifier)
    inference_client = load_inference_client(classifier, access, parts)
    answers, prices = ClassifierAnswers(lease.conn, classifier), prices_of(classifier, access)
    return open_loop(lease, answers, inference_client, prices, access, retry_policy=retry_policy)


def open_loop(
    lease: Lease,
    answers: Answers,
    inference_client: InferenceClient,
    prices: PriceTable,
    access: Access,
    *,
    usual_concurrency: int = MOST,
    retry_policy: RetryPolicy | None = None,
) -> InferenceLoop:
    """The same with any client and place for answers. Raises JobPaused."""
    try:
        if not has_room(lease.conn):
            raise JobPaused(no_room())
        cost = pricing(inference_client, prices)
        budget = Budget(lease.conn, lease.job, access, cost)
    except (LimitReached, LedgerError) as error:
        raise JobPaused.by(error) from error
    concurrency = lease.job.terms.concurrency or usual_concurrency
    return InferenceLoop(
        lease,
        answers,
        inference_client,
        budget,
        concurrency=min(int(concurrency), MOST_CONCURRENCY),
        retry_policy=retry_policy,
    )


def ask_rows(lease: Lease, plan: Plan, progress: RowProgress, access: Access) -> PredictResult:
    """Runs a claimed job from its position to the end.

    One that failed because too many rows had no answer starts over: those rows are sent again, and
    cached answers cost nothing.
    """
    conn, job = lease.conn, lease.job
    agreed = job.terms.max_errors
    max_errors = MAX_ERRORS if agreed is None else agreed
    if too_many_failed(job, max_errors, ended=True):
        job.position, job.done, job.skipped, job.failed = None, 0, 0, 0
    plan.begin(conn, job)
    resumed_at = job.rows_done
    if job.terms.batch:
        ask_in_batches(lease, plan, progress, access)
        job.step = "classifying"
    with open_inference_loop(lease, plan.classifier, access) as loop:
        pages = Pages(plan, job, loop, max_errors)
        while True:
            lease.check()
            try:
                pages.fill()
                if pages.ready or loop.has_uncommitted:
                    pages.prepare()
                    loop.commit(pages.write)
                    pages.check()
                    progress(job.rows_done, job.total or 0)
                elif pages.done:
                    plan.finish(conn)
                    break
                else:
                    loop.turn()
            except RowsMoved:
                pages.go_back()
        pages.check(ended=True)
    return _result(lease, plan, resumed_at, pages)


def _result(lease: Lease, plan: Plan, resumed_at: int, pages: Pages) -> PredictResult:
    spent = spent_by_job(lease.conn, lease.job.id)
    return PredictResult.of(
        lease.job,
        plan.columns,
        resumed_at,
        spent=spent,
        reasons=dict(pages.reasons.most_common(20)),
        abstained=None if plan.threshold is None else pages.abstained,
        threshold=plan.threshold,
    )


def ask_in_batches(
    lease: Lease, plan: Plan, progress: RowProgress, access: Access, pace: Pace | None = None
) -> None:
    """Fills the kept answers, see `batches.fill_by_batches`. Call it after Plan.begin.

    Raises JobPaused when a limit is reached or the service refuses, JobStopped, AccessError.
    """
    conn, job = lease.conn, lease.job

    def pages() -> Iterator[list[str]]:
        for batch in plan.rows.every(conn):
            yield [text for _, text in batch if text is not None]

    with closing(load_batch_client(plan.classifier, access)) as batch_client:
        cost = pricing(batch_client, prices_of(plan.classifier, access), batch=True)
        if not open_batches(conn, job.id):
            check_answers(plan.classifier)
        try:
            fill_by_batches(
                lease, plan.classifier, batch_client, pages,
                cost=cost, holds=Reservations(conn, job, access), progress=progress, pace=pace,
            )  # fmt: skip
        except (LimitReached, LedgerError, ServiceProblem) as error:
            raise JobPaused.by(error) from error
