"""Moving a classifier to another trainer, and comparing classifiers on the same rows."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import TYPE_CHECKING, Any

from ..core.database import Key, json_key
from ..core.errors import EvaluationError, FtclassifyError
from ..store.artifacts import artifact_size
from ..store.classifiers import Classifier, list_classifiers
from ..store.summaries import summarise
from ..trainers.registry import get_trainer
from .compared_pairs import OutOfFoldPairs, Pairs, compare_out_of_fold, compared_metrics, flat
from .compared_rows import CommonRows, HeldBack, most_frequent, tested
from .load_classifier import is_elsewhere, shutdown_of
from .train_request import TrainRequest

if TYPE_CHECKING:
    from ..metrics.comparison import Estimate
    from ..metrics.result import Spending

MOST_COMPARED = 10
"""Classifiers at once: each two of them are a pair."""

LISTED = 200
"""Rows on which the answers differ that are listed."""


def student_request(first: Classifier, request: TrainRequest) -> TrainRequest:
    """The request for a classifier on this machine that learns from the first one's rows, and from
    its answers for rows without a label."""
    name = request.name or f"{first.name}-student"[:100]
    return replace(move_request(first, replace(request, name=name)), teacher=first.uid)


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
class Compared:
    """One of the classifiers that are compared.

    figures:      by key
    added:        nobody asked for it: it is the newest local classifier of the task
    local:        whether it answers on this machine; None: of an unknown trainer
    usd_per_1000: what 1,000 of its answers cost when it was evaluated; None: not known
    bytes:        of its weights and words; None where the model is at a service
    until:        the day on which its model is retired, where one is known
    """

    classifier: Classifier
    figures: dict[str, Estimate]
    added: bool
    local: bool | None
    usd_per_1000: float | None
    bytes: int | None
    until: date | None

    def to_dict(self) -> dict[str, Any]:
        return {
            "classifier": self.classifier.name,
            "version": self.classifier.version,
            "title": self.classifier.title,
            "trainer": self.classifier.trainer,
            "added": self.added,
            "local": self.local,
            "usd_per_1000": self.usd_per_1000,
            "bytes": self.bytes,
            "until": None if self.until is None else self.until.isoformat(),
            **flat(self.figures),
        }


@dataclass(frozen=True)
class Disagreement:
    """A row to which the classifiers give different answers: label names, each in its own set."""

    key: Key
    truth: tuple[str, ...]
    answers: tuple[tuple[str, ...] | None, ...]
    right: tuple[bool, ...]


@dataclass(frozen=True)
class Comparison(Pairs):
    """Classifiers on the test rows that none of them was trained on.

    no_test_rows:   why there are none in common, so that all below is empty but `out_of_fold`; None
                    where there are
    unanswered:     test rows that one has no answer for
    always:         the labels of the baseline, which `baseline` are the figures of: the most
                    frequent label of the first one's training; of several labels, those that these
                    rows have most often
    disagreements:  the first of `disagreed` rows with different answers
    left_out:       why the newest local classifier of the task is not among them; empty if it is,
                    or there is none
    out_of_fold:    the same of rows that they were trained on; or `no_out_of_fold`, why there are
                    none
    """

    no_test_rows: str | None
    compared: tuple[Compared, ...]
    unanswered: int
    always: tuple[str, ...] = ()
    baseline: Mapping[str, Estimate] = field(default_factory=dict)
    disagreements: tuple[Disagreement, ...] = ()
    disagreed: int = 0
    left_out: str = ""
    out_of_fold: OutOfFoldPairs | None = None
    no_out_of_fold: str | None = None

    def to_dict(self) -> dict[str, Any]:
        return {
            "rows": self.rows,
            "texts": self.texts,
            "no_test_rows": self.no_test_rows,
            "unanswered": self.unanswered,
            "classifiers": [each.to_dict() for each in self.compared],
            "baseline": {"always": list(self.always), **flat(self.baseline)},
            "pairs": self.pairs_dict(),
            "disagreed": self.disagreed,
            "disagreements": [
                {
                    "key": list(json_key(row.key)),
                    "truth": list(row.truth),
                    "answers": [None if a is None else list(a) for a in row.answers],
                }
                for row in self.disagreements
            ],
            "left_out": self.left_out or None,
            "out_of_fold": self.out_of_fold.to_dict() if self.out_of_fold else None,
            "no_out_of_fold": self.no_out_of_fold,
        }


def compare(
    conn: sqlite3.Connection,
    *classifiers: Classifier,
    may: Callable[[Classifier], bool] = lambda classifier: True,
) -> Comparison:
    """Classifiers on the rows that were held back from all of them, if none is local with the
    newest local one of their task, where that was tested on these rows; without such rows, on those
    of the training alone. The oldest comes first, in whatever order they are named, and each newer
    one is told against each older one. Sends no request.

    may: whether a classifier that was not named may be shown
    Raises EvaluationError for less than two or more than MOST_COMPARED, and as `CommonRows.of`
    where they have no row of the training in common either.
    """
    from ..metrics.comparison import compare_answers

    named = sorted({each.id: each for each in classifiers}.values(), key=lambda each: each.id)
    if len(named) < 2:
        raise EvaluationError("Name at least two different classifiers to compare.")
    if len(named) > MOST_COMPARED:
        raise EvaluationError(f"At most {MOST_COMPARED} classifiers are compared at once.")
    try:
        found = [tested(conn, classifier) for classifier in named]
        common = CommonRows.of(named, found)
    except EvaluationError as error:
        return _out_of_fold_alone(conn, named, error)
    local, left_out = _with_local(conn, named, found, common, may)
    common = local or common
    answers, groups = common.answers(), common.groups()
    labels = common.classifiers[0].labels
    metrics = compared_metrics(labels)
    always, baseline = most_frequent(answers[0])
    figures, differences = compare_answers([*answers, baseline], metrics, groups, len(answers))
    try:
        out_of_fold, why_not = compare_out_of_fold(conn, common.classifiers), None
    except EvaluationError as error:
        out_of_fold, why_not = None, str(error)
    disagreements = list(_disagreements(common))
    return Comparison(
        titles=tuple(each.title for each in common.classifiers),
        rows=len(common.keys),
        texts=len(set(groups.tolist())),
        metrics=metrics,
        differences=tuple(differences),
        no_test_rows=None,
        compared=tuple(
            _facts(conn, classifier, own, added=classifier not in named)
            for classifier, own in zip(common.classifiers, figures, strict=False)
        ),
        unanswered=common.unanswered,
        always=tuple(labels.names[position] for position in always),
        baseline=figures[-1],
        disagreements=tuple(disagreements[:LISTED]),
        disagreed=len(disagreements),
        left_out=left_out,
        out_of_fold=out_of_fold,
        no_out_of_fold=why_not,
    )


def _out_of_fold_alone(
    conn: sqlite3.Connection, named: Sequence[Classifier], why: EvaluationError
) -> Comparison:
    """Raises `why` where that is not possible either."""
    try:
        held = compare_out_of_fold(conn, named)
    except EvaluationError:
        raise why from None
    return Comparison(
        titles=tuple(each.title for each in named),
        rows=0,
        texts=0,
        metrics=(),
        differences=(),
        no_test_rows=f"{why} So they are compared on rows of the training alone.",
        compared=tuple(_facts(conn, each, {}, added=False) for each in named),
        unanswered=0,
        out_of_fold=held,
    )


def _with_local(
    conn: sqlite3.Connection,
    named: Sequence[Classifier],
    found: Sequence[HeldBack],
    common: CommonRows,
    may: Callable[[Classifier], bool],
) -> tuple[CommonRows | None, str]:
    """The same rows with the newest local classifier of the task as well, or why it is not there;
    nothing where there is none, or one was named."""
    first = named[0]
    newest = max(
        (
            c
            for c in list_classifiers(conn)
            if is_comparable(first, c) and is_elsewhere(c) is False and may(c)
        ),
        key=lambda classifier: classifier.id,
        default=None,
    )
    has_local = any(is_elsewhere(classifier) is False for classifier in named)
    if newest is None or has_local or len(named) == MOST_COMPARED:
        return None, ""
    try:
        rows = tested(conn, newest)
        if not rows.rows.keys() >= set(common.keys):
            return None, f"{newest.title}, which runs on this machine, was tested on other rows."
        everyone = sorted(
            zip([*named, newest], [*found, rows], strict=True), key=lambda each: each[0].id
        )
        return CommonRows.of(*zip(*everyone, strict=True)), ""
    except FtclassifyError as error:
        return None, f"{newest.title}, which runs on this machine, is left out: {error}"


def what_it_learnt(classifier: Classifier) -> tuple[str, tuple[str, ...], bool]:
    """What those have in common that can be compared: the same labels of the same rows, as far as
    their tasks say."""
    return (classifier.task.source, tuple(classifier.task.labels), classifier.labels.exclusive)


def is_comparable(first: Classifier, other: Classifier) -> bool:
    return what_it_learnt(first) == what_it_learnt(other)


def _facts(
    conn: sqlite3.Connection, classifier: Classifier, figures: dict[str, Estimate], *, added: bool
) -> Compared:
    elsewhere = is_elsewhere(classifier)
    local = None if elsewhere is None else not elsewhere
    return Compared(
        classifier,
        figures,
        added,
        local,
        usd_per_1000=_usd_per_1000(conn, classifier),
        bytes=artifact_size(conn, classifier) if local else None,
        until=None if local else shutdown_of(classifier),
    )


def _usd_per_1000(conn: sqlite3.Connection, classifier: Classifier) -> float | None:
    try:
        if not get_trainer(classifier.trainer).capabilities.costs_money:
            return 0.0
    except FtclassifyError:
        return None
    metrics = summarise(conn, classifier).metrics
    spent: Spending = {} if metrics is None else metrics.get("spent", {})
    usd, requests = spent.get("usd", 0), spent.get("requests", 0)
    return 1_000 * usd / requests if usd > 0 and requests > 0 else None


def _disagreements(common: CommonRows) -> Iterator[Disagreement]:
    """Those that one has right and another has not first."""
    found = []
    for place, key in enumerate(common.keys):
        each = [rows[place] for rows in common.by]
        said = tuple(
            None if row.chosen is None else _names(classifier, row.chosen)
            for classifier, row in zip(common.classifiers, each, strict=True)
        )
        if len({answer and frozenset(answer) for answer in said}) > 1:
            truth = _names(common.classifiers[0], each[0].truth)
            right = tuple(row.right for row in each)
            found.append(Disagreement(key, truth, said, right))
    return iter(sorted(found, key=lambda row: len(set(row.right)) == 1))


def _names(classifier: Classifier, positions: Sequence[int]) -> tuple[str, ...]:
    return tuple(classifier.labels.names[position] for position in positions)


def compare_or_why(
    conn: sqlite3.Connection, *classifiers: Classifier
) -> tuple[Comparison | None, str | None]:
    """A comparison, or why there is none: what was trained is there all the same."""
    try:
        return compare(conn, *classifiers), None
    except FtclassifyError as error:
        return None, str(error)
