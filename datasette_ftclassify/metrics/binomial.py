"""Exact binomial probabilities."""

from __future__ import annotations

import math

import numpy as np


def at_most(successes: int, n: int, share: float) -> float:
    """The chance, 0-1, of at most so many successes among `n` independent tries, each of the chance
    `share` (above 0, below 1). As a p-value: of "the share is no less", when so few were seen."""
    if successes >= n:
        return 1.0
    if successes < 0:
        return 0.0
    k = np.arange(successes + 1)
    logs = np.concatenate([[0.0], np.cumsum(np.log((n - k[:-1]) / (k[:-1] + 1.0)))])
    logs += k * math.log(share) + (n - k) * math.log1p(-share)
    top = float(logs.max())
    return min(1.0, math.exp(top) * float(np.exp(logs - top).sum()))
