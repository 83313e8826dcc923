"""From which probability each label is to be given, where a row may have several: for a precision
or a recall that a person names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from ..core.errors import EvaluationError
from ..core.humanize import counted
from .binomial import at_most
from .intervals import share_interval
from .minimum_scores import (
    CONFIDENCE,
    JudgedRows,
    Promise,
    group_sizes,
    minimum_score,
    occurrence,
    share_text,
)
from .validation import Bools, Floats, Ints, check_shape

Figure = Literal["precision", "recall"]


@dataclass(frozen=True)
class LabelRows:
    """Probabilities of K labels for n rows that the classifier was not trained on.

    probabilities: float (n, K), 0-1; truth: bool (n, K)
    groups: int (n,), the same for rows whose texts are equal or near copies; None: there are none
    """

    probabilities: Floats
    truth: Bools
    groups: Ints | None = None

    def __post_init__(self) -> None:
        check_shape("truth", self.truth, self.probabilities.shape)

    def of_label(self, label: int) -> JudgedRows:
        """The label at that position as the one answer: it is right where the row has it."""
        return JudgedRows(self.probabilities[:, label], self.truth[:, label], groups=self.groups)


@dataclass(frozen=True)
class LabelThreshold:
    """What can be promised of one label.

    threshold: the probability, 0-1, from which it is given; None: nothing can be promised, and
               `why` says why
    support:   rows that have it
    precision, recall: on these rows, with their 95% intervals; None where there is no such row
    """

    threshold: float | None
    support: int
    why: str | None = None
    precision: tuple[float, float, float] | None = None
    recall: tuple[float, float, float] | None = None


def label_threshold(
    rows: LabelRows, label: int, figure: Figure, least: float, strength: str
) -> LabelThreshold:
    """For a precision or a recall of at least `least` (0-1, neither) of the label at a position, in
    the strength `likely` or `guaranteed` of `minimum_scores`.

    A precision is one less the share of wrong answers, see `minimum_score`; it takes the lowest
    threshold that keeps it. A recall takes the highest threshold: the one of a rank among the rows
    that have the label, so that with CONFIDENCE so many of further such rows are above it. Source:
    S. S. Wilks, "Determination of sample sizes for setting tolerance limits", Annals of
    Mathematical Statistics 12 (1941), 91-96. *likely* asks for a standard error more instead.
    """
    if not 0 < least < 1:
        raise EvaluationError(f"A {figure} must be above 0 and below 1.")
    one = rows.of_label(label)
    support = int(one.right.sum())
    why: str | None
    if figure == "precision":
        promise = minimum_score(one, 1 - least, strength)
        found, why = promise.score, _no_precision(promise, least, support)
    else:
        found, why = _for_recall(one, least, strength)
    if found is None:
        return LabelThreshold(None, support, why)
    on = one.scores >= found
    return LabelThreshold(
        found, support, None, _share(one, one.right, on), _share(one, on, one.right)
    )


def _no_precision(promise: Promise, least: float, support: int) -> str:
    more = ", or allow less"
    if promise.more_rows is not None:
        more = f": about {promise.more_rows:,} more labelled rows could be enough"
    rows = counted(support, "row that has", "rows that have")
    return f"A precision of {share_text(least)} is not {promise.strength} from {rows} it{more}."


def _for_recall(rows: JudgedRows, least: float, strength: str) -> tuple[float | None, str | None]:
    """The highest threshold, or why there is none."""
    having = rows.scores[rows.right].astype(np.float64)
    if rows.groups is not None:
        # The least probable one of near copies: whoever finds that finds the others.
        groups = rows.groups[rows.right]
        order = np.lexsort((having, groups))
        having = having[order][occurrence(groups[order]) == 1]
    n = len(having)
    ranked = np.sort(having)[::-1]
    for rank in range(max(1, int(least * n)), n + 1):
        if strength == "guaranteed":
            # The chance that the true recall at this rank is high enough.
            kept = at_most(rank - 1, n, least) >= CONFIDENCE
        else:
            kept = rank / n - np.sqrt(least * (1 - least) / n) >= least
        if kept:
            return float(ranked[rank - 1]), None
    return None, (
        f"A recall of {share_text(least)} cannot be had from "
        f"{counted(n, 'row that has', 'rows that have')} the label: label more of them."
    )


def _share(rows: JudgedRows, part: Bools, whole: Bools) -> tuple[float, float, float] | None:
    """Of the rows `whole` the share that is `part` of it, with its interval."""
    size = int(whole.sum())
    if not size:
        return None
    share = int((part & whole).sum()) / size
    groups = None if rows.groups is None else rows.groups[whole]
    return share, *share_interval(share, group_sizes(groups, size))
