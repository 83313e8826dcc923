"""Decision thresholds of labels, where a row may have several.

On GoEmotions a threshold for each label from unseen rows matters more than the model: at 0.5 for
all, rare labels are almost never given.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from ...metrics.counts import count_several

COMMON_EXAMPLES = 20
_LOWEST, _HIGHEST = 0.02, 0.98

Probabilities = npt.NDArray[np.floating]
Rows = npt.NDArray[np.intp]


def best_threshold(
    probabilities: Probabilities, positive: npt.NDArray[Any], *, clip: bool = True
) -> tuple[float, float]:
    """The threshold with the highest F1 on these rows, and that F1.

    With `clip` the threshold is kept within 0.02..0.98; without, any scores may be given.
    """
    total = int(positive.sum())
    if not total:
        return 0.5, 0.0
    spec = np.argsort(-probabilities, kind="stable")
    ranked = probabilities[spec]
    hits = np.cumsum(positive[spec])
    f1 = 2 * hits / (np.arange(1, len(spec) + 1) + total)
    f1[:-1][ranked[:-1] == ranked[1:]] = 0  # a threshold cannot part equal probabilities
    last = int(f1.argmax())
    after = ranked[last + 1] if last + 1 < len(ranked) else ranked[last]
    middle = float(ranked[last] + after) / 2
    return float(np.clip(middle, _LOWEST, _HIGHEST)) if clip else middle, float(f1[last])


def choose_thresholds(
    probabilities: Probabilities, targets: npt.NDArray[Any]
) -> npt.NDArray[np.float64]:
    """A threshold for each label from out-of-fold probabilities (rows, labels).

    The best threshold of a label with few examples is mostly chance, so each is drawn (in
    log-odds) towards the one that suits all labels together, as if that had been found on 20 more
    examples of the label.
    """
    common, _ = best_threshold(probabilities.ravel(), targets.ravel())
    own = np.array(
        [
            best_threshold(chance, truth)[0]
            for chance, truth in zip(probabilities.T, targets.T, strict=True)
        ]
    )
    counts = targets.sum(axis=0)
    mixed = counts * _log_odds(own) + COMMON_EXAMPLES * _log_odds(np.array(common))
    found: npt.NDArray[np.float64] = 1 / (1 + np.exp(-mixed / (counts + COMMON_EXAMPLES)))
    return found


def across_halves(
    scores: Probabilities,
    targets: npt.NDArray[Any],
    choose: Callable[[Rows], npt.NDArray[Any]],
    groups: Rows,
) -> npt.NDArray[np.bool_]:
    """Which labels are given (rows, labels) when the thresholds of each half of the rows are those
    that `choose` finds on the other half: measured on the rows that they were chosen on, thresholds
    look better than they are. Rows of one of the `groups` are in one half.

    A half without any label has nothing to choose by, so all rows serve as both halves then.
    """
    rows = np.arange(len(targets))
    odd = np.unique(groups, return_inverse=True)[1] % 2 == 1
    halves = [rows[~odd], rows[odd]]
    if not all(targets[half].any() for half in halves):
        halves = [rows, rows]
    given = np.empty(targets.shape, dtype=np.bool_)
    for here, there in (halves, halves[::-1]):
        given[here] = scores[here] >= choose(there)
    return given


def _log_odds(probabilities: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    odds: npt.NDArray[np.float64] = np.log(probabilities / (1 - probabilities))
    return odds


def f1_scores(given: npt.NDArray[np.bool_], targets: npt.NDArray[Any]) -> tuple[float, float]:
    """Micro and macro F1 (the macro over labels that occur); 0..1."""
    tally = count_several(targets == 1, given)
    occurs = tally.support > 0
    macro = tally.f1[occurs].mean() if occurs.any() else 0.0
    return float(tally.pooled().f1[0]), float(macro)
