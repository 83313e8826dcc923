"""The classifier's answer for each test row, so that a figure can link to its rows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..core.examples import Record
from ..core.labels import LabelSet
from ..core.prediction import joint_logprobs
from ..store.evaluations import RowResult

if TYPE_CHECKING:
    import numpy as np


def judge(
    rows: Sequence[Record],
    labels: LabelSet,
    logprobs: np.ndarray,
    chosen: np.ndarray | None,
    groups: np.ndarray,
) -> list[RowResult]:
    """The rows with their truth, the answer and its score.

    logprobs: (n, K), NaN without scores
    chosen:   (n,) positions, -1 for no answer; for multilabel (n, K) flags, a row of -1 for no
              answer. None: the most probable label
    groups:   (n,) numbers, the same for rows whose texts are equal or near copies
    """
    import numpy as np

    truths = [tuple(labels.positions(row.labels.values or ())) for row in rows]
    keys = [row.key for row in rows]
    given: list[tuple[int, ...] | None]
    if labels.multilabel and chosen is not None:
        none = np.any(chosen < 0, axis=1).tolist()
        flags = chosen > 0
        scores = joint_logprobs(logprobs, flags)
        given = [None if gone else tuple(on.nonzero()[0].tolist())
                 for gone, on in zip(none, flags, strict=True)]  # fmt: skip
    else:
        positions = logprobs.argmax(axis=1) if chosen is None else chosen
        scores = logprobs[np.arange(len(rows)), np.maximum(positions, 0)]
        given = [None if p < 0 else (int(p),) for p in positions.tolist()]
    return [
        RowResult(key, truth, answer, _score(answer, float(score)), group)
        for key, truth, answer, score, group in zip(
            keys, truths, given, scores, groups.tolist(), strict=True
        )
    ]


def _score(answer: tuple[int, ...] | None, logprob: float) -> float | None:
    return None if answer is None or math.isnan(logprob) else math.exp(min(logprob, 0.0))
