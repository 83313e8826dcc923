"""Prediction by a classifier whose model is at a service."""

from __future__ import annotations

import math
from typing import Any

from ...errors import JobPaused, LimitReached
from ...ledger import LedgerError
from ...loading import prices_of
from ...store.classifiers import Classifier
from ...store.jobs import Job
from ...store.room import has_room, no_room
from ...store.spending import spent_by_job
from ...trainers.access import Access
from ..budget import Budget
from ..estimates import pricing
from ..lease import Lease
from ..model_names import load_asker
from ..places import RowsMoved
from ..plan import MAX_ERRORS, Plan
from ..predict import PredictResult, RowProgress, done_rows
from .conversation import Conversation
from .pace import MOST, Patience
from .pages import Pages, too_many_failed

MOST_CONCURRENCY = 512
"""Requests at once: more would be no faster here, and a file that somebody else made may say it."""


def converse(
    lease: Lease, classifier: Classifier, access: Access, *, patience: Patience | None = None
) -> Conversation:
    """Opens a conversation for a job that runs, within what was agreed for it.

    Raises AccessError without a key, JobPaused when a limit cannot be kept to, there is no room for
    the answers, or the ledger cannot be used.
    """
    asker = load_asker(classifier, access)
    try:
        if not has_room(lease.conn):
            raise JobPaused(no_room())
        cost = pricing(asker, prices_of(classifier, access))
        budget = Budget(lease.conn, lease.job, access, cost)
    except (LimitReached, LedgerError) as error:
        raise JobPaused.by(error) from error
    concurrency = agreed_number(lease.job, "concurrency", MOST)
    return Conversation(
        lease,
        classifier,
        asker,
        budget,
        concurrency=min(int(concurrency), MOST_CONCURRENCY),
        patience=patience,
    )


def agreed_number(job: Job, name: str, default: float) -> float:
    """What was agreed for the job; the default for what makes no sense."""
    value = (job.estimate or {}).get(name)
    return value if isinstance(value, (int, float)) and 0 <= value < math.inf else default


def ask_rows(
    lease: Lease,
    plan: Plan,
    progress: RowProgress,
    access: Access,
) -> PredictResult:
    """Runs a claimed job from its position to the end.

    One that failed because too many rows had no answer starts over: those rows are asked about
    again, and the kept answers cost nothing.
    """
    conn, job = lease.conn, lease.job
    max_errors = agreed_number(job, "max_errors", MAX_ERRORS)
    if too_many_failed(job, max_errors, ended=True):
        job.position, job.done, job.skipped, job.failed = None, 0, 0, 0
    plan.begin(conn, job)
    resumed_at = done_rows(job)
    if (job.estimate or {}).get("batch") is True:
        from .in_batches import ask_in_batches

        ask_in_batches(lease, plan, progress, access)
        job.step = "classifying"
    with converse(lease, plan.classifier, access) as conversation:
        pages = Pages(plan, job, conversation, max_errors)
        while True:
            lease.check()
            try:
                pages.fill()
                if pages.ready or conversation.has_news:
                    pages.prepare()
                    conversation.commit(pages.write)
                    pages.check()
                    progress(done_rows(job), job.total or 0)
                elif pages.done:
                    plan.finish(conn)
                    break
                else:
                    conversation.turn()
            except RowsMoved:
                pages.go_back()
        pages.check(ended=True)
    return _result(lease, plan, resumed_at, pages)


def _result(lease: Lease, plan: Plan, resumed_at: int, pages: Pages) -> PredictResult:
    spent = spent_by_job(lease.conn, lease.job.id)
    more: dict[str, Any] = {"spent": spent, "reasons": dict(pages.reasons.most_common(20))}
    if plan.threshold is not None:
        more["abstained"] = pages.abstained
    return PredictResult.of(lease.job, plan.columns, resumed_at, **more)
