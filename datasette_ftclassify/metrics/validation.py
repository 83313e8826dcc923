"""Arrays from a caller become arrays that can be counted on, or an error that names the mistake.

A negative index counts from the end in numpy and a probability looks like any other float, so a
mistake here would not fail: it would give a wrong number that looks right.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..core.errors import EvaluationError

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
Floats = NDArray[np.floating[Any]]

# Renormalised sums of rounded log-probabilities may end a little above 0.
LOGPROB_TOLERANCE = 1e-4


def check_sizes(count: int, size: int) -> None:
    if size == 0:
        raise EvaluationError("There are no labels to evaluate: give the classifier's label names.")
    if count == 0:
        raise EvaluationError(
            "There are no test rows to evaluate on: label more rows, or give the test split "
            "a larger share of them."
        )


def check_shape(name: str, array: NDArray[Any], shape: tuple[int, ...]) -> None:
    if array.shape != shape:
        raise EvaluationError(f"{name} has the shape {array.shape}, but {shape} is needed.")


def label_indices(name: str, values: ArrayLike, size: int, lowest: int) -> Ints:
    """`values` as whole numbers, each from `lowest` to `size` - 1."""
    array = np.asarray(values)
    if array.dtype.kind not in "iu":
        raise EvaluationError(f"{name} holds {array.dtype} values, but label numbers are needed.")
    wrong = (array < lowest) | (array >= size)
    if wrong.any():
        raise EvaluationError(
            f"{name} names a label that does not exist in {int(wrong.sum()):,} places, first "
            f"{array[wrong][0]}: labels are numbered {lowest} to {size - 1}."
        )
    return array.astype(np.int64, copy=False)


def label_flags(name: str, values: NDArray[Any], shape: tuple[int, ...]) -> Bools:
    """`values`, each 0 or 1, as booleans."""
    check_shape(name, values, shape)
    if values.dtype.kind == "b":
        return values
    if not ((values == 0) | (values == 1)).all():
        raise EvaluationError(f"{name} must hold 0 or 1 for every label of every row.")
    return values.astype(bool)


def log_probabilities(values: ArrayLike, shape: tuple[int, int]) -> tuple[Floats, Bools]:
    """`values` as floats in their own precision, and which rows have a score for every label."""
    array = np.asarray(values)
    if array.dtype.kind != "f":
        array = array.astype(float)
    check_shape("logprobs", array, shape)
    # fmax passes over NaN and, unlike a comparison, makes no copy.
    largest = np.fmax.reduce(array, axis=None)
    if largest > LOGPROB_TOLERANCE:
        raise EvaluationError(
            f"logprobs holds {largest:.4g}, but a natural logarithm of a probability is 0 or "
            "less: take the logarithm of probabilities first."
        )
    return array, ~np.isnan(array.max(axis=1))
