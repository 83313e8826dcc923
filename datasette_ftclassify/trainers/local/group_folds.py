"""Dividing rows for cross-validation so that it works with one or two examples of a label too."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.intp]
ONE_PART = 4e8  # stored values times labels: more than one fit takes a minute then


def deal(targets: npt.NDArray[Any], groups: Rows, n_folds: int, seed: int) -> Rows:
    """The fold number of each row: every label's groups are dealt out in turn, like cards.

    Rows of the same group go together, and -1 stands for the rows that are never held out (see
    `always_learnt`). With several labels a row, the row counts for its rarest label. Labels with
    fewer groups than folds are simply absent from some folds; nothing is refused.
    """
    members, own, kept = _cards(targets, groups)
    dealt = np.flatnonzero(~kept)
    shuffled = dealt[np.random.default_rng(seed).permutation(len(dealt))]
    spec = shuffled[np.argsort(own[shuffled], kind="stable")]
    folds = np.full(len(own), -1, dtype=np.intp)
    folds[spec] = np.arange(len(spec)) % n_folds
    return folds[members]


def always_learnt(targets: npt.NDArray[Any], groups: Rows) -> npt.NDArray[np.bool_]:
    """Which rows are in a group that is more than half of its label: without it too little of the
    label would be left to learn from, so it is never held out. A row alone always is, and so is
    the smallest group of a label that would not be judged at all otherwise."""
    members, _, kept = _cards(targets, groups)
    return np.asarray(kept[members])


def _cards(targets: npt.NDArray[Any], groups: Rows) -> tuple[Rows, Rows, npt.NDArray[np.bool_]]:
    """The card that each row is on; of each card its label, the one that most of its rows count
    for, and whether it is never held out."""
    n_labels = targets.shape[1]
    rows_with, named = np.nonzero(targets)
    rarity = targets.sum(axis=0, dtype=np.intp)[named]
    rarest = np.lexsort((named, rarity, rows_with))
    labelled, first = np.unique(rows_with, return_index=True)  # as lexsort has them, by row
    label = np.full(len(targets), n_labels)
    label[labelled] = named[rarest[first]]
    _, members, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    pairs, rows = np.unique(members * (n_labels + 1) + label, return_counts=True)
    card, of_label = np.divmod(pairs, n_labels + 1)
    most = np.lexsort((-rows, card))
    most = most[np.unique(card[most], return_index=True)[1]]
    own, most_rows = of_label[most], rows[most]
    kept = (sizes > 1) & (2 * most_rows > np.bincount(label, minlength=n_labels + 1)[own])
    for number in np.flatnonzero(targets[kept[members]].any(axis=0)):
        its = np.unique(members[targets[:, number] == 1])
        if len(its) > 1 and kept[its].all():
            kept[its[sizes[its].argmin()]] = False
    return members, own, kept


def splits(
    targets: npt.NDArray[Any],
    groups: Rows,
    seed: int,
    cost: float,
    chosen: npt.NDArray[np.bool_] | None = None,
) -> list[list[tuple[Rows, Rows]]]:
    """Repeats of folds, each (training rows, held-out rows): many where rows are few. A repeat has
    no fold where no group can be held out.

    Rows that are `chosen` judge nothing: they are in the training rows of the folds that they are
    not dealt to, so that no copy of a held-out row is learnt from, and in no held-out rows.

    `cost` is the number of stored feature values times labels; above what fits in a minute a
    single held-out tenth has to do.
    """
    n = len(targets)
    if cost > ONE_PART:
        return [_judging(_folds(targets, groups, 10, seed)[:1], chosen)]
    repeats = 4 if n <= 200 else 2 if n <= 500 else 1
    n_folds = min(n, 5 if n <= 3_000 else 3)
    return [
        _judging(_folds(targets, groups, n_folds, seed + repeat), chosen)
        for repeat in range(repeats)
    ]


def _judging(
    folds: list[tuple[Rows, Rows]], chosen: npt.NDArray[np.bool_] | None
) -> list[tuple[Rows, Rows]]:
    if chosen is None:
        return folds
    judged = [(training, unseen[~chosen[unseen]]) for training, unseen in folds]
    return [(training, unseen) for training, unseen in judged if len(unseen)]


def _folds(
    targets: npt.NDArray[Any], groups: Rows, n_folds: int, seed: int
) -> list[tuple[Rows, Rows]]:
    fold = deal(targets, groups, n_folds, seed)
    used = range(int(fold.max()) + 1)  # there may be fewer groups than folds
    return [(np.flatnonzero(fold != i), np.flatnonzero(fold == i)) for i in used]


def labels_seen(targets: npt.NDArray[Any], training: Rows, unseen: Rows) -> npt.NDArray[np.bool_]:
    """Of each unseen row whether the training rows have its labels."""
    return np.asarray((targets[unseen] <= targets[training].any(axis=0)).all(axis=1))
