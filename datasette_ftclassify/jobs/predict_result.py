"""The counts of a prediction, while it runs and at its end."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..store.jobs.job import Job
from ..store.spending import Spent
from .columns import ROLES, Columns

RowProgress = Callable[[int, int], None]
"""Called with the rows done and the rows in all."""


def no_row_progress(done: int, total: int) -> None:
    """For callers that show no progress."""


@dataclass(frozen=True)
class PredictResult:
    """What a prediction job did.

    total, written, skipped, failed: rows in all, with a label of the model, without a text, and
                without an answer, or not written, since a trigger kept them as they were
    reasons:    why these were, in this attempt
    abstained:  answers whose score was too low for a label, in this attempt; None where any score
                is high enough
    threshold:  the minimum score, 0-1, that these were below
    unlike:     answers to texts that are too unlike the training rows for a label, in this attempt;
                None where any text is like enough
    resumed_at: rows that an interrupted attempt had already done
    spent:      on all attempts; None where nothing can be
    """

    columns: Columns
    total: int
    written: int
    skipped: int
    resumed_at: int
    failed: int = 0
    spent: Spent | None = None
    reasons: Mapping[str, int] = field(default_factory=dict)
    abstained: int | None = None
    threshold: float | None = None
    unlike: int | None = None

    @classmethod
    def of(cls, job: Job, columns: Columns, resumed_at: int, **more: Any) -> PredictResult:
        return cls(
            columns, job.rows_done, job.done, job.skipped, resumed_at, failed=job.failed, **more
        )

    def to_dict(self) -> dict[str, Any]:
        given = {
            "rows": self.total,
            "predicted": self.written,
            "skipped": self.skipped,
            "resumed_at": self.resumed_at,
            "columns": {**dict.fromkeys(ROLES), **self.columns.to_dict()},
        }
        if self.abstained is not None:
            given |= {"abstained": self.abstained, "threshold": self.threshold}
        if self.unlike is not None:
            given["unlike"] = self.unlike
        if self.spent is None and not self.failed:
            return given
        given |= {"failed": self.failed, "reasons": dict(self.reasons)}
        return given if self.spent is None else {**given, "spent": self.spent.to_dict()}
