"""From which score a classifier answers and what could be promised, as its page and `classifiers
minimum` show it."""

from __future__ import annotations

import sqlite3
from dataclasses import asdict, dataclass
from typing import Any

from ..core.errors import ArtifactError, FtclassifyError
from ..core.training_report import chosen_text
from ..jobs.label_trees import groups_on_test_rows
from ..jobs.minimum_scores import (
    MinimumChoice,
    Promises,
    label_thresholds_for,
    promises,
    said,
    tested,
)
from ..metrics.label_thresholds import LabelThreshold
from ..metrics.minimum_scores import Outcome
from ..store.classifiers import Classifier
from ..store.minimum_scores import MinimumScore, find_minimum

_USUAL = MinimumChoice("likely", figure="precision", least=0.8)
"""What is shown of several labels before anybody chooses."""


@dataclass(frozen=True)
class ShownMinimum:
    """What is kept for a classifier, what it gave on the test rows, and what could be promised.

    minimum:      None: every answer is given, or what is kept is damaged
    minimum_said: what is kept, in a sentence
    damaged:      why the minimum, or the rows that were held out, cannot be read
    test:         what the minimum gave on the test rows; None without such
    test_groups:  what groups of labels gave on those below it
    promises:     none where a row may have several labels
    thresholds:   there, of each label, by name; None: not asked for, or `problem` says why
    problem:      why nothing can be promised; a fixed score can still be chosen
    """

    classifier: Classifier
    minimum: MinimumScore | None
    minimum_said: str
    damaged: str | None
    test: Outcome | None
    test_groups: Outcome | None
    promises: Promises
    thresholds: list[tuple[str, LabelThreshold]] | None
    problem: str | None

    @property
    def chosen_said(self) -> str | None:
        """What to know of a training whose rows were chosen, in a sentence."""
        return chosen_text(self.classifier.report)

    def to_dict(self) -> dict[str, Any]:
        thresholds = self.thresholds
        return {
            "classifier": self.classifier.name,
            "version": self.classifier.version,
            "minimum": None if self.minimum is None else self.minimum.to_dict(),
            "minimum_said": self.minimum_said,
            "chosen_said": self.chosen_said,
            "test": None if self.test is None else asdict(self.test),
            "test_groups": None if self.test_groups is None else asdict(self.test_groups),
            **self.promises.to_dict(),
            "problem": self.problem,
            "thresholds": None
            if thresholds is None
            else [{"label": name, **asdict(one)} for name, one in thresholds],
        }


def read_minimum(
    conn: sqlite3.Connection,
    classifier: Classifier,
    label: str | None = None,
    choice: MinimumChoice | None = None,
    *,
    thresholds: bool = True,
) -> ShownMinimum:
    """What is damaged is said of what is shown, since there is more to say than that.

    label:      promises are of the answers with that one alone
    choice:     by which thresholds of labels are computed; None: what is kept, else a usual one
    thresholds: whether they are, which takes a second for 60,000 rows
    Raises LabelError for a label that the classifier does not have.
    """
    position = None if label is None else classifier.position_of(label)
    minimum = damaged = test = test_groups = of_labels = why = None
    found = Promises(0, None, [])
    try:
        minimum = find_minimum(conn, classifier)
    except FtclassifyError as error:
        damaged = str(error)
    told = damaged or said(minimum)
    try:
        if classifier.labels.exclusive:
            found = promises(conn, classifier, position)
        if minimum is not None and minimum.score is not None:
            test = tested(conn, classifier, minimum.score)
            test_groups = groups_on_test_rows(conn, classifier, minimum)
    except ArtifactError as error:
        found, damaged = Promises(0, None, []), damaged or str(error)
    if thresholds and not classifier.labels.exclusive:
        try:
            values = label_thresholds_for(conn, classifier, choice or _kept(minimum))
            of_labels = list(zip(classifier.labels.names, values, strict=True))
        except FtclassifyError as error:
            why = str(error)
    problem = damaged or why or found.problem
    return ShownMinimum(
        classifier, minimum, told, damaged, test, test_groups, found, of_labels, problem
    )


def _kept(minimum: MinimumScore | None) -> MinimumChoice:
    if minimum is None:
        return _USUAL
    return MinimumChoice(minimum.strength, figure=minimum.figure, least=minimum.least)
