"""Evaluation of a stored classifier on its held-out test rows."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import asdict
from typing import cast

import numpy as np

from ..core.database import relation
from ..core.errors import EvaluationError
from ..core.examples import Record, read_records
from ..core.labels import LabelSet, LabelValue
from ..core.prediction import Answerer
from ..core.text import text_hash
from ..metrics.result import Evaluation
from ..store.classifiers import Classifier, find_by_id
from ..store.evaluations import TEST, RowResult, add_evaluation
from ..store.jobs.job import Job
from ..store.jobs.state import add_job, note_terms
from ..store.label_changes import chosen_rows
from ..store.schema import ensure_schema, transaction
from ..store.spending import Spent
from ..store.splits import Membership
from ..trainers.access import Access
from ..trainers.configuration import read_access
from .agreements import agree, spent_by
from .estimates import JobEstimate, agreed
from .lease import Lease, leased
from .load_classifier import load_answerer, service_of
from .row_results import figures_of, judge
from .settings import EvaluateSettings

_BATCH = 1_000


def evaluate_classifier(
    conn: sqlite3.Connection,
    classifier: Classifier,
    *,
    store: bool = True,
    access: Access | None = None,
    lease: Lease | None = None,
    split: str = TEST,
) -> Evaluation:
    """Metrics on the test split as it was when the classifier was trained, kept with it if `store`.

    `held_back` rows were in it. `missing` of them are gone, or now have a text that was trained on;
    `unknown_labels` have a label that the classifier does not know. Neither counts as wrong.
    For a model at a service there are also `abstained_reasons` with their counts, and `spent` on
    the answers that were not kept from before.

    split:  the validation split in its place, of a model that was not trained on it
    lease:  of the job in whose name a service is asked; without one, that is a job of its own
    access: to the service; None: from the environment
    Raises EvaluationError when no row is left. Of a service: AccessError without a key, JobPaused
    when a limit is reached, it refuses or does not answer.
    """
    if lease is None and store and service_of(classifier) is not None:
        return _as_a_job(conn, classifier, access)
    rows, counts = read_test_rows(conn, classifier, split)
    if service_of(classifier) is None:
        figures, judged = answer_here(load_answerer(conn, classifier), rows, classifier)
    else:
        figures, judged = _answered_there(conn, lease, rows, classifier, access or read_access())
    names = {
        "classifier": classifier.name,
        "version": classifier.version,
        "kind": classifier.labels.kind,
    }
    metrics = cast("Evaluation", {**names, **figures, **counts})
    if store:
        # A view's rows have numbers only, which say nothing when they are read again.
        named = relation(conn, classifier.task.source).identity
        add_evaluation(conn, classifier, split, metrics, judged if named else [])
    return metrics


def submit_evaluate(
    conn: sqlite3.Connection,
    classifier_id: int,
    *,
    limit_usd: float | None = None,
    estimate: JobEstimate | None = None,
    access: Access | None = None,
) -> Job:
    """A queued job that evaluates a classifier on its test rows, and a person's agreement to it.

    estimate, limit_usd: what it is expected to cost as it was confirmed, and what it may cost
    """
    settings = asdict(EvaluateSettings(classifier_id))
    ensure_schema(conn)
    with transaction(conn):
        job = add_job(conn, "evaluate", settings, classifier_id=classifier_id)
        reach = access or read_access()
        if service_of(find_by_id(conn, classifier_id)) is None:
            agree(conn, job, reach)
            return job
        terms = agreed(estimate, limit_usd, spent_by(conn, job, reach))
        job = note_terms(conn, job.id, terms)
        agree(conn, job, reach, terms["limit_usd"], terms.get("usd"))
        return job


def run_evaluate(lease: Lease, access: Access) -> Evaluation:
    """Runs a claimed job. Raises as `evaluate_classifier` does."""
    classifier = find_by_id(lease.conn, int(lease.job.classifier_id or 0))
    return evaluate_classifier(lease.conn, classifier, access=access, lease=lease)


def _as_a_job(
    conn: sqlite3.Connection, classifier: Classifier, access: Access | None
) -> Evaluation:
    job = submit_evaluate(conn, classifier.id, access=access)
    with leased(conn, job.id, access) as lease:
        found = evaluate_classifier(conn, classifier, access=access, lease=lease)
        lease.result = found
        return found


def read_test_rows(
    conn: sqlite3.Connection, classifier: Classifier, split: str = TEST
) -> tuple[list[Record], dict[str, int]]:
    """The rows to evaluate on, and how many others there are. Raises EvaluationError for none."""
    source = relation(conn, classifier.task.source)
    membership = Membership(conn, classifier.split_id, source)
    chosen = chosen_rows(conn, source.name)
    rows = [
        record for record in read_records(conn, classifier.task)
        if record.usable and _is_held(record, membership, split)
        and not chosen.has(record.key, record.text)
    ]  # fmt: skip
    held_back = membership.count(split)
    known = [r for r in rows if _known(classifier.labels, r.labels.values or ())]
    if not known:
        raise EvaluationError(_nothing_left(classifier, held_back))
    return known, {
        "held_back": held_back,
        "missing": max(held_back - len(rows), 0),
        "unknown_labels": len(rows) - len(known),
    }


def _nothing_left(classifier: Classifier, held_back: int) -> str:
    if not held_back:
        return (
            f"No rows were held back when {classifier.title} was trained: label more, or train it "
            "with a test split (a share above 0, or test in the split column)."
        )
    return (
        f"Of the {held_back:,} rows of {classifier.task.source} that were held back when "
        f"{classifier.title} was trained, none is left with a label it knows: train it again."
    )


def _is_held(record: Record, membership: Membership, split: str) -> bool:
    hashed = text_hash(record.text or "")
    if split == TEST:
        return membership.is_test(record.key, hashed)
    return membership.split_of(record.key, hashed) == split


def _known(labels: LabelSet, values: Sequence[LabelValue]) -> bool:
    return all(labels.index(value) is not None for value in values)


def answer_here(
    answerer: Answerer, rows: list[Record], classifier: Classifier
) -> tuple[Evaluation, list[RowResult]]:
    """The figures of a model that is in the file, and what it answered for each row."""
    predictor = answerer.predictor
    logprobs = np.concatenate(
        [
            predictor.log_probabilities([r.text or "" for r in rows[i : i + _BATCH]])
            for i in range(0, len(rows), _BATCH)
        ]
    )
    chosen = classifier.labels.label_kind.choose(logprobs, answerer.thresholds)
    figures, judged = _judged(classifier, rows, logprobs, chosen)
    if answerer.thresholds is not None:
        names = classifier.labels.names
        for name, least in zip(names, answerer.thresholds.tolist(), strict=True):
            figures["labels"][name]["threshold"] = least if least <= 1 else None  # never given
    return figures, judged


def _answered_there(
    conn: sqlite3.Connection,
    lease: Lease | None,
    rows: list[Record],
    classifier: Classifier,
    access: Access,
) -> tuple[Evaluation, list[RowResult]]:
    from .remote.evaluate import Asked, as_arrays, ask_texts, kept_answers, reasons

    texts = [r.text or "" for r in rows]
    if lease is None:
        asked = Asked(kept_answers(conn, classifier, texts), Spent())
    else:
        lease.job.step = "evaluating"
        asked = ask_texts(lease, classifier, texts, access)
    chosen, logprobs = as_arrays(asked.answers, classifier.labels)
    figures, judged = _judged(classifier, rows, logprobs, chosen)
    figures["abstained_reasons"] = reasons(asked.answers)
    figures["spent"] = asked.spent.to_dict()
    return figures, judged


def _judged(
    classifier: Classifier, rows: list[Record], logprobs: np.ndarray, chosen: np.ndarray
) -> tuple[Evaluation, list[RowResult]]:
    from ..core.near_duplicates import near_groups

    labels, groups = classifier.labels, near_groups([row.text or "" for row in rows])
    truths = [tuple(labels.positions(row.labels.values or ())) for row in rows]
    figures = figures_of(labels, truths, logprobs, chosen, groups, majority_label(classifier))
    return figures, judge([row.key for row in rows], labels, truths, logprobs, chosen, groups)


def majority_label(classifier: Classifier) -> int | None:
    """The commonest label of the training rows, if the file says a sensible one."""
    stored = classifier.report.get("majority")
    return stored if isinstance(stored, int) and 0 <= stored < len(classifier.labels) else None
