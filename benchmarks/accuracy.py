"""How well local classifiers do on a table with a given test part.

    python benchmarks/accuracy.py FILE.csv [--delimiter "|"] [--sizes 100 1000 0] [--seeds 3]
        [--embeddings MODEL | --encoder MODEL [--tune EPOCHS]]

FILE has the columns text, label and split (train or test). For each size (0 means all rows) and
seed, that many training rows are drawn at random with at least one per label, a classifier is
trained on them, and accuracy, log loss and expected calibration error are measured on the test
part. With --delimiter a row may have several labels, and micro and macro F1 are measured; the
calibration error is that of the labels that were given, and of those of a probability of 0.5 and
more. Seconds are of the processor. With --encoder each text is encoded once, and its vector kept in
the file that FTCLASSIFY_VECTORS names; --tune measures the encoder fine-tuned (0: as many epochs
as by default).
"""

from __future__ import annotations

import argparse
import csv
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import temporary_ledger  # noqa: F401

from datasette_ftclassify.core.label_kinds import MULTICLASS, MULTILABEL
from datasette_ftclassify.core.labels import LabelSet
from datasette_ftclassify.metrics.scores import calibration_error
from datasette_ftclassify.trainers.base import TrainerOptions, TrainingSet
from datasette_ftclassify.trainers.encoders.encode import count_missing, encode
from datasette_ftclassify.trainers.encoders.known import use_encoder
from datasette_ftclassify.trainers.finetuning.trainer import EncoderTrainer
from datasette_ftclassify.trainers.local.beta import losses
from datasette_ftclassify.trainers.local.calibration import expected_calibration_error
from datasette_ftclassify.trainers.local.serialization import to_parts
from datasette_ftclassify.trainers.local.thresholds import f1_scores
from datasette_ftclassify.trainers.local.training import fit


def read(path: str, delimiter: str | None) -> tuple[list[str], Any, Any, list[str]]:
    """Texts, 0/1 targets (rows, labels), whether each row is for training, label names."""
    with open(path, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    named = [
        [name for name in row["label"].split(delimiter) if name] if delimiter else [row["label"]]
        for row in rows
    ]
    labels = sorted({name for names in named for name in names})
    numbers = {name: number for number, name in enumerate(labels)}
    targets = np.zeros((len(rows), len(labels)), dtype=np.int8)
    for row, names in enumerate(named):
        targets[row, [numbers[name] for name in names]] = 1
    return (
        [row["text"] for row in rows],
        targets,
        np.array([row["split"] == "train" for row in rows]),
        labels,
    )


def draw(targets: Any, size: int, seed: int) -> Any:
    """Positions of `size` random rows, among them one of each label; 0 means all rows."""
    order = np.random.default_rng(seed).permutation(len(targets))
    if not size or size >= len(order):
        return np.sort(order)
    chosen: list[int] = []
    missing = set(range(targets.shape[1]))
    for row in order:
        if new := missing & set(np.flatnonzero(targets[row]).tolist()):
            missing -= new
            chosen.append(int(row))
    taken = set(chosen)
    chosen += [int(row) for row in order if int(row) not in taken]
    return np.array(chosen[:size])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("csv")
    parser.add_argument("--delimiter", help="between several labels of a row")
    parser.add_argument("--sizes", type=int, nargs="+", default=[100, 1000, 0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--embeddings", help="folder or cached hub name of a model2vec model")
    parser.add_argument("--encoder", help="folder or package of a sentence encoder")
    parser.add_argument("--tune", type=int, metavar="EPOCHS", help="measure it fine-tuned")
    parser.add_argument("--nameless", action="store_true", help="learn nothing from labels' names")
    options = parser.parse_args()
    texts, targets, is_training, labels = read(options.csv, options.delimiter)
    training, test = np.flatnonzero(is_training), np.flatnonzero(~is_training)
    wanted = targets[test]
    if options.encoder and options.tune is None:
        encode_all(options.encoder, texts)
    for size in options.sizes:
        results = []
        whole = not size or size >= len(training)
        for seed in range(options.first_seed, options.first_seed + (1 if whole else options.seeds)):
            rows = training[draw(targets[training], size, seed)]
            given = targets[rows] if options.delimiter else targets[rows].argmax(axis=1)
            start = time.process_time()
            known, asked = [texts[row] for row in rows], [texts[row] for row in test]
            kind = MULTILABEL if options.delimiter else MULTICLASS
            named = tuple(range(len(labels)) if options.nameless else labels)
            data = TrainingSet(known, given, LabelSet(named, kind.name))
            if options.tune is not None:
                trained = EncoderTrainer().train(
                    data,
                    TrainerOptions(seed, encoder=options.encoder, epochs=options.tune or None),
                )
                model, report = trained.predictor, trained.report
                trained.stored()
            else:
                model, report, _ = fit(
                    data, seed=seed, embeddings=options.embeddings, encoder=options.encoder
                )
            seconds = time.process_time() - start
            recipe = f"{report['recipe']}, calibrated by {report['calibration']['method']}"
            recipe += f", {sum(map(len, to_parts(model)[1].values())):,} bytes"
            answers = model.log_probabilities(asked)
            if options.delimiter:
                names = ("micro F1", "macro F1", "log loss", "ECE of labels given", "from 0.5 on")
                chances = np.exp(answers)
                on = chances >= model.thresholds
                sure = chances >= 0.5
                found = (
                    *f1_scores(on, wanted),
                    float(losses(answers, wanted, False).mean()),
                    calibration_error(chances[on], wanted[on] == 1) or 0.0,
                    calibration_error(chances[sure], wanted[sure] == 1) or 0.0,
                )
            else:
                names = ("accuracy", "log loss", "ECE")
                right = wanted.argmax(axis=1)
                found = (
                    float((answers.argmax(axis=1) == right).mean()),
                    float(losses(answers, wanted, True).mean()),
                    expected_calibration_error(answers, right),
                )
            results.append(found)
            said = told(names, found)
            print(
                f"{len(rows):7,} rows  seed {seed}  {said}  {seconds:6.1f} s  {recipe}",
                flush=True,
            )
        print(f"{len(rows):7,} rows  mean    {told(names, np.mean(results, axis=0))}")


def encode_all(name: str, texts: Sequence[str]) -> None:
    """Keeps the vectors of all texts, and says how fast the encoder is."""
    encoder = use_encoder(name)
    missing, start = count_missing(encoder, texts), time.process_time()
    encode(encoder, texts)
    seconds = time.process_time() - start
    size = f"{encoder.files.size / 1e6:.0f} MB, {encoder.dimensions} dimensions"
    print(f"{missing:,} texts encoded in {seconds:.1f} s of processor by {name} ({size})")


def told(names: Sequence[str], figures: Sequence[float]) -> str:
    return "  ".join(f"{name} {figure:.4f}" for name, figure in zip(names, figures, strict=True))


if __name__ == "__main__":
    main()
