"""The classifier's answer for each row that it is judged by, so that a figure can link to its
rows."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ..core.database import Key
from ..core.labels import LabelSet
from ..metrics import evaluate
from ..metrics.result import Evaluation
from ..store.evaluations import RowResult

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
    chosen: np.ndarray,
    groups: np.ndarray,
    majority: int | None,
) -> Evaluation:
    """The figures of these answers: see `evaluate`, whose arrays these are."""
    return evaluate(
        labels.names,
        labels.label_kind.as_array(truths, len(labels)),
        logprobs,
        kind=labels.label_kind,
        chosen=chosen,
        positive=labels.positive,
        majority=majority,
        groups=groups,
    )


def judge(
    keys: Sequence[Key],
    labels: LabelSet,
    truths: Truths,
    logprobs: np.ndarray,
    chosen: np.ndarray,
    groups: np.ndarray,
) -> list[RowResult]:
    """The rows with their truth, the answer and its score.

    logprobs: (n, K), NaN without scores
    chosen:   the answers, as `LabelKind.as_array` has them
    groups:   (n,) numbers, the same for rows whose texts are equal or near copies
    """
    kind = labels.label_kind
    given = kind.as_positions(chosen)
    scores = kind.logprob(logprobs, chosen)
    of_truth = kind.logprob(logprobs, kind.as_array(truths, len(labels)))
    most = LISTED if kind.exclusive else LISTED_OF_SEVERAL
    least = 0.0 if kind.exclusive else LEAST_LISTED
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
