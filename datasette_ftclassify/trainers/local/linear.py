"""The arithmetic of a finished linear model: probabilities from logits, with numpy alone."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


def log_softmax(logits: Array) -> Array:
    """Natural logarithms of probabilities that sum to 1 along the last axis."""
    shifted = logits - logits.max(axis=-1, keepdims=True)
    shifted -= np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return shifted


def log_sigmoid(logits: Array) -> Array:
    """ln(1 / (1 + exp(-logits))), without overflow; log_sigmoid(-z) is ln(1 - p)."""
    lowered: Array = -np.logaddexp(0.0, -logits)
    return lowered
