"""Learning from tables whose counts are more than what is kept in memory.

Texts are counted anew, block by block, each time that they are looked at, so that memory grows with
the rows by a few bytes each, whatever their texts hold: one pass finds the vocabulary, from which
rare terms are dropped on the way, and each algorithm passes over all rows as often as it needs to.
Recipes are compared, and probabilities calibrated, on a sample, see `training`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from .cross_val_predict import sample
from .features import IntArray
from .group_folds import Rows
from .recipes import Features, Targets
from .term_counts import Matrix, Weighting, count_known, count_terms, row_frequency, terms_kept
from .training_data import MIN_ROWS_OF_LARGE, Whole, most_features, scaled

BLOCK_VALUES = 3_000_000
"""Stored values of a block. Counting them takes several times their own 24 MB."""
MOST_TERMS = 600_000
"""Words, and as many pieces of words, that are counted at once: some 200 MB of Python's objects."""
MOST_EACH = 20_000  # rows of a block
SAMPLE_VALUES = 10_000_000
FEWEST_SAMPLED = 2_000
"""Rows of the sample by which recipes are compared, of however long texts; else as many as store
SAMPLE_VALUES."""


def values_each(texts: Sequence[str]) -> float:
    """Stored values of a row, about: of some texts here and there."""
    some = texts[:: max(1, len(texts) // 300)]
    return max(1.0, float(count_terms(some).counts.nnz) / len(some))


@dataclass(frozen=True)
class LargeDesign:
    """The features of all rows, one block after the other: see `Design.parts`.

    blocks:     the rows of each, at random, so that none is of one label
    vocabulary: the numbers of words and of pieces of words, one numbering
    """

    texts: Sequence[str]
    blocks: Sequence[Rows]
    vocabulary: tuple[dict[str, int], dict[str, int]]
    weighting: Weighting
    values: int  # about
    counted: Callable[[], None]  # called after each block

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.texts), len(self.weighting.keep)

    def parts(self, chooser: np.random.Generator | None = None) -> Iterator[tuple[Rows, Matrix]]:
        numbers = np.arange(len(self.blocks))
        for number in numbers if chooser is None else chooser.permutation(numbers):
            rows = self.blocks[int(number)]
            counts = count_known([self.texts[row] for row in rows], *self.vocabulary)
            self.counted()
            yield rows, scaled(self.weighting.weigh(counts), self.weighting.n_words)


def sample_rows(targets: Targets, each: float, seed: int) -> Rows:
    """Those by which recipes are compared, ascending. each: as of `read_large`"""
    return sample(targets, max(FEWEST_SAMPLED, int(SAMPLE_VALUES / each)), seed)


def read_large(
    texts: Sequence[str],
    targets: Targets,
    each: float,
    seed: int,
    counted: Callable[[], None] = lambda: None,
) -> Whole:
    """All rows, to be fitted on.

    each:    stored values of a row, about
    counted: called after each block, however often they are read
    """
    rows_each = int(np.clip(BLOCK_VALUES / each, 64, MOST_EACH))
    order = np.random.default_rng(seed).permutation(len(texts))
    blocks = [np.sort(part) for part in np.array_split(order, math.ceil(len(texts) / rows_each))]
    words, chars = _Frequencies(), _Frequencies()
    for rows in blocks:
        found = count_terms([texts[row] for row in rows])
        frequency = row_frequency(found.counts)
        words.add(found.words, frequency[: found.n_words])
        chars.add(found.chars, frequency[found.n_words :])
        counted()
    most = most_features(targets.shape[1])
    frequency = np.concatenate([words.numbers(), chars.numbers()])
    weighting = Weighting.choose(
        frequency, len(words.of), len(texts), min_rows=MIN_ROWS_OF_LARGE, most=most
    )
    kept_words, kept_chars = terms_kept(list(words.of), list(chars.of), weighting.keep)
    numbered = {term: number for number, term in enumerate(kept_words)}
    pieces = {term: len(numbered) + number for number, term in enumerate(kept_chars)}
    values = round(each * len(texts))
    design = LargeDesign(texts, blocks, (numbered, pieces), weighting, values, counted)
    return Whole(Features(design), targets, weighting, kept_words, kept_chars)


class _Frequencies:
    """In how many rows each term is. Where terms are more than MOST_TERMS the rarer half is dropped
    and counted anew if it comes again (Manku and Motwani 2002, lossy counting): what is kept in the
    end is far more frequent."""

    def __init__(self) -> None:
        self.of: dict[str, int] = {}

    def add(self, terms: Sequence[str], frequency: IntArray) -> None:
        known = self.of.get
        self.of.update(
            (term, known(term, 0) + more)
            for term, more in zip(terms, frequency.tolist(), strict=True)
        )
        if len(self.of) > MOST_TERMS:
            least = int(np.median(self.numbers()))
            self.of = {term: count for term, count in self.of.items() if count > least}

    def numbers(self) -> IntArray:
        return np.fromiter(self.of.values(), dtype=np.int32, count=len(self.of))
