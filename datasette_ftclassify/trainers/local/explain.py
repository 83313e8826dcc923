"""Which words of a text moved the answer, exactly: the model is linear, so every bit of the logit
belongs to a word, and the contributions add up to the logit without its bias."""

from __future__ import annotations

import re
from collections import defaultdict
from typing import TYPE_CHECKING
from unicodedata import category

import numpy as np

from .features import MAX_CHARACTERS, char_terms, prepare, word_terms

if TYPE_CHECKING:
    from .model import LocalModel

_find_words = re.compile(r"\S+").finditer


def explain(model: LocalModel, text: str, label: int, top: int) -> list[tuple[str, float]]:
    """Words with their signed contributions; see `LocalModel.explain`."""
    text = text[:MAX_CHARACTERS]
    amounts = _term_amounts(model, text, label)
    if model.embedding is not None:
        amounts += _embedding_amounts(model, text, label)
    totals: dict[str, float] = defaultdict(float)
    names: dict[str, str] = {}
    for match, amount in zip(_find_words(text), amounts, strict=False):
        name = _without_edges(match[0])
        totals[names.setdefault(name.lower(), name)] += float(amount)
    ranked = sorted(totals.items(), key=lambda item: (-abs(item[1]), item[0]))
    return ranked[:top]


def _without_edges(word: str) -> str:
    """Without punctuation around it. Marks belong to their letter: vowel signs of Hindi or Thai."""
    inner = [i for i, c in enumerate(word) if c == "_" or c.isalnum() or category(c)[0] == "M"]
    return word[inner[0] : inner[-1] + 1] if inner else word


def _term_amounts(model: LocalModel, text: str, label: int) -> np.ndarray:
    """The TF-IDF part's contribution of each whitespace-separated word, by position.

    A feature's contribution is shared equally among the places where it occurs, and a pair of
    words shares it half and half.
    """
    vectorizer = model.vectorizer
    places: dict[int, list[tuple[int, float]]] = defaultdict(list)
    words = prepare(text).split()
    previous: tuple[int, str] | None = None
    for position, word in enumerate(words):
        for gram in char_terms(word):
            if (feature := vectorizer.chars.get(gram)) is not None:
                places[feature].append((position, 1.0))
        tokens = [term for term in word_terms(word) if " " not in term]
        for token in tokens:
            if (feature := vectorizer.words.get(token)) is not None:
                places[feature].append((position, 1.0))
            if previous is not None:
                pair = vectorizer.words.get(f"{previous[1]} {token}")
                if pair is not None:
                    places[pair] += [(previous[0], 0.5), (position, 0.5)]
            previous = (position, token)
    amounts = np.zeros(len(words))
    features, values = vectorizer.row(text)
    contributions = values * model.direction(model.weights[features], label)
    for feature, contribution in zip(features.tolist(), contributions.tolist(), strict=True):
        whole = sum(share for _, share in places[feature])
        for position, share in places[feature]:
            amounts[position] += contribution * share / whole
    return amounts


def _embedding_amounts(model: LocalModel, text: str, label: int) -> np.ndarray:
    assert model.embedding is not None
    assert model.embedding_weights is not None
    spans = [match.span() for match in _find_words(text)]
    amounts = np.zeros(len(spans))
    starts = np.array([start for start, _ in spans])
    shares, offsets = model.embedding.shares(text)
    contributions = shares @ model.direction(model.embedding_weights, label)
    for contribution, offset in zip(contributions.tolist(), offsets, strict=True):
        if len(spans):
            amounts[max(0, int(np.searchsorted(starts, offset, side="right")) - 1)] += contribution
    return amounts
