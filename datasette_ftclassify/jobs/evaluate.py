"""Evaluation of a stored classifier on the rows that it has never seen."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from typing import Any

from ..errors import EvaluationError
from ..evaluation import evaluate
from ..examples import Record, read_records
from ..labels import LabelSet, LabelValue
from ..loading import load_answerer
from ..predictions import Answerer, chosen_labels
from ..splits import text_hash
from ..sql import relation
from ..store.classifiers import Classifier
from ..store.evaluations import add_evaluation
from ..store.splits import Membership

_BATCH = 1_000


def evaluate_classifier(
    conn: sqlite3.Connection, classifier: Classifier, *, store: bool = True
) -> dict[str, Any]:
    """Metrics on the test split as it was when the classifier was trained, kept with it if `store`.

    `held_back` rows were in it. `missing` of them are gone, or now have a text that was trained on;
    `unknown_labels` have a label that the classifier does not know. Neither counts as wrong.
    Raises EvaluationError when no row is left.
    """
    answerer = load_answerer(conn, classifier)
    membership = Membership(conn, classifier.split_id)
    rows = list(_test_rows(conn, classifier, membership))
    known = [r for r in rows if _known(classifier.labels, r.labels.values or ())]
    if not known:
        raise EvaluationError(_nothing_left(classifier, membership.held_back))
    metrics = {
        "classifier": classifier.name,
        "version": classifier.version,
        "kind": classifier.labels.kind,
        **_evaluate(answerer, known, classifier),
        "held_back": membership.held_back,
        "missing": max(membership.held_back - len(rows), 0),
        "unknown_labels": len(rows) - len(known),
    }
    if store:
        add_evaluation(conn, classifier, "test", metrics)
    return metrics


def _nothing_left(classifier: Classifier, held_back: int) -> str:
    if not held_back:
        return (
            f"No rows were held back when {classifier.title} was trained: train it with a test "
            "split (a share above 0, or test in the split column)."
        )
    return (
        f"Of the {held_back:,} rows of {classifier.task.source} that were held back when "
        f"{classifier.title} was trained, none is left with a label it knows: train it again."
    )


def _test_rows(
    conn: sqlite3.Connection, classifier: Classifier, membership: Membership
) -> Iterator[Record]:
    source = relation(conn, classifier.task.source)
    has_keys, stable = bool(source.identity), bool(source.primary_key)
    for record in read_records(conn, classifier.task):
        if not record.usable or record.text is None:
            continue
        key = record.key if has_keys else None
        if membership.is_test(key, text_hash(record.text), stable=stable):
            yield record


def _known(labels: LabelSet, values: Sequence[LabelValue]) -> bool:
    return all(labels.index(value) is not None for value in values)


def _evaluate(answerer: Answerer, rows: list[Record], classifier: Classifier) -> dict[str, Any]:
    import numpy as np

    labels = classifier.labels
    predictor = answerer.predictor
    logprobs = np.concatenate(
        [
            predictor.log_probabilities([r.text or "" for r in rows[i : i + _BATCH]])
            for i in range(0, len(rows), _BATCH)
        ]
    )
    positions = [labels.positions(r.labels.values or ()) for r in rows]
    if labels.multilabel:
        truth = np.zeros((len(rows), len(labels)), dtype=np.int8)
        for row, on in enumerate(positions):
            truth[row, on] = 1
        chosen = chosen_labels(logprobs, predictor.thresholds)
        return evaluate(labels.names, truth, logprobs, multilabel=True, chosen=chosen)
    return evaluate(
        labels.names,
        np.array([p[0] for p in positions]),
        logprobs,
        positive=labels.positive,
        majority=_majority(classifier),
    )


def _majority(classifier: Classifier) -> int | None:
    """The commonest label of the training rows, if the file says a sensible one."""
    stored = classifier.report.get("majority")
    return stored if isinstance(stored, int) and 0 <= stored < len(classifier.labels) else None
