"""The classifier's answer for each row that it is judged by, so that a figure can link to its
rows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..core.database import Key
from ..core.labels import LabelSet
from ..core.prediction import joint_logprobs
from ..metrics import evaluate
from ..store.evaluations import RowResult

if TYPE_CHECKING:
    import numpy as np

    from ..metrics.result import Evaluation

LISTED = 4
"""Labels of a row whose probabilities are kept, the most probable ones, where a row has one."""
LISTED_OF_SEVERAL = 20
"""The same where it may have several: of a probability from LEAST_LISTED on."""
LEAST_LISTED = 0.01

Truths = Sequence[tuple[int, ...]]
"""Of each row the positions of its labels, ascending."""


def figures_of(
    labels: LabelSet,
    truths: Truths,
    logprobs: np.ndarray,
    chosen: np.ndarray | None,
    groups: np.ndarray,
    majority: int | None,
) -> Evaluation:
    """The figures of these answers: see `evaluate`, whose arrays these are."""
    import numpy as np

    if labels.multilabel:
        truth = truth_flags(truths, len(labels))
        return evaluate(
            labels.names, truth, logprobs, multilabel=True, chosen=chosen, groups=groups
        )
    return evaluate(
        labels.names,
        np.array([positions[0] for positions in truths]),
        logprobs,
        chosen=chosen,
        positive=labels.positive,
        majority=majority,
        groups=groups,
    )


def truth_flags(truths: Truths, n_labels: int) -> np.ndarray:
    """0 or 1, int8 (n, K)."""
    import numpy as np

    flags = np.zeros((len(truths), n_labels), dtype=np.int8)
    for row, positions in enumerate(truths):
        flags[row, list(positions)] = 1
    return flags


def judge(
    keys: Sequence[Key],
    truths: Truths,
    logprobs: np.ndarray,
    chosen: np.ndarray | None,
    groups: np.ndarray,
    *,
    multilabel: bool,
) -> list[RowResult]:
    """The rows with their truth, the answer and its score.

    logprobs: (n, K), NaN without scores
    chosen:   (n,) positions, -1 for no answer; for multilabel (n, K) flags, a row of -1 for no
              answer. None: the most probable label
    groups:   (n,) numbers, the same for rows whose texts are equal or near copies
    """
    import numpy as np

    given: list[tuple[int, ...] | None]
    every = np.arange(len(keys))
    if multilabel and chosen is not None:
        none = np.any(chosen < 0, axis=1).tolist()
        flags = chosen > 0
        scores = joint_logprobs(logprobs, flags)
        given = [None if gone else tuple(on.nonzero()[0].tolist())
                 for gone, on in zip(none, flags, strict=True)]  # fmt: skip
        of_truth = joint_logprobs(logprobs, truth_flags(truths, logprobs.shape[1]) == 1)
    else:
        positions = logprobs.argmax(axis=1) if chosen is None else chosen
        scores = logprobs[every, np.maximum(positions, 0)]
        given = [None if p < 0 else (int(p),) for p in positions.tolist()]
        of_truth = logprobs[every, [truth[0] for truth in truths]]
    most = LISTED_OF_SEVERAL if multilabel else LISTED
    least = LEAST_LISTED if multilabel else 0.0
    listed = np.argsort(-logprobs, axis=1, kind="stable")[:, :most]
    return [
        RowResult(
            key,
            truth,
            answer,
            None if answer is None else _probability(float(score)),
            group,
            truth_score=_probability(float(own)),
            probabilities=_listed(row, ranked, truth, answer, least),
        )
        for key, truth, answer, score, group, own, row, ranked in zip(
            keys, truths, given, scores, groups.tolist(), of_truth, logprobs, listed, strict=True
        )
    ]


def _listed(
    logprobs: np.ndarray,
    ranked: np.ndarray,
    truth: tuple[int, ...],
    answer: tuple[int, ...] | None,
    least: float,
) -> tuple[tuple[int, float], ...]:
    """Positions and probabilities of the labels that are worth keeping: those of the row and of the
    answer, and the most probable ones."""
    found = {}
    for label in [*ranked.tolist(), *truth, *(answer or ())]:
        probability = _probability(float(logprobs[label]))
        if probability is None:
            return ()
        if probability >= least or label in truth or label in (answer or ()):
            found[label] = probability
    return tuple(sorted(found.items(), key=lambda pair: -pair[1]))


def _probability(logprob: float) -> float | None:
    return None if math.isnan(logprob) else math.exp(min(logprob, 0.0))
