"""How far a share that was counted on few rows may be from the true one."""

from __future__ import annotations

from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import EvaluationError


def wilson_interval(successes: float, n: float, z: float = 1.959964) -> tuple[float, float]:
    """The score interval of a share, both ends in 0–1; `z` = 1.959964 makes it 95 %.

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


def ratio_interval(
    parts: NDArray[Any], wholes: NDArray[Any], seed: int = 0, samples: int = 400
) -> tuple[float, float]:
    """A 95 % interval of `parts.sum() / wholes.sum()`, one entry of each for a group of rows.

    By the bootstrap over groups, each counted as often as a Poisson number of mean 1 says: for what
    is no share of rows, such as F1. (0, 1) where there are too few groups to draw from.
    """
    if len(parts) < 5:
        return 0.0, 1.0
    times = np.random.default_rng(seed).poisson(1.0, (samples, len(parts)))
    ratios = (times @ parts) / np.maximum(times @ wholes, 1e-12)
    low, high = np.quantile(np.minimum(ratios, 1.0), (0.025, 0.975))
    return float(low), float(high)
