"""The candidates: a few ways to find the weights of a linear model, and mixtures of them.

Measured on real tables, no way wins everywhere: with a hundred rows naive Bayes is best on
spam and worst on 77 intents. All of them are linear in the same features, so a mixture of two is
again one linear model and costs nothing at prediction time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from scipy import sparse

from .features import FloatArray
from .term_counts import Matrix

Targets = npt.NDArray[Any]
"""(rows, labels), 0 or 1, or what a teacher says: probabilities."""
WORD_WEIGHT = 0.7  # of the word block relative to the character block
SMOOTHING = 0.03  # of naive Bayes
COMMON = 0.08
"""Of the rows, from which on a feature is cheaper in a dense product: BLAS does some forty
multiplications in the time in which a sparse product does one."""
_AT_ONCE = 1_024


class AnyDesign(Protocol):
    """The features of some rows, which may be too many to be in memory together."""

    @property
    def shape(self) -> tuple[int, int]:
        """Rows, features."""

    @property
    def values(self) -> int:
        """Stored values, about; 1 at least."""

    def parts(
        self, chooser: np.random.Generator | None = None
    ) -> Iterator[tuple[npt.NDArray[np.intp], Matrix]]:
        """All rows, in parts that fit in memory: which rows they are, and their features; the parts
        in random order where there is a chooser."""


@dataclass(frozen=True)
class Design:
    """The features of some rows: TF-IDF (sparse, columns scaled), or vectors."""

    matrix: Matrix
    counts: bool = True  # whether it is TF-IDF

    @property
    def shape(self) -> tuple[int, int]:
        rows, features = self.matrix.shape
        return rows, features

    @property
    def values(self) -> int:
        return max(1, int(self.matrix.nnz))

    def parts(
        self, chooser: np.random.Generator | None = None
    ) -> Iterator[tuple[npt.NDArray[np.intp], Matrix]]:
        yield np.arange(self.matrix.shape[0]), self.matrix

    @cached_property
    def gram(self) -> FloatArray:
        """Inner products between all rows: made once for all that is solved among them."""
        return gram(self.matrix)


@dataclass(frozen=True)
class Features:
    """All that is known of some rows: their words, and perhaps their vectors."""

    words: AnyDesign
    vectors: Design | None = None


@dataclass(frozen=True)
class Linear:
    """Weights (features, labels) and a bias (labels,)."""

    weights: FloatArray
    bias: FloatArray

    def decide(self, design: Design) -> FloatArray:
        """Scores, shape (rows, labels)."""
        return np.asarray(design.matrix @ self.weights + self.bias, dtype=np.float32)


@dataclass(frozen=True)
class Base:
    """One algorithm with one setting. `name` is unique among those that are compared. Of a
    `LargeDesign` only those learn that ask for no more than its parts."""

    name: str
    solve: Callable[[Any, Targets, float, int], Linear]
    strength: float
    vectors: bool = False  # whether it sees the vectors, instead of the words
    names: bool = False  # whether it learns from the labels' names, too
    taught: bool = False  # whether it learns from a teacher's answers, too

    def fit(self, features: Features, targets: Targets, seed: int) -> Linear:
        with one_thread():
            return self.solve(self.seen(features), targets, self.strength, seed)

    def decide(self, model: Linear, features: Features) -> FloatArray:
        return model.decide(self.seen(features))

    def seen(self, features: Features) -> Any:
        return features.vectors if self.vectors else features.words


@dataclass(frozen=True)
class Recipe:
    """A mixture: each base's scores, brought to unit spread, times its share."""

    name: str
    mixture: tuple[tuple[Base, float], ...]

    @property
    def embedding(self) -> bool:
        return any(base.vectors for base, _ in self.mixture)

    @property
    def names(self) -> bool:
        """Then all of its parts do, since they share their features."""
        return any(base.names for base, _ in self.mixture)

    @property
    def taught(self) -> bool:
        """As `names`."""
        return any(base.taught for base, _ in self.mixture)

    @property
    def asked_for(self) -> tuple[bool, bool]:
        """What it has that somebody asked for: vectors, a teacher. That is used where it helps."""
        return self.embedding, self.taught


def row_weights(targets: Targets) -> npt.NDArray[np.float64]:
    """Weights of mean 1 that give each label that occurs the same total weight."""
    counts = targets.sum(axis=0)
    weights = 1.0 / counts[targets.argmax(axis=1)]
    balanced: npt.NDArray[np.float64] = weights / weights.mean()
    return balanced


def bayes(design: AnyDesign, targets: Targets, strength: float, seed: int) -> Linear:
    """Complement naive Bayes (Rennie et al. 2003) on the TF-IDF values, without a prior."""
    weights = np.zeros((design.shape[1], targets.shape[1]), dtype=np.float32)
    for rows, tfidf in design.parts():
        given = sparse.csr_matrix(targets[rows], dtype=np.float32)
        weights += np.asarray((tfidf.T @ given).toarray(order="C"))
    # In place, since there may be many features and labels: what the other labels have of each
    # feature, its share among all features, and minus the logarithm of that.
    np.subtract(weights.sum(axis=1, keepdims=True), weights, out=weights)
    weights += np.float32(strength)
    weights /= weights.sum(axis=0)
    np.log(weights, out=weights)
    np.subtract(weights.mean(axis=1, keepdims=True), weights, out=weights)
    return Linear(weights, np.zeros(targets.shape[1], dtype=np.float32))


def gram(matrix: Matrix) -> FloatArray:
    """Inner products between all rows of a sparse matrix, (rows, rows)."""
    columns = matrix.tocsc()
    common = np.diff(columns.indptr) > COMMON * matrix.shape[0]
    found = np.zeros((matrix.shape[0],) * 2, dtype=np.float32)
    often = np.flatnonzero(common)
    for start in range(0, len(often), _AT_ONCE):
        dense = columns[:, often[start : start + _AT_ONCE]].toarray()
        found += dense @ dense.T
    rest = columns[:, ~common].tocsr()
    turned = rest.T.tocsr()
    for start in range(0, matrix.shape[0], _AT_ONCE):
        found[start : start + _AT_ONCE] += (rest[start : start + _AT_ONCE] @ turned).toarray()
    return found


def one_thread() -> AbstractContextManager[Any]:
    """BLAS on one thread while something is fitted.

    Its threads wait for each other busily: where others want the processors too, ten times the work
    was spent for nothing (a training of 1,000 rows took 29 s of processor instead of 2.6 s), and
    the last bit of a sum would depend on their number.
    """
    limit: AbstractContextManager[Any] = _libraries().limit(limits=1, user_api="blas")
    return limit


@cache
def _libraries() -> Any:
    import scipy.linalg  # noqa: F401  # has a BLAS of its own, which must be there to be found
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()
