"""What can be promised of a classifier's answers, and the minimum score that somebody chooses.

Promises are computed from what training answered out of fold; the test rows say what came of them.
"""

from __future__ import annotations

import sqlite3
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from typing import Any, cast

import numpy as np

from ..core.errors import ArtifactError, EvaluationError, FtclassifyError
from ..core.humanize import counted, percent
from ..core.strengths import PROMISES, STRENGTHS
from ..metrics.label_thresholds import Figure, LabelRows, LabelThreshold, label_threshold
from ..metrics.minimum_scores import (
    JudgedRows,
    Outcome,
    Promise,
    curve,
    fixed_score,
    judge,
    least_wrong,
    minimum_score,
    share_text,
)
from ..store.classifiers import Classifier, find_classifier
from ..store.evaluations import OUT_OF_FOLD, TEST, scored_rows
from ..store.minimum_scores import KeptTree, MinimumScore, find_minimum, set_minimum
from ..store.out_of_fold import OutOfFold, read_out_of_fold
from .load_classifier import load_answerer, service_of

FIGURES = ("precision", "recall")

_MOST_CELLS = 20_000_000
"""Rows times labels whose probabilities are held at once."""


@dataclass(frozen=True)
class MinimumChoice:
    """What somebody asks for.

    strength: one of STRENGTHS
    wrong:    the share of wrong answers, 0-1, of one that promises it
    score:    of a fixed one, 0-1
    figure, least: where a row may have several labels: the precision or recall of each, 0-1
    groups:   where the groups of labels come from that answer below the score, see
              `label_trees.find_tree`; empty: nothing does; None: as it was chosen before
    """

    strength: str
    wrong: float | None = None
    score: float | None = None
    figure: str | None = None
    least: float | None = None
    groups: str | None = None


@dataclass(frozen=True)
class Tested:
    """A promise, and what it gave on the test rows; None where there are none."""

    promise: Promise
    test: Outcome | None

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self.promise), "test": None if self.test is None else asdict(self.test)}


@dataclass(frozen=True)
class Promises:
    """What can be promised of a classifier, or of its answers with one label.

    rows:    held out of the training, by which promises are computed
    problem: why there are none; a fixed score can still be chosen
    tested:  for each strength that promises, by share of wrong answers
    """

    rows: int
    problem: str | None
    tested: list[Tested]

    def to_dict(self) -> dict[str, Any]:
        promised = [one.to_dict() for one in self.tested]
        return {"rows": self.rows, "problem": self.problem, "promises": promised}


def promises(
    conn: sqlite3.Connection, classifier: Classifier, label: int | None = None
) -> Promises:
    """label: of the answers with the label at that position alone. Not for several labels a row.

    Raises ArtifactError when what is stored is damaged."""
    rows = _judged(conn, classifier)
    if rows is None:
        return Promises(0, _no_rows(classifier), [])
    test = test_rows(conn, classifier)
    if label is not None:
        rows = rows.answered_with(label)
        test = None if test is None else test.answered_with(label)
    found = [promise for strength in PROMISES for promise in curve(rows, strength)]
    return Promises(len(rows), None, [_tested(promise, test) for promise in found])


def tested(conn: sqlite3.Connection, classifier: Classifier, score: float) -> Outcome | None:
    """What a minimum score gives on the test rows; None where there are none."""
    rows = test_rows(conn, classifier)
    return None if rows is None else judge(rows, score)


def label_thresholds_for(
    conn: sqlite3.Connection, classifier: Classifier, choice: MinimumChoice
) -> list[LabelThreshold]:
    """Of each label, in the order of the label set. Raises EvaluationError for a choice that is
    none, or where no row was held out."""
    if choice.figure not in FIGURES or choice.least is None or choice.strength not in PROMISES:
        raise EvaluationError(
            f"{classifier.title} may give a row several labels: choose a precision or a recall "
            "that each is to have.",
            fields=("figure", "least"),
        )
    kept = read_out_of_fold(conn, classifier)
    if kept is None:
        raise EvaluationError(_no_rows(classifier), fields=("strength",))
    rows, figure = _label_rows(kept), cast(Figure, choice.figure)
    return [
        label_threshold(rows, label, figure, choice.least, choice.strength)
        for label in range(kept.n_labels)
    ]


def resolve(
    conn: sqlite3.Connection, classifier: Classifier, choice: MinimumChoice
) -> MinimumScore:
    """The minimum score that a choice comes to. Raises EvaluationError, with the reason and what
    would help, when it cannot be promised."""
    if choice.strength not in STRENGTHS:
        raise EvaluationError(f"Choose {', '.join(STRENGTHS)}.", fields=("strength",))
    if not classifier.labels.exclusive:
        return _of_labels(conn, classifier, choice)
    if choice.figure is not None or choice.least is not None:
        raise EvaluationError(
            f"{classifier.title} gives a row one label: choose a share of wrong answers.",
            fields=("figure",),
        )
    promise = _promise(conn, classifier, choice)
    covered = None if promise.outcome is None else promise.outcome.coverage
    found = MinimumScore(
        choice.strength, score=promise.score, wrong=promise.wrong, coverage=covered
    )
    if not choice.groups:
        return found
    from .label_trees import with_groups

    return with_groups(conn, classifier, found, choice.groups)


def chosen_minimum(
    conn: sqlite3.Connection, classifier: Classifier, choice: MinimumChoice | None, by: str | None
) -> MinimumScore | None:
    """What the choice comes to; None: every answer is given again. It reads what was held out, and
    may load the classifier, but writes nothing: `set_minimum` keeps it.

    by: the id of the actor; None: somebody on the command line
    Raises as `resolve` does.
    """
    if choice is None:
        return None
    if choice.groups is None:
        with suppress(ArtifactError):  # one that is damaged is replaced
            before = find_minimum(conn, classifier)
            if before is not None and before.tree is not None:
                choice = replace(choice, groups=before.tree.origin)
    return replace(resolve(conn, classifier, choice), set_by=by)


def choose_minimum(
    conn: sqlite3.Connection, classifier: Classifier, choice: MinimumChoice | None, by: str | None
) -> MinimumScore | None:
    """Keeps what `chosen_minimum` gives with the classifier. Raises as that does."""
    return set_minimum(conn, classifier, chosen_minimum(conn, classifier, choice, by))


def carry_over(conn: sqlite3.Connection, classifier: Classifier) -> str | None:
    """Chooses for a new version what was chosen for the one before, whose name it takes over:
    whoever asks that name would else get answers that were kept back until then. What was done, in
    a sentence; None where nothing had been chosen. Call inside a transaction.

    A promise is computed from the rows of the new version. Where it cannot be made any more, the
    score stays as a fixed one.
    """
    row = conn.execute(
        "select max(version) from _ftclassify_classifiers where name = ? and version < ?",
        [classifier.name, classifier.version],
    ).fetchone()
    if row[0] is None:
        return None
    title = f"{classifier.name}@{row[0]}"
    try:
        minimum = find_minimum(conn, find_classifier(conn, title))
    except FtclassifyError as error:
        return f"{classifier.title} has no minimum score. {error}"
    if minimum is None:
        return None
    fixed = MinimumScore("fixed", score=minimum.score, set_by=minimum.set_by)
    try:
        choice = MinimumChoice(
            minimum.strength, minimum.wrong, minimum.score, minimum.figure, minimum.least,
            None if minimum.tree is None else minimum.tree.origin,
        )  # fmt: skip
        found = choose_minimum(conn, classifier, choice, minimum.set_by)
    except FtclassifyError as error:
        if minimum.score is None or not classifier.labels.exclusive:
            return f"{classifier.title} has no thresholds of its own, as {title} has. {error}"
        set_minimum(conn, classifier, fixed)
        stays = f"The minimum score of {title} stays, {minimum.score:.3g}, and promises nothing."
        return f"{error} {stays}"
    return f"As for {title}: {said(found)}"


def said(minimum: MinimumScore | None) -> str:
    """What is kept, in a sentence."""
    if minimum is None:
        return "Every answer is given, whatever its score."
    if minimum.thresholds is not None:
        never = sum(least is None for least in minimum.thresholds)
        left = f" {never:,} of {len(minimum.thresholds):,} labels are never given." if never else ""
        return (
            f"Each label is given from a probability of its own, for a {minimum.figure} of at "
            f"least {share_text(minimum.least or 0)} ({minimum.strength}).{left}"
        )
    covered = ""
    if minimum.coverage is not None:
        covered = f", as {share_text(round(minimum.coverage, 3))} of the held-out rows have"
    what = f"Only answers with a score of at least {minimum.score:.3g} are given{covered}"
    groups = "" if minimum.tree is None else f" {_groups_said(minimum.tree, minimum.wrong)}"
    if minimum.wrong is None:
        return f"{what}. That promises nothing.{groups}"
    return f"{what}: at most {share_text(minimum.wrong)} wrong ({minimum.strength}).{groups}"


def _groups_said(kept: KeptTree, wrong: float | None) -> str:
    """From which scores groups of labels answer below that."""
    scores = [f"{least:.3g}" for least in kept.levels if least is not None]
    number = sum(size > 1 for level in kept.tree.sizes for size in level.values())
    promise = "" if wrong is None else ", with the same promise of its own"
    return (
        f"Below it a row gets one of {counted(number, 'group')} of labels, where that has a score "
        f"of at least {' or '.join(scores)}{promise}."
    )


def test_rows(conn: sqlite3.Connection, classifier: Classifier) -> JudgedRows | None:
    """The test rows as they were answered; None without any, or with several labels a row."""
    return _judged(conn, classifier, TEST)


def _judged(
    conn: sqlite3.Connection, classifier: Classifier, split: str = OUT_OF_FOLD
) -> JudgedRows | None:
    found = scored_rows(conn, classifier, split) if classifier.labels.exclusive else []
    if not found:
        return None
    scores, right, chosen, groups = (np.array(column) for column in zip(*found, strict=True))
    return JudgedRows(scores, right == 1, chosen, groups)


def _tested(promise: Promise, test: JudgedRows | None) -> Tested:
    if promise.score is None or test is None or not len(test):
        return Tested(promise, None)
    return Tested(promise, judge(test, promise.score))


def _promise(conn: sqlite3.Connection, classifier: Classifier, choice: MinimumChoice) -> Promise:
    """Raises EvaluationError where that cannot be promised, with what can."""
    if choice.strength == "fixed":
        if choice.score is None:
            raise EvaluationError("Choose the minimum score.", fields=("score",))
        return fixed_score(_judged(conn, classifier), choice.score)
    if choice.wrong is None:
        raise EvaluationError("Choose the share of answers that may be wrong.", fields=("wrong",))
    rows = _judged(conn, classifier)
    if rows is None:
        raise EvaluationError(_no_rows(classifier), fields=("strength",))
    promise = minimum_score(rows, choice.wrong, choice.strength)
    if promise.score is None:
        possible = least_wrong(rows, choice.wrong, choice.strength)
        raise EvaluationError(f"{promise.why}{_instead(possible)}", fields=("wrong",))
    return promise


def _instead(possible: Promise | None) -> str:
    if possible is None or possible.wrong is None or possible.outcome is None:
        return ""
    share, answered = share_text(possible.wrong), percent(possible.outcome.coverage)
    return f" At most {share} wrong can be had, with an answer for {answered} of the rows."


def _of_labels(
    conn: sqlite3.Connection, classifier: Classifier, choice: MinimumChoice
) -> MinimumScore:
    found = label_thresholds_for(conn, classifier, choice)
    thresholds = [one.threshold for one in found]
    if all(threshold is None for threshold in thresholds):
        raise EvaluationError(
            f"This can be promised of no label. {found[0].why}", fields=("least",)
        )
    if choice.figure == "recall":
        # Where nothing can be promised, a label is given as it was found best in training.
        own = load_answerer(conn, classifier).predictor.thresholds
        usual = [0.5] * len(found) if own is None else own.tolist()
        thresholds = [
            usual[i] if threshold is None else threshold for i, threshold in enumerate(thresholds)
        ]
    return MinimumScore(
        choice.strength, thresholds=tuple(thresholds), figure=choice.figure, least=choice.least
    )


def _label_rows(kept: OutOfFold) -> LabelRows:
    # Of very many labels fewer rows, drawn at random as all of these are.
    rows = np.flatnonzero(kept.sampled)[: max(1_000, _MOST_CELLS // kept.n_labels)].tolist()
    probabilities = np.zeros((len(rows), kept.n_labels), dtype=np.float32)
    truth = np.zeros(probabilities.shape, dtype=np.bool_)
    for i, row in enumerate(rows):
        for label, probability in kept.probabilities[row]:
            probabilities[i, label] = probability
        truth[i, list(kept.truth[row])] = True
    return LabelRows(probabilities, truth, kept.groups[rows])


def _no_rows(classifier: Classifier) -> str:
    if service_of(classifier) is not None:
        return (
            f"Nothing can be promised for {classifier.title}: its model is at a service and has no "
            "answers to held-out rows. Choose a fixed score."
        )
    if classifier.report.get("chosen_rows") == classifier.training_rows:
        return (
            f"Nothing can be promised for {classifier.title}: review queues chose all rows that it "
            "was trained on. Label a random sample, too, or choose a fixed score."
        )
    return (
        f"Nothing can be promised for {classifier.title}: no answers of its training are kept in "
        "this file, as an earlier version trained it, or the file is a published copy. Train it "
        "again, or choose a fixed score."
    )
