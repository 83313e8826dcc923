"""Precision, recall and F1 from three counts for each label."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .result import MOST_CELLS, Confusion, LabelFigures
from .validation import Bools, Ints

WHOLE_MATRIX = 200
"""Labels of a confusion matrix that is stored whole: 5,000 labels have 25 million cells."""


@dataclass(frozen=True)
class Counts:
    """Int arrays (K,): rows right with the label, rows that have it, rows that were given it."""

    hits: Ints
    support: Ints
    predicted: Ints

    @property
    def precision(self) -> NDArray[np.float64]:
        return _ratio(self.hits, self.predicted)

    @property
    def recall(self) -> NDArray[np.float64]:
        return _ratio(self.hits, self.support)

    @property
    def f1(self) -> NDArray[np.float64]:
        return _ratio(2 * self.hits, self.support + self.predicted)

    def present(self) -> Bools:
        """Which labels occur in the truth or in the predictions."""
        return (self.support + self.predicted) > 0

    def pooled(self) -> Counts:
        """All labels as one, for micro averages: arrays (1,)."""
        return Counts(
            self.hits.sum(keepdims=True),
            self.support.sum(keepdims=True),
            self.predicted.sum(keepdims=True),
        )

    def by_label(self, labels: list[str]) -> dict[str, LabelFigures]:
        columns = (self.precision, self.recall, self.f1, self.support, self.predicted)
        rows = zip(*(column.tolist() for column in columns), strict=True)
        return {
            label: {"precision": p, "recall": r, "f1": f, "support": s, "predicted": n}
            for label, (p, r, f, s, n) in zip(labels, rows, strict=True)
        }


def count_single(truth: Ints, chosen: Ints, size: int) -> Counts:
    """Of positions, int (n,); -1 is an abstention."""
    hits, given = truth[truth == chosen], chosen[chosen >= 0]
    return Counts(*(np.bincount(each, minlength=size) for each in (hits, truth, given)))


def count_several(truth: Bools, chosen: Bools) -> Counts:
    return Counts((truth & chosen).sum(axis=0), truth.sum(axis=0), chosen.sum(axis=0))


def confusion_matrix(truth: Ints, chosen: Ints, size: int) -> Ints:
    """Int (K, K + 1): rows are the truth, columns the choice; the last column counts -1."""
    columns = np.where(chosen < 0, size, chosen)
    cells = np.bincount(truth * (size + 1) + columns, minlength=size * (size + 1))
    return cells.reshape(size, size + 1)


def stored_confusion(labels: list[str], matrix: Ints) -> Confusion:
    """A confusion matrix (K, K or K + 1) as JSON: whole, or of many labels the cells that are no 0.

    `matrix` has the rows of the matrix; `cells` has row, column and count of each cell one after
    the other, the largest first. Of more than MOST_CELLS, `left_out` is the sum of the others.
    """
    if len(labels) <= WHOLE_MATRIX:
        return {"labels": labels, "matrix": matrix.tolist()}
    rows, columns = matrix.nonzero()
    counts = matrix[rows, columns]
    order = np.argsort(-counts, kind="stable")
    kept = order[:MOST_CELLS]
    cells = np.stack([rows[kept], columns[kept], counts[kept]], axis=1)
    return {
        "labels": labels,
        "cells": cells.ravel().tolist(),
        "left_out": int(counts[order[MOST_CELLS:]].sum()),
    }


def mistakes(cells: Iterable[tuple[int, int, int]]) -> list[tuple[int, int, int]]:
    """Those of `confusion_cells` that are wrong, the most frequent first."""
    return sorted((c for c in cells if c[0] != c[1]), key=lambda c: (-c[2], c))


def confusion_cells(confusion: Confusion) -> list[tuple[int, int, int]]:
    """(row, column, count) of each cell of a stored confusion matrix that is no 0."""
    if "cells" in confusion:
        flat = confusion["cells"]
        return list(zip(flat[::3], flat[1::3], flat[2::3], strict=True))
    return [
        (i, j, count)
        for i, row in enumerate(confusion["matrix"])
        for j, count in enumerate(row)
        if count
    ]


def _ratio(part: Ints, whole: Ints) -> NDArray[np.float64]:
    """`part` / `whole`, and 0 where there is nothing to divide by."""
    return np.divide(part, whole, out=np.zeros(len(part)), where=whole > 0)
