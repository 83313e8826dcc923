"""Two classifiers on the same rows: whether one is better, or was only luckier."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from .result import Pairs

SURE = 0.05
"""Below this p-value a difference is called one."""


def compare_pairs(
    first: Sequence[bool], second: Sequence[bool], groups: NDArray[Any] | None = None
) -> Pairs:
    """Counts of the rows that both, one or neither of two classifiers got right, as
    `compare_counts` tells them. Each list says of the same rows whether they were; `groups` are the
    same for rows whose texts are equal or near copies."""
    one, other = np.asarray(first, dtype=bool), np.asarray(second, dtype=bool)
    members = np.arange(len(one)) if groups is None else np.unique(groups, return_inverse=True)[1]
    lead = np.bincount(members, one.astype(int) - other.astype(int))
    return compare_counts(
        both=int((one & other).sum()),
        only_first=int((one & ~other).sum()),
        only_second=int((other & ~one).sum()),
        neither=int((~one & ~other).sum()),
        texts=len(lead),
        texts_first=int((lead > 0).sum()),
        texts_second=int((lead < 0).sum()),
    )


def compare_counts(
    *,
    both: int,
    only_first: int,
    only_second: int,
    neither: int,
    texts: int,
    texts_first: int,
    texts_second: int,
) -> Pairs:
    """These counts, the `rows` in all, and `p_value`, 0-1.

    texts:                     different texts among the rows, near copies being one
    texts_first, texts_second: of which the first, or the second, got more rows right

    p_value is of the sign test over texts: how often two equally good classifiers would differ on
    these texts at least as much. Where every row has a text of its own it is McNemar's in its exact
    form. Sources: Q. McNemar, "Note on the sampling error of the difference between correlated
    proportions or percentages", Psychometrika 12 (1947), 153-157; W. J. Dixon, A. M. Mood, "The
    statistical sign test", Journal of the American Statistical Association 41 (1946), 557-566.
    """
    return {
        "rows": both + only_first + only_second + neither,
        "both": both,
        "only_first": only_first,
        "only_second": only_second,
        "neither": neither,
        "texts": texts,
        "texts_first": texts_first,
        "texts_second": texts_second,
        "p_value": _exact_p(texts_first, texts_second),
    }


def p_value_text(pairs: Pairs, *names: Literal["texts_first", "texts_second"]) -> str:
    """`p = 0.092`, after the counts of these names where they are of texts that have copies:
    `counting copies of a text once, 9 and 1: p = 0.021`."""
    value = pairs["p_value"]
    shown = f"p = {value:.3f}" if value >= 0.001 else "p < 0.001"
    if pairs["texts"] == pairs["rows"]:
        return shown
    counts = " and ".join(f"{pairs[name]:,}" for name in names)
    return f"counting copies of a text once, {counts}: {shown}"


def _exact_p(a: int, b: int) -> float:
    """Twice the chance that a fair coin, thrown a + b times, is as one-sided; at most 1."""
    n = a + b
    ways = tail = 1
    for i in range(min(a, b)):
        ways = ways * (n - i) // (i + 1)
        tail += ways
    return float(min(1.0, 2 * tail / 2**n))
