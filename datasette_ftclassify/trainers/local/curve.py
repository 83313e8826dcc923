"""Would more labels help? The answer that people want before they label another thousand rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ...evaluation.intervals import independent_rows, ratio_interval, wilson_interval
from .data import Data, as_indicators
from .folds import Rows
from .recipes import Targets
from .thresholds import across_halves, best_threshold
from .unseen import MAX_WEIGHTS, quick_base, sample

MAX_ROWS = 12_000
MAX_CELLS = 1_000_000  # rows x labels
MIN_TRAINING = 4
MIN_UNSEEN = 5
ENOUGH_EACH = 5  # rows a label, below which a flat curve says nothing
ENOUGH_TO_DOUBT = 50  # rows a label, from which on "nothing was learnt" says something


def learning_curve(
    texts: Sequence[str],
    targets: npt.NDArray[Any],
    n_labels: int,
    *,
    multilabel: bool,
    seed: int = 0,
    fractions: Sequence[float] = (0.1, 0.25, 0.5, 1.0),
    progress: Callable[[str, float], None] | None = None,
) -> list[dict[str, Any]]:
    """How the score on unseen rows grows with the number of training rows.

    Each point is {rows, labels, metric, score, low, high, baseline, all_rows}: trained on that many
    rows, of a table in which that many labels occur, and measured on a fifth that is held out
    (several times where rows are few), with a 95 % interval. Equal texts and near copies are held
    out together, and count as one in the interval. The metric is accuracy, or micro F1 where a row
    may have several labels. baseline: the share of the commonest label, None with several labels.
    all_rows: of the table, of which very many are sampled. A quick recipe is used, so the scores
    are those of a somewhat simpler model than the one `fit` makes; points with too few rows to mean
    anything are left out, which may leave none.
    """
    wanted = as_indicators(targets, len(texts), n_labels, multilabel)
    rows = sample(wanted, max(500, min(MAX_ROWS, MAX_CELLS // n_labels)), seed)
    wanted = wanted[rows]
    n_rows = len(rows)
    n_used = int(wanted.any(axis=0).sum())
    n_unseen = max(1, n_rows // 5)
    if n_unseen < MIN_UNSEEN:
        return []
    data = Data.read([texts[row] for row in rows], wanted, n_labels, max_weights=MAX_WEIGHTS)
    repeats = 10 if n_rows <= 200 else 5 if n_rows <= 1_000 else 2
    sizes = sorted({round(part * (n_rows - n_unseen)) for part in fractions if 0 < part <= 1})
    sizes = [size for size in sizes if size >= MIN_TRAINING]
    points = []
    for done, size in enumerate(sizes):
        measured = [
            found
            for repeat in range(repeats)
            if (found := _once(data, wanted, size, n_unseen, seed + repeat, multilabel)) is not None
        ]
        if progress is not None:
            progress("learning curve", (done + 1) / len(sizes))
        if measured:
            about: dict[str, Any] = {
                "rows": size,
                "labels": n_used,
                "metric": "micro F1" if multilabel else "accuracy",
                "baseline": None if multilabel else float(wanted.sum(axis=0).max() / n_rows),
                "all_rows": len(texts),
            }
            points.append(about | _score(measured, data.groups, multilabel))
    return points


def curve_sentence(points: Sequence[dict[str, Any]]) -> str:
    """One honest sentence on whether more labels would help, from a learning curve."""
    if len(points) < 2:
        return "There are too few rows to say whether more labels would help."
    before, last = points[-2], points[-1]
    gain = last["score"] - before["score"]
    times = last["rows"] / before["rows"]
    noise = (last["high"] - last["low"]) / 2
    change = (
        f"from {before['rows']:,} to {last['rows']:,} rows the {last['metric']} went from "
        f"{before['score']:.3f} to {last['score']:.3f}"
    )
    baseline = last["baseline"]
    lead = 1.0 if baseline is None else last["score"] - baseline
    if last["rows"] >= ENOUGH_TO_DOUBT * last["labels"] and lead <= noise and gain <= noise:
        return (
            f"More labels of this kind would probably not help: {change}, where always giving the "
            f"commonest label has {baseline:.3f}."
        )
    if gain <= noise / 2 and last["rows"] < ENOUGH_EACH * last["labels"]:
        return (
            "There are too few rows of each label to say how much more would help: "
            f"{last['rows']:,} rows for {last['labels']:,} labels gave {last['metric']} "
            f"{last['score']:.3f}, so label more rows of each."
        )
    if last["score"] > 0.9995:
        return f"More labels can hardly help: {change} on rows that were held out."
    if last["all_rows"] > 2 * last["rows"]:
        helped = "still helped" if gain > noise / 2 else "no longer helped beyond the noise"
        return (
            f"What more labels than the {last['all_rows']:,} would add was not measured. On a "
            f"sample, more rows {helped}: {change}."
        )
    if gain <= 0.002:
        return f"More labels of this kind would probably not help: {change}."
    if gain <= noise / 2:
        return f"More labels might help a little, but the difference is within the noise: {change}."
    most = min(gain, 1 - last["score"])
    return (
        f"More labels would probably help: {change}, and {times:.3g} times as many again would "
        f"add less than {most:.3f} more."
    )


@dataclass(frozen=True)
class _Measured:
    """Of each row that was held out: what counts as right, of how much. Whether the label is right
    of 1; for F1 twice the labels that are right, of those given and those that the row has."""

    rows: Rows
    right: npt.NDArray[np.float64]
    whole: npt.NDArray[np.float64]


def _once(
    data: Data, targets: Targets, size: int, n_unseen: int, seed: int, multilabel: bool
) -> _Measured | None:
    unseen, training = _divided(data.groups, size, n_unseen, seed)
    varied = targets[training].any(axis=0).sum() > 1
    if not len(unseen) or not len(training) or not (varied or multilabel):
        return None
    base = quick_base(data)
    weighting = data.weighting(training)
    known = data.design(weighting, training)
    model = base.fit(known, targets[training], seed)
    logits = base.decide(model, data.design(weighting, unseen))
    wanted = targets[unseen]
    if not multilabel:
        right = (logits.argmax(axis=1) == wanted.argmax(axis=1)).astype(np.float64)
        return _Measured(unseen, right, np.ones(len(unseen)))

    def limit(half: Rows) -> npt.NDArray[np.float64]:  # one threshold for all labels
        return np.array(best_threshold(logits[half].ravel(), wanted[half].ravel(), clip=False)[0])

    given = across_halves(logits, wanted, limit)
    both = (given.astype(bool) & (wanted == 1)).sum(axis=1)
    return _Measured(unseen, 2.0 * both, given.sum(axis=1) + wanted.sum(axis=1, dtype=np.float64))


def _divided(groups: Rows, size: int, n_unseen: int, seed: int) -> tuple[Rows, Rows]:
    """Whole groups of at most `n_unseen` rows in all, and `size` rows of the others. A group that
    is too large to be held out is always among the others."""
    sizes = np.bincount(groups)
    order = np.random.default_rng(seed).permutation(len(sizes))
    order = order[np.argsort(sizes[order] > n_unseen, kind="stable")]
    held_out = np.zeros(len(sizes), dtype=np.bool_)
    held_out[order[np.cumsum(sizes[order]) <= n_unseen]] = True
    place = np.empty(len(sizes), dtype=np.intp)
    place[order] = np.arange(len(sizes))
    rows = np.argsort(place[groups], kind="stable")
    others = rows[~held_out[groups[rows]]]
    return np.flatnonzero(held_out[groups]), np.sort(others[:size])


def _score(measured: Sequence[_Measured], groups: Rows, multilabel: bool) -> dict[str, float]:
    """The score over all repeats, with its interval: a group counts as one."""
    rows = np.concatenate([each.rows for each in measured])
    right = np.bincount(groups[rows], np.concatenate([each.right for each in measured]))
    whole = np.bincount(groups[rows], np.concatenate([each.whole for each in measured]))
    score = float(right.sum() / max(whole.sum(), 1e-12))
    seen = np.unique(groups[rows])
    if multilabel:
        low, high = ratio_interval(right[seen], whole[seen])
    else:
        sizes = np.bincount(groups[np.unique(rows)])
        independent = independent_rows(sizes[sizes > 0])
        low, high = wilson_interval(min(score * independent, independent), independent)
    return {"score": score, "low": min(low, score), "high": max(high, score)}
