"""From the log-probabilities of all labels to an answer.

The arithmetic is plain Python for one text and numpy for many, so that a query which classifies
row by row pays for nothing that it does not ask.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from heapq import nlargest
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from .labels import LabelSet, LabelValue

if TYPE_CHECKING:
    import numpy as np


UNLIKE = 0.05
"""Below it (see `Recognizer`) a text is called unlike those that the classifier was trained on: of
texts of their kind, one in twenty is."""


class Predictor(Protocol):
    """A loaded classifier. Labels are positions in its label set, 0 to K - 1."""

    @property
    def n_labels(self) -> int: ...

    @property
    def multilabel(self) -> bool:
        """Whether each label has a probability of its own; else they sum to 1."""

    @property
    def thresholds(self) -> np.ndarray | None:
        """Of several labels: the probability from which each is given, (K,). None: 0.5."""

    def log_probabilities(self, texts: Sequence[str]) -> np.ndarray:
        """Natural log of each label's probability, float64 (n, K)."""

    def log_probabilities_one(self, text: str) -> np.ndarray:
        """The same for one text, (K,)."""

    def explain(self, text: str, label: int, top: int = 8) -> list[tuple[str, float]]:
        """The words that spoke for (above 0) and against the label, strongest first."""


def fits(predictor: Predictor, labels: LabelSet) -> bool:
    """Whether its weights are of so many labels, and of that kind."""
    return (predictor.n_labels, predictor.multilabel) == (len(labels), not labels.exclusive)


@runtime_checkable
class Recognizer(Protocol):
    """What a predictor may be besides: one that tells texts of kinds it was not trained on."""

    def known(self, text: str, logprobs: np.ndarray) -> float | None:
        """How much a text with these log-probabilities, (K,), is like the training rows, 0 to 1:
        the share of them that looked less familiar while they were held out. None: not measured."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """An answer about one text.

    labels:   the chosen label alone where labels exclude each other, else any number of them
    logprob:  natural log of the probability of what was chosen. Of several labels: that every one
              is rightly there or not there, taking labels as independent
    logprobs: of each label, in the label set's order
    """

    labels: tuple[LabelValue, ...]
    logprob: float
    logprobs: Sequence[float]

    @property
    def score(self) -> float:
        """The probability of what was chosen, 0-1."""
        return math.exp(self.logprob)


class Answerer:
    """A predictor together with the labels it speaks of.

    thresholds: of several labels: the probability from which each is given, (K,), in the place of
                the predictor's own
    """

    def __init__(
        self, predictor: Predictor, labels: LabelSet, thresholds: np.ndarray | None = None
    ) -> None:
        self.predictor = predictor
        self.labels = labels
        self.thresholds = predictor.thresholds if thresholds is None else thresholds
        self._recognizer = predictor if isinstance(predictor, Recognizer) else None

    def answer(self, text: str) -> Prediction:
        return self.from_logprobs(self.predictor.log_probabilities_one(text))

    def known(self, text: str, row: np.ndarray) -> float | None:
        """See `Recognizer`; None also of a predictor that is none."""
        return None if self._recognizer is None else self._recognizer.known(text, row)

    def from_logprobs(self, row: np.ndarray) -> Prediction:
        """The answer that one row of log-probabilities, (K,), means."""
        if not self.labels.exclusive:
            return self._from_rows(row[None, :])[0]
        # Without arrays for the one row: a query asks row by row.
        (best,) = self.labels.label_kind.choose_one(row)
        return Prediction((self.labels.values[best],), float(row[best]), row.tolist())

    def answers(self, texts: Sequence[str]) -> list[Prediction]:
        """Answers in the order of the texts."""
        return self._from_rows(self.predictor.log_probabilities(texts)) if texts else []

    def answers_known(self, texts: Sequence[str]) -> tuple[list[Prediction], list[float | None]]:
        """The same, and `known` of each."""
        if not texts:
            return [], []
        rows = self.predictor.log_probabilities(texts)
        known = [self.known(text, row) for text, row in zip(texts, rows, strict=True)]
        return self._from_rows(rows), known

    def _from_rows(self, rows: np.ndarray) -> list[Prediction]:
        kind, values = self.labels.label_kind, self.labels.values
        chosen = kind.choose(rows, self.thresholds)
        places, scores = kind.as_positions(chosen), kind.logprob(rows, chosen).tolist()
        return [
            Prediction(tuple([values[i] for i in said or ()]), logprob, row)
            for said, logprob, row in zip(places, scores, rows.tolist(), strict=True)
        ]


def probability_at(logprobs: Sequence[float], position: int) -> float:
    """Of the label at a position, 0-1."""
    return math.exp(min(logprobs[position], 0.0))


LISTED_ALL = 50
"""Labels of a set of which every one's log-probability is written into a column."""

LISTED_MOST = 20
"""Labels whose log-probabilities are written, of a larger set."""


class LogprobsJson:
    """Writes the log-probabilities of a label set as a JSON object, `{"ham": -0.013, …}`: of all
    labels in the set's order; of a set of more than LISTED_ALL, of the LISTED_MOST most probable
    ones, the most probable first. All 230 labels of 120,000 rows took most of a gigabyte.

    Six significant digits: more than the scores mean, and a third less to store.
    """

    def __init__(self, labels: LabelSet) -> None:
        names = (json.dumps(name, ensure_ascii=False).replace("%", "%%") for name in labels.names)
        self._each = [f"{name}: %.6g" for name in names]
        self._all = "{" + ", ".join(self._each) + "}" if len(labels) <= LISTED_ALL else None

    def __call__(self, logprobs: Sequence[float]) -> str:
        # A probability of 0 has no logarithm that JSON could hold.
        finite = [max(value, -sys.float_info.max) for value in logprobs]
        if self._all is not None:
            return self._all % tuple(finite)
        most = nlargest(LISTED_MOST, range(len(finite)), key=finite.__getitem__)
        return "{" + ", ".join([self._each[i] % finite[i] for i in most]) + "}"
