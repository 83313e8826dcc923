"""What is usual among the training rows, for `known`: from the answers of cross-validation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..base import HeldOut
from .features import Vectorizer, prepare, word_terms
from .group_folds import Rows
from .known import LEVELS, MIN_ROWS, MOST_ROWS, Known, certainty, rank, together
from .training_data import Data

EVEN_LABELS = 8
"""Labels up to which words weigh as much as the probabilities; with n labels EVEN_LABELS / n."""

LEAST_WEIGHT = 0.25
"""Of the words. By the AUROC of other labels of the same set the best was 1 with 2 to 5 labels, .6
with 10, .4 with 20 and 40, and .1 with 57; texts on other subjects want more with any number."""


def measure(
    data: Data,
    vectorizer: Vectorizer,
    texts: Sequence[str],
    held_out: HeldOut,
    seed: int,
) -> Known | None:
    """What is usual among the rows that were held out; None for fewer than MIN_ROWS.

    A row's own words are known to the finished model, so a word counts only where rows other than
    it and its near copies have it often enough to make a feature.
    """
    usable = np.flatnonzero(held_out.learnt)
    if len(usable) < MIN_ROWS:
        return None
    chosen = np.random.default_rng(seed).permutation(usable)[:MOST_ROWS]
    sure = [certainty(row, data.exclusive) for row in held_out.logprobs[chosen]]
    words = _words_of_others(data, vectorizer, texts, held_out.rows[chosen])
    weight = 1.0
    if data.exclusive:
        weight = min(1.0, max(LEAST_WEIGHT, EVEN_LABELS / data.targets.shape[1]))
    usual = Known(_values(sure), _values(words), (), weight, len(chosen))
    least = 0.5 / (len(chosen) + 1)
    both = [
        together(max(rank(usual.certainty, a), least), max(rank(usual.words, b), least), weight)
        for a, b in zip(sure, words, strict=True)
    ]
    return Known(usual.certainty, usual.words, _values(both), weight, len(chosen))


def _values(found: Sequence[float]) -> tuple[float, ...]:
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
