"""What a training costs, and how good it is, by the shape of the table.

    python benchmarks/training_by_labels.py [ROWSxLABELSxCHARACTERS ...] [FILE.csv ...] [--seed 0]

Made-up texts of so many characters in so many rows and labels, a fifth of their words typical of
the label, and others to test; or FILEs with the columns text, label and split (train or test).
Without any: intents of eight rows for 150, 700, 1,500 and 5,000 labels, and the three tables for
which there are aims (at most twice one LinearSVC, 10 s, 3 minutes). Each line is of one process:

    fit          the local trainer: the choice among recipes, calibration and all
    naive Bayes  alone, on the same features
    LinearSVC    one fit of scikit-learn's (one label against the rest, C=1), on the same features

Seconds are of a processor, all threads together, and include reading the texts; what the solver
alone takes stands behind, and how often that is in the seconds of the fit. LinearSVC is left out
where stored values times labels are more than --svc, since it takes very long there.
"""

from __future__ import annotations

import argparse
import json
import re
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

from datasette_ftclassify.core.label_kinds import MULTICLASS
from datasette_ftclassify.core.labels import LabelSet
from datasette_ftclassify.trainers.base import TrainingSet
from datasette_ftclassify.trainers.local.candidates import BAYES
from datasette_ftclassify.trainers.local.recipes import Base, Design, Linear, Recipe, Targets
from datasette_ftclassify.trainers.local.selection import Trial
from datasette_ftclassify.trainers.local.training import finish, fit
from datasette_ftclassify.trainers.local.training_data import Data, as_indicators

INTENTS = ("1200x150x60", "5600x700x60", "12000x1500x60", "40000x5000x60")
AIMS = ("10000x227x60", "1500x5x2200", "120000x230x60")
WAYS = ("fit", "naive Bayes", "LinearSVC")


def linear_svc(design: Design, targets: Targets, strength: float, seed: int) -> Linear:
    found = sklearn.svm.LinearSVC(C=strength, random_state=seed)
    found.fit(design.matrix, targets.argmax(axis=1))
    sign = np.array([[-1], [1]]) if targets.shape[1] == 2 else 1
    weights = np.asarray((sign * found.coef_).T, dtype=np.float32)
    return Linear(np.ascontiguousarray(weights), np.ravel(sign * found.intercept_))


def rows_of(source: str, seed: int) -> tuple[list[str], Any, list[str], Any, int]:
    """Texts and label numbers to train with and to test with, and the number of labels."""
    if re.fullmatch(r"\d+x\d+x\d+", source):
        rows, count, characters = map(int, source.split("x"))
        tests = max(2 * count, 2_000)
        known, _ = made_up(rows, count, characters, seed=2 * seed + 1)
        unseen, _ = made_up(tests, count, characters, seed=2 * seed + 2)
        return known, np.arange(rows) % count, unseen, np.arange(tests) % count, count
    texts, targets, training, labels = read(source, None)
    numbers = targets.argmax(axis=1)
    known = [text for text, use in zip(texts, training, strict=True) if use]
    unseen = [text for text, use in zip(texts, training, strict=True) if not use]
    return known, numbers[training], unseen, numbers[~training], len(labels)


def measure(way: str, source: str, seed: int, most: float) -> dict[str, Any]:
    known, given, unseen, wanted, count = rows_of(source, seed)
    start, solver = time.process_time(), [0.0]
    if way == "fit":
        labels = LabelSet(tuple(range(count)), MULTICLASS.name)
        model, report, _ = fit(TrainingSet(known, given, labels), seed=seed)
        scores = ", ".join(f"{row['score']:.3f} {row['recipe']}" for row in report["recipes"])
        said = f"{report['recipe']} (unseen rows: {scores})"
    else:
        data = Data.read(known, as_indicators(given, len(known), count, True))
        if way == "LinearSVC" and data.cost > most:
            return {"said": f"left out: {data.cost:.1e} stored values times labels"}

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
        model, features = finish(data.whole(False), trial, seed, True)
        said = f"the solver alone {solver[0]:.1f} s, {features:,} features"
    seconds, peak = time.process_time() - start, peak_mb()
    answers = [
        model.log_probabilities(unseen[i : i + 500]).argmax(axis=1)
        for i in range(0, len(unseen), 500)
    ]
    accuracy = float((np.concatenate(answers) == wanted).mean())
    figures = f"{accuracy:.4f}  {seconds:7.1f} s  {peak:6,.0f} MB"
    return {"said": f"{figures}  {said}", "seconds": seconds, "solver": solver[0]}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("sources", nargs="*", default=[*INTENTS, *AIMS])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--svc", type=float, default=3e9)
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=WAYS)
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure(*options.one, options.seed, options.svc)))
        return
    for source in options.sources:
        print(Path(source).stem)
        found = {way: apart(way, source, options) for way in options.ways}
        peer = found.get("LinearSVC", {}).get("solver")
        if peer and "fit" in found:
            print(f"  fit: {found['fit']['seconds'] / peer:.2f} times the solver of LinearSVC")


def apart(way: str, source: str, options: argparse.Namespace) -> dict[str, Any]:
    """In a process of its own, so that it has its own memory."""
    command = [sys.executable, __file__, "--one", way, source]
    command += ["--seed", str(options.seed), "--svc", str(options.svc)]
    done = subprocess.run(command, capture_output=True, text=True)
    last = (done.stdout or done.stderr).splitlines()[-1]
    found: dict[str, Any] = json.loads(last) if done.stdout else {"said": last}
    print(f"  {way:12} {found['said']}", flush=True)
    return found


if __name__ == "__main__":
    main()
