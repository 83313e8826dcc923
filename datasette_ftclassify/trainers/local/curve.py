"""Would more labels help? The answer that people want before they label another thousand rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .data import Data, as_indicators
from .folds import Rows
from .recipes import Targets
from .thresholds import across_halves, best_threshold, f1_scores
from .unseen import MAX_WEIGHTS, quick_base, sample

MAX_ROWS = 12_000
MAX_CELLS = 1_000_000  # rows x labels
MIN_TRAINING = 4
MIN_UNSEEN = 5
ENOUGH_EACH = 5  # rows a label, below which a flat curve says nothing
_Z = 1.96  # of a 95 % interval


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

    Each point is {rows, labels, metric, score, low, high}: trained on that many rows, of a table
    in which that many labels occur, and measured on a fifth that is held out (several times where
    rows are few), with a 95 % interval. The metric is accuracy, or micro F1 where a row may have
    several labels. A quick recipe is used, so the scores are those of a somewhat simpler model
    than the one `fit` makes; points with too few rows to mean anything are left out, which may
    leave none.
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
        scores = [
            score
            for repeat in range(repeats)
            if (score := _once(data, wanted, size, n_unseen, seed + repeat, multilabel)) is not None
        ]
        if progress is not None:
            progress("learning curve", (done + 1) / len(sizes))
        if scores:
            metric = "micro F1" if multilabel else "accuracy"
            seen = min(n_rows, n_unseen * len(scores))
            about = {"rows": size, "labels": n_used, "metric": metric}
            points.append(about | _interval(scores, seen))
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
    if gain <= noise / 2 and last["rows"] < ENOUGH_EACH * last["labels"]:
        return (
            "There are too few rows of each label to say how much more would help: "
            f"{last['rows']:,} rows for {last['labels']:,} labels gave {last['metric']} "
            f"{last['score']:.3f}, so label more rows of each."
        )
    if gain <= 0.002:
        return f"More labels of this kind would probably not help: {change}."
    if gain <= noise / 2:
        return f"More labels might help a little, but the difference is within the noise: {change}."
    return (
        f"More labels would probably help: {change}, and {times:.3g} times as many again would "
        f"add less than the same {gain:.3f} once more."
    )


def _once(
    data: Data, targets: Targets, size: int, n_unseen: int, seed: int, multilabel: bool
) -> float | None:
    order: Rows = np.random.default_rng(seed).permutation(len(targets))
    unseen, training = order[:n_unseen], np.sort(order[n_unseen : n_unseen + size])
    varied = targets[training].any(axis=0).sum() > 1
    if not varied and not multilabel:
        return None
    base = quick_base(data)
    weighting = data.weighting(training)
    known = data.design(weighting, training)
    model = base.fit(known, targets[training], seed)
    logits = base.decide(model, data.design(weighting, unseen))
    if not multilabel:
        return float((logits.argmax(axis=1) == targets[unseen].argmax(axis=1)).mean())
    wanted = targets[unseen]

    def limit(half: Rows) -> npt.NDArray[np.float64]:  # one threshold for all labels
        return np.array(best_threshold(logits[half].ravel(), wanted[half].ravel(), clip=False)[0])

    return f1_scores(across_halves(logits, wanted, limit), wanted)[0]


def _interval(scores: list[float], seen: int) -> dict[str, float]:
    """Wilson's interval for a share measured on `seen` distinct rows."""
    mean = float(np.mean(scores))
    middle = (mean + _Z**2 / (2 * seen)) / (1 + _Z**2 / seen)
    half = _Z * np.sqrt(mean * (1 - mean) / seen + _Z**2 / (4 * seen**2)) / (1 + _Z**2 / seen)
    return {
        "score": mean,
        "low": max(0.0, float(middle - half)),
        "high": min(1.0, max(mean, float(middle + half))),
    }
