"""The rows to learn from, read once and then looked at by every fold and every recipe."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from ...core.errors import TrainingError
from ...core.near_duplicates import near_groups
from ..base import Taught
from .features import FloatArray
from .group_folds import Rows
from .label_names import label_texts
from .recipes import WORD_WEIGHT, Design, Features, Targets
from .term_counts import Matrix, TermCounts, Weighting, count_terms, terms_kept
from .text_vectors import Encoded, TextVectors

MAX_WEIGHTS = 16_000_000  # features x labels that are kept: 32 MB stored, 64 MB in memory
MAX_FEATURES = 200_000
MIN_ROWS_OF_LARGE = 4


def as_indicators(
    targets: npt.NDArray[Any], n_rows: int, n_labels: int, exclusive: bool
) -> Targets:
    """0/1 targets of shape (rows, labels), checked. Raises TrainingError."""
    given = np.asarray(targets)
    if len(given) != n_rows:
        raise TrainingError(f"There are {n_rows} texts, but labels for {len(given)} rows.")
    if n_rows < 2 or n_labels < 1:
        raise TrainingError("Training needs at least two labelled rows.")
    if not exclusive:
        if given.shape != (n_rows, n_labels) or not np.isin(given, (0, 1)).all():
            raise TrainingError(f"The labels are not 0 or 1 for each of {n_labels} labels.")
        if not given.any():
            raise TrainingError("No row has a label.")
        return given.astype(np.int8)
    if given.shape != (n_rows,) or given.min() < 0 or given.max() >= n_labels:
        raise TrainingError(f"The labels are not numbers from 0 to {n_labels - 1}.")
    if len(np.unique(given)) < 2:
        raise TrainingError("All rows have the same label: there is nothing to tell apart.")
    wanted = np.zeros((n_rows, n_labels), dtype=np.int8)
    wanted[np.arange(n_rows), given.astype(np.intp)] = 1
    return wanted


@dataclass(frozen=True)
class Data:
    """The rows to learn from: raw term counts, embeddings, targets; and whether a row has exactly
    one label."""

    terms: TermCounts
    targets: Targets
    groups: Rows  # the same number for equal texts and near copies
    min_rows: int
    embedding: TextVectors | None
    embedded: FloatArray | None
    exclusive: bool = True
    max_weights: int = MAX_WEIGHTS
    named: Rows = field(default_factory=lambda: np.empty(0, dtype=np.intp))
    """The numbers of the labels' names, a row each after those of the texts; none where they are
    not learnt from."""
    chosen: npt.NDArray[np.bool_] | None = None
    """Of each row whether it is never held out, see `TrainingSet`."""
    taught: Taught | None = None
    """Its texts have the last rows."""

    @classmethod
    def read(
        cls,
        texts: Sequence[str],
        targets: Targets,
        embedding: TextVectors | None = None,
        *,
        exclusive: bool = True,
        max_weights: int = MAX_WEIGHTS,
        names: Sequence[str] | None = None,
        encoded: Encoded | None = None,
        chosen: npt.NDArray[np.bool_] | None = None,
        taught: Taught | None = None,
    ) -> Data:
        """names: of the labels, to learn from where that may help; encoded: see `TextVectors`"""
        extra = None if names is None else label_texts(names)
        # A term that occurs in one row only helps where rows are few.
        min_rows = 1 if len(texts) <= 500 else 2 if len(texts) <= 50_000 else MIN_ROWS_OF_LARGE
        more = [*(extra or ()), *(taught.texts if taught else ())]
        read = [*texts, *more] if more else texts
        terms = count_terms(read, min_rows=min_rows)
        embedded = None if embedding is None else embedding.rows(read, encoded)
        named = np.arange(len(texts), len(texts) + len(extra or ()))
        return cls(
            terms,
            targets,
            near_groups(texts),
            min_rows,
            embedding,
            embedded,
            exclusive,
            max_weights,
            named,
            chosen,
            taught,
        )

    @property
    def cost(self) -> float:
        """Stored values of the rows that have labels, times labels."""
        return float(self.terms.counts.indptr[len(self.targets)]) * int(self.targets.shape[1])

    def learnt(self, rows: Rows, names: bool, taught: bool = False) -> tuple[Rows, Targets]:
        """The rows to learn from, with those of the names and the taught ones if they are wanted,
        and their targets, which are probabilities for the taught ones."""
        targets = self.targets[rows]
        if taught and self.taught is not None:
            count = self.terms.counts.shape[0]
            rows = np.concatenate([rows, np.arange(count - len(self.taught.texts), count)])
            targets = np.concatenate([targets, self.taught.chances], dtype=np.float32)
        if names:
            own = np.eye(len(self.named), dtype=np.int8)
            rows, targets = np.concatenate([rows, self.named]), np.concatenate([targets, own])
        return rows, targets

    def weighting(self, rows: Rows) -> Weighting:
        most = most_features(self.targets.shape[1], self.max_weights)
        return Weighting.learn(self.terms, rows, min_rows=self.min_rows, most=most)

    def features(self, weighting: Weighting, rows: Rows) -> Features:
        words = Design(scaled(weighting.apply(self.terms, rows), weighting.n_words))
        if self.embedded is None:
            return Features(words)
        return Features(words, Design(sparse.csr_matrix(self.embedded[rows]), counts=False))

    def whole(self, names: bool, taught: bool = False) -> Whole:
        """All rows, with those that `learnt` adds, to be fitted on."""
        rows, targets = self.learnt(np.arange(len(self.targets)), names, taught)
        weighting = self.weighting(rows)
        words, chars = terms_kept(self.terms.words, self.terms.chars, weighting.keep)
        return Whole(
            self.features(weighting, rows), targets, weighting, words, chars, self.embedding
        )


@dataclass(frozen=True)
class Whole:
    """All that a classifier is fitted on. words and chars: the terms that are kept"""

    features: Features
    targets: Targets
    weighting: Weighting
    words: list[str]
    chars: list[str]
    embedding: TextVectors | None = None


def most_features(n_labels: int, max_weights: int = MAX_WEIGHTS) -> int:
    """That are kept, of the most frequent terms."""
    return min(MAX_FEATURES, max_weights // n_labels)


def scaled(tfidf: Matrix, n_words: int) -> Matrix:
    """With less weight on words, which are the first columns, than on pieces of words; in place."""
    tfidf.data[tfidf.indices < n_words] *= np.float32(WORD_WEIGHT)
    return tfidf
