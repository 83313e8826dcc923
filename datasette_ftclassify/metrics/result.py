"""An evaluation as it is computed, stored as JSON and shown. `stored.read_metrics` reads it by its
types, and by the functions behind them.

Its figures are those of `registry.METRICS`, by their keys; those that every version stored, or that
something else than a list of figures reads, are here by name.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, TypedDict

from ..core.labels import MAX_LABELS, MAX_NAME
from ..core.typed_json import AtMost, Share

MOST_BINS = 100
MOST_REASONS = 100
MOST_CELLS = 50_000
"""Of a stored confusion matrix, that are no 0."""


def _is_count(value: int) -> bool:
    return value >= 0


def _are_bins(value: Sequence[Bin]) -> bool:
    return not any(
        each["count"] and (each["accuracy"] is None or each["confidence"] is None) for each in value
    )


def _is_confusion(value: Confusion) -> bool:
    """See `counts.confusion_cells`."""
    size, cells, matrix = len(value["labels"]), value.get("cells"), value.get("matrix", [])
    if cells is not None:
        return (
            len(cells) % 3 == 0
            and all(count >= 0 for count in cells)
            and all(row < size for row in cells[::3])
            and all(column <= size for column in cells[1::3])
        )
    widths = {len(row) for row in matrix}
    return (
        len(matrix) == size
        and len(widths) <= 1
        and widths <= {size, size + 1}
        and all(count >= 0 for row in matrix for count in row)
    )


Count = Annotated[int, _is_count]
Name = Annotated[str, AtMost(MAX_NAME)]
Names = Annotated[list[Name], AtMost(MAX_LABELS)]


class Bin(TypedDict):
    """Scores from `low` to `high`: how many, their mean, and the share that was right; None where
    there are none."""

    low: Share
    high: Share
    count: Count
    confidence: Share | None
    accuracy: Share | None


class _Figures(TypedDict):
    precision: Share
    recall: Share
    f1: Share
    support: Count


class LabelFigures(_Figures, total=False):
    """Of one label. support: rows that have it; predicted: rows that were given it
    threshold: the probability from which on it is given, where rows may have several labels"""

    predicted: Count
    threshold: Share | None


class _Confusion(TypedDict):
    labels: Names


class Confusion(_Confusion, total=False):
    """The truth in rows and the choice in columns, one more at the end where there are abstentions.

    matrix:   whole; of many labels there are `cells` instead: row, column and count of those that
              are no 0, one after the other, the largest first
    left_out: the sum of the cells that are not in `cells`
    """

    matrix: Annotated[list[list[int]], AtMost(MAX_LABELS)]
    cells: Annotated[list[int], AtMost(3 * MOST_CELLS)]
    left_out: Count


class Spending(TypedDict, total=False):
    """See `store.spending.Spent`."""

    usd: float
    requests: int
    input_tokens: int
    cached_tokens: int
    output_tokens: int
    trained_tokens: int


Bins = Annotated[list[Bin], AtMost(MOST_BINS), _are_bins]


class _Always(TypedDict):
    n_test: Count
    n_scored: Count
    abstained: Count
    macro_f1: float
    ece: float | None
    labels: Annotated[dict[Name, LabelFigures], AtMost(MAX_LABELS)]
    reliability: Bins


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

    classifier: Name
    version: Count
    kind: Name
    n_distinct: Count
    held_back: Count
    missing: Count
    unknown_labels: Count
    abstained_reasons: Annotated[dict[Name, Count], AtMost(MOST_REASONS)]
    spent: Spending
    majority_label: Name
    majority_labels: Names
    positive_label: Name
    accuracy: float
    accuracy_low: float
    accuracy_high: float
    subset_accuracy: float
    subset_accuracy_low: float
    subset_accuracy_high: float
    majority_accuracy: float
    majority_subset_accuracy: float
    micro_f1: float
    confusion: Annotated[Confusion, _is_confusion]
    row_reliability: Bins


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


class PairsSaid(Pairs):
    """sentence: whether the second one is better, as far as that is significant"""

    sentence: str
