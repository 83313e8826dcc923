"""What a training costs, and how good it is, for 150, 700, 1,500 and 5,000 labels.

    python benchmarks/training_by_labels.py [FILE.csv ...] [--labels 150 700] [--rows 8] [--seed 0]

Made-up intents of about 60 characters, --rows of each label to learn from and two to test; or FILEs
with the columns text, label and split (train or test). Each line is a process of its own:

    fit          the local trainer: the choice among recipes, calibration and all
    naive Bayes  alone, on the same features
    LinearSVC    one fit of scikit-learn's (one label against the rest, C=1), on the same features

Seconds are of a processor, all threads together, and include reading the texts; what the solver
alone takes stands behind. LinearSVC is left out where stored values times labels are more than
--svc, since it takes very long there.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import sklearn.svm  # importing is not training
import temporary_ledger  # noqa: F401
from accuracy import read
from measured import peak_mb
from predict_speed import made_up

from datasette_ftclassify.trainers.local import fit
from datasette_ftclassify.trainers.local.candidates import BAYES
from datasette_ftclassify.trainers.local.recipes import Base, Design, Linear, Recipe, Targets
from datasette_ftclassify.trainers.local.selection import Trial
from datasette_ftclassify.trainers.local.training import finish
from datasette_ftclassify.trainers.local.training_data import Data, as_indicators

LABELS = ("150", "700", "1500", "5000")
WAYS = ("fit", "naive Bayes", "LinearSVC")


def linear_svc(design: Design, targets: Targets, strength: float, seed: int) -> Linear:
    found = sklearn.svm.LinearSVC(C=strength, random_state=seed)
    found.fit(design.tfidf, targets.argmax(axis=1))
    sign = np.array([[-1], [1]]) if targets.shape[1] == 2 else 1
    weights = np.asarray((sign * found.coef_).T, dtype=np.float32)
    return Linear(np.ascontiguousarray(weights), np.ravel(sign * found.intercept_))


def rows_of(source: str, each: int, seed: int) -> tuple[list[str], Any, list[str], Any, int]:
    """Texts and label numbers to train with and to test with, and the number of labels."""
    if source.isdigit():
        count = int(source)
        known, _ = made_up(count * each, count, 60, seed=2 * seed + 1)
        unseen, _ = made_up(count * 2, count, 60, seed=2 * seed + 2)
        return known, np.arange(len(known)) % count, unseen, np.arange(len(unseen)) % count, count
    texts, targets, training, labels = read(source, None)
    numbers = targets.argmax(axis=1)
    known = [text for text, use in zip(texts, training, strict=True) if use]
    unseen = [text for text, use in zip(texts, training, strict=True) if not use]
    return known, numbers[training], unseen, numbers[~training], len(labels)


def measure(way: str, source: str, each: int, seed: int, most: float) -> str:
    known, given, unseen, wanted, count = rows_of(source, each, seed)
    start = time.process_time()
    if way == "fit":
        model, report = fit(known, given, count, multilabel=False, seed=seed)
        scores = ", ".join(f"{row['score']:.3f} {row['recipe']}" for row in report["recipes"])
        said = f"{report['recipe']} (unseen rows: {scores})"
    else:
        data = Data.read(known, as_indicators(given, len(known), count, False), count)
        if way == "LinearSVC" and data.cost > most:
            return f"left out: {data.cost:.1e} stored values times labels"
        solver = [0.0]

        def solve(design: Design, targets: Targets, strength: float, seed: int) -> Linear:
            begun = time.process_time()
            plain = linear_svc if way == "LinearSVC" else BAYES.solve
            found = plain(design, targets, strength, seed)
            solver[0] = time.process_time() - begun
            return found

        base = Base(way, solve, 1.0 if way == "LinearSVC" else BAYES.strength)
        recipe = Recipe(way, ((base, 1.0),))
        nothing = np.empty(0)
        trial = Trial(recipe, {way: 1.0}, nothing, nothing, nothing, [], "accuracy", "")
        model, features = finish(data, trial, seed, False)
        said = f"the solver alone {solver[0]:.1f} s, {features:,} features"
    seconds, peak = time.process_time() - start, peak_mb()
    answers = [
        model.log_probabilities(unseen[i : i + 500]).argmax(axis=1)
        for i in range(0, len(unseen), 500)
    ]
    accuracy = float((np.concatenate(answers) == wanted).mean())
    return f"{accuracy:.4f}  {seconds:7.1f} s  {peak:6,.0f} MB  {said}"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("csv", nargs="*")
    parser.add_argument("--labels", nargs="*", help="of the made-up intents")
    parser.add_argument("--rows", type=int, default=8, help="of each made-up label")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--svc", type=float, default=3e9)
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=WAYS)
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(measure(*options.one, options.rows, options.seed, options.svc))
        return
    labels = options.labels if options.labels is not None else () if options.csv else LABELS
    for source in (*labels, *options.csv):
        print(
            f"{source} labels, {options.rows} rows each" if source.isdigit() else Path(source).stem
        )
        for way in options.ways:
            command = [sys.executable, __file__, "--one", way, source]
            for name in ("rows", "seed", "svc"):
                command += [f"--{name}", str(getattr(options, name))]
            done = subprocess.run(command, capture_output=True, text=True)
            print(f"  {way:12} {(done.stdout or done.stderr.splitlines()[-1]).strip()}", flush=True)


if __name__ == "__main__":
    main()
