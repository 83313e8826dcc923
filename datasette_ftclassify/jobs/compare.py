"""Moving a classifier to another trainer, and comparing the two on the same rows."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ..core.database import Key
from ..core.errors import EvaluationError, FtclassifyError
from ..core.examples import Record
from ..core.humanize import counted
from ..core.labels import LabelValue, variant_key
from ..metrics.comparison import SURE, compare_pairs, p_value_text
from ..metrics.intervals import share_interval
from ..store.answers import find_answers, input_key
from ..store.classifiers import Classifier
from ..store.evaluations import RowResult
from .evaluate import majority_label, read_test_rows
from .load_classifier import load_answerer, service_of
from .train_request import TrainRequest

if TYPE_CHECKING:
    import numpy as np

    from ..metrics.result import Pairs

Labels = tuple[LabelValue, ...]


def move_request(
    first: Classifier, request: TrainRequest, *, on_predictions: bool = False
) -> TrainRequest:
    """The request for a second classifier on the first one's rows and split.

    Its name is the first one's with the trainer's, unless it has one.
    """
    name = request.name or f"{first.name}-{request.trainer}"[:100]
    options = replace(request.chosen, seed=first.seed)
    plan = replace(request.plan, seed=first.seed)
    return replace(
        request,
        name=name,
        plan=plan,
        options=options,
        like=first.uid,
        on_predictions=on_predictions,
    )


@dataclass(frozen=True)
class Comparison:
    """Two classifiers on the test rows that neither was trained on.

    rows:     that both have answered; `unanswered` are those that one has no answer for
    accuracy: (share right, and the ends of its 95% interval, 0-1) of the first and the second;
              of several labels, all must be right
    majority: share right of always giving the commonest label of the first one's training, as its
              evaluation reckons it; of several labels, those that these rows have most often
    pairs:    see `metrics.comparison`
    """

    first: Classifier
    second: Classifier
    rows: int
    unanswered: int
    accuracy: tuple[tuple[float, float, float], tuple[float, float, float]]
    majority: float
    pairs: Pairs

    def to_dict(self) -> dict[str, Any]:
        both = ((self.first, self.accuracy[0]), (self.second, self.accuracy[1]))
        return {
            "rows": self.rows,
            "unanswered": self.unanswered,
            "classifiers": [
                {
                    "classifier": c.name,
                    "version": c.version,
                    "trainer": c.trainer,
                    "accuracy": share,
                    "accuracy_low": low,
                    "accuracy_high": high,
                }
                for c, (share, low, high) in both
            ],
            "majority_accuracy": self.majority,
            "pairs": self.pairs,
        }

    def sentence(self) -> str:
        """Which one is better, if that is significant, for people."""
        first, second = self.pairs["only_first"], self.pairs["only_second"]
        better = self.first
        if self.pairs["texts_second"] > self.pairs["texts_first"]:
            better = self.second
        p = p_value_text(self.pairs, "texts_first", "texts_second")
        counts = (
            f"{counted(first, 'row is', 'rows are')} right by {self.first.title} alone,"
            f" {second:,} by {self.second.title} alone"
        )
        if self.pairs["p_value"] < SURE:
            return f"{counts}: {better.title} is better ({p})."
        return f"{counts}: too little to tell which is better ({p})."


def compare(conn: sqlite3.Connection, first: Classifier, second: Classifier) -> Comparison:
    """Both on the rows that were held back from both. Sends no request: a model at a service counts
    with its stored answers, which an evaluation leaves.

    Raises EvaluationError when they have no such row in common, or when such a row has another
    label for the one than for the other: what is right of the two is then not the same.
    """
    import numpy as np

    from ..core.near_duplicates import near_groups

    rows = _rows(conn, first)
    seconds = _rows(conn, second)
    common = [key for key in rows if key in seconds and rows[key].text == seconds[key].text]
    _expect_same_labels(first, second, [(rows[key], seconds[key]) for key in common])
    records = [rows[key] for key in common]
    answers = [_answers(conn, c, [r.text or "" for r in records]) for c in (first, second)]
    asked = [i for i in range(len(records)) if all(i in given for given in answers)]
    if not asked:
        raise EvaluationError(
            f"{first.title} and {second.title} have answered no test row in common: evaluate both."
        )
    truth = [_positions(first, records[i].labels.values or ()) for i in asked]
    # Each by its own reading of the cell: one may count ways of writing as one label.
    right = [
        [_row(c, own[common[i]], given[i]).right for i in asked]
        for c, own, given in ((first, rows, answers[0]), (second, seconds, answers[1]))
    ]
    groups = near_groups([records[i].text or "" for i in asked])
    sizes = np.bincount(np.unique(groups, return_inverse=True)[1])
    counts = Counter(truth)
    always = majority_label(first) if first.labels.exclusive else None
    most = max(counts.values()) if always is None else counts[(always,)]
    return Comparison(
        first=first,
        second=second,
        rows=len(asked),
        unanswered=len(records) - len(asked),
        accuracy=(_share(right[0], sizes), _share(right[1], sizes)),
        majority=most / len(truth),
        pairs=compare_pairs(right[0], right[1], groups),
    )


def _expect_same_labels(
    first: Classifier, second: Classifier, pairs: Sequence[tuple[Record, Record]]
) -> None:
    differ = sum(_variants(a) != _variants(b) for a, b in pairs)
    if differ:
        columns = [" and ".join(map(repr, c.task.labels)) for c in (first, second)]
        raise EvaluationError(
            f"{first.title} and {second.title} cannot be compared: of the {len(pairs):,} test rows "
            f"that they have in common, {counted(differ, 'has', 'have')} other labels "
            f"for the one (from {columns[0]}) than for the other (from {columns[1]})."
        )


def _variants(record: Record) -> set[str]:
    return {variant_key(value) for value in record.labels.values or ()}


def _rows(conn: sqlite3.Connection, classifier: Classifier) -> dict[Key, Record]:
    records, _ = read_test_rows(conn, classifier)
    return {record.key: record for record in records}


def _row(classifier: Classifier, record: Record, given: Labels | None) -> RowResult:
    """The text as an evaluation stores it, so that both judge the same rows as right."""
    truth = _positions(classifier, record.labels.values or ())
    chosen = None if given is None else _positions(classifier, given)
    return RowResult(record.key, truth, chosen, None)


def _positions(classifier: Classifier, labels: Labels) -> tuple[int, ...]:
    return tuple(classifier.labels.positions(labels))


def _share(right: Sequence[bool], sizes: np.ndarray) -> tuple[float, float, float]:
    share = sum(right) / len(right)
    return share, *share_interval(share, sizes)


def _answers(
    conn: sqlite3.Connection, classifier: Classifier, texts: Sequence[str]
) -> dict[int, Labels | None]:
    """What a classifier says, by the text's place; without those that nobody asked about. None
    stands for an answer that is none."""
    if service_of(classifier) is None:
        answerer = load_answerer(conn, classifier)
        return {i: answer.labels for i, answer in enumerate(answerer.answers(texts))}
    keys = list(map(input_key, texts))
    kept = find_answers(conn, classifier.id, keys)
    return {i: kept[key].labels for i, key in enumerate(keys) if key in kept}


def compare_or_why(
    conn: sqlite3.Connection, first: Classifier, second: Classifier
) -> tuple[Comparison | None, str | None]:
    """A comparison, or why there is none: what was trained is there all the same."""
    try:
        return compare(conn, first, second), None
    except FtclassifyError as error:
        return None, str(error)
