"""Whether the local trainer is ever worse than one of its own parts.

    python benchmarks/parts.py FILE.csv ... [--delimiter "|"] [--size 0] [--seed 0]

Each FILE has the columns text, label and split (train or test). Each algorithm that the trainer
knows for tables like it is fitted alone on all training rows (or --size of them, drawn at random
with at least one per label), those that it leaves out for their cost as well; then the trainer
itself. Accuracy on the test rows, or with --delimiter, where a row may have several labels, the
mean of micro and macro F1, with thresholds from cross-validation. The last line of a table is what
the trainer loses to the best of its parts, in points; the aim is at most 0.3.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import temporary_ledger  # noqa: F401
from accuracy import draw, read

from datasette_ftclassify.core.label_kinds import MULTICLASS, MULTILABEL
from datasette_ftclassify.core.labels import LabelSet
from datasette_ftclassify.trainers.base import TrainingSet
from datasette_ftclassify.trainers.local import training
from datasette_ftclassify.trainers.local.candidates import candidates
from datasette_ftclassify.trainers.local.model import LocalModel
from datasette_ftclassify.trainers.local.recipes import Base, Recipe, Targets
from datasette_ftclassify.trainers.local.selection import Trial
from datasette_ftclassify.trainers.local.thresholds import f1_scores
from datasette_ftclassify.trainers.local.training import fit
from datasette_ftclassify.trainers.local.training_data import Data


def parts_of(data: Data) -> list[Base]:
    """The algorithms for the table, and those that it would have if it were small."""
    found: dict[str, Base] = {}
    for cost in (data.cost, 0.0):
        recipes = candidates(
            len(data.targets),
            data.targets.shape[1],
            cost,
            exclusive=data.exclusive,
            embedding=False,
            names=len(data.named) > 0,
        )
        found |= {base.name: base for recipe in recipes for base, _ in recipe.mixture}
    return list(found.values())


def alone(base: Base, texts: list[str], data: Data, seed: int) -> LocalModel:
    """The classifier that one algorithm makes; several labels a row need thresholds as well."""
    recipe = Recipe(base.name, ((base, 1.0),))
    if data.exclusive:
        nothing = np.empty(0)
        trial = Trial(recipe, {base.name: 1.0}, nothing, nothing, nothing, [], "accuracy", "")
        return training.finish(data.whole(base.names), trial, seed, True)[0]
    usual = training.candidates
    training.candidates = lambda *arguments, **settings: (recipe,)
    try:
        labels = LabelSet(tuple(range(data.targets.shape[1])), MULTILABEL.name)
        return fit(TrainingSet(texts, data.targets, labels), seed=seed)[0]
    finally:
        training.candidates = usual


def score(model: LocalModel, texts: list[str], wanted: Targets) -> float:
    pieces = [texts[start : start + 500] for start in range(0, len(texts), 500)]
    answers = np.concatenate([model.log_probabilities(piece) for piece in pieces])
    if model.thresholds is None:
        return float((answers.argmax(axis=1) == wanted.argmax(axis=1)).mean())
    return float(np.mean(f1_scores(np.exp(answers) >= model.thresholds, wanted)))


def measure(path: str, delimiter: str | None, size: int, seed: int) -> None:
    exclusive = not delimiter
    texts, targets, is_training, labels = read(path, delimiter)
    rows = np.flatnonzero(is_training)
    rows = rows[draw(targets[rows], size, seed)]
    known, test = [texts[row] for row in rows], np.flatnonzero(~is_training)
    asked = [texts[row] for row in test]
    print(f"{Path(path).stem}, {len(rows):,} rows")
    few = exclusive and training.may_help(len(rows), len(labels))
    names = labels if few else None
    data = Data.read(known, targets[rows], exclusive=exclusive, names=names)

    def show(name: str, model: LocalModel, start: float) -> float:
        seconds, found = time.process_time() - start, score(model, asked, targets[test])
        print(f"  {name:50} {found:.4f}  {seconds:6.1f} s", flush=True)
        return found

    best = 0.0
    for base in parts_of(data):
        start = time.process_time()
        best = max(best, show(base.name, alone(base, known, data, seed), start))
    start = time.process_time()
    given = targets[rows].argmax(axis=1) if exclusive else targets[rows]
    kind = MULTICLASS if exclusive else MULTILABEL
    label_set = LabelSet(tuple(names or range(len(labels))), kind.name)
    model, report, _ = fit(TrainingSet(known, given, label_set), seed=seed)
    lost = best - show(f"the trainer: {report['recipe']}", model, start)
    print(f"  lost to the best part: {100 * lost:.1f} points")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("csv", nargs="+")
    parser.add_argument("--delimiter", help="between several labels of a row")
    parser.add_argument("--size", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    for path in options.csv:
        measure(path, options.delimiter, options.size, options.seed)


if __name__ == "__main__":
    main()
