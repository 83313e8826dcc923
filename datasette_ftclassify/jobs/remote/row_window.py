"""The rows that wait for answers, several pages of them at once, so that one slow response does not
hold up the others. Pages are written in the order of the table's key, each with its position."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ...core.database import Cell, stored_key
from ...core.errors import PredictError
from ...core.humanize import key_list
from ...store.answers import CachedAnswer
from ...store.jobs.job import Job
from ..answer_cells import AnswerCells
from ..plan import Plan
from ..rows import Batch
from .inference_loop import InferenceLoop
from .network import InferenceRequest

PAGE = 100
"""Rows read at once, and the fewest that are written at once."""

MOST_AHEAD = 100
"""Pages between the first row that waits and the last one that was asked about."""

MOST_WRITTEN = 2_000
"""Rows in one transaction."""

_JUDGED_FROM = 50
"""Rows after which the share of those without an answer says something."""

_MOST_REASONS = 1_000


@dataclass(frozen=True, slots=True)
class Row:
    """request: None for a row without a text."""

    key: tuple[Cell, ...]
    text: str | None
    request: InferenceRequest | None


class _Prepared:
    """What is written in one transaction, and what that adds to the job's counts."""

    def __init__(self) -> None:
        self.updates: list[list[Any]] = []
        self.batch: Batch = []
        self._answers: list[tuple[CachedAnswer | None, bool]] = []
        self.last: tuple[Cell, ...] | None = None
        self.done = 0
        self.skipped = 0
        self.abstained = 0
        self.reasons: Counter[str] = Counter()

    def add(self, row: Row, cells: list[Any], answer: CachedAnswer | None, abstains: bool) -> None:
        self.updates.append([*cells, *row.key])
        self.batch.append((row.key, row.text))
        self._answers.append((answer, abstains))

    def count(self, kept: Mapping[int, str]) -> None:
        """Counts the rows, once it is known which of them stayed as they were, and why."""
        self.done = self.skipped = self.abstained = 0
        self.reasons = Counter(kept.values())
        for position, (answer, abstains) in enumerate(self._answers):
            if position in kept:
                continue
            self.abstained += abstains
            if answer is None:
                self.skipped += 1
            elif answer.labels is not None:
                self.done += 1
            else:
                self.reasons[_reason(answer)] += 1


class Pages:
    """Of one prediction job, from its position on."""

    def __init__(self, plan: Plan, job: Job, loop: InferenceLoop, max_errors: float) -> None:
        self.reasons: Counter[str] = Counter()
        self._plan = plan
        self._job = job
        self._loop = loop
        self._max_errors = max_errors
        self._open: deque[list[Row]] = deque()
        self._read_to = job.position
        self._all_read = False
        self._prepared = _Prepared()
        self._refused: PredictError | None = None
        labels = plan.classifier.labels
        self._cells = AnswerCells(
            labels, plan.columns, plan.threshold, groups=plan.groups, default=plan.default
        )
        self.abstained = 0

    @property
    def done(self) -> bool:
        return self._all_read and not self._open

    @property
    def ready(self) -> bool:
        """Whether the first page can be written."""
        return bool(self._open) and all(
            row.request is None or row.request.answer is not None for row in self._open[0]
        )

    def fill(self) -> None:
        """Reads ahead while the inference loop takes further texts."""
        while not self._all_read and len(self._open) < MOST_AHEAD and self._loop.wants_more:
            batch = self._plan.rows.after(self._loop.conn, self._read_to, PAGE)
            if not batch:
                self._all_read = True
                return
            self._read_to = stored_key(batch[-1][0])
            requests = iter(self._loop.requests([t for _, t in batch if t is not None]))
            self._open.append(
                [Row(key, text, None if text is None else next(requests)) for key, text in batch]
            )

    def prepare(self) -> None:
        """Makes ready what `write` writes: whoever else wants to write must wait for that alone."""
        self._prepared = _Prepared()
        while self.ready and len(self._prepared.updates) < MOST_WRITTEN:
            page = self._open[0]
            self._refused = self._refused_row(page)
            if self._refused is not None:
                return
            self._open.popleft()
            for row in page:
                answer = None if row.request is None else row.request.answer
                cells, abstains = self._cells.of_stored(answer)
                self._prepared.add(row, self._plan.mark(cells, row.text), answer, abstains)
            self._prepared.last = page[-1].key

    def go_back(self) -> None:
        """After RowsMoved: reads again what follows the last row that was written."""
        self._plan.find_place(self._loop.conn, self._job)
        self._open.clear()
        self._prepared, self._refused = _Prepared(), None
        self._read_to, self._all_read = self._job.position, False
        if self._job.position is None:
            self.abstained = 0
            self.reasons.clear()

    def write(self) -> None:
        """Writes the pages that are prepared into their columns, and the job's place behind them.
        Call inside the transaction that keeps their answers. Raises RowsMoved, see `go_back`."""
        job, new, conn = self._job, self._prepared, self._loop.conn
        if new.last is None:
            return
        new.count(self._plan.write(conn, new.updates, new.batch))
        job.position = self._plan.row_cursor.after(conn, new.last)
        job.done += new.done
        job.skipped += new.skipped
        job.failed += sum(new.reasons.values())
        job.total = max(job.total or 0, job.rows_done)  # rows may have come since

    def check(self, *, ended: bool = False) -> None:
        """Raises PredictError when a row has no answer and none may, or too many have none."""
        for reason, number in self._prepared.reasons.items():
            if reason in self.reasons or len(self.reasons) < _MOST_REASONS:
                self.reasons[reason] += number
        self.abstained += self._prepared.abstained
        self._prepared = _Prepared()
        if self._refused is not None:
            raise self._refused
        if too_many_failed(self._job, self._max_errors, ended=ended):
            raise PredictError(self._too_many(), fields=("max_errors",))

    def _refused_row(self, page: list[Row]) -> PredictError | None:
        if self._plan.on_error != "fail":
            return None
        for row in page:
            answer = None if row.request is None else row.request.answer
            if answer is not None and answer.labels is None:
                return PredictError(
                    f"The row {key_list([row.key])} of {self._plan.target.name} has no answer: "
                    f"{_reason(answer)}. Where such rows get no label, or one of your choice, they "
                    "do not end the job.",
                    fields=("on_error",),
                )
        return None

    def _too_many(self) -> str:
        job = self._job
        asked = job.done + job.failed
        got = f"None of {asked:,} rows got an answer"
        if job.done:
            got = (
                f"{job.failed:,} of {asked:,} rows got no answer, more than the share of "
                f"{self._max_errors:.0%} that may"
            )
        reasons = "; ".join(f"{n:,} x {reason}" for reason, n in self.reasons.most_common(3))
        return (
            f"{got}: {reasons.rstrip('.') or 'see the reasons'}. What was written stays, and "
            "answers are not paid for again."
        )


def too_many_failed(job: Job, max_errors: float, *, ended: bool) -> bool:
    """Whether so many rows have no answer that the rest is not worth sending."""
    asked = job.done + job.failed
    if ended and job.failed and not job.done:
        return True
    return (ended or asked >= _JUDGED_FROM) and job.failed > max_errors * asked


def _reason(answer: CachedAnswer) -> str:
    return answer.reason or "no answer"
