"""The arithmetic of a finished linear model: probabilities from logits, with numpy alone."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


def log_softmax(logits: Array) -> Array:
    """Natural logarithms of probabilities that sum to 1 along the last axis."""
    shifted: Array = logits - logits.max(axis=-1, keepdims=True)
    shifted -= np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return shifted


def log_sigmoid(logits: Array) -> Array:
    """ln(1 / (1 + exp(-logits))), without overflow; log_sigmoid(-z) is ln(1 - p)."""
    lowered: Array = -np.logaddexp(0.0, -logits)
    return lowered


def log_softmax_one(logits: Array) -> Array:
    """`log_softmax` of one row, for the SQL function: fewer and cheaper steps. Changes `logits`."""
    logits -= np.maximum.reduce(logits)
    logits -= math.log(np.add.reduce(np.exp(logits)))
    return logits


def log_sigmoid_pair(logit: float) -> Array:
    """ln(1 - p) and ln p of one log-odds."""
    tail = -math.log1p(math.exp(-abs(logit)))
    return np.array((-logit + tail, tail) if logit > 0 else (tail, logit + tail))
