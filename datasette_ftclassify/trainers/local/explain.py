"""Which parts of a text moved the answer, exactly: the model is linear, so every bit of the logit
belongs to an occurrence of a feature, and so to characters of the text; the contributions add up to
the logit without its bias.

A part is a word where words stand between spaces. In scripts without spaces (Thai, Chinese,
Japanese) a whole clause would be one, so it is cut between letters that the fewest contributions
hold together.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import NamedTuple, Protocol
from unicodedata import category

import numpy as np
import numpy.typing as npt

from ...core.shingles import NO_SPACES
from .features import MAX_CHARACTERS, FloatArray, Vectorizer, char_spans, char_terms, prepare
from .static_embedding import StaticEmbedding
from .text_vectors import TextVectors

Amounts = npt.NDArray[np.float64]

WEAK = 0.75
"""A border between letters is cut where less than this holds them together, compared with one of
the borders beside it: an n-gram that tells a label holds its own letters, and longer ones, that
have a neighbour too, hold that as well."""

WHOLE_TEXT = "(the whole text)"
"""Stands among the parts for what a sentence encoder adds."""

_find_words = re.compile(r"\S+").finditer
_JOINERS = "\u200c\u200d"
# Vowels that are letters by their category, but stand on the letter before; emoji's skin colours.
_EXTENDING = "\u0e33\u0eb3\U0001f3fb\U0001f3fc\U0001f3fd\U0001f3fe\U0001f3ff"


class LinearModel(Protocol):
    """What is read of a model: its features, their weights, and what these mean for a label."""

    @property
    def vectorizer(self) -> Vectorizer: ...

    @property
    def weights(self) -> FloatArray: ...

    @property
    def embedding(self) -> TextVectors | None: ...

    @property
    def embedding_weights(self) -> FloatArray | None: ...

    def direction(self, matrix: FloatArray, label: int) -> Amounts:
        """What one unit of each row of a matrix of weights adds to a label."""


class Part(NamedTuple):
    """`text[start:end]`, and what it adds to the logit."""

    start: int
    end: int
    amount: float


def explain(model: LinearModel, text: str, label: int, top: int) -> list[tuple[str, float]]:
    """Parts with their signed contributions, equal ones added up; see `LocalModel.explain`."""
    totals: dict[str, float] = defaultdict(float)
    names: dict[str, str] = {}
    for part in parts_of(model, text, label):
        name = _without_edges(text[part.start : part.end])
        totals[names.setdefault(name.lower(), name)] += part.amount
    whole = _of_encoder(model, text, label)
    if whole is not None:
        totals[WHOLE_TEXT] = whole
    ranked = sorted(totals.items(), key=lambda item: (-abs(item[1]), item[0]))
    return ranked[:top]


def _of_encoder(model: LinearModel, text: str, label: int) -> float | None:
    """What a sentence encoder adds, which reads a text as a whole; None without one."""
    vectors, weights = model.embedding, model.embedding_weights
    if vectors is None or weights is None or isinstance(vectors, StaticEmbedding):
        return None
    return float(vectors.row(text[:MAX_CHARACTERS]) @ model.direction(weights, label))


def parts_of(model: LinearModel, text: str, label: int) -> list[Part]:
    """The parts of the text, which do not overlap and cut no letter from its marks, in their order.
    Between them is white space alone."""
    text = text[:MAX_CHARACTERS]
    amounts, bonds = _by_character(model, text, label)
    if isinstance(model.embedding, StaticEmbedding):
        _add_static(model, model.embedding, text, label, amounts)
    spans = [span for word in _find_words(text) for span in _cut(text, *word.span(), bonds)]
    if not spans:
        return []
    # What an embedding makes of white space counts for the part before it.
    starts = np.array([0, *(start for start, _ in spans[1:])])
    sums = np.add.reduceat(amounts, starts)
    return [Part(*span, float(amount)) for span, amount in zip(spans, sums, strict=True)]


def _without_edges(word: str) -> str:
    """Without punctuation around it. Marks belong to their letter: vowel signs of Hindi or Thai."""
    inner = [i for i, c in enumerate(word) if _in_word(c)]
    return word[inner[0] : inner[-1] + 1] if inner else word


def _in_word(character: str) -> bool:
    return character == "_" or character.isalnum() or category(character)[0] == "M"


def _by_character(model: LinearModel, text: str, label: int) -> tuple[Amounts, Amounts]:
    """The TF-IDF part's contribution of each character, and how much is held together across the
    border before each.

    A feature's contribution is shared equally among the places where it occurs, and there among its
    characters; a pair of words shares it half and half.
    """
    vectorizer = model.vectorizer
    prepared = prepare(text)
    places = [
        *_words(prepared, vectorizer.words, vectorizer.tokens),
        *_characters(prepared, vectorizer.chars),
    ]
    amounts, bonds = np.zeros(len(prepared) + 1), np.zeros(len(prepared) + 1)
    if places:
        found, starts, ends, share = (np.array(column) for column in zip(*places, strict=True))
        features, values = vectorizer.row(text)
        directed = model.direction(model.weights[features], label)
        contributions = values.astype(np.float64) * directed
        at = np.searchsorted(features, found)
        part = contributions[at] * share / np.bincount(at, share)[at]
        each = part / (ends - starts)
        np.add.at(amounts, starts, each)
        np.subtract.at(amounts, ends, each)
        bond = np.abs(part) / np.maximum(ends - starts - 1, 1)
        np.add.at(bonds, starts + 1, bond)
        np.subtract.at(bonds, ends, bond)
    # Lower case may have more characters than the text, as that of İ has.
    lengths = np.array([len(character.lower()) for character in text], dtype=np.intp)
    origin = np.repeat(np.arange(len(text)), lengths)
    firsts = np.cumsum(lengths) - lengths
    by_character = np.bincount(origin, np.cumsum(amounts)[:-1], minlength=len(text))
    return by_character.astype(np.float64), np.cumsum(bonds)[firsts]


Place = tuple[int, int, int, float]  # feature, start, end, share of an occurrence


def _words(
    prepared: str, numbers: Mapping[str, int], tokens_in: re.Pattern[str]
) -> Iterator[Place]:
    tokens = [(match[0], *match.span()) for match in tokens_in.finditer(prepared)]
    for token, start, end in tokens:
        if (feature := numbers.get(token)) is not None:
            yield feature, start, end, 1.0
    for (first, *span), (second, *next_span) in pairwise(tokens):
        if (feature := numbers.get(f"{first} {second}")) is not None:
            yield feature, span[0], span[1], 0.5
            yield feature, next_span[0], next_span[1], 0.5


def _characters(prepared: str, numbers: Mapping[str, int]) -> Iterator[Place]:
    for match in _find_words(prepared):
        word, (first, last) = match[0], match.span()
        for gram, (start, end) in zip(char_terms(word), char_spans(len(word)), strict=True):
            if (feature := numbers.get(gram)) is not None:
                # The first and the last character of the padded word are spaces.
                yield feature, max(first + start - 1, first), min(first + end - 1, last), 1.0


def _add_static(
    model: LinearModel, vectors: StaticEmbedding, text: str, label: int, amounts: Amounts
) -> None:
    assert model.embedding_weights is not None
    shares, offsets = vectors.shares(text)
    if len(text) and offsets:
        contributions = shares @ model.direction(model.embedding_weights, label)
        np.add.at(amounts, np.minimum(offsets, len(text) - 1), contributions)


def _cut(text: str, start: int, end: int, bonds: Amounts) -> list[tuple[int, int]]:
    """The parts of a word: itself, unless it is of a script without spaces."""
    places = [i for i in range(start + 1, end) if _may_cut(text, i)]
    if not places:
        return [(start, end)]
    held = np.concatenate([[0.0], bonds[places], [0.0]])
    weak = held[1:-1] < WEAK * np.maximum(held[:-2], held[2:])
    begun = start + next((i for i, c in enumerate(text[start:end]) if _in_word(c)), 0)
    cuts = [
        i
        for i, loose in zip(places, weak, strict=True)
        if i > begun and _in_word(text[i]) and (loose or _differ(text, i))
    ]
    return list(pairwise([start, *cuts, end]))


def _may_cut(text: str, i: int) -> bool:
    """Whether a letter of a script without spaces is beside the border before `text[i]`, and the
    border is none within a letter and its marks."""
    here, before = text[i], text[i - 1]
    if not (_without_spaces(here) or _without_spaces(before)):
        return False
    joined = here in _JOINERS or before in _JOINERS
    return not joined and here not in _EXTENDING and category(here)[0] != "M"


def _differ(text: str, i: int) -> bool:
    """Whether a word ends or begins here, by its script or by punctuation."""
    here, before = text[i], text[i - 1]
    return _without_spaces(here) != _without_spaces(before) or not _in_word(before)


def _without_spaces(character: str) -> bool:
    return character >= "\u0e00" and any(a <= ord(character) <= b for a, b in NO_SPACES)
