"""Which rows are copies of each other, so that no copy helps to predict the other.

Form letters and repeated messages on both sides of a fold make a model look better than it will
be, and its probabilities too sure.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import sparse

from .counts import TermCounts, Weighting
from .folds import Rows

MAX_COMPARED = 2_000  # rows, each of which is compared with each
SIMILAR = 0.8  # cosine of the TF-IDF features
_ALL = 10**9


def copies(texts: Sequence[str], terms: TermCounts) -> Rows:
    """A number per row (below the number of rows), the same for rows that are nearly copies.

    In a large table only texts with the same first ten and last ten words count as copies.
    """
    if len(texts) > MAX_COMPARED:
        return _same_ends(texts)
    rows = np.arange(len(texts))
    features = Weighting.learn(terms, rows, min_rows=1, most=_ALL).apply(terms, rows)
    similarity = features @ features.T  # two blocks of length 1: a copy has 2
    similarity.data = similarity.data > 2 * SIMILAR
    similarity.eliminate_zeros()
    _, found = sparse.csgraph.connected_components(similarity, directed=False)
    return np.asarray(found, dtype=np.intp)


def _same_ends(texts: Sequence[str]) -> Rows:
    numbers: dict[tuple[str, ...], int] = {}
    found = []
    for text in texts:
        words = text.lower().split()
        found.append(numbers.setdefault((*words[:10], "", *words[-10:]), len(numbers)))
    return np.array(found, dtype=np.intp)
