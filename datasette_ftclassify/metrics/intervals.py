"""How far a share that was counted on few rows may be from the true one."""

from __future__ import annotations

from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.errors import EvaluationError

Z95 = 1.959964
"""By which an interval is one of 95%."""


def wilson_interval(successes: float, n: float, z: float = Z95) -> tuple[float, float]:
    """The score interval of a share, both ends in 0–1; of 95% unless `z` says otherwise.

    Unlike the textbook interval it does not shrink to nothing at 0 of n or n of n, and it holds its
    promise at small n. Source: E. B. Wilson, "Probable inference, the law of succession, and
    statistical inference", Journal of the American Statistical Association 22 (1927), 209–212.
    Where rows are not independent, `n` is the number of those that would be: `independent_rows`.
    Raises EvaluationError unless 0 <= successes <= n and n > 0.
    """
    if n <= 0 or not 0 <= successes <= n:
        raise EvaluationError(f"{successes} of {n} is not a share: no interval can be given.")
    share = successes / n
    scale = 1 + z * z / n
    centre = (share + z * z / (2 * n)) / scale
    half = z / scale * sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    low = centre - half if successes > 0 else 0.0
    high = centre + half if successes < n else 1.0
    return low, high


def independent_rows(sizes: NDArray[Any]) -> float:
    """As how many independent rows the rows of groups count, whose sizes are given, when the rows
    of a group are all right or all wrong: their number where every group is one row.

    Source: L. Kish, "Survey Sampling" (1965), 8.2: the design effect of unequal clusters.
    """
    rows = sizes.astype(float)
    return float(rows.sum() ** 2 / (rows**2).sum())


def share_interval(share: float, sizes: NDArray[Any]) -> tuple[float, float]:
    """`wilson_interval` of a share (0-1) of the rows of groups, whose sizes are given."""
    independent = independent_rows(sizes)
    return wilson_interval(min(share * independent, independent), independent)


def gain_interval(gained: float, lost: float, n: float) -> tuple[float, float]:
    """The 95% interval of the difference of two shares of the same `n` independent rows, -1 to 1.

    gained, lost: shares of the rows that are right the second time and not the first, and the
                  other way round, 0-1
    Unlike the textbook interval it is not nothing where no row differs. Source: D. G. Bonett,
    R. M. Price, "Adjusted Wald confidence interval for a difference of binomial proportions based
    on paired data", Journal of Educational and Behavioral Statistics 37 (2012), 479-488.
    """
    more, less = (gained * n + 1) / (n + 2), (lost * n + 1) / (n + 2)
    half = Z95 * sqrt((more + less - (more - less) ** 2) / (n + 2))
    return max(-1.0, more - less - half), min(1.0, more - less + half)


def ratio_interval(parts: NDArray[Any], wholes: NDArray[Any], seed: int = 0) -> tuple[float, float]:
    """A 95% interval of `parts.sum() / wholes.sum()`, one entry of each for a group of rows.

    By the bootstrap over groups, each counted as often as a Poisson number of mean 1 says: for what
    is no share of rows, such as F1. (0, 1) where there are too few groups to draw from.
    """
    if len(parts) < _FEW:
        return 0.0, 1.0
    times = _times(len(parts), seed)
    low, high = np.quantile(_ratios(times, parts, wholes), (0.025, 0.975))
    return float(low), float(high)


def ratio_gain_interval(
    before: tuple[NDArray[Any], NDArray[Any]], after: tuple[NDArray[Any], NDArray[Any]]
) -> tuple[float, float]:
    """A 95% interval of the difference of two such ratios of the same groups, each given as its
    parts and wholes, by the same draws. (-1, 1) where there are too few groups to draw from."""
    if len(before[0]) < _FEW:
        return -1.0, 1.0
    times = _times(len(before[0]), 0)
    gains = _ratios(times, *after) - _ratios(times, *before)
    low, high = np.quantile(gains, (0.025, 0.975))
    return float(low), float(high)


_FEW = 5


def _times(groups: int, seed: int) -> NDArray[Any]:
    return np.random.default_rng(seed).poisson(1.0, (400, groups))


def _ratios(times: NDArray[Any], parts: NDArray[Any], wholes: NDArray[Any]) -> NDArray[Any]:
    return np.asarray(np.minimum((times @ parts) / np.maximum(times @ wholes, 1e-12), 1.0))


def mean_error(values: NDArray[Any], groups: NDArray[Any] | None = None) -> float:
    """The standard error of the mean of `values`, those with the same of `groups` being one
    observation: without groups their standard deviation by the root of their number.

    Source: K.-Y. Liang, S. L. Zeger, "Longitudinal data analysis using generalized linear models",
    Biometrika 73 (1986), 13-22: the "sandwich" of sums within clusters.
    """
    apart = values - values.mean()
    if groups is not None:
        apart = np.bincount(np.unique(groups, return_inverse=True)[1], apart)
    return float(np.sqrt((apart**2).sum()) / len(values))
