"""How much a text is like those that a classifier was trained on, from 0 to 1.

A text of a kind that nobody trained on shows in two ways: the probabilities are spread over the
labels, and its words were never seen. With few labels the first says little: a spam classifier is
sure of one invented word. Where the classifier reads vectors, there is a third: nothing that was
trained on is near. Each is ranked among the training rows, as they were answered while they were
held out, and so is what they say together. That rank is `known`: 0.5 means that half of the
training rows looked less familiar, 0 that all of them looked more so.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .features import FloatArray, Vectorizer, prepare, word_terms
from .linear import Array

Centroids = npt.NDArray[np.int8]
"""(centres, dimensions), see `centroids`: only the direction of each counts."""

LEVELS = (
    0.0, 0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, *(i / 40 for i in range(4, 41)),
)  # fmt: skip
"""Shares of the held-out rows whose values are stored: most of them where rows are unlike."""

MIN_ROWS = 20
"""Held-out rows; fewer say nothing about what is usual."""

MOST_ROWS = 2_000
"""Held-out rows that are ranked among."""


@dataclass(frozen=True)
class Known:
    """What is usual among the training rows: values at LEVELS, ascending.

    certainty: see `certainty`
    words:     the share of words and pairs of words that other training rows have, too
    together:  what the function `together` makes of them
    weight:    of the words beside the probabilities
    rows:      that were ranked, MIN_ROWS at least
    nearest:   similarity to the nearest centroid (see `centroids`); empty without vectors
    """

    certainty: tuple[float, ...]
    words: tuple[float, ...]
    together: tuple[float, ...]
    weight: float
    rows: int
    nearest: tuple[float, ...] = ()

    def of(self, certainty: float, words: float, nearest: float | None) -> float:
        """0 to 1 from the values of a text. nearest: None without vectors"""
        return rank(self.together, self.combined(certainty, words, nearest))

    def combined(self, certainty: float, words: float, nearest: float | None) -> float:
        """Of the ranks of the values (Fisher 1925, combining tests, one of them weighted)."""
        least = 0.5 / (self.rows + 1)
        found = math.log(max(rank(self.certainty, certainty), least))
        found += self.weight * math.log(max(rank(self.words, words), least))
        if nearest is not None:
            found += math.log(max(rank(self.nearest, nearest), least))
        return found


def rank(values: Sequence[float], value: float) -> float:
    """The share of rows that have this value or a lower one, 0 to 1."""
    place = bisect_right(values, value)
    if place == 0:
        return 0.0
    if place == len(values):
        return 1.0
    low, high = values[place - 1], values[place]
    share = (value - low) / (high - low)
    return LEVELS[place - 1] + share * (LEVELS[place] - LEVELS[place - 1])


def certainty(logprobs: Array, exclusive: bool) -> float:
    """How little the probabilities are spread: minus the entropy of labels that exclude each other,
    else the logarithm of the highest probability; 0 at most."""
    return float(np.exp(logprobs) @ logprobs if exclusive else logprobs.max())


def known_words(vectorizer: Vectorizer, text: str) -> float:
    """The share of a text's words and pairs of words that are features, 0 to 1."""
    terms = word_terms(prepare(text), vectorizer.tokens)
    if not terms:
        return 0.0
    return sum(map(vectorizer.words.__contains__, terms)) / len(terms)


def directions(centroids: Centroids) -> FloatArray:
    """Each of length 1, to compare with (or all zero)."""
    wide = centroids.astype(np.float32)
    lengths = np.sqrt(np.einsum("ij,ij->i", wide, wide))
    return np.asarray(wide / np.maximum(lengths, 1e-9)[:, None], dtype=np.float32)


def similarity(made: FloatArray, vector: FloatArray) -> float:
    """The cosine of a text's vector and the nearest of the `directions`; -1 where there is none."""
    return float(np.einsum("ij,j->i", made, vector).max(initial=-1.0))
