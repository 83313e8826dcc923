"""From a word to the numbers of its tokens: WordPiece, unigram and whole words, with the results of
the `tokenizers` package."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

Found = tuple[tuple[int, int], ...]
"""The tokens of a word in order: the number of each, and where in the word it starts."""


class Subwords(Protocol):
    def split(self, word: str) -> Found:
        """The tokens of a word. It takes time that grows with the word's length alone."""


@dataclass(frozen=True)
class WordLevel:
    """A word is one token; `unknown` stands for all others."""

    vocabulary: Mapping[str, int]
    unknown: int | None

    def split(self, word: str) -> Found:
        number = self.vocabulary.get(word, self.unknown)
        return () if number is None else ((number, 0),)


@dataclass(frozen=True)
class WordPiece:
    """The longest token that a word begins with, then the longest with `prefix` that follows …

    longest: characters of a word; a longer one is `unknown`, as is one that cannot be cut
    most:    characters of a token
    """

    vocabulary: Mapping[str, int]
    unknown: int | None
    prefix: str
    longest: int
    most: int

    def split(self, word: str) -> Found:
        found: list[tuple[int, int]] = []
        start = 0
        while start < len(word) <= self.longest:
            head = self.prefix if start else ""
            for end in range(min(len(word), start + self.most), start, -1):
                number = self.vocabulary.get(head + word[start:end])
                if number is not None:
                    break
            else:
                break
            found.append((number, start))
            start = end
        if start < len(word):
            return () if self.unknown is None else ((self.unknown, 0),)
        return tuple(found)


@dataclass(frozen=True)
class Unigram:
    """The tokens whose scores (log-probabilities) add up to most.

    floor: the score of an unknown character
    most:  characters of a token
    """

    vocabulary: Mapping[str, tuple[int, float]]
    unknown: int | None
    floor: float
    most: int

    def split(self, word: str) -> Found:
        find = self.vocabulary.get
        # For each end: the best sum, where its last token starts, and that token's number.
        best: list[tuple[float, int, int | None] | None] = [None] * (len(word) + 1)
        best[0] = (0.0, 0, None)
        for start in range(len(word)):
            so_far = best[start]
            assert so_far is not None
            for end in range(start + 1, min(len(word), start + self.most) + 1):
                known = find(word[start:end])
                if known is None and end > start + 1:
                    continue
                number, score = (self.unknown, self.floor) if known is None else known
                there = best[end]
                if there is None or so_far[0] + score > there[0]:
                    best[end] = (so_far[0] + score, start, number)
        return _backwards(best, self.unknown)


def _backwards(best: Sequence[tuple[float, int, int | None] | None], unknown: int | None) -> Found:
    """The tokens on the way to the end; unknown characters that follow each other are one."""
    found: list[tuple[int, int]] = []
    end = len(best) - 1
    while end:
        there = best[end]
        assert there is not None
        _, end, number = there
        if number is None:
            continue
        if found and number == unknown == found[-1][0]:
            found.pop()
        found.append((number, end))
    return tuple(reversed(found))
