"""Dividing rows for cross-validation so that it works with one or two examples of a label too."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.intp]
ONE_PART = 1e9


def copies(texts: Sequence[str]) -> Rows:
    """A number per row, the same for rows whose texts are copies of each other, or nearly.

    Form letters: the first ten and the last ten words are the same (of a short text: all words).
    A copy on both sides of a fold would make the model look better than it is.
    """
    numbers: dict[tuple[str, ...], int] = {}
    found = []
    for text in texts:
        words = text.lower().split()
        found.append(numbers.setdefault((*words[:10], "", *words[-10:]), len(numbers)))
    return np.array(found, dtype=np.intp)


def deal(targets: npt.NDArray[Any], groups: Rows, n_folds: int, seed: int) -> Rows:
    """The fold number of each row: every label's rows are dealt out in turn, like cards.

    Rows of the same group go together, as one card, unless there are too few groups for that.
    With several labels a row, the row counts for its rarest label. Labels with fewer rows than
    folds are simply absent from some folds; nothing is refused.
    """
    _, first, members = np.unique(groups, return_index=True, return_inverse=True)
    if len(first) < 2 * n_folds:
        first = members = np.arange(len(targets))
    cards = targets[first]
    rarity = np.where(cards == 1, targets.sum(axis=0), np.iinfo(np.int64).max)
    key = np.where(cards.any(axis=1), rarity.argmin(axis=1), cards.shape[1])
    shuffled = np.random.default_rng(seed).permutation(len(cards))
    order = shuffled[np.argsort(key[shuffled], kind="stable")]
    folds = np.empty(len(cards), dtype=np.intp)
    folds[order] = np.arange(len(cards)) % n_folds
    return folds[members]


def splits(
    targets: npt.NDArray[Any], groups: Rows, seed: int, cost: float
) -> list[list[tuple[Rows, Rows]]]:
    """Repeats of folds, each (training rows, held-out rows): many where rows are few.

    `cost` is the number of stored feature values times labels; above what fits in a minute a
    single held-out tenth has to do.
    """
    n = len(targets)
    if cost > ONE_PART:
        return [_folds(targets, groups, 10, seed)[:1]]
    repeats = 4 if n <= 200 else 2 if n <= 500 else 1
    n_folds = min(n, 5 if n <= 3_000 else 3)
    return [_folds(targets, groups, n_folds, seed + repeat) for repeat in range(repeats)]


def _folds(
    targets: npt.NDArray[Any], groups: Rows, n_folds: int, seed: int
) -> list[tuple[Rows, Rows]]:
    fold = deal(targets, groups, n_folds, seed)
    return [(np.flatnonzero(fold != i), np.flatnonzero(fold == i)) for i in range(n_folds)]
