"""What scores mean: how often answers with such a score are right."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .validation import Bools, Floats

_STEPS, _CLOSE = 50, 1e-7
_RIDGE = 1e-2


def beta_calibrated(scores: Floats, right: Bools) -> NDArray[np.float64]:
    """The probability, 0-1, that an answer with each of the scores, (n,), is right, as the answers
    themselves say. Never falls as the score rises.

    A logistic regression on ln s and -ln(1 - s) with no negative slope, as M. Kull, T. Silva Filho,
    P. Flach, "Beta calibration: a well-founded and easily implemented improvement on logistic
    calibration for binary classifiers", AISTATS 2017, with the targets of J. Platt, "Probabilistic
    outputs for support vector machines", 1999, so that rows without an error do not ask for
    certainty, and a little ridge.
    """
    s = np.clip(scores.astype(np.float64), 1e-9, 1 - 1e-7)
    features = np.stack([np.log(s), -np.log1p(-s)], axis=1)
    features = (features - features.mean(axis=0)) / (features.std(axis=0) + 1e-9)
    used = [0, 1]
    while True:
        chances, slopes = _logistic(features[:, used], right)
        if (slopes >= 0).all():
            return chances
        used.pop(int(slopes.argmin()))


def _logistic(
    features: NDArray[np.float64], right: Bools
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Fitted chances (n,) and slopes, by Newton's method."""
    n_right = int(right.sum())
    n_wrong = len(right) - n_right
    goal = np.where(right, (n_right + 1) / (n_right + 2), 1 / (n_wrong + 2))
    inputs = np.column_stack([features, np.ones(len(right))])
    ridge = np.array([_RIDGE] * features.shape[1] + [1e-6])
    solution = np.zeros(inputs.shape[1])
    solution[-1] = np.log((n_right + 1) / (n_wrong + 1))
    for _ in range(_STEPS):
        chances = _sigmoid(inputs @ solution)
        slope = inputs.T @ (chances - goal) + ridge * solution
        bend = (inputs * (chances * (1 - chances))[:, None]).T @ inputs + np.diag(ridge)
        step = np.linalg.solve(bend, slope)
        solution -= np.clip(step, -2, 2)
        if np.abs(step).max() < _CLOSE:
            break
    return _sigmoid(inputs @ solution), solution[:-1]


def _sigmoid(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(1 / (1 + np.exp(-np.clip(values, -30, 30))))
