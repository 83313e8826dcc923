"""The whole evaluation of one classifier, as a dict that can be stored as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from ..core.label_kinds import MULTICLASS, LabelKind
from . import counts, figures  # noqa: F401  (the figures declare themselves)
from .answers import SeveralAnswers, SingleAnswers
from .intervals import share_interval
from .registry import Group, metrics_of
from .result import Evaluation
from .validation import (
    Bools,
    Ints,
    check_shape,
    check_sizes,
    label_flags,
    label_indices,
    log_probabilities,
)


def evaluate(
    labels: Sequence[str],
    truth: NDArray[Any],
    logprobs: NDArray[Any],
    *,
    kind: LabelKind = MULTICLASS,
    chosen: NDArray[Any] | None = None,
    positive: int | None = None,
    majority: int | None = None,
    groups: NDArray[Any] | None = None,
) -> Evaluation:
    """Figures for n held-out rows and K labels, JSON-safe: what cannot be known is None.

    `labels` are K different names. `logprobs` is float (n, K), natural logarithms, -inf allowed. A
    row with NaN has no scores: it counts in every figure but `log_loss`, `ece`, `reliability`,
    `auroc` and `average_precision`, which cover the `n_scored` rows.

    One label a row: `truth` is int (n,) in 0..K-1, and `chosen` int (n,), where -1 is an abstention
    and counts as wrong; by default what `kind` chooses, or an abstention where there are no
    scores. Averages of F1 follow scikit-learn: `macro_f1` is over the labels that occur in the
    truth or the choices, `weighted_f1` weighs by the truth, and 0 / 0 is 0. Calibration is of the
    most probable label, whatever was chosen. `majority` is the index of the training rows'
    commonest label for the baseline (default: the test rows'). `confusion` has the truth in rows
    and the choice in columns, with one more column at the end where there are abstentions (see
    `counts.stored_confusion` for its form). With
    K = 2 come the figures of the label with the index `positive` (default 1), which is ranked by
    its own log-probability; `auroc` and `average_precision` are None when a class is absent.

    Any number of labels a row, as `kind` says: `truth` is 0 or 1, (n, K); `logprobs` is of each
    label being true; `chosen` is bool (n, K), or int with rows of -1 for abstentions, by default
    the labels of probability 0.5 and more. An abstention is never right, not even where no label
    was. As in scikit-learn `macro_f1` is over all K labels here. `log_loss` is the mean binary
    cross-entropy of all labels; `ece` and `reliability` are of those that were chosen: `confidence`
    is the probability of such a label and `accuracy` how often it was true. `row_reliability` is of
    the whole answers: the probability of exactly these labels, and how often all were right.
    The baseline is the commonest set of labels among the test rows; `positive` and `majority` have
    no meaning here and are ignored.

    The `_low` and `_high` of an accuracy are its 95% interval: see `wilson_interval`. `groups` is
    int (n,), the same for rows whose texts are equal or near copies, which count as one there:
    `n_distinct` is the number of groups.
    Raises EvaluationError when there are no rows, or the arrays do not fit what is said above.
    """
    names = list(labels)
    check_sizes(len(truth), len(names))
    shape = (len(truth), len(names))
    sizes = _group_sizes(groups, len(truth))
    numbers, scored = log_probabilities(logprobs, shape)
    answers: SingleAnswers | SeveralAnswers
    if chosen is None:
        chosen = kind.choose(numbers)
        chosen[~scored] = -1
    if not kind.exclusive:
        given = label_flags("truth", np.asarray(truth), numbers.shape)
        flags, without = _chosen_flags(chosen, numbers.shape)
        answers = SeveralAnswers(names, numbers, scored, sizes, given, flags, without)
        about_sets = {
            "majority_labels": [names[i] for i in answers.commonest[0]],
            "row_reliability": answers.scores.row_reliability,
        }
        return cast(Evaluation, _figures({"several", kind.name}, answers) | about_sets)
    two = len(names) == 2
    actual = label_indices("truth", truth, len(names), lowest=0)
    check_shape("truth", actual, shape[:1])
    answers = SingleAnswers(
        names,
        numbers,
        scored,
        sizes,
        actual,
        _chosen_labels(chosen, numbers.shape),
        None if majority is None else _label_index("majority", majority, names),
        1 if positive is None or not two else _label_index("positive", positive, names),
    )
    about = {"single", "two", kind.name} if two else {"single", kind.name}
    matrix = answers.matrix if answers.abstained else answers.matrix[:, :-1]
    about_labels = {
        "majority_label": names[answers.common],
        "confusion": counts.stored_confusion(names, matrix),
        **({"positive_label": names[answers.positive]} if two else {}),
    }
    return cast(Evaluation, _figures(about, answers) | about_labels)


def _figures(groups: set[Group], answers: SingleAnswers | SeveralAnswers) -> dict[str, object]:
    """Every declared figure, and what else is known of all kinds."""
    result: dict[str, object] = {
        "n_test": answers.rows,
        "n_distinct": len(answers.sizes),
        "n_scored": answers.scores.n_scored,
        "abstained": answers.abstained,
    }
    for metric in metrics_of(groups):
        value = result[metric.key] = metric.compute(answers)
        if metric.interval and value is not None:
            ends = share_interval(value, answers.sizes)
            result |= dict(zip(metric.keys[1:], ends, strict=True))
    return result | {
        "reliability": answers.scores.reliability,
        "labels": answers.tally.by_label(answers.labels),
    }


def _chosen_labels(chosen: NDArray[Any], shape: tuple[int, ...]) -> Ints:
    answers = label_indices("chosen", chosen, shape[1], lowest=-1)
    check_shape("chosen", answers, shape[:1])
    return answers


def _chosen_flags(chosen: NDArray[Any], shape: tuple[int, ...]) -> tuple[Bools, Bools]:
    """What was answered for each label, bool (n, K), and which rows got no answer, bool (n,)."""
    given = np.asarray(chosen)
    check_shape("chosen", given, shape)
    abstained = np.any(given < 0, axis=1)
    answers = np.where(abstained[:, None], given.dtype.type(0), given)
    return label_flags("chosen", answers, given.shape), abstained


def _label_index(name: str, index: int, labels: list[str]) -> int:
    return int(label_indices(name, [index], len(labels), lowest=0)[0])


def _group_sizes(groups: NDArray[Any] | None, rows: int) -> Ints:
    if groups is None:
        return np.ones(rows, dtype=np.int64)
    check_shape("groups", groups, (rows,))
    return np.unique(groups, return_counts=True)[1].astype(np.int64)
