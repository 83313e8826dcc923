"""What the words of a text add to a fine-tuned encoder, by the held-out rows: nothing, something,
or so much that the encoder is not needed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..base import TrainingSet
from ..local.features import FloatArray, Vectorizer
from ..local.group_folds import Rows as Positions
from ..local.model import LocalModel, as_stored
from ..local.recipes import Targets
from ..local.text_vectors import TextVectors
from ..local.training import fit
from .loop import Tuned, judged

SHARES = (0.0, 0.1, 0.25, 0.5, 1.0, 2.0)
"""Of the words' logits that may be added to the encoder's."""


@dataclass(frozen=True)
class Mix:
    """share:  of the words' logits, one of SHARES
    logits: of the held-out rows, (rows, labels)
    alone:  whether the words without the encoder are as good or better; `share` says nothing then
    losses: of the encoder, the words, and the mix
    """

    share: float
    logits: FloatArray
    alone: bool
    losses: tuple[float, float, float]


def words_of(data: TrainingSet, rows: Positions, seed: int) -> LocalModel:
    """The plain local classifier of some rows, without what is not linear in it."""
    texts = [data.texts[row] for row in rows.tolist()]
    model, *_ = fit(TrainingSet(texts, data.targets[rows], data.labels), seed=seed)
    return replace(model, beta=None)


def logits_of(words: LocalModel, texts: Sequence[str]) -> FloatArray:
    """(texts, labels); where labels exclude each other, the same is added to all of a text."""
    found = words.log_probabilities(texts)
    if not words.exclusive:
        found -= np.log(-np.expm1(np.minimum(found, -1e-12)))
    return found.astype(np.float32)


def choose(held: FloatArray, words: FloatArray, targets: Targets, exclusive: bool) -> Mix:
    """By the log loss on held-out rows, which neither was trained on.

    held, words: logits of both, (rows, labels)
    """
    mixed = {share: held + np.float32(share) * words for share in SHARES}
    losses = {share: judged(logits, targets, exclusive)[0] for share, logits in mixed.items()}
    best = min(SHARES, key=losses.__getitem__)
    alone, _ = judged(words, targets, exclusive)
    return Mix(best, mixed[best], alone <= losses[best], (losses[0.0], alone, losses[best]))


def mixed_model(
    tuned: Tuned, vectors: TextVectors, words: LocalModel | None, share: float, exclusive: bool
) -> LocalModel:
    """One linear model of the encoder's vectors and the words. words: None where the share is 0"""
    n_labels = len(tuned.bias)
    vectorizer = Vectorizer({}, {}, np.zeros(0, dtype=np.float32))
    weights, bias = np.zeros((0, n_labels), dtype=np.float32), tuned.bias
    if words is not None:
        scale = share / words.temperature
        more, added = words.weights * scale, words.bias * scale
        if len(added) < n_labels:  # of two labels it has the second one's logit less the first's
            more, added = np.pad(more, ((0, 0), (1, 0))), np.pad(added, (1, 0))
        vectorizer, weights = words.vectorizer, as_stored(more)
        bias = (bias + added).astype(np.float32)
    return LocalModel(
        vectorizer,
        weights,
        bias,
        n_labels=n_labels,
        exclusive=exclusive,
        embedding=vectors,
        embedding_weights=np.ascontiguousarray(tuned.weights),
    )
