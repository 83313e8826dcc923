"""Whether new rows are answered as the test rows were: three tests, which together cry wolf for one
batch of unchanged rows in twenty at most."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

FALSE_ALARMS = 0.05
"""For all tests together; each gets its part (Bonferroni)."""

LEAST_EXPECTED = 5.0
"""Rows that a label must be expected to have in both batches, or it is counted with others (Cochran
1954, Some methods for strengthening the common chi-squared tests)."""

What = Literal["score", "known", "answers"]


@dataclass(frozen=True)
class Answered:
    """Answers about n rows: the probability of each answer, the position of the most probable
    label, and how much the text is like the training rows (0 to 1; None: not measured)."""

    scores: NDArray[np.float64]
    labels: NDArray[np.intp]
    known: NDArray[np.float64] | None

    def __len__(self) -> int:
        return len(self.scores)


@dataclass(frozen=True)
class DriftTest:
    """One test.

    what:        `score` or `known`: they are lower than before; `answers`: they are others
    p_value:     how often unchanged rows would differ as much, 0-1
    changed:     whether that is seldom enough to say so
    before, now: the medians, 0-1; None of answers
    """

    what: What
    p_value: float
    changed: bool
    before: float | None = None
    now: float | None = None


def drift_tests(before: Answered, now: Answered, n_labels: int) -> list[DriftTest]:
    """Of the scores, of how well the texts are known where that was measured, and of the answers.

    before, now: at least one row each
    """
    tests: list[tuple[What, float, Any, Any]] = [
        ("score", lower(before.scores, now.scores), before.scores, now.scores)
    ]
    if before.known is not None and now.known is not None:
        tests.append(("known", lower(before.known, now.known), before.known, now.known))
    counts = [np.bincount(batch.labels, minlength=n_labels) for batch in (before, now)]
    tests.append(("answers", other_mix(*counts), None, None))
    least = FALSE_ALARMS / len(tests)
    return [
        DriftTest(what, p, p < least, *(_median(values) for values in batches))
        for what, p, *batches in tests
    ]


def lower(before: NDArray[Any], now: NDArray[Any]) -> float:
    """The p-value, 0-1, of the second batch being lower: Mann and Whitney's test with ties, by the
    normal distribution (On a test of whether one of two random variables is stochastically larger
    than the other, 1947)."""
    every = np.sort(np.concatenate([before, now]))
    first, second = len(before), len(now)
    total = first + second
    mean_ranks = (np.searchsorted(every, now, "left") + np.searchsorted(every, now, "right")) / 2
    wins = float(mean_ranks.sum()) + second / 2 - second * (second + 1) / 2
    _, ties = np.unique(every, return_counts=True)
    tied = float((ties.astype(np.float64) ** 3 - ties).sum()) / (total * max(total - 1, 1))
    variance = first * second / 12 * (total + 1 - tied)
    if variance <= 0:
        return 1.0
    return 0.5 * math.erfc((first * second / 2 - wins) / math.sqrt(2 * variance))


def other_mix(before: NDArray[Any], now: NDArray[Any]) -> float:
    """The p-value, 0-1, of two counts by label being of other shares: Pearson's test. Labels that
    few rows are expected to have are one."""
    table = np.array([before, now], dtype=np.float64)
    expected = _expected(table)
    rare = (expected < LEAST_EXPECTED).any(axis=0)
    table = np.column_stack([table[:, ~rare], table[:, rare].sum(axis=1)])
    table = table[:, table.sum(axis=0) > 0]
    if table.shape[1] < 2:
        return 1.0
    expected = _expected(table)
    return _chi_squared(float(((table - expected) ** 2 / expected).sum()), table.shape[1] - 1)


def _chi_squared(value: float, freedom: int) -> float:
    """How often, 0-1, chi-squared of so many degrees of freedom, at least 1, is greater: its finite
    series (Abramowitz and Stegun, 26.4.4 and 26.4.5)."""
    half = value / 2
    if half <= 0:
        return 1.0
    powers = [freedom % 2 / 2 + number for number in range(freedom // 2)]
    terms = [math.exp(power * math.log(half) - half - math.lgamma(power + 1)) for power in powers]
    return math.fsum([*terms, math.erfc(math.sqrt(half)) if freedom % 2 else 0.0])


def grown(before: Sequence[int], now: Sequence[int], least: float) -> list[int]:
    """Positions whose share of the rows grew by so many standard errors, most of these first.

    before, now: rows of the batch that have each, the last being the rows in all
    """
    (*first, rows), (*second, new_rows) = before, now
    found = []
    for place, (had, has) in enumerate(zip(first, second, strict=True)):
        share = (had + has) / (rows + new_rows)
        error = math.sqrt(share * (1 - share) * (1 / rows + 1 / new_rows))
        lead = (has / new_rows - had / rows) / error if error else 0.0
        if lead > least:
            found.append((-lead, place))
    return [place for _, place in sorted(found)]


def _expected(table: NDArray[Any]) -> NDArray[Any]:
    expected: NDArray[Any] = np.outer(table.sum(axis=1), table.sum(axis=0)) / table.sum()
    return expected


def _median(values: NDArray[Any] | None) -> float | None:
    return None if values is None else float(np.median(values))
