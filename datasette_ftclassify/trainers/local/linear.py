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


def beta_features(logprobs: Array) -> tuple[Array, Array]:
    """ln p and -ln(1 - p) of log-probabilities, finite."""
    certain: Array = np.minimum(logprobs, -1e-12)
    return certain, -np.log(-np.expm1(certain))


def recalibrated(logprobs: Array, parameters: Array, exclusive: bool) -> Array:
    """Log-probabilities (…, labels) by beta calibration, see `beta`, whose log-odds are
    a ln p - b ln(1 - p) + c by the parameters (labels, 3); with a sum of 1 where labels exclude
    each other."""
    certain, against = beta_features(logprobs)
    a, b, c = parameters.T
    found = log_sigmoid(a * certain + b * against + c)
    if exclusive:
        found -= np.log(np.exp(found).sum(axis=-1, keepdims=True))
    return found
