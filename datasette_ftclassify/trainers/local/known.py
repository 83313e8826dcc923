"""How much a text is like those that a classifier was trained on, from 0 to 1.

A text of a kind that nobody trained on shows in two ways: the probabilities are spread over the
labels, and its words were never seen. With few labels the first says little: a spam classifier is
sure of one invented word. Each is ranked among the training rows, as they were answered while they
were held out, and so is what both say together. That rank is `known`: 0.5 means that half of the
training rows looked less familiar, 0 that all of them looked more so.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .features import Vectorizer, prepare, word_terms
from .linear import Array

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
    together:  what the function `together` makes of both
    weight:    of the words beside the probabilities
    rows:      that were ranked, MIN_ROWS at least
    """

    certainty: tuple[float, ...]
    words: tuple[float, ...]
    together: tuple[float, ...]
    weight: float
    rows: int

    def of(self, certainty: float, words: float) -> float:
        """0 to 1 from the two values of a text."""
        least = 0.5 / (self.rows + 1)
        both = together(
            max(rank(self.certainty, certainty), least), max(rank(self.words, words), least),
            self.weight,
        )  # fmt: skip
        return rank(self.together, both)


def together(certainty: float, words: float, weight: float) -> float:
    """Of two ranks, above 0 (Fisher 1925, combining tests, one of them weighted)."""
    return math.log(certainty) + weight * math.log(words)


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
