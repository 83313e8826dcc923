"""The labels' own words as something to learn from, where rows of each label are few."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from .recipes import Design, Linear, Targets

_BORDERS = re.compile(r"[\W_]+|(?<=[a-z])(?=[A-Z])")
_WORD = re.compile(r"[^\W\d_]{3,}")
TELLING = 0.5
"""The share of labels that must have words, for any to be used."""


def label_texts(names: Sequence[str]) -> list[str] | None:
    """The words of each label, as a text ("cardArrival" and "card_arrival" are card arrival); None
    where most labels have none, such as 0, A3 or C17, and so say nothing."""
    texts = list(map(words_of, names))
    telling = sum(map(has_word, texts))
    return texts if telling >= TELLING * len(texts) else None


def words_of(name: str) -> str:
    return " ".join(part for part in _BORDERS.split(name) if part).lower()


def has_word(text: str) -> bool:
    return _WORD.search(text) is not None


def by_name(design: Design, targets: Targets, strength: float, seed: int) -> Linear:
    """The score of a label is how much a text shares with its name, in words or in
    vectors. The names are the last rows, a label each."""
    n_labels = targets.shape[1]
    weights = design.matrix[-n_labels:].T.toarray()
    return Linear(weights, np.zeros(n_labels, dtype=np.float32))
