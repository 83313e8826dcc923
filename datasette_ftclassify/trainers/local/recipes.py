"""The candidates: a few ways to find the weights of a linear model, and mixtures of them.

Measured on real tables, no way wins everywhere: with a hundred rows naive Bayes is best on
spam and worst on 77 intents. All of them are linear in the same features, so a mixture of two is
again one linear model and costs nothing at prediction time.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from .features import FloatArray
from .term_counts import Matrix

Targets = npt.NDArray[np.int8]  # 0/1, (rows, labels)
WORD_WEIGHT = 0.7  # of the word block relative to the character block
EMBEDDING_WEIGHT = 1.0
LARGE_SHARE = 0.1
"""Of the rows, above which a label is set against the rest in a call of its own. One call for all
labels takes a fraction of the time where they are many, but weighs the rest by 1 instead of
1 / (1 - share)."""


@dataclass(frozen=True)
class Design:
    """The features of some rows: TF-IDF (sparse, columns scaled) and perhaps embeddings."""

    tfidf: Matrix
    embedding: FloatArray | None = None

    def without_embedding(self) -> Design:
        return Design(self.tfidf)

    @property
    def matrix(self) -> Matrix:
        if self.embedding is None:
            return self.tfidf
        return sparse.hstack([self.tfidf, sparse.csr_matrix(self.embedding)], format="csr")

    def similarity(self) -> npt.NDArray[np.float64]:
        """Inner products between all rows."""
        product: npt.NDArray[np.float64] = (self.tfidf @ self.tfidf.T).toarray().astype(np.float64)
        if self.embedding is not None:
            product += self.embedding @ self.embedding.T
        return product


@dataclass(frozen=True)
class Linear:
    """Weights (features, labels), with those of the embedding last, and a bias (labels,)."""

    weights: FloatArray
    bias: FloatArray

    def decide(self, design: Design) -> FloatArray:
        """Scores, shape (rows, labels)."""
        width = design.tfidf.shape[1]
        scores = np.asarray(design.tfidf @ self.weights[:width]) + self.bias
        if design.embedding is not None:
            scores += design.embedding @ self.weights[width:]
        return scores.astype(np.float32)


@dataclass(frozen=True)
class Base:
    """One algorithm with one setting. `name` is unique among those that are compared."""

    name: str
    solve: Callable[[Design, Targets, float, int], Linear]
    strength: float
    embedding: bool = False

    def fit(self, design: Design, targets: Targets, seed: int) -> Linear:
        used = design if self.embedding else design.without_embedding()
        return self.solve(used, targets, self.strength, seed)

    def decide(self, model: Linear, design: Design) -> FloatArray:
        return model.decide(design if self.embedding else design.without_embedding())


@dataclass(frozen=True)
class Recipe:
    """A mixture: each base's scores, brought to unit spread, times its share."""

    name: str
    mixture: tuple[tuple[Base, float], ...]

    @property
    def embedding(self) -> bool:
        return any(base.embedding for base, _ in self.mixture)


def row_weights(targets: Targets) -> npt.NDArray[np.float64]:
    """Weights of mean 1 that give each label that occurs the same total weight."""
    counts = targets.sum(axis=0)
    weights = 1.0 / counts[targets.argmax(axis=1)]
    balanced: npt.NDArray[np.float64] = weights / weights.mean()
    return balanced


def ridge(design: Design, targets: Targets, strength: float, seed: int) -> Linear:
    """Least squares onto -1/+1 with balanced rows, solved among rows instead of features."""
    row_weight = row_weights(targets)
    share = row_weight / row_weight.sum()
    goals = 2.0 * targets - 1.0
    base = share @ goals
    product = design.similarity()
    means = product @ share
    centred = product - means[:, None] - means[None, :] + share @ means
    centred[np.diag_indices_from(centred)] += strength / row_weight
    duals = np.linalg.solve(centred, goals - base)
    weights = np.asarray(design.matrix.T @ duals)
    middle = np.asarray(design.matrix.T @ share)
    return _linear(weights, base - middle @ weights)


def bayes(design: Design, targets: Targets, strength: float, seed: int) -> Linear:
    """Complement naive Bayes (Rennie et al. 2003) on the TF-IDF values, without a prior."""
    weights = np.asarray(design.tfidf.T @ targets.astype(np.float32))
    # In place, since there may be many features and labels: what the other labels have of each
    # feature, its share among all features, and minus the logarithm of that.
    np.subtract(weights.sum(axis=1, keepdims=True), weights, out=weights)
    weights += np.float32(strength)
    weights /= weights.sum(axis=0)
    np.log(weights, out=weights)
    np.subtract(weights.mean(axis=1, keepdims=True), weights, out=weights)
    if design.embedding is not None:
        weights = np.pad(weights, ((0, design.embedding.shape[1]), (0, 0)))
    return Linear(weights, np.zeros(targets.shape[1], dtype=np.float32))


def machine(design: Design, targets: Targets, strength: float, seed: int) -> Linear:
    """Linear support vector machines, one label against the rest; balanced if labels exclude."""
    matrix = design.matrix.astype(np.float64)  # once, or each call makes a copy
    n_rows, n_labels = targets.shape
    counts = targets.sum(axis=0, dtype=np.intp)
    weights = np.zeros((matrix.shape[1], n_labels), dtype=np.float32)
    bias = np.where(counts == n_rows, 1.0, -1.0).astype(np.float32)
    labels = np.flatnonzero((counts > 0) & (counts < n_rows))
    exclusive = bool((targets.sum(axis=1) == 1).all())
    if exclusive and len(labels) == 2:
        one, other = labels
        found = _machine(matrix, targets[:, one], strength, "balanced", seed)
        weights[:, one], bias[one] = found.coef_[0], found.intercept_[0]
        weights[:, other], bias[other] = -weights[:, one], -bias[one]
        return Linear(weights, bias)
    large = labels[counts[labels] > LARGE_SHARE * n_rows]
    if exclusive and 2 * len(large) < len(labels):
        balance = {int(label): n_rows / counts[label] for label in labels}
        found = _machine(matrix, targets.argmax(axis=1), strength / 2, balance, seed)
        weights[:, labels], bias[labels] = found.coef_.T, found.intercept_
        labels = large
    for label in labels:
        weight = "balanced" if exclusive else None
        found = _machine(matrix, targets[:, label], strength, weight, seed)
        weights[:, label], bias[label] = found.coef_[0], found.intercept_[0]
    return Linear(weights, bias)


def _machine(matrix: Matrix, goal: Any, strength: float, weight: Any, seed: int) -> Any:
    from sklearn.svm import LinearSVC

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # not converged to the last digit is good enough
        return LinearSVC(C=strength, class_weight=weight, random_state=seed, tol=1e-3).fit(
            matrix, goal
        )


def _linear(weights: Any, bias: Any) -> Linear:
    return Linear(np.asarray(weights, dtype=np.float32), np.asarray(bias, dtype=np.float32))
