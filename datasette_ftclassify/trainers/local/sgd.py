"""Logistic regression by stochastic gradients, for tables where one solver call per label is slow.

One pass serves all labels at once, so 230 labels and 120,000 rows take minutes, not an hour.
"""

from __future__ import annotations

import numpy as np

from .recipes import Design, Linear, Targets

BATCH = 256
PASSES = (5, 20)
"""Fewest and most times that every row is seen."""
WORK = 6e10
"""Stored values times labels times passes: some minutes."""


def logistic(design: Design, targets: Targets, strength: float, seed: int) -> Linear:
    """Softmax (labels exclude each other) or one sigmoid per label, AdaGrad with one step size per
    feature; `strength` is the initial step size. Rows are seen in random order, 5 to 20 times: the
    smaller the table, the oftener, since a label of eight rows has learnt little from five passes
    (1,500 such labels: accuracy .68 after 5, .80 after 15)."""
    matrix = design.matrix.tocsr()
    n_rows, n_labels = targets.shape
    passes = int(np.clip(WORK / max(matrix.nnz * n_labels, 1), *PASSES))
    exclusive = bool((targets.sum(axis=1) == 1).all())
    weights = np.zeros((matrix.shape[1], n_labels), dtype=np.float32)
    bias = np.log((targets.sum(axis=0) + 1) / (n_rows + 1)).astype(np.float32)
    history = np.full(matrix.shape[1], 1e-6, dtype=np.float32)
    shuffle = np.random.default_rng(seed)
    for turn in range(passes):
        spec = shuffle.permutation(n_rows)
        step = np.float32(strength * (1 - turn / passes))
        for start in range(0, n_rows, BATCH):
            rows = spec[start : start + BATCH]
            batch = matrix[rows]
            touched, local = np.unique(batch.indices, return_inverse=True)
            batch.indices = local.astype(np.int32)
            batch.resize(len(rows), len(touched))
            scores = batch @ weights[touched] + bias
            chance = _softmax(scores) if exclusive else 1 / (1 + np.exp(-scores))
            error = (chance - targets[rows]).astype(np.float32)
            slope = batch.T @ error
            history[touched] += (slope**2).sum(axis=1)
            weights[touched] -= step * slope / np.sqrt(history[touched])[:, None]
            bias -= step * error.mean(axis=0)
    return Linear(weights, bias)


def _softmax(scores: np.ndarray) -> np.ndarray:
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))
