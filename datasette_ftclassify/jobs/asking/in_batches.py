"""The questions of a prediction in batches, before its rows are gone through."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

from ...errors import JobPaused, LimitReached
from ...ledger import LedgerError
from ...loading import prices_of
from ...store.batches import open_batches
from ...trainers.access import Access
from ...trainers.service import ServiceProblem
from ..batching import Pace, fill_by_batches
from ..budget import Holds
from ..estimates import check_answers, pricing
from ..lease import Lease
from ..model_names import load_batcher
from ..places import position_of
from ..plan import Plan
from ..predict import RowProgress

PAGE = 1_000
"""Rows read at once."""


def ask_in_batches(
    lease: Lease, plan: Plan, progress: RowProgress, access: Access, pace: Pace | None = None
) -> None:
    """Fills the kept answers, see `batching.fill_by_batches`. Call it after Plan.begin.

    Raises JobPaused when a limit is reached or the service refuses, JobStopped, AccessError.
    """
    conn, job = lease.conn, lease.job

    def pages() -> Iterator[list[str]]:
        after = None
        while batch := plan.rows.after(conn, after, PAGE):
            after = position_of(batch[-1][0])
            yield [text for _, text in batch if text is not None]

    with closing(load_batcher(plan.classifier, access)) as batcher:
        cost = pricing(batcher, prices_of(plan.classifier, access), batch=True)

        if not open_batches(conn, job.id):
            check_answers(plan.classifier)
        try:
            fill_by_batches(
                lease, plan.classifier, batcher, pages,
                cost=cost, holds=Holds(conn, job, access), progress=progress, pace=pace,
            )  # fmt: skip
        except (LimitReached, LedgerError, ServiceProblem) as error:
            raise JobPaused.by(error) from error
