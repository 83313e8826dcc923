"""What classifiers answered on rows that were held back from all of them: the test rows, or rows of
the training, each answered out of fold."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..core.database import Key, relation
from ..core.errors import EvaluationError
from ..core.humanize import counted
from ..core.labels import variant_key
from ..metrics.answers import Answers, SeveralAnswers, SingleAnswers
from ..store.answers import find_answers, input_key
from ..store.classifiers import Classifier
from ..store.evaluations import RowResult, judged_rows
from ..store.out_of_fold import read_out_of_fold
from .evaluate import answer_here, majority_label, read_test_rows
from .load_classifier import load_answerer, service_of


@dataclass(frozen=True)
class HeldBack:
    """held: the keys of all rows that were held back from a classifier; `rows` are those that it
    has answered."""

    held: frozenset[Key]
    rows: dict[Key, RowResult]


def tested(conn: sqlite3.Connection, classifier: Classifier) -> HeldBack:
    """What its newest evaluation stored; where that stored no rows, as of a view, what it answers
    now. Sends no request: a model at a service counts with its stored answers.

    Raises EvaluationError when it has no test rows.
    """
    stored = judged_rows(conn, classifier)
    if stored:
        known = {row.key: row for row in stored if _is_possible(row, classifier)}
        return HeldBack(frozenset(known), known)
    records, _ = read_test_rows(conn, classifier)
    held = frozenset(record.key for record in records)
    if service_of(classifier) is None:
        _, rows = answer_here(load_answerer(conn, classifier), records, classifier)
        return HeldBack(held, {row.key: row for row in rows})
    from ..core.near_duplicates import near_groups

    texts = [record.text or "" for record in records]
    kept = find_answers(conn, classifier.id, list(map(input_key, texts)))
    groups = near_groups(texts).tolist()
    answered = {}
    for record, text, group in zip(records, texts, groups, strict=True):
        answer = kept.get(input_key(text))
        if answer is not None:
            truth = _positions(classifier, record.labels.values or ())
            chosen = None if answer.labels is None else _positions(classifier, answer.labels)
            answered[record.key] = RowResult(record.key, truth, chosen, None, group)
    return HeldBack(held, answered)


def answered_out_of_fold(conn: sqlite3.Connection, classifier: Classifier) -> dict[Key, RowResult]:
    """By key the rows that it was trained on, as models answered that had not seen them; of very
    many a random sample.

    Raises EvaluationError when there are none that can be told apart, SourceError when the table is
    gone, ArtifactError when they are damaged.
    """
    if not relation(conn, classifier.task.source).identity:
        raise EvaluationError("the rows of a view have no identity")
    found = read_out_of_fold(conn, classifier)
    if found is None:
        elsewhere = service_of(classifier) is not None
        raise EvaluationError(
            "its model is at a service"
            if elsewhere
            else "no row could be held out, or this file does not keep what was answered"
        )
    return {row.key: row for row in found.drawn()}


def _positions(classifier: Classifier, labels: Sequence[Any]) -> tuple[int, ...]:
    return tuple(classifier.labels.positions(labels))


def _is_possible(row: RowResult, classifier: Classifier) -> bool:
    """Whether a stored row fits the label set: files may come from anywhere."""
    labels = classifier.labels
    for positions in (row.truth, row.chosen):
        if positions is None:
            continue
        if any(position >= len(labels) for position in positions):
            return False
        if labels.exclusive and len(positions) != 1:
            return False
    return True


@dataclass(frozen=True)
class CommonRows:
    """The rows that all of some classifiers have answered.

    keys:       in the order of everything else
    unanswered: rows that were held back from all, which one has no answer for
    by:         of each classifier its rows
    """

    classifiers: tuple[Classifier, ...]
    keys: list[Key]
    unanswered: int
    by: tuple[list[RowResult], ...]

    @classmethod
    def of(cls, classifiers: Sequence[Classifier], found: Sequence[HeldBack]) -> CommonRows:
        """Raises EvaluationError for classifiers that cannot be compared: they have no row in
        common, or a row has another label for the one than for the other, and to be right is not
        the same for both."""
        first = classifiers[0]
        for other in classifiers[1:]:
            if other.labels.exclusive != first.labels.exclusive:
                raise EvaluationError(
                    f"{first.title} and {other.title} cannot be compared: one gives a row one "
                    "label, the other several."
                )
        held = frozenset.intersection(*(each.held for each in found))
        keys = [key for key in found[0].rows if all(key in each.rows for each in found)]
        names = " and ".join(classifier.title for classifier in classifiers)
        if not keys:
            both = "both" if len(classifiers) == 2 else "all"
            raise EvaluationError(f"{names} have answered no test row in common: evaluate {both}.")
        rows = tuple([each.rows[key] for key in keys] for each in found)
        common = cls(tuple(classifiers), keys, len(held) - len(keys), rows)
        common._expect_same_labels()
        return common

    def _expect_same_labels(self) -> None:
        first = self.classifiers[0]
        truths = [variants_of(first, row.truth) for row in self.by[0]]
        for other, rows in zip(self.classifiers[1:], self.by[1:], strict=True):
            differ = sum(
                truth != variants_of(other, row.truth)
                for truth, row in zip(truths, rows, strict=True)
            )
            if differ:
                columns = [" and ".join(map(repr, c.task.labels)) for c in (first, other)]
                raise EvaluationError(
                    f"{first.title} and {other.title} cannot be compared: of the {len(rows):,} "
                    f"test rows that they have in common, {counted(differ, 'has', 'have')} other "
                    f"labels for the one (from {columns[0]}) than for the other (from "
                    f"{columns[1]}). If the rows were changed since, evaluate both again."
                )

    def groups(self) -> np.ndarray:
        """(n,) the same number for rows whose texts are equal or near copies, as far as one of the
        classifiers knows."""
        for rows in self.by:
            if all(row.group is not None for row in rows):
                return np.array([row.group for row in rows])
        return np.arange(len(self.keys))

    def answers(self) -> list[Answers]:
        """Of each classifier; each by its own reading of the label cells, since one may count ways
        of writing as one label."""
        first = self.classifiers[0]
        if first.labels.exclusive:
            return [_single(c, rows) for c, rows in zip(self.classifiers, self.by, strict=True)]
        truth = first.labels.label_kind.as_array([r.truth for r in self.by[0]], len(first.labels))
        both = zip(self.classifiers, self.by, strict=True)
        return [_several(first, truth == 1, classifier, rows) for classifier, rows in both]


def variants_of(classifier: Classifier, positions: Sequence[int]) -> set[str]:
    """The labels, however they are written."""
    return {variant_key(classifier.labels.values[position]) for position in positions}


def _single(classifier: Classifier, rows: Sequence[RowResult]) -> SingleAnswers:
    labels = classifier.labels
    chosen = labels.label_kind.as_array([row.chosen for row in rows], len(labels))
    scores = np.array([np.nan if row.score is None else row.score for row in rows])
    # Of two labels the score of one tells that of the other.
    scored = ~np.isnan(scores) & (chosen >= 0) & (len(labels) == 2)
    logprobs = np.broadcast_to(np.nan, (len(rows), len(labels)))
    if scored.any():
        logprobs = np.full((len(rows), 2), np.nan)
        places = np.flatnonzero(scored)
        with np.errstate(divide="ignore"):
            logprobs[places, chosen[places]] = np.log(scores[places])
            logprobs[places, 1 - chosen[places]] = np.log1p(-scores[places])
    return SingleAnswers(
        labels=list(labels.names),
        logprobs=logprobs,
        scored=scored,
        sizes=np.ones(len(rows), dtype=np.int64),
        truth=np.array([row.truth[0] for row in rows]),
        chosen=chosen.astype(np.int64),
        majority=majority_label(classifier),
        positive=1 if labels.positive is None else labels.positive,
    )


def _several(
    first: Classifier, truth: np.ndarray, classifier: Classifier, rows: Sequence[RowResult]
) -> SeveralAnswers:
    """With the labels in the first one's order; those that the classifier does not know are never
    answered, and an answer that the first does not know is no label of the row."""
    names = first.labels.names
    flags = classifier.labels.label_kind.as_array(
        [row.chosen for row in rows], len(classifier.labels)
    )
    own = {name: flags[:, i] for i, name in enumerate(classifier.labels.names)}
    nothing = np.zeros(len(rows), dtype=np.int8)
    chosen = np.stack([own.get(name, nothing) for name in names], axis=1) == 1
    return SeveralAnswers(
        labels=list(names),
        logprobs=np.broadcast_to(np.nan, truth.shape),
        scored=np.zeros(len(rows), dtype=np.bool_),
        sizes=np.ones(len(rows), dtype=np.int64),
        truth=truth,
        chosen=chosen,
        without=np.array([row.chosen is None for row in rows]),
    )


def most_frequent(answers: Answers) -> tuple[tuple[int, ...], Answers]:
    """The labels that occur most often, as an evaluation reckons them, and the answers of whoever
    always gives those."""
    without = np.zeros(answers.rows, dtype=np.bool_)
    unscored = np.broadcast_to(np.nan, (answers.rows, len(answers.labels)))
    if isinstance(answers, SingleAnswers):
        always = np.full(answers.rows, answers.common)
        same = replace(answers, chosen=always, scored=without, logprobs=unscored)
        return (answers.common,), same
    assert isinstance(answers, SeveralAnswers)
    labels = tuple(answers.commonest[0].tolist())
    flags = np.zeros_like(answers.truth)
    flags[:, list(labels)] = True
    return labels, replace(
        answers, chosen=flags, without=without, scored=without, logprobs=unscored
    )
