"""A trained local classifier: arrays, a vocabulary, and the arithmetic that turns text into
probabilities.

Everything is label-agnostic (labels are 0..k-1) and one linear model: whatever recipes training
mixed, their weights were added up before they came here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from .explain import explain
from .features import FloatArray, Vectorizer
from .known import Centroids, Known, certainty, directions, known_words, similarity
from .linear import Array, log_sigmoid, log_sigmoid_pair, log_softmax_one, recalibrated
from .text_vectors import TextVectors


@dataclass(eq=False)
class LocalModel:
    """A text classifier of `n_labels` labels that needs numpy alone.

    `weights` has shape (features, columns) and `bias` (columns,), where columns is `n_labels`, or 1
    when two labels exclude each other: then the column is the second label's logit minus the
    first's. Logits are divided by `temperature`; `beta` (n_labels, 3) are the parameters by which
    the probabilities that come of it are calibrated further. `thresholds` (where labels do not
    exclude each other) are the probabilities, one per label, from which on a label is given.
    `usual` says what is usual among the training rows; None: nothing was measured. `centroids` are
    those of their vectors that `usual` speaks of. Safe to use from several threads.
    """

    vectorizer: Vectorizer
    weights: FloatArray
    bias: FloatArray
    _: KW_ONLY
    n_labels: int
    exclusive: bool
    temperature: float = 1.0
    thresholds: Array | None = None
    embedding: TextVectors | None = None
    embedding_weights: FloatArray | None = None
    usual: Known | None = None
    beta: Array | None = None
    centroids: Centroids | None = None

    @cached_property
    def _directions(self) -> FloatArray | None:
        return None if self.centroids is None else directions(self.centroids)

    @property
    def multilabel(self) -> bool:
        return not self.exclusive

    def with_vectors(self, vectors: TextVectors) -> LocalModel:
        """The same model with other vectors of texts, of as many dimensions."""
        return replace(self, embedding=vectors)

    def log_probabilities(self, texts: Sequence[str]) -> Array:
        """Natural logarithms of each label's probability, shape (len(texts), n_labels).

        Labels that exclude each other have probabilities that sum to 1; with several labels a row,
        each is the probability of that label alone.
        """
        vectors = self._vectors(texts)
        out = np.empty((len(texts), self.n_labels), dtype=np.float64)
        for row, text in enumerate(texts):
            out[row] = self._probabilities(self._scores(text, vectors[row]))
        return out

    def log_probabilities_one(self, text: str) -> Array:
        """The same for one text, shape (n_labels,)."""
        return self._probabilities(self._scores(text, self._vector(text)))

    def _probabilities(self, scores: Array) -> Array:
        if not self.exclusive:
            found = log_sigmoid(scores)
        elif len(scores) < self.n_labels:
            found = log_sigmoid_pair(float(scores[0]))
        else:
            found = log_softmax_one(scores)
        return found if self.beta is None else recalibrated(found, self.beta, self.exclusive)

    def known(self, text: str, logprobs: Array) -> float | None:
        """How much a text is like the training rows, 0 to 1, see `known`; None where that was not
        measured: too few rows could be held out, or an earlier version trained it.

        logprobs: of the text, as `log_probabilities_one` gives them
        """
        if self.usual is None:
            return None
        sure = certainty(logprobs, self.exclusive)
        return self.usual.of(sure, known_words(self.vectorizer, text), self._nearest(text))

    def _nearest(self, text: str) -> float | None:
        if self._directions is None or self.embedding is None:
            return None
        return similarity(self._directions, self.embedding.row(text))

    @property
    def texts_at_once(self) -> int | None:
        """Texts that are answered in about a tenth of a second; None: as many as words take."""
        return None if self.embedding is None else self.embedding.texts_at_once

    def _vector(self, text: str) -> FloatArray | None:
        return None if self.embedding is None else self.embedding.row(text)

    def _vectors(self, texts: Sequence[str]) -> Sequence[FloatArray | None]:
        return [None] * len(texts) if self.embedding is None else list(self.embedding.rows(texts))

    def _scores(self, text: str, vector: FloatArray | None) -> Array:
        """One score per column of the weights, divided by the temperature. vector: of the text"""
        features, values = self.vectorizer.row(text)
        # einsum, not a matrix product: BLAS may add up in another order with other thread counts.
        scores = np.einsum("i,ij->j", values, self.weights.take(features, axis=0))
        if vector is not None and self.embedding_weights is not None:
            scores += np.einsum("i,ij->j", vector, self.embedding_weights)
        wide: Array = np.add(scores, self.bias, dtype=np.float64)
        wide /= self.temperature
        return wide

    def explain(self, text: str, label: int, top: int = 8) -> list[tuple[str, float]]:
        """The words of a text, or parts of a clause in scripts without spaces, that speak most for
        (positive) or against (negative) a label.

        Each word comes with its contribution to that label's logit relative to the mean of the
        other labels (where they do not exclude each other: to the label's own log-odds); largest
        absolute value first.
        Raises IndexError when there is no such label.
        """
        return explain(self, text, label, top)

    def direction(self, matrix: FloatArray, label: int) -> Array:
        """What one unit of each row of a weight matrix adds to a label, relative to the others."""
        if not 0 <= label < self.n_labels:
            raise IndexError(f"label {label} is not among the {self.n_labels} labels")
        wide = matrix.astype(np.float64) / self.temperature
        if wide.shape[1] < self.n_labels:
            return wide[:, 0] if label else -wide[:, 0]
        if not self.exclusive or self.n_labels == 1:
            return wide[:, label]
        relative: Array = (wide[:, label] * self.n_labels - wide.sum(axis=1)) / (self.n_labels - 1)
        return relative


def as_stored(weights: npt.NDArray[np.floating]) -> FloatArray:
    """Weights rounded to the half precision they are stored in, so that saving changes nothing."""
    limit = float(np.finfo(np.float16).max)
    stored: FloatArray = np.clip(weights, -limit, limit).astype(np.float16).astype(np.float32)
    return stored
