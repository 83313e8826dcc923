"""The whole evaluation of one classifier, as a dict that can be stored as JSON."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import counts, scores
from .intervals import share_interval
from .validation import (
    Bools,
    Floats,
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
    multilabel: bool = False,
    chosen: NDArray[Any] | None = None,
    positive: int | None = None,
    majority: int | None = None,
    groups: NDArray[Any] | None = None,
) -> dict[str, Any]:
    """Figures for n held-out rows and K labels, JSON-safe: what cannot be known is None.

    `labels` are K different names. `logprobs` is float (n, K), natural logarithms, -inf allowed. A
    row with NaN has no scores: it counts in every figure but `log_loss`, `ece`, `reliability`,
    `auroc` and `average_precision`, which cover the `n_scored` rows.

    One label a row: `truth` is int (n,) in 0..K-1, and `chosen` int (n,), where -1 is an abstention
    and counts as wrong; by default the most probable label, or an abstention where there are no
    scores. Averages of F1 follow scikit-learn: `macro_f1` is over the labels that occur in the
    truth or the choices, `weighted_f1` weighs by the truth, and 0 / 0 is 0. Calibration is of the
    most probable label, whatever was chosen. `majority` is the index of the training rows'
    commonest label for the baseline (default: the test rows'). `confusion` has the truth in rows
    and the choice in columns, with one more column at the end where there are abstentions (see
    `counts.stored_confusion` for its form). With
    K = 2 come the figures of the label with the index `positive` (default 1), which is ranked by
    its own log-probability; `auroc` and `average_precision` are None when a class is absent.

    Any number of labels a row (`multilabel`): `truth` is 0 or 1, (n, K); `logprobs` is of each
    label being true; `chosen` is bool (n, K), or int with rows of -1 for abstentions, by default
    the labels of probability 0.5 and more. An abstention is never right, not even where no label
    was. As in scikit-learn `macro_f1` is over all K labels here. `log_loss` is the mean binary
    cross-entropy of all labels; `ece` and `reliability` are of those that were chosen: `confidence`
    is the probability of such a label and `accuracy` how often it was true. `row_reliability` is of
    the whole answers: the probability of exactly these labels, and how often all were right.
    The baseline is the commonest set of labels among the test rows; `positive` and `majority` have
    no meaning here and are ignored.

    The `_low` and `_high` of an accuracy are its 95 % interval: see `wilson_interval`. `groups` is
    int (n,), the same for rows whose texts are equal or near copies, which count as one there:
    `n_distinct` is the number of groups.
    Raises EvaluationError when there are no rows, or the arrays do not fit what is said above.
    """
    names = list(labels)
    check_sizes(len(truth), len(names))
    shape = (len(truth), len(names))
    sizes = _group_sizes(groups, len(truth))
    numbers, scored = log_probabilities(logprobs, shape)
    if multilabel:
        return _multilabel(names, truth, numbers, scored, chosen, sizes)
    actual = label_indices("truth", truth, len(names), lowest=0)
    check_shape("truth", actual, shape[:1])
    answers = _single_choice(numbers, scored, chosen)
    result = _single(names, actual, numbers, scored, answers, majority, sizes)
    if len(names) == 2:
        target = _label_index("positive", positive, names, default=1)
        result |= _binary(result["labels"], names[target])
        result |= _ranking(actual[scored] == target, numbers[scored, target])
    return result


def _single_choice(logprobs: Floats, scored: Bools, chosen: NDArray[Any] | None) -> Ints:
    if chosen is None:
        return np.where(scored, logprobs.argmax(axis=1), -1)
    answers = label_indices("chosen", chosen, logprobs.shape[1], lowest=-1)
    check_shape("chosen", answers, scored.shape)
    return answers


def _single(
    labels: list[str],
    truth: Ints,
    logprobs: Floats,
    scored: Bools,
    chosen: Ints,
    majority: int | None,
    sizes: Ints,
) -> dict[str, Any]:
    matrix = counts.confusion_matrix(truth, chosen, len(labels))
    tally = counts.count_single(matrix)
    abstained = int(matrix[:, -1].sum())
    common = _label_index("majority", majority, labels, default=int(tally.support.argmax()))
    return {
        "n_test": len(truth),
        "n_distinct": len(sizes),
        **_share("accuracy", int(tally.hits.sum()), sizes),
        "majority_label": labels[common],
        "majority_accuracy": int(tally.support[common]) / len(truth),
        "macro_f1": float(tally.f1[tally.present()].mean()),
        "weighted_f1": float(tally.f1 @ tally.support / len(truth)),
        "abstained": abstained,
        **scores.single_scores(truth, logprobs, np.flatnonzero(scored)),
        "labels": tally.by_label(labels),
        "confusion": counts.stored_confusion(labels, matrix if abstained else matrix[:, :-1]),
    }


def _binary(by_label: dict[str, dict[str, Any]], positive: str) -> dict[str, Any]:
    figures = by_label[positive]
    return {
        "positive_label": positive,
        **{name: figures[name] for name in ("precision", "recall", "f1")},
    }


def _ranking(true: Bools, score: Floats) -> dict[str, Any]:
    auroc, average_precision = scores.ranking(true, score)
    return {"auroc": auroc, "average_precision": average_precision}


def _multilabel(
    labels: list[str],
    given: NDArray[Any],
    logprobs: Floats,
    scored: Bools,
    chosen: NDArray[Any] | None,
    sizes: Ints,
) -> dict[str, Any]:
    truth = label_flags("truth", np.asarray(given), logprobs.shape)
    answers, abstained = _multilabel_choice(logprobs, scored, chosen)
    tally = counts.count_multilabel(truth, answers)
    pooled = tally.pooled()
    wrong = (truth != answers).sum(axis=1)
    wrong[abstained] = len(labels)
    common, common_count = _commonest_set(truth)
    return {
        "n_test": len(truth),
        "n_distinct": len(sizes),
        **_share("subset_accuracy", int((wrong == 0).sum()), sizes),
        "majority_labels": [labels[i] for i in common],
        "majority_subset_accuracy": common_count / len(truth),
        "hamming_loss": float(wrong.mean() / len(labels)),
        "micro_f1": float(pooled.f1[0]),
        "micro_precision": float(pooled.precision[0]),
        "micro_recall": float(pooled.recall[0]),
        "macro_f1": float(tally.f1.mean()),
        "abstained": int(abstained.sum()),
        **scores.multilabel_scores(truth, logprobs, answers, abstained, np.flatnonzero(scored)),
        "labels": tally.by_label(labels),
    }


def _multilabel_choice(
    logprobs: Floats, scored: Bools, chosen: NDArray[Any] | None
) -> tuple[Bools, Bools]:
    """What was answered for each label, bool (n, K), and which rows got no answer, bool (n,)."""
    if chosen is None:
        return (logprobs >= math.log(0.5)) & scored[:, None], ~scored
    given = np.asarray(chosen)
    check_shape("chosen", given, logprobs.shape)
    abstained = np.any(given < 0, axis=1)
    answers = np.where(abstained[:, None], given.dtype.type(0), given)
    return label_flags("chosen", answers, given.shape), abstained


def _commonest_set(truth: Bools) -> tuple[Ints, int]:
    """Indices of the labels in the set that most rows have, and how many rows have it."""
    sets = Counter(row.tobytes() for row in np.packbits(truth, axis=1))
    packed, count = sets.most_common(1)[0]
    return np.flatnonzero(np.unpackbits(np.frombuffer(packed, dtype=np.uint8))), count


def _label_index(name: str, index: int | None, labels: list[str], default: int) -> int:
    if index is None:
        return default
    return int(label_indices(name, [index], len(labels), lowest=0)[0])


def _group_sizes(groups: NDArray[Any] | None, rows: int) -> Ints:
    if groups is None:
        return np.ones(rows, dtype=np.int64)
    check_shape("groups", groups, (rows,))
    return np.unique(groups, return_counts=True)[1].astype(np.int64)


def _share(name: str, successes: int, sizes: Ints) -> dict[str, float]:
    share = successes / int(sizes.sum())
    low, high = share_interval(share, sizes)
    return {name: share, f"{name}_low": low, f"{name}_high": high}
