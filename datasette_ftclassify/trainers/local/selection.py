"""Choosing a recipe by cross-validation, with what else out-of-fold predictions are good for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt

from ...core.training_report import TriedRecipe
from ...metrics.intervals import mean_error
from .calibration import lowest_loss
from .expected_time import ExpectedTime
from .features import FloatArray
from .group_folds import Rows, labels_seen, splits
from .recipes import Base, Recipe, Targets
from .thresholds import across_halves, best_threshold, f1_scores
from .training_data import Data

NAMES_DOUBT = 0.5
"""Standard errors by which a recipe with the labels' names must lead. With a hundred rows they give
5 to 17 points where they say something, and cross-validation is too coarse to be sure of less."""


@dataclass(frozen=True)
class Trial:
    """What cross-validation found on the rows that were held out."""

    recipe: Recipe
    scales: dict[str, float]
    rows: Rows  # that were held out, ascending
    logits: FloatArray  # (len(rows), labels) of the chosen recipe
    usable: npt.NDArray[np.bool_]  # whether the row's labels occurred in its training part
    table: list[TriedRecipe]
    metric: str
    why: str


def compare(data: Data, recipes: tuple[Recipe, ...], seed: int, clock: ExpectedTime) -> Trial:
    """Score every recipe on rows that it did not see, and choose."""
    bases = {base.name: base for recipe in recipes for base, _ in recipe.mixture}
    repeats = splits(data.targets, data.groups, seed, data.cost, data.chosen)
    if data.taught is not None:  # each fit is one on thousands of texts, however few the rows are
        repeats = repeats[:1]
    metric = "accuracy" if data.exclusive else "mean of micro and macro F1"
    if not repeats[0]:
        return _untried(data, recipes, bases, seed, metric)
    usual = {base.name for base, _ in recipes[0].mixture}
    folds = sum(map(len, repeats))
    clock.plan({name: folds + (name in usual) for name in bases})
    rows = held_out_rows(repeats)
    held, usable = held_out(
        data, bases, repeats, seed, lambda name: clock.fitted(name, "comparing")
    )
    scales = spreads(held)
    groups, targets = data.groups[rows], data.targets[rows]

    def right(recipe: Recipe) -> Any:
        by_repeat = [mix(recipe, scores, scales) for scores in held]
        if data.exclusive:
            return np.array([hits(z, targets) for z in by_repeat]).mean(axis=0)
        return np.array([_f1_by_part(z, targets, groups) for z in by_repeat]).mean(axis=0)

    by_row = np.array([right(recipe) for recipe in recipes])
    chosen, table, why = _choose(recipes, by_row, metric, groups if data.exclusive else None)
    if recipes[chosen].names:
        by_recipe = {
            i: [mix(recipe, scores, scales) for scores in held]
            for i, recipe in enumerate(recipes)
            if recipe.names and _as_good(by_row[chosen] - by_row[i], groups)
        }
        chosen, why = _likeliest(recipes, by_recipe, targets, chosen, why)
    logits = mix(recipes[chosen], held[0], scales)
    usable |= recipes[chosen].names  # each label has a name in every training part
    return Trial(recipes[chosen], scales, rows, logits, usable, table, metric, why)


def held_out(
    data: Data,
    bases: Mapping[str, Base],
    repeats: list[list[tuple[Rows, Rows]]],
    seed: int,
    fitted: Callable[[str], None] = lambda name: None,
) -> tuple[list[dict[str, FloatArray]], npt.NDArray[np.bool_]]:
    """Of each repeat the scores (held-out rows, labels) of each base, by models of the folds'
    training rows; and whether those had the labels of the row.

    fitted: called with the name of a base after each of its fits
    """
    rows = held_out_rows(repeats)
    usable = np.zeros(len(rows), dtype=np.bool_)
    held: list[dict[str, FloatArray]] = []
    for folds in repeats:
        shape = (len(rows), data.targets.shape[1])
        scores = {name: np.zeros(shape, dtype=np.float32) for name in bases}
        for training, unseen in folds:
            places = np.searchsorted(rows, unseen)
            for kind in sorted({(base.names, base.taught) for base in bases.values()}):
                learnt, targets = data.learnt(training, *kind)
                weighting = data.weighting(learnt)
                known = data.features(weighting, learnt)
                asked = data.features(weighting, unseen)
                for name, base in bases.items():
                    if (base.names, base.taught) == kind:
                        model = base.fit(known, targets, seed)
                        found = base.decide(model, asked)
                        if data.exclusive:
                            found = found - found.mean(axis=1, keepdims=True)
                        scores[name][places] = found
                        fitted(name)
            usable[places] |= labels_seen(data.targets, training, unseen)
        held.append(scores)
    return held, usable


def held_out_rows(repeats: list[list[tuple[Rows, Rows]]]) -> Rows:
    """Ascending; the same in every repeat."""
    return np.sort(np.concatenate([unseen for _, unseen in repeats[0]]))


def _untried(
    data: Data, recipes: tuple[Recipe, ...], bases: Mapping[str, Base], seed: int, metric: str
) -> Trial:
    """The usual recipe, where no row can be held out: the scales of its parts are those on the
    rows that they learn from."""
    rows = np.arange(len(data.targets))
    held, _ = held_out(data, bases, [[(rows, rows)]], seed)
    recipe = next((each for each in recipes if each.embedding), recipes[0])
    why = f"Chose {recipe.name}: the usual choice, since no row could be held out to compare by. "
    if data.chosen is None or not data.chosen.any():
        why += "The rows of each label are copies of one text."
    else:
        why += "Rows chosen by review queues measure nothing: label a random sample, too."
    table: list[TriedRecipe] = [
        {"recipe": r.name, "score": None, "embedding": r.embedding} for r in recipes
    ]
    none = np.empty(0, dtype=np.intp)
    logits = np.empty((0, data.targets.shape[1]), dtype=np.float32)
    return Trial(recipe, spreads(held), none, logits, none == 1, table, metric, why)


def _choose(
    recipes: tuple[Recipe, ...], by_row: npt.NDArray[Any], metric: str, groups: Rows | None = None
) -> tuple[int, list[TriedRecipe], str]:
    """The best recipe, unless it beats the usual one by less than chance could do, which is more
    the more recipes are compared: of its kind, since those with embeddings and those without are
    variants of each other.

    The usual one is the first, or the first with embeddings when one of those is best or no worse:
    whoever named a model wants it used unless the rows speak against it. They say nothing where
    every label has one row, so that no held-out row can be answered. Rows of the same of `groups`
    count as one.
    """
    means = by_row.mean(axis=1)
    table: list[TriedRecipe] = [
        {"recipe": recipe.name, "score": round(float(mean), 4), "embedding": recipe.embedding}
        for recipe, mean in zip(recipes, means, strict=True)
    ]
    best = max(range(len(recipes)), key=lambda i: (means[i], recipes[i].embedding, -i))

    def score_of(recipe: int) -> str:
        return f"{means[recipe]:.3f} for {recipes[recipe].name}"

    if len(recipes) == 1:
        only = f"the one recipe for a table like this ({metric} {means[0]:.3f} in cross-validation)"
        return 0, table, f"Chose {recipes[0].name}: {only}."
    kin = [i for i, recipe in enumerate(recipes) if recipe.asked_for == recipes[best].asked_for]
    usual = kin[0] if means[kin[0]] >= means[0] else 0
    if not by_row.any():
        what = "teacher's answers" if recipes[usual].taught else "embeddings that were asked for"
        asked = f"the one with the {what}" if usual else "the usual choice"
        unknown = f"{asked}, since no held-out row could tell ({metric} 0.000 for every recipe)"
        return usual, table, f"Chose {recipes[usual].name}: {unknown}."
    highest = (
        f"Chose {recipes[best].name}: the highest {metric} in cross-validation, {means[best]:.3f}, "
        "against"
    )
    if best in (0, usual):
        second = max((i for i in range(len(recipes)) if i != best), key=lambda i: means[i])
        if round(means[second], 3) == round(means[best], 3):
            equal = f"no other recipe was better in cross-validation ({metric} {means[best]:.3f})"
            return best, table, f"Chose {recipes[best].name}: {equal}."
        return best, table, f"{highest} {score_of(second)}."
    lead = by_row[best] - by_row[usual]
    plain = sum(not recipes[i].names for i in {usual, *kin})
    doubt = NAMES_DOUBT if recipes[best].names else _by_chance(plain)
    if lead.mean() > doubt * mean_error(lead, groups):
        return best, table, f"{highest} {score_of(usual)}, the usual choice."
    why = (
        f"Chose {recipes[usual].name}: the usual choice, since no other recipe was clearly better "
        f"in cross-validation ({metric} {means[usual]:.3f}, against {score_of(best)})."
    )
    return usual, table, why


def _as_good(lead: npt.NDArray[Any], groups: Rows) -> bool:
    return bool(lead.mean() <= 2 * mean_error(lead, groups))


def _likeliest(
    recipes: tuple[Recipe, ...],
    logits: Mapping[int, list[FloatArray]],
    targets: Targets,
    chosen: int,
    why: str,
) -> tuple[int, str]:
    """Of recipes with the labels' names that are about as often right, the one that makes the rows'
    labels likeliest at the best temperature for each.

    A few texts have all words of a name and most have none, so where likeness to the name weighs
    much, those few are answered too surely: complaints with 100 rows have an expected calibration
    error of .090 at a weight of 1 and .066 at 0.5, with the same accuracy.

    logits: of each such recipe, of each repeat
    """
    labels = targets.argmax(axis=1)
    found = {
        i: float(np.mean([lowest_loss(z, labels) for z in each])) for i, each in logits.items()
    }
    best = min(found, key=lambda i: (found[i], i))
    if best == chosen:
        return chosen, why
    return best, (
        f"Chose {recipes[best].name}: about as often right in cross-validation as "
        f"{recipes[chosen].name}, with probabilities that fit better (log loss {found[best]:.3f}, "
        f"against {found[chosen]:.3f})."
    )


def _by_chance(recipes: int) -> float:
    """Standard errors by which the best of so many equal ones leads (Blom 1958); 1 at least."""
    return max(1.0, NormalDist().inv_cdf((recipes - 0.375) / (recipes + 0.25)))


def spreads(held: list[dict[str, FloatArray]]) -> dict[str, float]:
    """What each base's scores are divided by in a mixture: how far they spread."""
    return {name: float(scores.std()) or 1.0 for name, scores in held[0].items()}


def mix(
    recipe: Recipe, scores: Mapping[str, FloatArray], scales: Mapping[str, float]
) -> FloatArray:
    """The recipe's scores from those of its parts."""
    parts = [share / scales[base.name] * scores[base.name] for base, share in recipe.mixture]
    return np.asarray(sum(parts[1:], parts[0]), dtype=np.float32)


def hits(logits: FloatArray, targets: Targets) -> npt.NDArray[np.float64]:
    """Whether the label of each row, of which it has one, has the highest score: 1 or 0."""
    return np.asarray(logits.argmax(axis=1) == targets.argmax(axis=1), dtype=np.float64)


def _f1_by_part(logits: FloatArray, targets: Targets, groups: Rows) -> npt.NDArray[Any]:
    """The mean of micro and macro F1 in each of ten parts of the groups, so that the noise can be
    seen, with a threshold for each label that suits the other half of the groups best."""

    def limits(rows: Rows) -> npt.NDArray[np.float64]:
        columns = range(targets.shape[1])
        return np.array(
            [best_threshold(logits[rows, k], targets[rows, k], clip=False)[0] for k in columns]
        )

    given = across_halves(logits, targets, limits, groups)
    names, members = np.unique(groups, return_inverse=True)
    parts = np.array_split(np.arange(len(names)), min(10, len(names)))
    rows = [np.isin(members, part) for part in parts]
    return np.array([np.mean(f1_scores(given[part], targets[part])) for part in rows])
