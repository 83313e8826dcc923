"""Least squares onto all labels at once, solved on the smaller side: rows or features."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .features import FloatArray
from .recipes import Design, Linear, Targets, gram, row_weights

EXACT = 2_000  # rows or features up to which double precision costs nothing
SHARED = 3_000  # rows whose inner products are kept for other algorithms
_AT_ONCE = 1_024


def ridge(design: Design, targets: Targets, strength: float, seed: int) -> Linear:
    """Onto -1/+1, each label's rows with the same total weight, without a penalty on the bias."""
    row_weight = row_weights(targets)
    n_rows, n_features = design.shape
    dtype = np.float64 if min(n_rows, n_features) <= EXACT else np.float32
    solve = _over_rows if n_rows <= n_features else _over_features
    return solve(design, targets, row_weight, strength, dtype)


def _over_rows(
    design: Design,
    targets: Targets,
    row_weight: npt.NDArray[np.float64],
    strength: float,
    dtype: npt.DTypeLike,
) -> Linear:
    share = (row_weight / row_weight.sum()).astype(dtype)
    goals = 2 * targets.astype(dtype) - 1
    base = share @ goals
    goals -= base
    # It is used up, so what others may use is copied: that is little.
    product = design.gram.astype(dtype) if len(targets) <= SHARED else gram(design.matrix)
    means = product @ share
    product -= means[:, None]
    product -= means[None, :] - share @ means
    product[np.diag_indices_from(product)] += (strength / row_weight).astype(dtype)
    duals = _solved(product, goals)
    weights = np.asarray(design.matrix.T @ duals.astype(np.float32))
    return _linear(weights, base - (design.matrix.T @ share) @ weights)


def _over_features(
    design: Design,
    targets: Targets,
    row_weight: npt.NDArray[np.float64],
    strength: float,
    dtype: npt.DTypeLike,
) -> Linear:
    from scipy import sparse

    matrix, weight = design.matrix, row_weight.astype(np.float32)
    middle = (matrix.T @ weight / weight.sum()).astype(dtype)
    scaled = sparse.diags(np.sqrt(weight)) @ matrix
    product = gram(scaled.T.tocsr()).astype(dtype, copy=False)
    for start in range(0, len(middle), _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        product[part] -= weight.sum() * middle[part, None] * middle
    product[np.diag_indices_from(product)] += strength
    # Goals are 2 * targets - 1; what they share falls out, since the features are centred.
    weighted = sparse.csr_matrix(targets).multiply(weight[:, None]).tocsr()
    base = 2 * np.ravel(weighted.sum(axis=0)) / weight.sum() - 1
    sums = 2 * (matrix.T @ weighted).toarray().astype(dtype)
    sums -= (weight.sum() * middle)[:, None] * (base + 1).astype(dtype)
    weights = _solved(product, sums)
    return _linear(weights, base - middle @ weights)


def _solved(product: npt.NDArray[np.floating], goals: npt.NDArray[np.floating]) -> FloatArray:
    """For a symmetric positive definite product, which is used up."""
    from scipy.linalg import cho_factor, cho_solve

    factor = cho_factor(product.T, lower=True, overwrite_a=True, check_finite=False)
    return np.asarray(cho_solve(factor, goals, check_finite=False))


def _linear(weights: npt.NDArray[np.floating], bias: npt.NDArray[np.floating]) -> Linear:
    return Linear(np.asarray(weights, dtype=np.float32), np.asarray(bias, dtype=np.float32))
