"""Training: compare a few recipes on unseen rows, then fit the chosen one on all rows.

Everything that is learnt beside the weights (the scale of mixtures, the temperature, thresholds)
comes from out-of-fold predictions, so none of it has seen the answer.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ...errors import TrainingError
from .calibration import calibrate, expected_calibration_error, platt
from .candidates import candidates
from .counts import TermCounts, Weighting, count_terms
from .embeddings import embed
from .embeddings import load as load_embedding
from .features import MAX_CHARACTERS, FloatArray, Vectorizer
from .folds import Rows, splits
from .linear import log_sigmoid
from .model import LocalModel, as_stored
from .recipes import EMBEDDING_WEIGHT, WORD_WEIGHT, Design, Linear, Recipe, Targets
from .static import StaticEmbedding
from .thresholds import best_threshold, choose_thresholds, f1_scores

MAX_WEIGHTS = 16_000_000  # features x labels that are kept: 32 MB stored, 64 MB in memory
MAX_FEATURES = 200_000

Progress = Callable[[str, float], None]


def fit(
    texts: Sequence[str],
    targets: npt.NDArray[Any],
    n_labels: int,
    *,
    multilabel: bool,
    seed: int = 0,
    embeddings: str | None = None,
    progress: Progress | None = None,
) -> tuple[LocalModel, dict[str, Any]]:
    """Train a classifier; see the package's `fit`."""
    started = time.monotonic()
    tell = progress or _silent
    wanted = as_indicators(targets, len(texts), n_labels, multilabel)
    embedding = load_embedding(embeddings) if embeddings else None
    tell("reading", 0.0)
    data = Data.read(texts, wanted, n_labels, embedding)
    tell("comparing", 0.15)
    recipes = candidates(
        len(texts), n_labels, data.cost, multilabel=multilabel, embedding=embedding is not None
    )
    trial = compare(data, recipes, seed, multilabel, tell)
    tell("fitting", 0.75)
    model, n_features = finish(data, trial, seed, multilabel)
    calibration = _calibrate(model, data, trial, multilabel)
    tell("done", 1.0)
    report = {
        "recipes": trial.table,
        "metric": trial.metric,
        "recipe": trial.recipe.name,
        "why": trial.why,
        "embeddings": embeddings if model.embedding is not None else None,
        "calibration": calibration,
        "n_rows": len(texts),
        "n_features": n_features,
        "seconds": round(time.monotonic() - started, 2),
        "warnings": _warnings(texts, wanted),
    }
    return model, report


def as_indicators(
    targets: npt.NDArray[Any], n_rows: int, n_labels: int, multilabel: bool
) -> Targets:
    """0/1 targets of shape (rows, labels), checked. Raises TrainingError."""
    given = np.asarray(targets)
    if len(given) != n_rows:
        raise TrainingError(f"There are {n_rows} texts, but labels for {len(given)} rows.")
    if n_rows < 2 or n_labels < 1:
        raise TrainingError("Training needs at least two labelled rows.")
    if multilabel:
        if given.shape != (n_rows, n_labels) or not np.isin(given, (0, 1)).all():
            raise TrainingError(f"The labels are not 0 or 1 for each of {n_labels} labels.")
        if not given.any():
            raise TrainingError("No row has a label.")
        return given.astype(np.int8)
    if given.shape != (n_rows,) or given.min() < 0 or given.max() >= n_labels:
        raise TrainingError(f"The labels are not numbers from 0 to {n_labels - 1}.")
    if len(np.unique(given)) < 2:
        raise TrainingError("All rows have the same label: there is nothing to tell apart.")
    wanted = np.zeros((n_rows, n_labels), dtype=np.int8)
    wanted[np.arange(n_rows), given.astype(np.intp)] = 1
    return wanted


@dataclass(frozen=True)
class Data:
    """The rows to learn from: raw term counts, embeddings, targets."""

    terms: TermCounts
    targets: Targets
    min_rows: int
    embedding: StaticEmbedding | None
    embedded: FloatArray | None

    @classmethod
    def read(
        cls,
        texts: Sequence[str],
        targets: Targets,
        n_labels: int,
        embedding: StaticEmbedding | None = None,
    ) -> Data:
        # A term that occurs in one row only helps where rows are few.
        min_rows = 1 if len(texts) <= 500 else 2 if len(texts) <= 50_000 else 4
        terms = count_terms(texts, min_rows=min_rows)
        embedded = None if embedding is None else embed(embedding, texts) * EMBEDDING_WEIGHT
        return cls(terms, targets, min_rows, embedding, embedded)

    @property
    def cost(self) -> float:
        return float(self.terms.counts.nnz) * self.targets.shape[1]

    def weighting(self, rows: Rows) -> Weighting:
        most = min(MAX_FEATURES, MAX_WEIGHTS // self.targets.shape[1])
        return Weighting.learn(self.terms, rows, min_rows=self.min_rows, most=most)

    def design(self, weighting: Weighting, rows: Rows) -> Design:
        tfidf = weighting.apply(self.terms, rows)
        tfidf.data[tfidf.indices < weighting.n_words] *= np.float32(WORD_WEIGHT)
        return Design(tfidf, None if self.embedded is None else self.embedded[rows])


@dataclass(frozen=True)
class Trial:
    """What cross-validation found. `logits` are out of fold, NaN where no row was held out."""

    recipe: Recipe
    scales: dict[str, float]
    logits: FloatArray  # (rows, labels) of the chosen recipe
    usable: npt.NDArray[np.bool_]  # held out, and its label occurred in the training part
    table: list[dict[str, Any]]
    metric: str
    why: str


def compare(
    data: Data, recipes: tuple[Recipe, ...], seed: int, multilabel: bool, tell: Progress
) -> Trial:
    """Score every recipe on rows that it did not see, and choose."""
    bases = {base.name: base for recipe in recipes for base, _ in recipe.mixture}
    repeats = splits(data.targets, seed, data.cost)
    usable = np.zeros(len(data.targets), dtype=np.bool_)
    held: list[dict[str, FloatArray]] = []
    steps, done = sum(map(len, repeats)) * len(bases), 0
    for folds in repeats:
        scores = {name: np.full(data.targets.shape, np.nan, dtype=np.float32) for name in bases}
        for training, unseen in folds:
            weighting = data.weighting(training)
            known = data.design(weighting, training)
            asked = data.design(weighting, unseen)
            for name, base in bases.items():
                model = base.fit(known, data.targets[training], seed)
                scores[name][unseen] = _centred(base.decide(model, asked), multilabel)
                done += 1
                tell("comparing", 0.15 + 0.6 * done / steps)
            usable[unseen] |= _label_seen(data.targets, training, unseen)
        held.append(scores)
    rows = np.flatnonzero(~np.isnan(next(iter(held[0].values()))[:, 0]))
    scales = {name: _spread(held[0][name][rows]) for name in bases}
    mixed = [[_mix(recipe, scores, scales) for recipe in recipes] for scores in held]
    score = _multilabel_scores if multilabel else _hits
    by_row = np.mean([[score(z[rows], data.targets[rows]) for z in zs] for zs in mixed], axis=0)
    metric = "mean of micro and macro F1" if multilabel else "accuracy"
    chosen, table, why = _choose(recipes, by_row, metric)
    usable &= np.isin(np.arange(len(usable)), rows)
    return Trial(recipes[chosen], scales, mixed[0][chosen], usable, table, metric, why)


def _choose(
    recipes: tuple[Recipe, ...], by_row: npt.NDArray[Any], metric: str
) -> tuple[int, list[dict[str, Any]], str]:
    """The best recipe, unless it beats the first one by less than chance could do."""
    means = by_row.mean(axis=1)
    table = [
        {"recipe": recipe.name, "score": round(float(mean), 4)}
        for recipe, mean in zip(recipes, means, strict=True)
    ]
    best = int(means.argmax())
    if len(recipes) == 1:
        return 0, table, f"It is the one recipe for a table of this size ({metric} {means[0]:.3f})."
    lead = by_row[best] - by_row[0]
    noise = float(lead.std() / np.sqrt(len(lead))) if len(lead) > 1 else 0.0
    if best == 0:
        return 0, table, f"It had the highest {metric} on unseen rows, {means[0]:.3f}."
    if lead.mean() <= noise:
        return (
            0,
            table,
            f"It is the usual choice, and no other recipe was clearly better on unseen rows "
            f"({metric} {means[0]:.3f}, the best one {means[best]:.3f}).",
        )
    return (
        best,
        table,
        f"It had the highest {metric} on unseen rows, {means[best]:.3f}, "
        f"against {means[0]:.3f} for the usual choice ({recipes[0].name}).",
    )


def _centred(scores: FloatArray, multilabel: bool) -> FloatArray:
    return scores if multilabel else scores - scores.mean(axis=1, keepdims=True)


def _spread(scores: FloatArray) -> float:
    return float(scores.std()) or 1.0


def _mix(recipe: Recipe, scores: dict[str, FloatArray], scales: dict[str, float]) -> FloatArray:
    parts = [share / scales[base.name] * scores[base.name] for base, share in recipe.mixture]
    return np.asarray(sum(parts[1:], parts[0]), dtype=np.float32)


def _hits(logits: FloatArray, targets: Targets) -> npt.NDArray[Any]:
    return (logits.argmax(axis=1) == targets.argmax(axis=1)).astype(np.float64)


def _multilabel_scores(logits: FloatArray, targets: Targets) -> npt.NDArray[Any]:
    """The mean of micro and macro F1 with the best threshold for each label, in each of ten
    parts of the rows so that the noise can be seen."""
    limits = [
        best_threshold(logits[:, k], targets[:, k], clip=False)[0] for k in range(targets.shape[1])
    ]
    given = logits >= np.array(limits)
    parts = np.array_split(np.arange(len(targets)), min(10, len(targets)))
    return np.array([np.mean(f1_scores(given[part], targets[part])) for part in parts])


def _label_seen(targets: Targets, training: Rows, unseen: Rows) -> npt.NDArray[np.bool_]:
    seen = targets[training].any(axis=0)
    return np.asarray((targets[unseen] <= seen).all(axis=1))


def finish(data: Data, trial: Trial, seed: int, multilabel: bool) -> tuple[LocalModel, int]:
    """The chosen recipe on all rows, its parts added up into one set of weights."""
    rows = np.arange(len(data.targets))
    weighting = data.weighting(rows)
    design = data.design(weighting, rows)
    n_terms = len(weighting.keep)
    width = n_terms + (0 if data.embedded is None else data.embedded.shape[1])
    n_labels = data.targets.shape[1]
    weights = np.zeros((width, n_labels), dtype=np.float32)
    bias = np.zeros(n_labels, dtype=np.float32)
    for base, share in trial.recipe.mixture:
        part: Linear = base.fit(design, data.targets, seed)
        factor = np.float32(share / trial.scales[base.name])
        weights[: len(part.weights)] += factor * part.weights
        bias += factor * part.bias
    if not multilabel:
        weights -= weights.mean(axis=1, keepdims=True)
        bias -= bias.mean()
        if n_labels == 2:
            weights, bias = weights[:, 1:] - weights[:, :1], bias[1:] - bias[:1]
    weights[: weighting.n_words] *= np.float32(WORD_WEIGHT)
    weights[n_terms:] *= np.float32(EMBEDDING_WEIGHT)
    embedded = any(base.embedding for base, _ in trial.recipe.mixture)
    words, chars = data.terms.terms_kept(weighting.keep)
    numbers = range(n_terms)
    vectorizer = Vectorizer(
        dict(zip(words, numbers, strict=False)),
        dict(zip(chars, numbers[len(words) :], strict=True)),
        weighting.idf,
    )
    model = LocalModel(
        vectorizer,
        as_stored(weights[:n_terms]),
        bias,
        n_labels=n_labels,
        multilabel=multilabel,
        embedding=data.embedding if embedded else None,
        embedding_weights=np.ascontiguousarray(weights[n_terms:]) if embedded else None,
    )
    return model, n_terms


def _calibrate(model: LocalModel, data: Data, trial: Trial, multilabel: bool) -> dict[str, Any]:
    if multilabel:
        return _calibrate_multilabel(model, data, trial)
    labels = data.targets.argmax(axis=1)
    model.temperature, report = calibrate(trial.logits, labels, trial.usable)
    return report


def _calibrate_multilabel(model: LocalModel, data: Data, trial: Trial) -> dict[str, Any]:
    rows = ~np.isnan(trial.logits[:, 0])
    logits, targets = trial.logits[rows].astype(np.float64), data.targets[rows]
    fitted = [platt(logits[:, k], targets[:, k]) for k in range(targets.shape[1])]
    slopes, intercepts = np.array(fitted).T
    model.weights = as_stored(model.weights * slopes)
    model.bias = (model.bias * slopes + intercepts).astype(np.float32)
    if model.embedding_weights is not None:
        model.embedding_weights = (model.embedding_weights * slopes).astype(np.float32)
    probabilities = np.exp(log_sigmoid(logits * slopes + intercepts))
    model.thresholds = choose_thresholds(probabilities, targets)
    micro, macro = f1_scores(probabilities >= model.thresholds, targets)
    half_micro, half_macro = f1_scores(probabilities >= 0.5, targets)
    both = np.stack([1 - probabilities, probabilities], axis=-1).reshape(-1, 2)
    return {
        "method": "platt",
        "applied": True,
        "rows": int(rows.sum()),
        "ece_after": expected_calibration_error(np.log(np.maximum(both, 1e-12)), targets.ravel()),
        "micro_f1": micro,
        "macro_f1": macro,
        "micro_f1_at_half": half_micro,
        "macro_f1_at_half": half_macro,
        "why": f"measured on {int(rows.sum())} rows that the model had not seen",
    }


def _warnings(texts: Sequence[str], targets: Targets) -> list[str]:
    found = []
    counts = targets.sum(axis=0)
    if absent := int((counts == 0).sum()):
        found.append(f"{absent} of {len(counts)} labels have no example and will hardly be given.")
    if rare := int(((counts > 0) & (counts < 5)).sum()):
        found.append(f"{rare} of {len(counts)} labels have fewer than five examples.")
    if long := sum(len(text) > MAX_CHARACTERS for text in texts):
        found.append(
            f"{long} texts are longer than {MAX_CHARACTERS:,} characters; the rest of them is not used."
        )
    if empty := sum(not text.strip() for text in texts):
        found.append(f"{empty} texts are empty.")
    return found


def _silent(stage: str, fraction: float) -> None:
    pass
