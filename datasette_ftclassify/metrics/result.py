"""An evaluation as it is computed, stored as JSON and shown.

Its figures are those of `registry.METRICS`, by their keys; those that every version stored, or that
something else than a list of figures reads, are here by name.
"""

from __future__ import annotations

from typing import TypedDict


class Bin(TypedDict):
    """Scores from `low` to `high`: how many, their mean, and the share that was right; None where
    there are none."""

    low: float
    high: float
    count: int
    confidence: float | None
    accuracy: float | None


class _Figures(TypedDict):
    precision: float
    recall: float
    f1: float
    support: int


class LabelFigures(_Figures, total=False):
    """Of one label. support: rows that have it; predicted: rows that were given it
    threshold: the probability from which on it is given, where rows may have several labels"""

    predicted: int
    threshold: float | None


class Confusion(TypedDict, total=False):
    """The truth in rows and the choice in columns, one more at the end where there are abstentions.

    matrix:   whole; of many labels there are `cells` instead: row, column and count of those that
              are no 0, one after the other, the largest first
    left_out: the sum of the cells that are not in `cells`
    """

    labels: list[str]
    matrix: list[list[int]]
    cells: list[int]
    left_out: int


class _Always(TypedDict):
    n_test: int
    n_scored: int
    abstained: int
    macro_f1: float
    ece: float | None
    labels: dict[str, LabelFigures]
    reliability: list[Bin]


class Evaluation(_Always, total=False):
    """n_test:       rows; `n_distinct` different texts among them; `n_scored` with probabilities
    abstained:       rows without an answer, by their reasons where a service was asked
    labels:          figures of each, by name
    reliability:     of the scores; with several labels a row, of those of single labels, and
                     `row_reliability` of whole answers
    majority_label, majority_labels: the answer of the baseline
    held_back:       rows that were in the test split; `missing` are gone, `unknown_labels` have a
                     label that the classifier does not know
    spent:           on the answers that were not stored before
    """

    classifier: str
    version: int
    kind: str
    n_distinct: int
    held_back: int
    missing: int
    unknown_labels: int
    abstained_reasons: dict[str, int]
    spent: dict[str, float | int | None]
    majority_label: str
    majority_labels: list[str]
    positive_label: str
    accuracy: float
    accuracy_low: float
    accuracy_high: float
    subset_accuracy: float
    subset_accuracy_low: float
    subset_accuracy_high: float
    majority_accuracy: float
    majority_subset_accuracy: float
    micro_f1: float
    confusion: Confusion
    row_reliability: list[Bin]


class Pairs(TypedDict):
    """Of two classifiers on the same rows: see `comparison.compare_counts`."""

    rows: int
    both: int
    only_first: int
    only_second: int
    neither: int
    texts: int
    texts_first: int
    texts_second: int
    p_value: float
