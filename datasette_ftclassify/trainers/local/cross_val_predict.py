"""Predictions for labelled rows by a model that has not seen them, quick enough for a check.

They tell which rows are probably mislabelled. Speed and bounded memory matter more here than the
last point of accuracy, so a large table is sampled.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .calibration import calibrate, platt
from .candidates import BAYES, RIDGE, SVM
from .features import FloatArray
from .group_folds import Rows, deal, labels_seen
from .linear import Array, log_sigmoid, log_softmax
from .recipes import Base, Targets
from .training_data import Data, as_indicators

MAX_CELLS = 8_000_000  # rows x labels: 64 MB of probabilities
MAX_TOTAL_CHARACTERS = 2_000_000
MAX_WEIGHTS = 5_000_000  # features x labels
N_FOLDS = 3
QUICK_COST = 6e7  # stored values times labels: some seconds


def out_of_fold(
    texts: Sequence[str],
    targets: npt.NDArray[Any],
    n_labels: int,
    *,
    exclusive: bool = True,
    seed: int = 0,
    max_rows: int = 20_000,
    cost: float = QUICK_COST,
) -> tuple[Array, Rows]:
    """Log-probabilities (n, n_labels) of rows under a model that did not see them, and which rows
    these are (ascending positions in `texts`).

    All rows, when there are at most `max_rows`; otherwise a sample in which every label keeps its
    share and rare labels keep all their rows; without those of which no other text can tell (see
    `folds.always_learnt`). cost: of data, up to which the better of two algorithms is used.
    Raises TrainingError for targets that do not fit.
    """
    wanted = as_indicators(targets, len(texts), n_labels, exclusive)
    most = min(max_rows, max(100, MAX_CELLS // n_labels))
    rows = sample(wanted, affordable(texts, most), seed)
    wanted = wanted[rows]
    scores, usable, judged = _unseen_scores([texts[row] for row in rows], wanted, seed, cost)
    found = _probabilities(scores[judged], wanted[judged], usable[judged], exclusive)
    return found, rows[judged]


def answers_of(texts: Sequence[str], targets: Rows, n_labels: int, unseen: Sequence[str]) -> Rows:
    """Positions of the label that such a model of all `texts`, with one label each, gives the
    `unseen` ones, the first that are affordable."""
    unseen = unseen[: affordable(unseen, len(unseen))]
    learnt, asked = np.arange(len(texts)), np.arange(len(texts), len(texts) + len(unseen))
    wanted = np.zeros((len(texts) + len(unseen), n_labels), dtype=np.int8)
    wanted[learnt, targets] = 1
    data = Data.read([*texts, *unseen], wanted, max_weights=MAX_WEIGHTS)
    base, weighting = quick_base(data), data.weighting(learnt)
    model = base.fit(data.features(weighting, learnt), wanted[learnt], 0)
    found: Rows = base.decide(model, data.features(weighting, asked)).argmax(axis=1)
    return found


def _unseen_scores(
    texts: list[str], targets: Targets, seed: int, cost: float
) -> tuple[FloatArray, npt.NDArray[np.bool_], Rows]:
    """Scores of each row from a model of the other folds, and whether its labels occur there; and
    which rows are in a fold."""
    data = Data.read(texts, targets, max_weights=MAX_WEIGHTS)
    base = quick_base(data, cost)
    scores = np.zeros(targets.shape, dtype=np.float32)
    usable = np.zeros(len(texts), dtype=np.bool_)
    fold = deal(targets, data.groups, min(N_FOLDS, len(texts)), seed)
    for number in range(int(fold.max()) + 1):
        training, unseen = np.flatnonzero(fold != number), np.flatnonzero(fold == number)
        weighting = data.weighting(training)
        model = base.fit(data.features(weighting, training), targets[training], seed)
        scores[unseen] = base.decide(model, data.features(weighting, unseen))
        usable[unseen] = labels_seen(targets, training, unseen)
    return scores, usable, np.flatnonzero(fold >= 0)


def quick_base(data: Data, cost: float = QUICK_COST) -> Base:
    """The best algorithm that takes seconds for this much data."""
    if data.cost <= cost and len(data.targets) > 300:
        return SVM
    exclusive = bool((data.targets.sum(axis=1) == 1).all())
    return RIDGE if len(data.targets) <= 300 and exclusive else BAYES


def sample(targets: Targets, most: int, seed: int) -> Rows:
    """At most `most` rows: from each label in turn, so that the rarest labels stay whole, and the
    rest at random."""
    n_rows, n_labels = targets.shape
    if n_rows <= most:
        return np.arange(n_rows)
    shuffled = np.random.default_rng(seed).permutation(n_rows)
    fewest = max(1, min(10, most // (2 * n_labels)))
    chosen = np.zeros(n_rows, dtype=np.bool_)
    for label in range(n_labels):
        chosen[shuffled[targets[shuffled, label] == 1][:fewest]] = True
    missing = most - int(chosen.sum())
    if missing > 0:
        chosen[shuffled[~chosen[shuffled]][:missing]] = True
    return np.flatnonzero(chosen)[:most]


def affordable(texts: Sequence[str], most: int, characters: int = MAX_TOTAL_CHARACTERS) -> int:
    """How many rows of texts as long as these can be counted in bounded memory, `most` at most."""
    step = max(1, len(texts) // 1_000)
    mean = float(np.mean([min(len(text), 20_000) for text in texts[::step]]))
    return max(200, min(most, int(characters / max(1.0, mean))))


def _probabilities(
    logits: npt.NDArray[np.float32],
    targets: Targets,
    usable: npt.NDArray[np.bool_],
    exclusive: bool,
) -> Array:
    if not len(logits):
        return logits.astype(np.float64)
    if exclusive:
        scores = (logits - logits.mean(axis=1, keepdims=True)) / (float(logits.std()) or 1.0)
        found, _ = calibrate(scores, targets.argmax(axis=1), usable)
        return log_softmax(scores.astype(np.float64) / found)
    wide = logits.astype(np.float64)
    for label in range(wide.shape[1]):
        slope, intercept = platt(wide[:, label], targets[:, label])
        wide[:, label] = wide[:, label] * slope + intercept
    return log_sigmoid(wide)
