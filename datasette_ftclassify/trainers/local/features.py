"""From a text to the numbers a linear model reads, without scikit-learn.

Importing scikit-learn takes a second and its vectorisers are made for batches; a SQL function
answers one row at a time in a process that should start at once. So training and prediction both
count here, without scikit-learn's vectorisers. It is fast because a word's character n-grams never
cross the word's borders: they are looked up once per distinct word and kept.
"""

from __future__ import annotations

import math
import re
from array import array
from collections.abc import Mapping
from itertools import pairwise
from unicodedata import category

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.int32]
FloatArray = npt.NDArray[np.float32]

MAX_CHARACTERS = 20_000
"""A text is used up to this many characters, in training and in prediction alike."""

_MARKS = "".join(c for c in map(chr, range(0x300, 0xE00)) if category(c)[0] == "M")
TOKEN_PATTERNS = {1: r"(?u)\b\w\w+\b", 2: rf"[\w{_MARKS}]{{2,}}"}
"""What is a word, by the format in which a classifier is stored. The first is scikit-learn's
default, words of two characters or more, which end at every vowel sign of Hindi, Bengali or Tamil.
Marks of scripts with spaces between words belong to words in the second; other texts have the same
words. With 300 rows of made-up words in Devanagari the accuracy is .569 instead of .544."""
NEWEST_TOKENS = 2
WORD_NGRAMS = (1, 2)
CHAR_NGRAMS = (2, 5)

_MAX_CACHED_WORDS = 20_000
_MAX_CACHED_LENGTH = 64
_ONE_THREAD = 2_000
_TOKENS = {number: re.compile(pattern) for number, pattern in TOKEN_PATTERNS.items()}
# A term that occurs c times weighs 1 + ln c. No term occurs more often than there are characters,
# and lower() makes at most two of one.
_SUBLINEAR = np.ones(2 * MAX_CHARACTERS + 2, dtype=np.float32)
_SUBLINEAR[1:] += np.log(np.arange(1, len(_SUBLINEAR))).astype(np.float32)
# Two numbers that no feature has stand before and after the sorted ones, so that every run of
# equal numbers has two neighbours that differ.
_BEFORE_AND_AFTER = array("i", [-1, 2**31 - 1]).tobytes()


def prepare(text: str) -> str:
    """The part of a text that is looked at, in lower case."""
    return text[:MAX_CHARACTERS].lower()


def word_terms(prepared: str, tokens_in: re.Pattern[str] = _TOKENS[NEWEST_TOKENS]) -> list[str]:
    """The words and pairs of neighbouring words of a prepared text."""
    tokens = tokens_in.findall(prepared)
    return tokens + [f"{a} {b}" for a, b in pairwise(tokens)]


def char_terms(word: str) -> list[str]:
    """The character n-grams of one whitespace-separated word, padded with a space on each side.

    As `analyzer="char_wb"` does it: a word shorter than n gives itself once, and no longer n-grams.
    """
    padded = f" {word} "
    length = len(padded)
    low, high = CHAR_NGRAMS
    terms: list[str] = []
    for size in range(low, high + 1):
        if length <= size:
            terms.append(padded)
            break
        terms += [padded[i : i + size] for i in range(length - size + 1)]
    return terms


def char_spans(length: int) -> list[tuple[int, int]]:
    """Where each of `char_terms` is in the padded word, for a word of that length."""
    padded = length + 2
    low, high = CHAR_NGRAMS
    spans: list[tuple[int, int]] = []
    for size in range(low, high + 1):
        if padded <= size:
            spans.append((0, padded))
            break
        spans += [(i, i + size) for i in range(padded - size + 1)]
    return spans


class Vectorizer:
    """Sublinear TF-IDF over words (1-2) and characters (2-5); each block has Euclidean length 1.

    Features 0..len(words)-1 are the word terms, the character terms follow. `idf` has one positive
    weight per feature. Safe to use from several threads at once.
    """

    def __init__(
        self,
        words: Mapping[str, int],
        chars: Mapping[str, int],
        idf: FloatArray,
        token_format: int = NEWEST_TOKENS,
    ) -> None:
        """`words` and `chars` map each term to its feature number, in one shared numbering;
        `token_format` is one of TOKEN_PATTERNS."""
        self.token_format = token_format
        self.tokens = _TOKENS[token_format]
        self.words = words
        self.chars = chars
        self.idf = idf
        self._word_grams: dict[str, bytes] = {}

    def row(self, text: str) -> tuple[IntArray, FloatArray]:
        """The features of a text in ascending order, and the value of each."""
        prepared = prepare(text)
        find = self.words.get
        found = [i for i in map(find, word_terms(prepared, self.tokens)) if i is not None]
        pieces = [_BEFORE_AND_AFTER, array("i", found).tobytes()]
        cache = self._word_grams
        for word in prepared.split():
            grams = cache.get(word)
            pieces.append(self._look_up(word) if grams is None else grams)
        ordered = np.sort(np.frombuffer(b"".join(pieces), dtype=np.int32))
        (borders,) = (ordered[1:] != ordered[:-1]).nonzero()
        last = borders[1:]
        features = ordered.take(last)
        values = self.idf.take(features)
        values *= _SUBLINEAR.take(last - borders[:-1])
        split = len(set(found))
        _normalise(values[:split])
        _normalise(values[split:])
        return features, values

    def _look_up(self, word: str) -> bytes:
        find = self.chars.get
        grams = array("i", [i for i in map(find, char_terms(word)) if i is not None]).tobytes()
        if len(word) <= _MAX_CACHED_LENGTH:
            if len(self._word_grams) >= _MAX_CACHED_WORDS:
                self._word_grams.clear()
            self._word_grams[word] = grams
        return grams


def _normalise(block: FloatArray) -> None:
    """Scale to length 1, in place.

    BLAS may spread a long product over threads, whose number would then show in the last bit.
    """
    if len(block):
        short = len(block) < _ONE_THREAD
        square = block.dot(block) if short else np.add.reduce(block * block)
        block *= 1 / math.sqrt(square)
