"""Dividing rows for cross-validation so that it works with one or two examples of a label too."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.intp]
ONE_PART = 4e8  # stored values times labels: more than one fit takes a minute then


def deal(targets: npt.NDArray[Any], groups: Rows, n_folds: int, seed: int) -> Rows:
    """The fold number of each row: every label's rows are dealt out in turn, like cards.

    Rows of the same group go together, as one card, unless that is more than a fold's share of
    their label. With several labels a row, the row counts for its rarest label. Labels with fewer
    rows than folds are simply absent from some folds; nothing is refused.
    """
    rarity = np.where(targets == 1, targets.sum(axis=0), np.iinfo(np.int64).max)
    label = np.where(targets.any(axis=1), rarity.argmin(axis=1), targets.shape[1])
    together = np.bincount(groups)[groups] * n_folds <= np.bincount(label)[label]
    cards = np.where(together, groups, len(groups) + np.arange(len(groups)))
    _, first, members = np.unique(cards, return_index=True, return_inverse=True)
    shuffled = np.random.default_rng(seed).permutation(len(first))
    order = shuffled[np.argsort(label[first][shuffled], kind="stable")]
    folds = np.empty(len(first), dtype=np.intp)
    folds[order] = np.arange(len(first)) % n_folds
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
