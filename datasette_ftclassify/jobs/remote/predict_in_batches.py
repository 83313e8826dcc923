"""Sends the requests of a prediction in batches, before its rows are written."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

from ...core.errors import JobPaused, LimitReached
from ...ledger import LedgerError
from ...store.batches import open_batches
from ...trainers.access import Access
from ...trainers.service_errors import ServiceProblem
from ..cursor import position_of
from ..estimates import check_answers, pricing
from ..lease import Lease
from ..load_classifier import prices_of
from ..plan import Plan
from ..predict_result import RowProgress
from .batches import Pace, fill_by_batches
from .budget import Reservations
from .model_names import load_batch_client

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
