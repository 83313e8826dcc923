"""Beta calibration (Kull, Silva Filho and Flach 2017, "Beta calibration", AISTATS), label by label,
on probabilities that one temperature or Platt scaling gave: those have one shape for all, but a
label's scores may be too sure at the top and too modest below.

Where labels exclude each other, each is calibrated against the rest, and the results are divided by
their sum.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from ...metrics.intervals import mean_error
from .linear import Array, beta_features, log_sigmoid, recalibrated

MIN_ROWS = 500
"""Held-out rows from which on it is tried: at 400 rows of GoEmotions and of complaints it did as
much harm as good."""
MAX_CELLS = 1_000_000  # rows times labels that it is fitted on: about a second
COMMON = 20.0
"""How much the parameters of a label are drawn to those that suit all labels together, as a penalty
on the squared difference: with 5 Banking77 has a higher log loss at 1,000 rows, with 50 the labels
that GoEmotions gives are less well calibrated."""
PARTED_CELLS = 500_000  # up to which a calibration takes a fraction of a second

Mask = npt.NDArray[np.bool_]
Base = Callable[[npt.NDArray[np.floating]], Array]
"""From logits to log-probabilities, (rows, labels)."""


def out_of_fold(
    logits: npt.NDArray[np.floating],
    targets: npt.NDArray[np.int8],
    usable: Mask,
    groups: npt.NDArray[np.intp],
    fit_base: Callable[[Mask], Base],
    exclusive: bool,
) -> tuple[npt.NDArray[np.float32], Array | None]:
    """Log-probabilities (rows, labels) of all rows, each calibrated by what other rows gave, and
    the parameters of beta calibration (labels, 3) for later texts; None where it is not used, since
    it did not make the rows clearly likelier, or there are fewer than MIN_ROWS.

    fit_base: what comes before it, fitted on the rows of a mask
    usable:   the rows whose labels occurred in the training part of their fold
    """
    tried = usable.sum() >= MIN_ROWS and MIN_ROWS * targets.shape[1] <= MAX_CELLS
    plain = np.empty(logits.shape, dtype=np.float32)
    improved = np.empty_like(plain) if tried else plain
    for here, there in _parts(groups, logits.size):
        base = fit_base(there)
        plain[here] = found = base(logits[here])
        if tried:
            known = there & usable
            parameters = fit_beta(base(logits[known]), targets[known])
            improved[here] = recalibrated(found, parameters, exclusive)
    if not tried:
        return plain, None
    lead = (losses(plain, targets, exclusive) - losses(improved, targets, exclusive))[usable]
    if lead.mean() <= mean_error(lead, groups[usable]):
        return plain, None
    every = fit_base(np.ones(len(logits), dtype=np.bool_))
    return improved, fit_beta(every(logits[usable]), targets[usable])


def losses(
    logprobs: npt.NDArray[np.floating], targets: npt.NDArray[np.int8], exclusive: bool
) -> Array:
    """Minus the log-probability of each row's own label, or of exactly its labels; (rows,)."""
    wide = logprobs.astype(np.float64)
    if exclusive:
        own: Array = -wide[np.arange(len(wide)), targets.argmax(axis=1)]
        return own
    without = -beta_features(wide)[1]
    lost: Array = -np.where(targets == 1, wide, without).sum(axis=1)
    return lost


def fit_beta(logprobs: Array, targets: npt.NDArray[np.int8]) -> Array:
    """The parameters of each label, (labels, 3), see `linear.recalibrated`."""
    step = -(-logprobs.size // MAX_CELLS) or 1
    logprobs, targets = logprobs[::step], targets[::step]
    certain, against = beta_features(logprobs)
    alike = np.array([1.0, 1.0, 0.0])
    common = _fitted(certain.ravel(), against.ravel(), targets.ravel(), alike, 1.0)
    found = [
        _fitted(certain[:, label], against[:, label], targets[:, label], common, COMMON)
        for label in range(targets.shape[1])
    ]
    return np.array(found)


def _fitted(
    certain: Array, against: Array, positive: npt.NDArray[np.int8], near: Array, penalty: float
) -> Array:
    """The likeliest parameters that stay `near` some. The first two are not negative, so that a
    higher probability never becomes a lower one: one that would be is left out."""
    inputs = np.stack([certain, against, np.ones_like(certain)], axis=1)
    used = np.arange(3)
    while True:
        solution = _newton(inputs[:, used], positive, near[used], penalty)
        below = used[(solution < 0) & (used < 2)]
        if not len(below):
            break
        used = used[used != below[-1]]
    found = np.zeros(3)
    found[used] = solution
    return found


def _newton(inputs: Array, positive: npt.NDArray[np.int8], near: Array, penalty: float) -> Array:
    found: Array = near.copy()
    for _ in range(30):
        chance = np.exp(log_sigmoid(np.clip(inputs @ found, -30, 30)))
        slope = inputs.T @ (chance - positive) + penalty * (found - near)
        curve = (inputs * (chance * (1 - chance))[:, None]).T @ inputs
        step = np.linalg.solve(curve + penalty * np.eye(len(near)), slope)
        found -= np.clip(step, -2, 2)
        if np.abs(step).max() < 1e-4:
            break
    return found


def _parts(groups: npt.NDArray[np.intp], cells: int) -> list[tuple[Mask, Mask]]:
    """Pairs of masks: rows to calibrate, and the other rows, to fit the calibration on, so that
    whoever judges it by its rows is not judging by what it was fitted on. Rows of one of the groups
    are in one part. Five parts, or two of many cells (rows times labels), where half of the
    rows say as much."""
    number = np.unique(groups, return_inverse=True)[1] % (5 if cells <= PARTED_CELLS else 2)
    return [(number == part, number != part) for part in range(int(number.max()) + 1)]
