"""The table of how good each way is, cell by cell, into a file that a stopped run goes on from.

    python benchmarks/table.py TABLE.json FILE.csv ... [--sizes 20 100 1000 0] [--seeds 3]
        [--columns plain student linearsvc] [--embeddings MODEL] [--encoder MODEL] [--tuned MODEL]

Each FILE has the columns text, label (one a row) and split (train or test). For each size (0 means
all rows) and seed that many training rows are drawn, with at least one per label where there are as
many. The columns:

    plain      the local trainer
    static     with --embeddings, a static model beside the words
    encoder    with --encoder, a sentence encoder beside the words
    finetuned  with --tuned, the trainer encoder: such an encoder with weights, fine-tuned; none
               for fewer rows than it takes
    student    the plain trainer, taught by what the encoder's classifier answers for the training
               rows that were not drawn, 10,000 at most; none where all were
    linearsvc  scikit-learn's, of TF-IDF of words and pieces of words, C by cross-validation
    logistic   scikit-learn's logistic regression (C=10) on the encoder's vectors

A cell has accuracy, ECE and log loss on the test rows, seconds of processor for the training (with
a student's teacher, without encoding), rows a second of processor, and bytes that are stored (not
the encoder that answering needs as well). Cells that TABLE
has already are not computed again; without columns to compute, the table is printed.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import temporary_ledger  # noqa: F401
from accuracy import draw, encode_all, read

from datasette_ftclassify.core.label_kinds import MULTICLASS
from datasette_ftclassify.core.labels import LabelSet
from datasette_ftclassify.trainers.base import Taught, TrainerOptions, TrainingSet
from datasette_ftclassify.trainers.encoders.encode import encode
from datasette_ftclassify.trainers.encoders.known import use_encoder
from datasette_ftclassify.trainers.finetuning.trainer import FEWEST, EncoderTrainer
from datasette_ftclassify.trainers.local.beta import losses
from datasette_ftclassify.trainers.local.calibration import expected_calibration_error
from datasette_ftclassify.trainers.local.linear import log_softmax
from datasette_ftclassify.trainers.local.serialization import to_parts
from datasette_ftclassify.trainers.local.training import fit

COLUMNS = ("plain", "static", "encoder", "finetuned", "student", "linearsvc", "logistic")
NEEDED = {"plain": "", "linearsvc": "", "static": "embeddings", "finetuned": "tuned"}
"""Options without which there is no such column; of the others `encoder`."""
MOST_TAUGHT = 10_000
Answers = Callable[[Sequence[str]], Any]


class Rows:
    """Training rows that were drawn, and those that were not."""

    def __init__(self, path: str, size: int, seed: int) -> None:
        texts, targets, is_training, self.labels = read(path, None)
        training, test = np.flatnonzero(is_training), np.flatnonzero(~is_training)
        drawn = training[draw(targets[training], size, seed)]
        others = np.setdiff1d(training, drawn)[:MOST_TAUGHT]
        self.texts = [texts[row] for row in drawn]
        self.given = targets[drawn].argmax(axis=1)
        self.others = [texts[row] for row in others]
        self.asked = [texts[row] for row in test]
        self.wanted = targets[test]


def trained(
    rows: Rows, seed: int, taught: Taught | None = None, **vectors: str
) -> tuple[Answers, int]:
    labels = LabelSet(tuple(rows.labels), MULTICLASS.name)
    data = TrainingSet(rows.texts, rows.given, labels, taught=taught)
    model, *_ = fit(data, seed=seed, **vectors)
    return model.log_probabilities, sum(map(len, to_parts(model)[1].values()))


def finetuned(rows: Rows, seed: int, encoder: str) -> tuple[Answers, int] | None:
    if len(rows.texts) < FEWEST:
        return None
    labels = LabelSet(tuple(rows.labels), MULTICLASS.name)
    found = EncoderTrainer().train(
        TrainingSet(rows.texts, rows.given, labels), TrainerOptions(seed, encoder=encoder)
    )
    found.stored()
    answers: Any = found.predictor
    return answers.log_probabilities, sum(map(len, found.parts.values()))


def student(rows: Rows, seed: int, encoder: str) -> tuple[Answers, int] | None:
    if not rows.others:
        return None
    teacher, _ = trained(rows, seed, encoder=encoder)
    chances = np.exp(teacher(rows.others)).astype(np.float32)
    return trained(rows, seed, taught=Taught(rows.others, chances, "encoder"))


def linear_svc(rows: Rows, seed: int) -> tuple[Answers, int]:
    """Its scores are made probabilities by a softmax, as it has none."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.model_selection import GridSearchCV
    from sklearn.pipeline import make_pipeline, make_union
    from sklearn.svm import LinearSVC

    words = TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 2))
    pieces = TfidfVectorizer(sublinear_tf=True, analyzer="char_wb", ngram_range=(2, 5))
    model = make_pipeline(make_union(words, pieces), LinearSVC(random_state=seed))
    if np.bincount(rows.given).min() >= 2:
        search = {"linearsvc__C": [0.1, 0.3, 1, 3, 10]}
        model = GridSearchCV(model, search, cv=min(5, int(np.bincount(rows.given).min())))
    model.fit(rows.texts, rows.given)

    def answers(texts: Sequence[str]) -> Any:
        scores = np.full((len(texts), len(rows.labels)), -1e3)
        found = model.decision_function(texts)
        scores[:, model.classes_] = np.stack([-found, found], 1) if found.ndim == 1 else found
        return log_softmax(scores)

    return answers, 0


def logistic(rows: Rows, seed: int, name: str) -> tuple[Answers, int]:
    from sklearn.linear_model import LogisticRegression

    encoder = use_encoder(name)
    model = LogisticRegression(C=10, max_iter=1_000).fit(encode(encoder, rows.texts), rows.given)

    def answers(texts: Sequence[str]) -> Any:
        found = np.full((len(texts), len(rows.labels)), -np.inf)
        found[:, model.classes_] = model.predict_log_proba(encode(encoder, texts))
        return found

    return answers, 0


def cell(column: str, rows: Rows, seed: int, options: argparse.Namespace) -> dict[str, Any] | None:
    """The figures of a cell; None where there is none."""
    start = time.process_time()
    ways: dict[str, Callable[[], tuple[Answers, int] | None]] = {
        "plain": lambda: trained(rows, seed),
        "static": lambda: trained(rows, seed, embeddings=options.embeddings),
        "encoder": lambda: trained(rows, seed, encoder=options.encoder),
        "finetuned": lambda: finetuned(rows, seed, options.tuned),
        "student": lambda: student(rows, seed, options.encoder),
        "linearsvc": lambda: linear_svc(rows, seed),
        "logistic": lambda: logistic(rows, seed, options.encoder),
    }
    found = ways[column]()
    if found is None:
        return None
    seconds, start = time.process_time() - start, time.process_time()
    answers = found[0](rows.asked)
    rate = len(rows.asked) / max(time.process_time() - start, 1e-9)
    right = rows.wanted.argmax(axis=1)
    return {
        "accuracy": float((answers.argmax(axis=1) == right).mean()),
        "ece": expected_calibration_error(answers, right),
        "log_loss": float(losses(np.maximum(answers, -50), rows.wanted, True).mean()),
        "seconds": seconds,
        "rows_a_second": rate,
        "bytes": found[1],
    }


def write(path: Path, cells: dict[str, Any]) -> None:
    """Whole or not at all, so that a run may be stopped at any moment."""
    new = path.with_suffix(".new")
    new.write_text(json.dumps(cells, indent=0))
    os.replace(new, path)


def show(cells: dict[str, Any]) -> None:
    """Two tables, of means over seeds: how good the answers are, a line for each set and size, and
    what they cost, a line for each set and column with all rows."""
    found: dict[tuple[str, str], dict[str, list[dict[str, float]]]] = {}
    for key, figures in cells.items():
        name, size, _, column = key.split("/")
        if figures is not None:
            found.setdefault((name, size), {}).setdefault(column, []).append(figures)
    means = {
        where: {c: {f: mean(cell[f] for cell in each) for f in each[0]} for c, each in of.items()}
        for where, of in found.items()
    }
    columns = [column for column in COLUMNS if any(column in of for of in means.values())]
    print(f"accuracy (ECE, log loss)\n\n| set | rows | {' | '.join(columns)} |")
    print("|---" * (len(columns) + 2) + "|")
    for (name, size), of in means.items():
        line = [_quality(of[column]) if column in of else "–" for column in columns]
        print(f"| {name} | {size if size != '0' else 'all'} | {' | '.join(line)} |")
    print("\n| set, all rows | column | training, processor | rows/s | stored |")
    print("|---|---|---|---|---|")
    for (name, size), of in means.items():
        for column, cell in of.items() if size == "0" else ():
            stored = f"{cell['bytes'] / 1e3:,.0f} kB" if cell["bytes"] else "–"
            cost = f"{cell['seconds']:.1f} s | {cell['rows_a_second']:,.0f} | {stored}"
            print(f"| {name} | {column} | {cost} |")


def _quality(cell: dict[str, float]) -> str:
    accuracy, ece = (f"{cell[figure]:.3f}".lstrip("0") for figure in ("accuracy", "ece"))
    return f"{accuracy} ({ece}, {cell['log_loss']:.2f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("table", type=Path)
    parser.add_argument("csv", nargs="*")
    parser.add_argument("--sizes", type=int, nargs="+", default=[20, 100, 1000, 0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--columns", nargs="+", choices=COLUMNS, default=["plain", "linearsvc"])
    parser.add_argument("--embeddings", help="folder or cached hub name of a model2vec model")
    parser.add_argument("--encoder", help="folder or package of a sentence encoder")
    parser.add_argument("--tuned", help="folder or package of a sentence encoder with weights")
    options = parser.parse_args()
    for column in options.columns:
        needed = NEEDED.get(column, "encoder")
        if needed and getattr(options, needed) is None:
            parser.error(f"the column {column} needs --{needed}")
    cells: dict[str, Any] = json.loads(options.table.read_text()) if options.table.exists() else {}
    for path in options.csv:
        if options.encoder:
            encode_all(options.encoder, read(path, None)[0])
        for size in options.sizes:
            for seed in range(options.seeds if size else 1):
                rows = None
                for column in options.columns:
                    key = f"{Path(path).stem}/{size}/{seed}/{column}"
                    if key in cells:
                        continue
                    rows = rows or Rows(path, size, seed)
                    cells[key] = cell(column, rows, seed, options)
                    write(options.table, cells)
                    print(key, json.dumps(cells[key]), file=sys.stderr, flush=True)
    show(cells)


if __name__ == "__main__":
    main()
