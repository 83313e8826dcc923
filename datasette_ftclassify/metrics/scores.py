"""Whether the probabilities can be believed, and whether they rank the rows well."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ..core.label_kinds import joint_logprobs
from .result import Bin
from .validation import Bools, Floats, Ints

BINS = 15


# Below this a probability costs no more log loss: one impossible answer that came true
# (log-probability -inf) costs 36 nats instead of making the mean infinite. scikit-learn clips
# float64 at the same place.
EPSILON = float(np.finfo(np.float64).eps)

# Scores of several labels a row are read in blocks of about so many cells, to need no second
# large array.
BLOCK_CELLS = 1 << 18


@dataclass(frozen=True)
class Scores:
    """Of `n_scored` rows. `log_loss` is a mean in nats; `ece` is the expected calibration error,
    0-1: the mean gap between confidence and accuracy; None (and no bins) where nothing was scored.
    `row_reliability` are the bins of whole answers, where a row may have several labels.

    Source: C. Guo, G. Pleiss, Y. Sun, K. Q. Weinberger, "On Calibration of Modern Neural Networks",
    ICML 2017, equation 3, with their 15 equal-width bins.
    """

    n_scored: int
    log_loss: float | None
    ece: float | None
    reliability: list[Bin]
    row_reliability: list[Bin] = field(default_factory=list)


def bin_sums(confidence: NDArray[np.float64], right: Bools) -> NDArray[np.float64]:
    """Float (3, BINS): rows, summed confidence and rows that were right, for each bin.

    Bin m holds the confidences in (m / BINS, (m + 1) / BINS], and the first one 0 as well.
    """
    # The logarithm and back, in float32 above all, moves 0.2 a little into the next bin.
    bins = np.ceil(confidence * BINS - 1e-5).astype(np.int64) - 1
    np.clip(bins, 0, BINS - 1, out=bins)
    return np.stack(
        [
            np.bincount(bins, minlength=BINS).astype(float),
            np.bincount(bins, weights=confidence, minlength=BINS),
            np.bincount(bins[right], minlength=BINS).astype(float),
        ]
    )


def single_scores(truth: Ints, logprobs: Floats, rows: Ints) -> Scores:
    """Over `rows`: the loss of the truth, the calibration of the top label."""
    top = logprobs.argmax(axis=1)[rows]
    loss = _loss(_probability(logprobs[rows, truth[rows]]))
    sums = bin_sums(_probability(logprobs[rows, top]), top == truth[rows])
    return _scores(len(rows), len(rows), loss, sums)


def several_scores(
    truth: Bools, logprobs: Floats, chosen: Bools, abstained: Bools, rows: Ints
) -> Scores:
    """Of `rows`: the loss of every label, the calibration of those that were given.

    The many labels that a row has not, and of which nobody is told, would hide among them how often
    a given one is wrong. `row_reliability` are the bins of the whole answers: their score, and
    whether all their labels were right and none was missing.
    """
    step = max(1, BLOCK_CELLS // truth.shape[1])
    loss = 0.0
    given_sums, row_sums = np.zeros((3, BINS)), np.zeros((3, BINS))
    for start in range(0, len(rows), step):
        block = rows[start : start + step]
        true, given, logs = truth[block], chosen[block], logprobs[block]
        probability = _probability(logs)
        loss += _loss(np.where(true, probability, 1 - probability))
        given_sums += bin_sums(probability[given], true[given])
        whole = _probability(joint_logprobs(logs.astype(np.float64), given))
        said = ~abstained[block]
        row_sums += bin_sums(whole[said], (true == given).all(axis=1)[said])
    return _scores(len(rows), len(rows) * truth.shape[1], loss, given_sums, row_sums)


def calibration_error(confidence: NDArray[np.float64], right: Bools) -> float | None:
    """The `ece` of `Scores`, 0-1; None where there is nothing to judge."""
    return _gap(bin_sums(confidence, right))


def _gap(sums: NDArray[np.float64]) -> float | None:
    counts, confidences, rights = sums
    decisions = counts.sum()
    return float(np.abs(confidences - rights).sum() / decisions) if decisions else None


def _scores(
    n_scored: int,
    decisions: int,
    loss: float,
    sums: NDArray[np.float64],
    whole: NDArray[np.float64] | None = None,
) -> Scores:
    """From the summed loss of so many decisions and the sums of bins."""
    return Scores(
        n_scored,
        float(loss / decisions) if decisions else None,
        _gap(sums),
        _bins(sums),
        [] if whole is None else _bins(whole),
    )


def ranking(true: Bools, score: Floats) -> tuple[float | None, float | None]:
    """Area under the ROC curve and average precision, 0–1; None where one class is absent.

    AUROC is the chance that a true row scores above a false one, ties counting half (Mann and
    Whitney 1947); average precision is the sum over distinct scores, from the highest, of the gain
    in recall times the precision there, as scikit-learn defines it. Only the order of the scores
    counts, so -inf needs no clipping.
    """
    values, place = np.unique(score, return_inverse=True)
    positives = np.bincount(place[true], minlength=len(values))[::-1]
    negatives = np.bincount(place[~true], minlength=len(values))[::-1]
    n_positive, n_negative = int(positives.sum()), int(negatives.sum())
    if not n_positive or not n_negative:
        return None, None
    above_positive, above_negative = np.cumsum(positives), np.cumsum(negatives)
    beaten = n_negative - above_negative + negatives / 2
    auroc = float((positives * beaten).sum() / n_positive / n_negative)
    precision = above_positive / (above_positive + above_negative)
    return auroc, float((positives * precision).sum() / n_positive)


def _bins(sums: NDArray[np.float64]) -> list[Bin]:
    """The bins of a reliability diagram, none without any row; the means of an empty bin are
    None."""
    if not sums[0].any():
        return []
    return [
        {
            "low": i / BINS,
            "high": (i + 1) / BINS,
            "count": int(count),
            "confidence": float(confidence / count) if count else None,
            "accuracy": float(right / count) if count else None,
        }
        for i, (count, confidence, right) in enumerate(sums.T)
    ]


def _probability(logprobs: Floats) -> NDArray[np.float64]:
    return np.exp(np.minimum(logprobs.astype(np.float64), 0.0))


def _loss(probability: NDArray[np.float64]) -> float:
    """Summed negative logarithm of the probabilities given to what was true."""
    # Subtracted, since a minus sign would make -0.0 of a loss of nothing.
    return 0.0 - float(np.log(np.maximum(probability, EPSILON)).sum())
