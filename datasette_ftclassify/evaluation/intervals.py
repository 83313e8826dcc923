"""How far a share that was counted on few rows may be from the true one."""

from __future__ import annotations

from math import sqrt

from ..errors import EvaluationError


def wilson_interval(successes: int, n: int, z: float = 1.959964) -> tuple[float, float]:
    """The score interval of a share, both ends in 0–1; `z` = 1.959964 makes it 95 %.

    Unlike the textbook interval it does not shrink to nothing at 0 of n or n of n, and it holds its
    promise at small n. Source: E. B. Wilson, "Probable inference, the law of succession, and
    statistical inference", Journal of the American Statistical Association 22 (1927), 209–212.
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
