"""What the texts of each label are like, as vectors: the centres of a few clusters of its rows.

`known` looks how near a text is to the nearest one. Centres take less room than the rows' own
vectors, tell nearly as much (docs/figures.md), and are means of several texts where a label has
them. Sums are made by einsum, so that nothing depends on the number of threads.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from .features import FloatArray
from .group_folds import Rows
from .known import Centroids, directions, similarity
from .recipes import Targets

MOST = 4_000
"""Centres of all labels, one a label at least."""

EACH = 16
"""Centres of one label."""

ROWS_EACH = 3
"""Of a label for each of its centres; a cluster of fewer is left out."""

MOST_ROWS = 1_000
"""Of one label that are looked at."""

FOLDS, STEPS = 5, 4


def find_centroids(vectors: FloatArray, targets: Targets, seed: int) -> Centroids:
    """By k-means on the sphere (Dhillon and Modha 2001), STEPS steps from random rows.

    vectors: (rows, dimensions), of length 1 or all zero; targets: (rows, labels), 0 or 1
    """
    draw = np.random.default_rng(seed)
    found = [
        centre
        for label in range(targets.shape[1])
        for centre in _centres(vectors, np.flatnonzero(targets[:, label]), targets.shape[1], draw)
    ]
    if not found:
        return np.zeros((0, vectors.shape[1]), dtype=np.int8)
    largest = np.maximum(np.abs(found).max(axis=1, keepdims=True), 1e-9)
    scaled = np.array(found) * (127 / largest)
    return np.asarray(np.rint(scaled), dtype=np.int8)


def held_out_similarities(
    vectors: FloatArray, targets: Targets, groups: Rows, rows: Rows, seed: int
) -> FloatArray:
    """Of these rows, each to the nearest centroid that it and its near copies had no part in.

    groups: the same number for near copies
    """
    found = np.zeros(len(rows), dtype=np.float32)
    for fold in range(FOLDS):
        asked, others = groups[rows] % FOLDS == fold, groups % FOLDS != fold
        if asked.any():
            made = directions(find_centroids(vectors[others], targets[others], seed))
            found[asked] = [similarity(made, vector) for vector in vectors[rows[asked]]]
    return found


def _centres(
    vectors: FloatArray, rows: Rows, n_labels: int, draw: np.random.Generator
) -> Iterator[FloatArray]:
    rows = draw.permutation(rows)[:MOST_ROWS]
    own = vectors[rows]
    own = own[own.any(axis=1)]
    count = min(EACH, len(own) // ROWS_EACH, MOST // n_labels)
    if count <= 1:
        yield from own.mean(axis=0, keepdims=True) if len(own) else own
        return
    centres = own[:count]
    for _ in range(STEPS):
        nearest = np.einsum("ij,kj->ik", own, centres).argmax(axis=1)
        sizes = np.bincount(nearest, minlength=count)
        sums = np.zeros_like(centres)
        np.add.at(sums, nearest, own)
        sums, sizes = sums[sizes > 0], sizes[sizes > 0]
        lengths = np.sqrt(np.einsum("ij,ij->i", sums, sums))
        centres = (sums / np.maximum(lengths, 1e-9)[:, None]).astype(np.float32)
        count = len(centres)
    large = sizes >= ROWS_EACH
    yield from centres[large] if large.any() else own.mean(axis=0, keepdims=True)
