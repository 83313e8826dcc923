"""Counting the terms of many texts at once, for training.

scikit-learn's vectorisers cut every word of every row into n-grams again; here each distinct word
is cut once, and the rows are counted by a sparse product (rows x distinct words) x (distinct words
x n-grams). The result is the same matrix. Raw counts are kept, so that each fold of a
cross-validation can weigh its own training rows without reading the texts again.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse

from ...core.text import is_utf8
from .features import FloatArray, IntArray, char_terms, prepare, word_terms
from .group_folds import Rows

Matrix = Any  # scipy.sparse.csr_matrix; scipy carries no types
WORD_SHARE = 0.4
"""With 1,500 labels and 10,666 features, the accuracy of naive Bayes is .69 with a share of .3 to
.5, .52 with the most frequent terms of any kind, .51 with .7."""
_ROWS_AT_ONCE = 2_048  # temporary arrays of several times their size are made


@dataclass(frozen=True)
class TermCounts:
    """How often each term occurs in each row.

    `counts` is a float32 CSR matrix of shape (rows, len(words) + len(chars)), words first.
    """

    words: list[str]
    chars: list[str]
    counts: Matrix

    @property
    def n_words(self) -> int:
        return len(self.words)


def terms_kept(
    words: Sequence[str], chars: Sequence[str], keep: IntArray
) -> tuple[list[str], list[str]]:
    """The word terms and the character terms among the features `keep` (ascending)."""
    split = int(np.searchsorted(keep, len(words)))
    return [words[i] for i in keep[:split]], [chars[i - len(words)] for i in keep[split:]]


def count_terms(texts: Sequence[str], *, min_rows: int = 1) -> TermCounts:
    """Count word and character terms; those in fewer than `min_rows` texts are left out."""
    words, word_counts = _count(word_terms(prepare(text)) for text in texts)
    words, word_counts = _drop_rare(words, word_counts, min_rows)
    distinct, occurrences = _count(prepare(text).split() for text in texts)
    chars, grams = _count(char_terms(word) for word in distinct)
    char_counts = (occurrences @ grams).tocsr()
    char_counts.sort_indices()
    chars, char_counts = _drop_rare(chars, char_counts, min_rows)
    return TermCounts(words, chars, sparse.hstack([word_counts, char_counts], format="csr"))


def count_known(texts: Sequence[str], words: Mapping[str, int], chars: Mapping[str, int]) -> Matrix:
    """Counts of the terms that have a number, in one shared numbering from 0 on: float32 CSR,
    (texts, len(words) + len(chars)); columns in no order."""
    found = count_terms(texts)
    numbers = [words.get(term, -1) for term in found.words]
    numbers += [chars.get(term, -1) for term in found.chars]
    columns = np.array(numbers, dtype=np.int32)[found.counts.indices]
    known = columns >= 0
    ends = np.concatenate([[0], np.cumsum(known)])[found.counts.indptr]
    return sparse.csr_matrix(
        (found.counts.data[known], columns[known], ends),
        shape=(len(texts), len(words) + len(chars)),
    )


def _count(rows: Iterable[list[str]]) -> tuple[list[str], Matrix]:
    numbers: dict[str, int] = {}
    indices = array("i")
    ends = array("q", [0])
    for terms in rows:
        indices.extend([numbers.setdefault(term, len(numbers)) for term in terms])
        ends.append(len(indices))
    matrix = sparse.csr_matrix(
        (
            np.ones(len(indices), dtype=np.float32),
            np.frombuffer(indices, dtype=np.int32) if indices else np.empty(0, dtype=np.int32),
            np.frombuffer(ends, dtype=np.int64),
        ),
        shape=(len(ends) - 1, len(numbers)),
    )
    matrix.sum_duplicates()
    return list(numbers), matrix


def _drop_rare(terms: list[str], counts: Matrix, min_rows: int) -> tuple[list[str], Matrix]:
    frequent = row_frequency(counts) >= min_rows
    # A lone surrogate cannot be written as UTF-8, so it could not be stored with the model.
    keep = np.array([i for i in np.flatnonzero(frequent) if is_utf8(terms[i])], dtype=np.int32)
    if len(keep) == len(terms):
        return terms, counts
    return [terms[i] for i in keep], counts[:, keep]


def row_frequency(counts: Matrix) -> IntArray:
    """In how many rows each term occurs."""
    return np.bincount(counts.indices, minlength=counts.shape[1]).astype(np.int32)


@dataclass(frozen=True)
class Weighting:
    """Which features are used (`keep`, ascending) and their inverse document frequencies."""

    keep: IntArray
    n_words: int  # of the kept ones
    idf: FloatArray

    @classmethod
    def learn(cls, terms: TermCounts, rows: Rows, *, min_rows: int, most: int) -> Weighting:
        """From the training rows, see `choose`."""
        frequency = row_frequency(terms.counts[rows])
        return cls.choose(frequency, terms.n_words, len(rows), min_rows=min_rows, most=most)

    @classmethod
    def choose(
        cls, frequency: IntArray, n_words: int, n_rows: int, *, min_rows: int, most: int
    ) -> Weighting:
        """Terms in at least `min_rows` of `n_rows`, the `most` frequent ones. `frequency`: in how
        many rows each is, first those of `n_words` words.

        Where that leaves terms out, words get up to WORD_SHARE of the places: character n-grams are
        more frequent than nearly every word, and would leave none to tell many labels apart by.
        idf = ln((1 + n) / (1 + df)) + 1, as scikit-learn's `smooth_idf` has it.
        """
        keep = np.flatnonzero(frequency >= max(1, min_rows))
        if len(keep) > most:
            keep = keep[np.argsort(-frequency[keep], kind="stable")]
            is_word = keep < n_words
            place = np.where(is_word, np.cumsum(is_word), 0)
            words = keep[is_word & (place <= WORD_SHARE * most)]
            others = keep[~np.isin(keep, words)]
            keep = np.sort(np.concatenate([words, others[: most - len(words)]]))
        idf = np.log((1 + n_rows) / (1 + frequency[keep])) + 1
        n_kept = int(np.searchsorted(keep, n_words))
        return cls(keep.astype(np.int32), n_kept, idf.astype(np.float32))

    def apply(self, terms: TermCounts, rows: Rows) -> Matrix:
        """Sublinear TF-IDF of the given rows, words and characters each of Euclidean length 1."""
        return self.weigh(_columns(terms.counts[rows], self.keep))

    def weigh(self, counts: Matrix) -> Matrix:
        """The same of counts of the kept features, (rows, len(keep)), in place."""
        for start in range(0, counts.shape[0], _ROWS_AT_ONCE):
            ends = counts.indptr[start : start + _ROWS_AT_ONCE + 1]
            piece = slice(ends[0], ends[-1])
            self._weigh(counts.data[piece], counts.indices[piece], np.diff(ends))
        return counts

    def _weigh(self, values: FloatArray, features: IntArray, lengths: Rows) -> None:
        """Turn the counts of some rows into weights of length 1 per row and block, in place."""
        np.log(values, out=values)
        values += 1
        values *= self.idf[features]
        # Two blocks a row: its words are number 2 * row, its characters number 2 * row + 1.
        block = np.repeat(np.arange(0, 2 * len(lengths), 2), lengths)
        block += features >= self.n_words
        squares = np.bincount(block, values**2, minlength=2 * len(lengths))
        squares[squares == 0] = 1
        values /= np.sqrt(squares).astype(np.float32)[block]


def _columns(counts: Matrix, keep: IntArray) -> Matrix:
    return counts if len(keep) == counts.shape[1] else counts[:, keep]
