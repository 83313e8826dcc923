"""Training: compare a few recipes on unseen rows, then fit the chosen one on all rows.

Everything that is learnt beside the weights (the scale of mixtures, the temperature, thresholds)
comes from out-of-fold predictions, so none of it has seen the answer.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from ...core.humanize import counted, one_or_more, rows_text
from ...core.labels import LabelSet
from ...core.training_report import LocalReport
from ..base import HeldOut, Progress, Taught, TrainingSet, no_progress, within
from ..options import without_folders
from .calibrate_model import calibrate_model
from .candidates import candidates, left_out, may_help, weights_said
from .expected_time import ExpectedTime
from .features import MAX_CHARACTERS, Vectorizer
from .group_folds import always_learnt
from .known_rows import measure
from .large_tables import read_large, sample_rows
from .memory import MemoryPlan, plan_memory
from .model import LocalModel, as_stored
from .recipes import WORD_WEIGHT, Linear, Targets
from .requested_vectors import Encoding, about_encoder, find_vectors
from .selection import Trial, compare
from .text_vectors import EncoderVectors, TextVectors
from .training_data import Data, Whole, as_indicators


def fit(
    data: TrainingSet,
    *,
    seed: int = 0,
    embeddings: str | None = None,
    encoder: str | None = None,
    vectors: TextVectors | None = None,
    progress: Progress | None = None,
) -> tuple[LocalModel, LocalReport, HeldOut | None]:
    """Train a classifier, report how it was chosen, and give the answers of cross-validation, which
    are None where no row could be held out.

    `embeddings` names a folder or a cached hub model of model2vec, `encoder` a sentence encoder
    (see `find_encoder`), `vectors` are those of the texts and the labels' names themselves, of
    which one can be given; cross-validation decides whether it is used, and whether the names are
    learnt from, which are looked at where rows are few. Rows that are `chosen` are learnt from and
    never held out, and so are those that are `taught`: cross-validation says a little too much of
    these, since the teacher knew the rows that are held out. `progress` is called with a stage and
    the share of the time that is over, 0..1, by what its parts took so far. The same rows and seed
    give the same bits.

    The report is safe for JSON: recipes (each with its score on unseen rows), metric, recipe,
    why, embeddings, encoder (of a sentence encoder: name, digest, dimensions, bytes, licence,
    revision), calibration, n_rows, n_features, seconds, warnings.

    Raises TrainingError when the targets do not fit or the embeddings cannot be had.
    """
    started = time.monotonic()
    report_progress = progress or no_progress
    texts, n_labels, exclusive = data.texts, len(data.labels), data.labels.exclusive
    wanted = as_indicators(data.targets, len(texts), n_labels, exclusive)
    memory = plan_memory(texts, n_labels)
    report_progress(memory.step, 0.0)
    asked_for = bool(embeddings or encoder or vectors)
    vectors = None if memory.large else vectors or find_vectors(embeddings, encoder)
    encoding = Encoding(vectors, report_progress)
    sampled = sample_rows(wanted, memory.each, seed) if memory.large else np.arange(len(texts))
    known = [texts[row] for row in sampled] if memory.large else texts
    read = Data.read(
        known,
        wanted[sampled],
        vectors,
        exclusive=exclusive,
        names=learnt_names(len(texts), data.labels),
        encoded=encoding.encoded,
        chosen=None if data.chosen is None else data.chosen[sampled],
        taught=None if memory.large else data.taught,
    )
    clock = ExpectedTime(within(report_progress, encoding.share, 1.0))
    clock.report("comparing")
    recipes = candidates(
        len(texts),
        n_labels,
        math.inf if memory.large else read.cost,
        exclusive=exclusive,
        embedding=vectors is not None,
        names=len(read.named) > 0,
        taught=0 if read.taught is None else len(read.taught.texts),
    )
    trial = compare(read, recipes, seed, clock)
    more = [trial.why]
    if exclusive:
        more += [weights_said(trial.recipe, wanted.sum(axis=0)), left_out(len(texts), recipes)]
    times = math.ceil(len(texts) / len(known))
    clock.plan({base.name: times for base, _ in trial.recipe.mixture})
    clock.report("fitting")
    if memory.large:
        whole = read_large(texts, wanted, memory.each, seed, lambda: clock.report("fitting"))
    else:
        whole = read.whole(trial.recipe.names, trial.recipe.taught)
    model, n_features = finish(
        whole, trial, seed, exclusive, lambda name: clock.fitted(name, "fitting", times)
    )
    calibration, held_out = calibrate_model(model, read, trial)
    if held_out is not None:
        measure(model, read, known, held_out, seed)
        held_out = replace(held_out, rows=sampled[held_out.rows])
    if progress is not None:
        progress("done", 1.0)
    report: LocalReport = {
        "recipes": trial.table,
        "metric": trial.metric,
        "recipe": trial.recipe.name,
        "why": " ".join(filter(None, (*more, _on_sample(memory, read)))),
        "embeddings": without_folders(embeddings) if embeddings and model.embedding else None,
        "calibration": calibration,
        "n_rows": len(texts),
        "n_features": n_features,
        "seconds": round(time.monotonic() - started, 2),
        "warnings": _warnings(texts, wanted)
        + _unjudged(read)
        + _unused(trial, asked_for, memory)
        + _not_taught(trial, data.taught, memory),
    }
    if isinstance(model.embedding, EncoderVectors):
        report["encoder"] = about_encoder(model.embedding)
    if data.taught is not None:
        taught, used = data.taught, trial.recipe.taught
        report["teacher"] = {"name": taught.teacher, "rows": len(taught.texts), "used": used}
    return model, report, held_out


def learnt_names(rows: int, labels: LabelSet) -> Sequence[str] | None:
    """The names of labels that a training of so many rows looks at; None: it looks at none."""
    return labels.names if labels.exclusive and may_help(rows, len(labels)) else None


def finish(
    whole: Whole,
    trial: Trial,
    seed: int,
    exclusive: bool,
    fitted: Callable[[str], None] = lambda name: None,
) -> tuple[LocalModel, int]:
    """The chosen recipe on all rows, its parts added up into one set of weights, and the number of
    terms; `fitted` is called with the name of each part."""
    targets, weighting = whole.targets, whole.weighting
    n_terms, n_labels = len(weighting.keep), targets.shape[1]
    vectors = whole.features.vectors
    n_vectors = 0 if vectors is None else vectors.shape[1]
    weights = np.zeros((n_terms + n_vectors, n_labels), dtype=np.float32)
    bias = np.zeros(n_labels, dtype=np.float32)
    for base, share in trial.recipe.mixture:
        part: Linear = base.fit(whole.features, targets, seed)
        factor = np.float32(share / trial.scales[base.name])
        start = n_terms if base.vectors else 0
        weights[start : start + len(part.weights)] += factor * part.weights
        bias += factor * part.bias
        fitted(base.name)
    if exclusive:
        weights -= weights.mean(axis=1, keepdims=True)
        bias -= bias.mean()
        if n_labels == 2:
            weights, bias = weights[:, 1:] - weights[:, :1], bias[1:] - bias[:1]
    weights[: weighting.n_words] *= np.float32(WORD_WEIGHT)
    embedded = trial.recipe.embedding
    kept = 0 if all(base.vectors for base, _ in trial.recipe.mixture) else n_terms
    words, chars = (whole.words, whole.chars) if kept else ([], [])
    numbers = range(kept)
    vectorizer = Vectorizer(
        dict(zip(words, numbers, strict=False)),
        dict(zip(chars, numbers[len(words) :], strict=True)),
        weighting.idf[:kept],
    )
    model = LocalModel(
        vectorizer,
        as_stored(weights[:kept]),
        bias,
        n_labels=n_labels,
        exclusive=exclusive,
        embedding=whole.embedding if embedded else None,
        embedding_weights=np.ascontiguousarray(weights[n_terms:]) if embedded else None,
    )
    return model, kept


def _warnings(texts: Sequence[str], targets: Targets) -> list[str]:
    found = []
    counts = targets.sum(axis=0)
    if absent := int((counts == 0).sum()):
        has = one_or_more(absent, "has", "have")
        found.append(f"{absent} of {len(counts)} labels {has} no example and will hardly be given.")
    if rare := int(((counts > 0) & (counts < 5)).sum()):
        has = one_or_more(rare, "has", "have")
        found.append(f"{rare} of {len(counts)} labels {has} fewer than five examples.")
    if long := sum(len(text) > MAX_CHARACTERS for text in texts):
        found.append(
            f"{counted(long, 'text is', 'texts are')} longer than {MAX_CHARACTERS:,} "
            "characters; the rest is not used."
        )
    if empty := sum(not text.strip() for text in texts):
        found.append(counted(empty, "text is empty.", "texts are empty."))
    return found


def _unjudged(data: Data) -> list[str]:
    """Says so where copies of a text were never held out."""
    learnt = always_learnt(data.targets, data.groups)
    if not learnt.any():
        return []
    held_out = data.targets[~learnt].any(axis=0)
    missing = int((data.targets.any(axis=0) & ~held_out).sum())
    copies = (
        f"{int(learnt.sum()):,} rows are copies of a text that is in most rows of its label: they "
        "were always in the training part, and cross-validation says nothing about them."
    )
    if not missing:
        return [copies]
    some = counted(missing, "label has", "labels have")
    return [f"{copies} {some} no other text to test with: label rows with other texts."]


def _on_sample(memory: MemoryPlan, data: Data) -> str:
    if not memory.large:
        return ""
    return (
        f"Since {memory.said}, recipes were compared and scores calibrated on a sample of "
        f"{rows_text(len(data.targets))}; the classifier was trained on all."
    )


def _unused(trial: Trial, asked_for: bool, memory: MemoryPlan) -> list[str]:
    """Says so when embeddings were asked for and are not in the recipe."""
    if not asked_for or trial.recipe.embedding:
        return []
    if memory.large:
        return [f"The embeddings are not used, since {memory.said}."]
    tried = [row["score"] or 0.0 for row in trial.table if row["embedding"]]
    plain = [row["score"] or 0.0 for row in trial.table if not row["embedding"]]
    return [
        f"The embeddings are not used, since they did not help: {trial.metric} {max(tried):.3f} on "
        f"unseen rows with them, {max(plain):.3f} without."
    ]


def _not_taught(trial: Trial, taught: Taught | None, memory: MemoryPlan) -> list[str]:
    """Says so when a teacher's answers are not learnt from."""
    if taught is None or trial.recipe.taught:
        return []
    why = memory.said if memory.large else "they did not help on rows that were held out"
    return [f"The answers of {taught.teacher} are not trained on, since {why}."]
