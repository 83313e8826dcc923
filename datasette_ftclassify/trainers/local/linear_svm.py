"""Linear support vector machines, one label against the rest."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import numpy.typing as npt

from .features import FloatArray
from .recipes import SMOOTHING, Design, Linear, Targets, bayes
from .ridge import SHARED
from .term_counts import Matrix

LARGE_SHARE = 0.1
"""Of the rows, above which a label is set against the rest in a call of its own. One call for all
labels takes a fraction of the time where they are many, but weighs the rest by 1 instead of
1 / (1 - share)."""
CLOSE = 15
"""Labels that naive Bayes takes a row for most, besides its own: their SVMs see the row."""
FAR = 1_000
"""Other rows that an SVM sees, drawn at random; each weighs as much as those it stands for."""
TERMS_PER_CUBE = 2_500
"""Long texts have so many stored values that solving among rows, by the inner products that ridge
regression needs anyway, is quicker than passing over all values again and again, which takes 0.22 s
a label for 1,200 rows of 2,200 characters."""
MOST_STEPS = 20
RATIO_SMOOTHING = 0.1
"""Added to what a label's rows have of a feature, and to what others have, before ratios are made:
1,000 complaints .766, .745 with 1."""
WORTH = 0.5  # a larger share of the rows is no saving
_AT_ONCE = 1_024


def unweighted(design: Design, targets: Targets, strength: float, seed: int) -> Linear:
    """As `linear_svm`, with each row counting the same."""
    return linear_svm(design, targets, strength, seed, balanced=False)


def nb_svm(design: Design, targets: Targets, strength: float, seed: int) -> Linear:
    """NB-SVM (Wang and Manning 2012): as `linear_svm`, where each label's sees a feature by the
    logarithm of how much of it the label's rows have against all others. Of 2,500 comments of 6
    emotions it makes .754 right instead of .720, but of 12 intents .935 instead of .950."""
    words = design.matrix
    own = np.asarray(words.T @ targets.astype(np.float32))
    others = np.asarray(words.sum(axis=0), dtype=np.float32).reshape(-1, 1) - own
    own += RATIO_SMOOTHING
    others += RATIO_SMOOTHING
    ratios = np.log(own / own.sum(axis=0)) - np.log(others / others.sum(axis=0))
    return linear_svm(design, targets, strength, seed, ratios=ratios)


def linear_svm(
    design: Design,
    targets: Targets,
    strength: float,
    seed: int,
    *,
    balanced: bool = True,
    ratios: FloatArray | None = None,
) -> Linear:
    """Where labels exclude each other and it is `balanced`, a label's rows count as much as all
    others together. Where labels are many, one is not set against all other rows, of which most
    say the same, but against those that are close to it and some others: with 77 labels and 10,000
    rows that takes half of the time, and the cost grows with the rows instead of with rows times
    labels.

    ratios: (features, labels), by which each label's SVM sees the features
    """
    n_rows, n_labels = targets.shape
    counts = targets.sum(axis=0, dtype=np.intp)
    weights = np.zeros((design.shape[1], n_labels), dtype=np.float32)
    bias = np.where(counts == n_rows, 1.0, -1.0).astype(np.float32)
    labels = np.flatnonzero((counts > 0) & (counts < n_rows))
    exclusive = bool((targets.sum(axis=1) == 1).all())
    if exclusive and seen_share(n_rows, len(labels)) < 1:
        _against_close_rows(
            design, targets, labels, strength, seed, balanced, ratios, weights, bias
        )
        return Linear(weights, bias)
    if ratios is None and n_rows <= SHARED and n_rows**3 < TERMS_PER_CUBE * design.matrix.nnz:
        return _dual_newton(design, targets, labels, strength, exclusive and balanced, bias)
    matrix = design.matrix.astype(np.float64)  # once, or each call makes a copy
    if exclusive and len(labels) == 2:
        one, other = labels
        balance = "balanced" if balanced else None
        ratio = None if ratios is None else ratios[:, one]
        weights[:, one], bias[one] = _column(
            matrix, targets[:, one], strength, seed, ratio, balance=balance
        )
        weights[:, other], bias[other] = -weights[:, one], -bias[one]
        return Linear(weights, bias)
    large = labels[counts[labels] > LARGE_SHARE * n_rows]
    if ratios is None and exclusive and 2 * len(large) < len(labels):
        share = {int(label): n_rows / counts[label] for label in labels} if balanced else None
        own = targets.argmax(axis=1)
        found = _fitted(matrix, own, strength / 2 if balanced else strength, seed, balance=share)
        weights[:, labels], bias[labels] = found.coef_.T, found.intercept_
        labels = large
    for label in labels:
        each = "balanced" if exclusive and balanced else None
        ratio = None if ratios is None else ratios[:, label]
        weights[:, label], bias[label] = _column(
            matrix, targets[:, label], strength, seed, ratio, balance=each
        )
    return Linear(weights, bias)


def seen_share(n_rows: int, n_labels: int) -> float:
    """Of the rows, that the SVM of one label learns from, where labels exclude each other."""
    if n_labels <= CLOSE + 1:
        return 1.0
    share = (CLOSE + 1) / n_labels + FAR / n_rows
    return share if share < WORTH else 1.0


def _dual_newton(
    design: Design,
    targets: Targets,
    labels: npt.NDArray[np.intp],
    strength: float,
    balanced: bool,
    bias: npt.NDArray[np.float32],
) -> Linear:
    """Newton's method (Chapelle 2007, Training a support vector machine in the primal): the rows
    that are inside the margin are solved for exactly, until they are the same ones again."""
    product = design.gram.astype(np.float64) + 1  # the one is the bias, which has a penalty, too
    n_rows = len(targets)
    duals = np.zeros(targets.shape, dtype=np.float32)
    for label in labels:
        own = targets[:, label] == 1
        share = np.where(own, own.mean(), 1 - own.mean())
        each = strength / (2 * share) if balanced else np.full(n_rows, strength)
        found = _newton(product, np.where(own, 1.0, -1.0), each)
        duals[:, label], bias[label] = found, found.sum()
    return Linear(np.asarray(design.matrix.T @ duals), bias)


def _newton(
    product: npt.NDArray[np.float64],
    goals: npt.NDArray[np.float64],
    strength: npt.NDArray[np.float64],
) -> npt.NDArray[np.float64]:
    """What each row adds to the weights."""
    from scipy.linalg import cho_factor, cho_solve

    def loss(found: npt.NDArray[np.float64], scores: npt.NDArray[np.float64]) -> float:
        inside = np.maximum(1 - goals * scores, 0)
        return float(found @ scores / 2 + strength @ inside**2)

    found, scores = np.zeros_like(goals), np.zeros_like(goals)
    inside = np.ones(len(goals), dtype=np.bool_)
    least = loss(found, scores)
    for _ in range(MOST_STEPS):
        rows = np.flatnonzero(inside)
        part = product[np.ix_(rows, rows)]
        part[np.diag_indices_from(part)] += 1 / (2 * strength[rows])
        factor = cho_factor(part.T, lower=True, overwrite_a=True, check_finite=False)
        step = -found
        step[rows] += cho_solve(factor, goals[rows], check_finite=False)
        along = product @ step
        size = 1.0
        while loss(found + size * step, scores + size * along) > least and size > 1e-3:
            size /= 2
        found, scores = found + size * step, scores + size * along
        least = loss(found, scores)
        before, inside = inside, goals * scores < 1
        if (before == inside).all() or not inside.any():
            break
    return found


def _against_close_rows(
    design: Design,
    targets: Targets,
    labels: npt.NDArray[np.intp],
    strength: float,
    seed: int,
    balanced: bool,
    ratios: FloatArray | None,
    weights: npt.NDArray[np.float32],
    bias: npt.NDArray[np.float32],
) -> None:
    """Fills in the weights and the bias of the labels."""
    matrix, own = design.matrix, targets.argmax(axis=1)
    n_rows = len(own)
    close = _close_labels(design, targets, own)
    order = np.argsort(close, axis=None, kind="stable")
    ends = np.searchsorted(close.ravel()[order], np.arange(targets.shape[1] + 1))
    by_label = np.argsort(own, kind="stable")
    own_ends = np.searchsorted(own[by_label], np.arange(targets.shape[1] + 1))
    chooser = np.random.default_rng(seed)
    for label in labels:
        its = by_label[own_ends[label] : own_ends[label + 1]]
        near = order[ends[label] : ends[label + 1]] // close.shape[1]
        seen = np.concatenate([its, near])
        far = np.setdiff1d(chooser.choice(n_rows, min(FAR, n_rows), replace=False), seen)
        rows = np.concatenate([seen, far])
        goal = np.zeros(len(rows), dtype=np.int8)
        goal[: len(its)] = 1
        weight = np.full(len(rows), 0.5 if balanced else 1.0)
        weight[: len(its)] *= n_rows / len(its) if balanced else 1.0
        weight[len(seen) :] *= (n_rows - len(seen)) / max(len(far), 1)
        ratio = None if ratios is None else ratios[:, label]
        weights[:, label], bias[label] = _column(
            matrix[rows], goal, strength, seed, ratio, weight=weight
        )


def _close_labels(
    design: Design, targets: Targets, own: npt.NDArray[np.intp]
) -> npt.NDArray[np.int32]:
    """(rows, CLOSE): the labels that each row is taken for at a glance, without its own."""
    if design.counts:
        guess = bayes(design, targets, SMOOTHING, 0).weights
    else:  # the label whose mean is nearest
        each = (targets / np.maximum(targets.sum(axis=0), 1)).astype(np.float32)
        guess = np.asarray(design.matrix.T @ each)
    found = np.empty((len(own), CLOSE), dtype=np.int32)
    for start in range(0, len(own), _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        scores = np.asarray(design.matrix[part] @ guess)
        scores[np.arange(len(scores)), own[part]] = -np.inf
        found[part] = np.argpartition(-scores, CLOSE - 1, axis=1)[:, :CLOSE]
    return found


def _column(
    matrix: Matrix, goal: Any, strength: float, seed: int, ratio: FloatArray | None, **how: Any
) -> tuple[npt.NDArray[np.float64], float]:
    """Weights and bias of one label's SVM. ratio: by which it sees the features"""
    if ratio is not None:
        values = matrix.data * ratio[matrix.indices]
        matrix = type(matrix)((values, matrix.indices, matrix.indptr), shape=matrix.shape)
    found = _fitted(matrix, goal, strength, seed, **how)
    return found.coef_[0] * (1 if ratio is None else ratio), found.intercept_[0]


def _fitted(
    matrix: Matrix,
    goal: Any,
    strength: float,
    seed: int,
    *,
    balance: Any = None,
    weight: Any = None,
) -> Any:
    from sklearn.svm import LinearSVC

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # not converged to the last digit is good enough
        return LinearSVC(C=strength, class_weight=balance, random_state=seed, tol=1e-3).fit(
            matrix, goal, sample_weight=weight
        )
