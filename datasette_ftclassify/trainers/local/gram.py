"""Inner products between all rows of a table."""

from __future__ import annotations

import numpy as np

from .features import FloatArray
from .term_counts import Matrix

COMMON = 0.08
"""Of the rows, from which on a feature is cheaper in a dense product: BLAS does some forty
multiplications in the time in which a sparse product does one."""
_AT_ONCE = 1_024


def gram(matrix: Matrix) -> FloatArray:
    """Inner products between all rows of a sparse matrix, (rows, rows)."""
    columns = matrix.tocsc()
    common = np.diff(columns.indptr) > COMMON * matrix.shape[0]
    found = np.zeros((matrix.shape[0],) * 2, dtype=np.float32)
    often = np.flatnonzero(common)
    for start in range(0, len(often), _AT_ONCE):
        dense = columns[:, often[start : start + _AT_ONCE]].toarray()
        found += dense @ dense.T
    rest = columns[:, ~common].tocsr()
    turned = rest.T.tocsr()
    for start in range(0, matrix.shape[0], _AT_ONCE):
        found[start : start + _AT_ONCE] += (rest[start : start + _AT_ONCE] @ turned).toarray()
    return found
