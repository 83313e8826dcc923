"""Prediction into columns: every row once, however often the process dies.

The answers of a batch of rows and the position behind it are committed together, so an interrupted
job goes on after the last row that it wrote. A local model answers here; for one at a service see
`remote.predict`.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal

from ..core.database import Cell
from ..core.labels import LabelValue
from ..core.prediction import Answerer, LogprobsJson, Prediction, probability_at
from ..store.classifiers import Classifier, find_by_uid
from ..store.jobs.job import Job
from ..store.jobs.new_rows import is_followed
from ..store.jobs.state import add_job, note_terms, save_progress
from ..store.schema import ensure_schema, transaction
from ..trainers.access import Access
from ..trainers.configuration import read_access
from .agreements import agree, spent_by
from .columns import LABEL_SCORE
from .cursor import RowsMoved
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
    writer = _Writer(plan)
    while True:
        batch = plan.rows.after(conn, job.position, BATCH)
        lease.check()
        updates, withheld = _answers(batch, answerer, writer) if batch else ([], Counter())
        try:
            with transaction(conn):
                kept = _write(conn, batch, updates, plan, job)
        except RowsMoved:
            plan.find_place(conn, job)
            if job.position is None:
                writer.reset_counts()
            continue
        if not batch:
            break
        writer.withheld += withheld
        writer.reasons.update(kept.values())
        progress(job.rows_done, job.total or 0)
    withheld = writer.withheld
    return PredictResult.of(
        job,
        plan.columns,
        resumed_at,
        abstained=None if plan.threshold is None else withheld["score"],
        threshold=plan.threshold,
        unlike=None if plan.min_known is None else withheld["known"],
        reasons=dict(writer.reasons),
    )


def _read_plan(conn: sqlite3.Connection, job: Job) -> Plan:
    settings = settings_of(job, PredictSettings)
    plan = Plan(conn, find_by_uid(conn, settings.uid), settings)
    if job.result is not None and plan.columns.fingerprint and is_followed(conn, job.id):
        plan.keep_to_followed()
    return plan


Withheld = Literal["known", "score"]
"""What is too low for a label: how much a text is like the training rows, or the score."""


class _Writer:
    """Turns predictions into the values of one UPDATE, each with `known` of its text."""

    def __init__(self, plan: Plan) -> None:
        self._labels = plan.classifier.labels
        self._threshold = plan.threshold
        self._min_known = plan.min_known
        self.reads_known = plan.min_known is not None or plan.columns.known is not None
        self.reset_counts()
        logprobs_json = LogprobsJson(self._labels)
        values: dict[str, Callable[[Prediction, float | None], Any]] = {
            "label": self._label,
            "score": lambda p, known: p.score,
            "logprob": lambda p, known: p.logprob,
            "logprobs": lambda p, known: logprobs_json(p.logprobs),
            "reason": self._reason,
            "known": lambda p, known: known,
            "fingerprint": lambda p, known: None,  # see Plan.mark
        }
        for label in plan.columns.label_scores:
            values[LABEL_SCORE + label] = self._score_of(label)
        self._values = [values[role] for role, _ in plan.columns.items()]
        self._mark = plan.mark

    def _score_of(self, label: str) -> Callable[[Prediction, float | None], float]:
        position = self._labels.position_called(label)
        assert position is not None  # the plan has looked
        return lambda p, known: probability_at(p.logprobs, position)

    def reset_counts(self) -> None:
        """Counts anew."""
        self.withheld: Counter[Withheld | None] = Counter()
        self.reasons: Counter[str] = Counter()

    def _label(self, prediction: Prediction, known: float | None) -> LabelValue | None:
        held = self.why_withheld(prediction, known)
        return self._labels.cell(prediction.labels) if held is None else None

    def _reason(self, prediction: Prediction, known: float | None) -> str | None:
        held = self.why_withheld(prediction, known)
        if held == "known":
            return f"unlike the training rows: known {known or 0:.3f}, below {self._min_known:g}"
        return None if held is None else f"score below {self._threshold:g}"

    def why_withheld(self, prediction: Prediction, known: float | None) -> Withheld | None:
        """What the answer lacks for a label; None: nothing."""
        if self._min_known is not None and (known or 0) < self._min_known:
            return "known"
        if self._threshold is not None and prediction.score < self._threshold:
            return "score"
        return None

    def parameters(
        self,
        key: tuple[Cell, ...],
        text: str | None,
        prediction: Prediction | None,
        known: float | None,
    ) -> list[Any]:
        """The answer and the row's key; NULLs for a row that has no text to classify."""
        if prediction is None:
            return self._mark([None] * len(self._values), text) + list(key)
        return self._mark([value(prediction, known) for value in self._values], text) + list(key)


def _answers(
    batch: Batch, answerer: Answerer, writer: _Writer
) -> tuple[list[list[Any]], Counter[Withheld | None]]:
    """The parameters of the UPDATE, for each row, and how many rows get no label for want of what.
    Done before the write lock is taken: whoever else wants to write must wait for the writing
    alone."""
    texts = [text for _, text in batch if text is not None]
    known: Sequence[float | None] = [None] * len(texts)
    if writer.reads_known:
        predictions, known = answerer.answers_known(texts)
    else:
        predictions = answerer.answers(texts)
    every = list(zip(predictions, known, strict=True))
    answers = iter(every)
    updates = [
        writer.parameters(key, text, *((None, None) if text is None else next(answers)))
        for key, text in batch
    ]
    return updates, Counter(writer.why_withheld(*answer) for answer in every)


def _write(
    conn: sqlite3.Connection, batch: Batch, updates: list[list[Any]], plan: Plan, job: Job
) -> dict[int, str]:
    """Writes the rows, and the job's place behind them; {position: why} of those that stayed as
    they were."""
    kept = plan.write(conn, updates)
    if not batch:
        if plan.rows.passed is not None:  # new rows are those behind all that were looked at
            job.position = plan.row_cursor.after(conn, plan.rows.passed)
            save_progress(conn, job)
        return kept
    answered = sum(text is not None and i not in kept for i, (_, text) in enumerate(batch))
    job.position = plan.row_cursor.after(conn, batch[-1][0])
    job.done += answered
    job.failed += len(kept)
    job.skipped += len(batch) - answered - len(kept)
    job.total = max(job.total or 0, job.rows_done)  # rows may have come since
    save_progress(conn, job)
    return kept
