"""What is usual among the training rows, for `known`: from the answers of cross-validation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ..base import HeldOut
from .centroids import find_centroids, held_out_similarities
from .features import Vectorizer, prepare, word_terms
from .group_folds import Rows
from .known import LEVELS, MIN_ROWS, MOST_ROWS, Known, certainty
from .model import LocalModel
from .training_data import Data

EVEN_LABELS = 8
"""Labels up to which words weigh as much as the probabilities; with n labels EVEN_LABELS / n."""

LEAST_WEIGHT = 0.25
"""Of the words. By the AUROC of other labels of the same set the best was 1 with 2 to 5 labels, .6
with 10, .4 with 20 and 40, and .1 with 57; texts on other subjects want more with any number."""


def measure(
    model: LocalModel, data: Data, texts: Sequence[str], held_out: HeldOut, seed: int
) -> None:
    """Gives the model what is usual among the rows that were held out; nothing for fewer than
    MIN_ROWS.

    A row's own words are known to the finished model, so a word counts only where rows other than
    it and its near copies have it often enough to make a feature. In the same way a row is compared
    with centroids of other rows.
    """
    usable = np.flatnonzero(held_out.learnt)
    if len(usable) < MIN_ROWS:
        return
    chosen = np.random.default_rng(seed).permutation(usable)[:MOST_ROWS]
    rows = held_out.rows[chosen]
    sure = [certainty(row, data.exclusive) for row in held_out.logprobs[chosen]]
    words = _words_of_others(data, model.vectorizer, texts, rows)
    weight = 1.0
    if data.exclusive:
        weight = min(1.0, max(LEAST_WEIGHT, EVEN_LABELS / data.targets.shape[1]))
    near: Sequence[float | None] = [None] * len(rows)
    nearest: tuple[float, ...] = ()
    if model.embedding is not None and data.embedded is not None:
        vectors = data.embedded[: len(data.targets)]
        centroids = find_centroids(vectors, data.targets, seed)
        if len(centroids):
            model.centroids = centroids
            near = held_out_similarities(vectors, data.targets, data.groups, rows, seed).tolist()
            nearest = _values(near)
    usual = Known(_values(sure), _values(words), (), weight, len(chosen), nearest)
    together = [usual.combined(*values) for values in zip(sure, words, near, strict=True)]
    model.usual = replace(usual, together=_values(together))


def _values(found: Any) -> tuple[float, ...]:
    return tuple(float(value) for value in np.quantile(found, LEVELS))


def _words_of_others(
    data: Data, vectorizer: Vectorizer, texts: Sequence[str], rows: Rows
) -> list[float]:
    words = data.terms.words
    presence = data.terms.counts[:, : len(words)].tocsr()
    frequency = np.bincount(presence.indices, minlength=len(words))
    frequency[[word not in vectorizer.words for word in words]] = 0
    own = np.bincount(data.groups)[data.groups]
    shares = []
    for row in rows:
        part = slice(presence.indptr[row], presence.indptr[row + 1])
        others = frequency[presence.indices[part]] >= data.min_rows + own[row]
        terms = len(word_terms(prepare(texts[row]), vectorizer.tokens))
        shares.append(float(presence.data[part] @ others) / terms if terms else 0.0)
    return shares
