"""Making probabilities mean what they say, on predictions for rows the model had not seen.

Temperature scaling (Guo et al. 2017, arXiv:1706.04599) for labels that exclude each other; Platt
scaling (Platt 1999) label by label where a row may have several.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ...core.training_report import Calibration
from ...metrics.scores import calibration_error
from .linear import Array, log_softmax

CLEARLY_LESS = 0.01
MAX_CELLS = 5_000_000  # rows x labels; a temperature needs no more
MIN_ROWS = 20  # fewer unseen rows than this say nothing about a temperature
_LOWEST, _HIGHEST = 0.02, 50.0
_STEPS = 18  # of a search for the logarithm of a temperature: to a thousandth or better


def expected_calibration_error(log_probabilities: Array, labels: npt.NDArray[Any]) -> float:
    """Of the top label's probability, as an evaluation measures it; 0..1. For at least one row."""
    confidence = np.exp(log_probabilities.max(axis=1))
    error = calibration_error(confidence, log_probabilities.argmax(axis=1) == labels)
    assert error is not None
    return error


def temperature(logits: Array, labels: npt.NDArray[Any]) -> float:
    """The number to divide logits by that makes the labels most likely; 0.02..50.

    Each label gives 1 / (rows + 2) of its certainty to the others, as the targets of `platt` do:
    rows that are told apart without an error would else ask for endless certainty.
    """
    n_rows, n_labels = logits.shape
    doubt = 1 / (n_rows + 2)

    def loss(log_temperature: float) -> float:
        scaled = log_softmax(logits / np.exp(log_temperature))
        own = scaled[np.arange(n_rows), labels]
        others = (scaled.sum(axis=1) - own) / max(1, n_labels - 1)
        return -float(((1 - doubt) * own + doubt * others).mean())

    low, high = float(np.log(_LOWEST)), float(np.log(_HIGHEST))
    golden = (np.sqrt(5) - 1) / 2
    left, right = high - golden * (high - low), low + golden * (high - low)
    of_left, of_right = loss(left), loss(right)
    for _ in range(_STEPS):  # the loss has one minimum, so golden-section search finds it
        if of_left <= of_right:
            high, right, of_right = right, left, of_left
            left = high - golden * (high - low)
            of_left = loss(left)
        else:
            low, left, of_left = left, right, of_right
            right = low + golden * (high - low)
            of_right = loss(right)
    return float(np.exp((low + high) / 2))


def lowest_loss(logits: npt.NDArray[np.float32], labels: npt.NDArray[Any]) -> float:
    """Mean log loss in nats at the temperature that suits these logits best."""
    wide = logits.astype(np.float64)
    scaled = log_softmax(wide / temperature(wide, labels))
    return -float(scaled[np.arange(len(labels)), labels].mean())


def honest_confidence(logits: Array, labels: npt.NDArray[Any]) -> float:
    """(correct + 1) / (rows + 2), Laplace's rule of succession: rows without an error show that
    errors are rare, not that there are none."""
    correct = int((logits.argmax(axis=1) == labels).sum())
    return (correct + 1) / (len(labels) + 2)


def matching_temperature(logits: Array, labels: npt.NDArray[Any]) -> float:
    """The temperature at which the mean confidence is the accuracy, as `honest_confidence` puts
    it; 0.02..50.

    The likeliest temperature pays much for each wrong label in the data and leaves a model that
    is right too modest; this one does not.
    """
    goal = honest_confidence(logits, labels)
    low, high = np.log(_LOWEST), np.log(_HIGHEST)
    for _ in range(_STEPS):  # the confidence falls as the temperature rises
        middle = (low + high) / 2
        confidence = np.exp(log_softmax(logits / np.exp(middle)).max(axis=1)).mean()
        low, high = (middle, high) if confidence > goal else (low, middle)
    return float(np.exp(high))


def calibrate(
    logits: Array | npt.NDArray[np.float32], labels: npt.NDArray[Any], usable: npt.NDArray[np.bool_]
) -> tuple[float, Calibration]:
    """A temperature from out-of-fold logits, and what to report of it.

    `usable` marks the rows whose label occurred in the training part of their fold: the others
    are wrong by construction and would make the model look worse than it is.
    """
    rows = np.flatnonzero(usable)
    rows = rows[:: -(-rows.size * logits.shape[1] // MAX_CELLS) or 1]
    logits, labels = logits[rows].astype(np.float64), labels[rows]
    report: Calibration = {"method": "temperature", "rows": len(labels)}
    if len(labels) < MIN_ROWS:
        return 1.0, {**report, "applied": False, "temperature": 1.0}

    def error(candidate: float) -> float:
        return expected_calibration_error(log_softmax(logits / candidate), labels)

    found, other = temperature(logits, labels), matching_temperature(logits, labels)
    # The matching one is also a limit: at a lower temperature the model boasts.
    if other > found or error(other) < error(found) - CLEARLY_LESS:
        found = other
    return found, {
        **report,
        "ece_before": error(1.0),
        "ece_after": error(found),
        "temperature": found,
        "applied": True,
    }


def platt(scores: Array, positive: npt.NDArray[Any]) -> tuple[float, float]:
    """Slope and intercept that turn one label's scores into log-odds.

    Newton's method on the smoothed targets of Platt (1999); a slope that is not positive (the
    scores say nothing) becomes 0, so that the probability is the label's share of the rows.
    """
    n_positive = int(positive.sum())
    n_negative = len(positive) - n_positive
    goal = np.where(positive == 1, (n_positive + 1) / (n_positive + 2), 1 / (n_negative + 2))
    prior = float(np.log((n_positive + 1) / (n_negative + 1)))
    spread = float(scores.std()) if len(scores) else 0.0
    if n_positive == 0 or n_negative == 0 or spread == 0:
        return 0.0, prior
    middle = float(scores.mean())
    inputs = np.stack([(scores - middle) / spread, np.ones_like(scores)], axis=1)
    solution = np.array([1.0, prior])
    for _ in range(50):
        chance = 1 / (1 + np.exp(-np.clip(inputs @ solution, -30, 30)))
        slope = inputs.T @ (chance - goal) + 1e-3 * solution * (1, 0)
        curve = (inputs * (chance * (1 - chance))[:, None]).T @ inputs + 1e-3 * np.eye(2)
        step = np.linalg.solve(curve, slope)
        solution -= np.clip(step, -2, 2)
        if np.abs(step).max() < 1e-6:
            break
    if solution[0] <= 0:
        return 0.0, prior
    a = float(solution[0] / spread)
    return a, float(solution[1] - a * middle)


def platt_each(
    logits: Array, targets: npt.NDArray[Any], absent: npt.NDArray[np.bool_] | None = None
) -> tuple[Array, Array]:
    """Slopes and intercepts (labels,) of `platt` for each column of the logits (rows, labels).

    absent: (labels,), learnt labels that no row here can have, which its scores therefore say
            nothing of: they are calibrated as all labels together are, and not to be never given
    """
    found = [platt(logits[:, k], targets[:, k]) for k in range(targets.shape[1])]
    if absent is not None and absent.any() and not absent.all():
        known = ~absent
        together = platt(logits[:, known].ravel(), targets[:, known].ravel())
        found = [together if gone else own for gone, own in zip(absent, found, strict=True)]
    slopes, intercepts = np.array(found).T
    return slopes, intercepts
