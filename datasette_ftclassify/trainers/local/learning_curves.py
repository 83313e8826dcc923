"""Learning curves: whether more labels would help, before another thousand rows are labelled."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ...core.labels import LabelSet
from ...core.training_report import CurvePoint, CurveScore
from ...metrics.intervals import (
    gain_interval,
    independent_rows,
    ratio_gain_interval,
    ratio_interval,
    share_interval,
)
from ..base import TrainingSet
from .candidates import candidates
from .cross_val_predict import MAX_WEIGHTS, QUICK_COST, affordable, quick_base, sample
from .group_folds import Rows, splits
from .recipes import Recipe, Targets
from .selection import held_out, held_out_rows, hits, mix, spreads
from .thresholds import across_halves, best_threshold
from .training import learnt_names
from .training_data import Data, as_indicators

MAX_ROWS = 12_000
MAX_CELLS = 1_000_000  # rows x labels
MOST_CHARACTERS = 10_000_000  # of all rows together
MIN_TRAINING = 4
MIN_UNSEEN = 5
ENOUGH_EACH = 5  # rows a label, below which a flat curve says nothing
ENOUGH_TO_DOUBT = 50  # rows a label, from which on "nothing was learnt" says something
WORTH = 0.01  # a gain that is surely below this is called none
SURE_OF_ALL = 0.97  # the least that a score without an error must surely be to be called the most


def learning_curve(
    data: TrainingSet,
    *,
    seed: int = 0,
    recipe: str | None = None,
    fractions: Sequence[float] = (0.1, 0.25, 0.5, 1.0),
    progress: Callable[[str, float], None] | None = None,
) -> list[CurvePoint]:
    """How the score on unseen rows grows with the number of training rows.

    Each point is {rows, labels, metric, score, low, high, baseline, all_rows, recipe}: trained on
    that many rows, of a table in which that many labels occur, and measured on the held-out rows
    of a cross-validation, the same for every point, with a 95% interval. From the second on there
    are gain_low and gain_high, the 95% interval of what it has more than the one before. Equal
    texts and near copies are held out together, and count as one in the intervals. The metric is
    accuracy, or micro F1 where a row may have several labels. baseline: of always giving the
    commonest label, or the best number of the commonest ones. all_rows: of the table, of which very
    many are sampled. Points with too few rows to mean anything are left out, which may leave none.

    recipe: as `fit` reports it. Where that takes seconds, the curve is of this recipe in the folds
            of `fit`, so that the accuracy of its last point is the one that `fit` reports;
            otherwise a quick one is used, which the points name
    """
    texts, n_labels, exclusive = data.texts, len(data.labels), data.labels.exclusive
    wanted = as_indicators(data.targets, len(texts), n_labels, exclusive)
    most = max(500, min(MAX_ROWS, MAX_CELLS // n_labels))
    rows = sample(wanted, affordable(texts, most, MOST_CHARACTERS), seed)
    wanted = wanted[rows]
    judging = np.ones(len(rows), dtype=np.bool_) if data.chosen is None else ~data.chosen[rows]
    if judging.sum() // 5 < MIN_UNSEEN:
        return []
    some = [texts[row] for row in rows]
    used, read = _recipe(some, wanted, data.labels, recipe)
    repeats = splits(read.targets, read.groups, seed, read.cost, ~judging)
    labels, baseline = int(wanted.any(axis=0).sum()), _baseline(wanted[judging], exclusive)
    points: list[CurvePoint] = []
    before: _Measured | None = None
    shares = sorted({share for share in fractions if 0 < share <= 1})
    for done, share in enumerate(shares):
        cut = [
            [
                (_part(training, read.groups, share, [seed, repeat, fold]), unseen)
                for fold, (training, unseen) in enumerate(folds)
            ]
            for repeat, folds in enumerate(repeats)
        ]
        sizes = [len(training) for folds in cut for training, _ in folds]
        if sizes and min(sizes) >= MIN_TRAINING:
            found = _measure(read, used, cut, seed)
            points.append({
                **found.score(before),
                "rows": round(sum(sizes) / len(sizes)),
                "labels": labels,
                "metric": "accuracy" if exclusive else "micro F1",
                "baseline": baseline,
                "all_rows": len(texts),
                "recipe": used.name,
            })  # fmt: skip
            before = found
        if progress is not None:
            progress("learning curve", (done + 1) / len(shares))
    return points


def curve_sentence(points: Sequence[CurvePoint]) -> str:
    """One honest sentence on whether more labels would help, from a learning curve."""
    if len(points) < 2:
        return "There are too few rows to say whether more labels would help."
    before, last = points[-2], points[-1]
    times = last["rows"] / before["rows"]
    least, most = last["gain_low"], last["gain_high"]
    change = (
        f"from {before['rows']:,} to {last['rows']:,} rows the {last['metric']} went from "
        f"{before['score']:.3f} to {last['score']:.3f}"
    )
    doubt = f"a change between {least:+.3f} and {most:+.3f} is possible (95% interval)"
    baseline = last["baseline"]
    lead = last["score"] - baseline
    noise = (last["high"] - last["low"]) / 2
    nothing = lead <= 0 or (lead <= noise and least <= 0)
    if last["rows"] >= ENOUGH_TO_DOUBT * last["labels"] and nothing:
        always = "most frequent label" if last["metric"] == "accuracy" else "same labels"
        return (
            f"More labels of this kind would probably not help: {change}, where always giving the "
            f"{always} has {baseline:.3f}."
        )
    if least <= 0 and last["rows"] < ENOUGH_EACH * last["labels"]:
        return (
            "There are too few rows of each label to say how much more would help: "
            f"{last['rows']:,} rows for {last['labels']:,} labels gave {last['metric']} "
            f"{last['score']:.3f}, so label more rows of each."
        )
    if last["score"] > 0.9995:
        if last["low"] >= SURE_OF_ALL:
            return f"More labels can hardly help: {change} on rows that were held out."
        return (
            f"These rows cannot show whether more labels would help: {change}, which leaves "
            f"nothing to gain on them, but {last['low']:.3f} is possible (95% interval)."
        )
    if last["all_rows"] > 2 * last["rows"]:
        helped = "still helped" if least > 0 else "did not help beyond the noise"
        return (
            f"What more labels than the {last['all_rows']:,} would add was not measured. On a "
            f"sample, more rows {helped}: {change}."
        )
    if least > 0:
        gain = min(last["score"] - before["score"], 1 - last["score"])
        more = "Doubling the labels" if 1.9 < times < 2.1 else f"{times:.3g} times the labels"
        return (
            f"More labels would probably help: {change}. {more} again would add less than "
            f"{gain:.3f}."
        )
    if most < WORTH:
        return f"More labels of this kind would probably not help: {change}."
    return f"These rows cannot show whether more labels would help: {change}, where {doubt}."


def _recipe(
    texts: list[str], targets: Targets, labels: LabelSet, name: str | None
) -> tuple[Recipe, Data]:
    """The recipe of that name, if it takes seconds with these rows, or a quick one."""
    rows, exclusive = len(texts), labels.exclusive
    data = Data.read(texts, targets, exclusive=exclusive, names=learnt_names(rows, labels))
    known = candidates(
        rows,
        len(labels),
        data.cost,
        exclusive=exclusive,
        embedding=False,
        names=len(data.named) > 0,
    )
    for recipe in known:
        if recipe.name == name and data.cost <= QUICK_COST:
            return recipe, data
    data = replace(data, max_weights=MAX_WEIGHTS)
    base = quick_base(data)
    return Recipe(base.name, ((base, 1.0),)), data


def _baseline(targets: Targets, exclusive: bool) -> float:
    counts = np.sort(targets.sum(axis=0, dtype=np.int64))[::-1]
    if exclusive:
        return float(counts[0] / len(targets))
    given = np.arange(1, len(counts) + 1)  # labels that every row is given, the commonest ones
    return float((2 * np.cumsum(counts) / (given * len(targets) + counts.sum())).max())


def _part(training: Rows, groups: Rows, share: float, seed: list[int]) -> Rows:
    """That share of the rows, in an order in which copies stand together: a smaller part is in
    every larger one."""
    if share == 1.0:
        return training
    names, members = np.unique(groups[training], return_inverse=True)
    place = np.random.default_rng(seed).permutation(len(names))
    spec = np.argsort(place[members], kind="stable")
    return np.sort(training[spec[: round(share * len(training))]])


@dataclass(frozen=True)
class _Measured:
    """Of each row that was held out: what counts as right, of how much. Whether the label is right
    of 1; for F1 twice the labels that are right, of those given and those that the row has. As
    means over the repeats, in which the same rows are held out.

    groups: of the rows, from 0 on
    """

    right: npt.NDArray[np.float64]
    whole: npt.NDArray[np.float64]
    groups: Rows
    exclusive: bool

    def score(self, before: _Measured | None) -> CurveScore:
        """The score over all rows, with its interval, and that of the gain."""
        score = float(self.right.sum() / max(self.whole.sum(), 1e-12))
        sizes = np.bincount(self.groups)
        gain = None
        if not self.exclusive:
            low, high = ratio_interval(*self._by_group())
            if before is not None:
                gain = ratio_gain_interval(before._by_group(), self._by_group())
        else:
            low, high = share_interval(score, sizes)
            if before is not None:
                change = self.right - before.right
                gain = gain_interval(
                    float(np.maximum(change, 0).mean()),
                    float(np.maximum(-change, 0).mean()),
                    independent_rows(sizes),
                )
        found: CurveScore = {"score": score, "low": min(low, score), "high": max(high, score)}
        return found if gain is None else {**found, "gain_low": gain[0], "gain_high": gain[1]}

    def _by_group(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        right, whole = (np.bincount(self.groups, each) for each in (self.right, self.whole))
        return right.astype(np.float64), whole.astype(np.float64)


def _measure(
    data: Data, recipe: Recipe, repeats: list[list[tuple[Rows, Rows]]], seed: int
) -> _Measured:
    bases = {base.name: base for base, _ in recipe.mixture}
    held, _ = held_out(data, bases, repeats, seed)
    rows = held_out_rows(repeats)
    groups = np.unique(data.groups[rows], return_inverse=True)[1]
    targets = data.targets[rows]
    scales = spreads(held)
    logits = [mix(recipe, scores, scales) for scores in held]
    if data.exclusive:
        right = np.mean([hits(each, targets) for each in logits], axis=0)
        return _Measured(right, np.ones(len(rows)), groups, data.exclusive)
    counted = [_counted(each, targets, groups) for each in logits]
    right, whole = np.mean(counted, axis=0)
    return _Measured(right, whole, groups, data.exclusive)


def _counted(
    logits: npt.NDArray[Any], targets: Targets, groups: Rows
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    def limit(half: Rows) -> npt.NDArray[np.float64]:  # one threshold for all labels
        return np.array(best_threshold(logits[half].ravel(), targets[half].ravel(), clip=False)[0])

    given = across_halves(logits, targets, limit, groups)
    both = (given & (targets == 1)).sum(axis=1)
    whole = given.sum(axis=1) + targets.sum(axis=1)
    return 2.0 * both.astype(np.float64), whole.astype(np.float64)
