"""Evaluation of a stored classifier on the rows that it has never seen."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from typing import Any

from ..errors import EvaluationError
from ..evaluation import evaluate
from ..examples import Record, key_columns, read_records
from ..labels import LabelSet, LabelValue
from ..loading import load_answerer
from ..predictions import Answerer, chosen_labels
from ..splits import text_hash
from ..store.classifiers import Classifier
from ..store.evaluations import add_evaluation
from ..store.splits import Membership

_BATCH = 1_000


def evaluate_classifier(conn: sqlite3.Connection, classifier: Classifier) -> dict[str, Any]:
    """Metrics on the test split as it was stored at training, kept with the classifier.

    Rows deleted since are missing; rows whose label is new to the classifier are left out and
    counted as `unknown_labels`. Raises EvaluationError when no test row is left.
    """
    answerer = load_answerer(conn, classifier)
    rows = [r for r in _test_rows(conn, classifier) if r.usable]
    known = [r for r in rows if _known(classifier.labels, r.labels.values or ())]
    if not known:
        raise EvaluationError(
            f"There are no test rows for {classifier.title}: train with a test split "
            "(a share above 0, or test in the split column)."
        )
    metrics = _evaluate(answerer, known, classifier)
    metrics = {
        "classifier": classifier.name,
        "version": classifier.version,
        "kind": classifier.labels.kind,
        **metrics,
        "unknown_labels": len(rows) - len(known),
    }
    add_evaluation(conn, classifier, "test", metrics)
    return metrics


def _test_rows(conn: sqlite3.Connection, classifier: Classifier) -> Iterator[Record]:
    membership = Membership(conn, classifier.split_id)
    has_keys = bool(key_columns(conn, classifier.task))
    for record in read_records(conn, classifier.task):
        if record.text is None:
            continue
        if membership.is_test(record.key if has_keys else None, text_hash(record.text)):
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
