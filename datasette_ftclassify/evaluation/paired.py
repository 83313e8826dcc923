"""Two classifiers asked about the same rows: whether one is better, or was only luckier."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def compare_pairs(first: Sequence[bool], second: Sequence[bool]) -> dict[str, Any]:
    """Counts of the rows that both, one or neither of two classifiers got right, as
    `compare_counts` tells them. Each list says of the same rows whether they were."""
    pairs = list(zip(first, second, strict=True))
    return compare_counts(
        both=sum(a and b for a, b in pairs),
        only_first=sum(a and not b for a, b in pairs),
        only_second=sum(b and not a for a, b in pairs),
        neither=sum(not a and not b for a, b in pairs),
    )


def compare_counts(*, both: int, only_first: int, only_second: int, neither: int) -> dict[str, Any]:
    """These counts, the `rows` in all, and `p_value`, 0-1.

    p_value is McNemar's in its exact form: how often two equally good classifiers would differ on
    these rows at least as much. Only rows that one of them got right speak for either. Source:
    Q. McNemar, "Note on the sampling error of the difference between correlated proportions or
    percentages", Psychometrika 12 (1947), 153-157.
    """
    return {
        "rows": both + only_first + only_second + neither,
        "both": both,
        "only_first": only_first,
        "only_second": only_second,
        "neither": neither,
        "p_value": _exact_p(only_first, only_second),
    }


def _exact_p(a: int, b: int) -> float:
    """Twice the chance that a fair coin, thrown a + b times, is as one-sided; at most 1."""
    n = a + b
    ways = tail = 1
    for i in range(min(a, b)):
        ways = ways * (n - i) // (i + 1)
        tail += ways
    return float(min(1.0, 2 * tail / 2**n))
