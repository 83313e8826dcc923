"""How fast a local classifier answers row by row, next to scikit-learn's batches.

    python benchmarks/predict_speed.py [--csv FILE] [--labels 77] [--rows 4000]

Trains a classifier on made-up intents (or on FILE with the columns text and label), builds
scikit-learn's own vectorisers and decision function with the same vocabulary and weights, checks
that both give the same probabilities, and times both on texts of about 60 and 235 characters.
"""

from __future__ import annotations

import argparse
import csv
import os
import random
import sys
import time
from collections.abc import Callable
from itertools import accumulate
from pathlib import Path
from typing import Any

from datasette_ftclassify.trainers.local.serialization import from_parts, to_parts

for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np  # noqa: E402
import temporary_ledger  # noqa: E402, F401
from scipy import sparse  # noqa: E402
from sklearn.feature_extraction.text import TfidfVectorizer  # noqa: E402

from datasette_ftclassify.core.label_kinds import MULTICLASS  # noqa: E402
from datasette_ftclassify.core.labels import LabelSet  # noqa: E402
from datasette_ftclassify.trainers.base import TrainingSet  # noqa: E402
from datasette_ftclassify.trainers.local.features import CHAR_NGRAMS, WORD_NGRAMS  # noqa: E402
from datasette_ftclassify.trainers.local.linear import log_softmax, recalibrated  # noqa: E402
from datasette_ftclassify.trainers.local.model import LocalModel  # noqa: E402
from datasette_ftclassify.trainers.local.training import fit  # noqa: E402

SYLLABLES = list("aeiou") + [a + b for a in "bdfgklmnprstvz" for b in "aeiou"]


def made_up(rows: int, labels: int, characters: int, seed: int) -> tuple[list[str], list[str]]:
    """Texts from a vocabulary with natural word frequencies, a fifth of it typical of a label."""
    chooser = random.Random(0)
    words = ["".join(chooser.choices(SYLLABLES, k=chooser.randint(1, 4))) for _ in range(6_000)]
    typical = [chooser.sample(words[50:], 12) for _ in range(labels)]
    usual = list(accumulate(1 / (rank + 3) for rank in range(len(words))))
    chooser = random.Random(seed)
    texts, names = [], []
    for row in range(rows):
        label = row % labels
        chosen = chooser.choices(words, cum_weights=usual, k=1 + characters // 6)
        for place in range(len(chosen)):
            if chooser.random() < 0.2:
                chosen[place] = chooser.choice(typical[label])
        texts.append(" ".join(chosen).capitalize() + chooser.choice(".?!"))
        names.append(f"label {label}")
    return texts, names


def from_csv(path: str) -> tuple[list[str], list[str]]:
    with open(path, newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row.get("split", "train") == "train"]
    return [row["text"] for row in rows], [row["label"] for row in rows]


def of_length(texts: list[str], characters: int, count: int) -> list[str]:
    """Texts cut or joined to about this many characters."""
    found: list[str] = []
    held = ""
    for text in texts * 50:
        held = f"{held} {text}".strip()
        if len(held) >= characters:
            found.append(held[:characters].rsplit(" ", 1)[0])
            held = ""
        if len(found) == count:
            break
    return found


class Scikit:
    """The same model through scikit-learn: vectorisers with a fixed vocabulary, sparse product."""

    def __init__(self, model: LocalModel) -> None:
        terms = model.vectorizer
        split = len(terms.words)
        self.words = self._vectorizer(terms.words, 0, terms.idf[:split], "word", WORD_NGRAMS)
        self.chars = self._vectorizer(terms.chars, split, terms.idf[split:], "char_wb", CHAR_NGRAMS)
        self.model = model

    @staticmethod
    def _vectorizer(terms: Any, start: int, idf: Any, analyzer: str, ngrams: Any) -> Any:
        vocabulary = {term: number - start for term, number in terms.items()}
        made = TfidfVectorizer(
            analyzer=analyzer,
            ngram_range=ngrams,
            vocabulary=vocabulary,
            sublinear_tf=True,
            dtype=np.float32,
        )
        made.idf_ = idf
        return made

    def decide(self, texts: list[str]) -> Any:
        features = sparse.hstack(
            [self.words.transform(texts), self.chars.transform(texts)], format="csr"
        )
        return features @ self.model.weights + self.model.bias

    def log_probabilities(self, texts: list[str]) -> Any:
        scores = self.decide(texts).astype(np.float64) / self.model.temperature
        if scores.shape[1] == 1:
            scores = np.hstack([-scores / 2, scores / 2])
        found = log_softmax(scores)
        return found if self.model.beta is None else recalibrated(found, self.model.beta, True)


def best(run: Callable[[], Any], times: int = 5) -> float:
    """The fastest of several runs, in seconds of processor: what else runs there counts little."""
    seconds = []
    for _ in range(times):
        start = time.process_time()
        run()
        seconds.append(time.process_time() - start)
    return min(seconds)


def one_by_one(model: LocalModel, texts: list[str]) -> None:
    answer = model.log_probabilities_one
    for text in texts:
        answer(text)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--csv", help="columns text, label and perhaps split")
    parser.add_argument("--labels", type=int, default=77, help="of the made-up texts")
    parser.add_argument("--rows", type=int, default=4_000, help="of the made-up texts")
    options = parser.parse_args()
    if options.csv:
        texts, names = from_csv(options.csv)
        fresh = texts
    else:
        texts, names = made_up(options.rows, options.labels, 60, seed=1)
        fresh, _ = made_up(6_000, options.labels, 60, seed=2)
    labels = sorted(set(names))
    numbers = {name: number for number, name in enumerate(labels)}
    given = np.array([numbers[name] for name in names])
    label_set = LabelSet(tuple(range(len(labels))), MULTICLASS.name)
    model, report, _ = fit(TrainingSet(texts, given, label_set))
    print(
        f"{len(texts):,} rows, {len(labels)} labels, {report['n_features']:,} features, "
        f"trained in {report['seconds']} s ({report['recipe']})"
    )
    header, parts = to_parts(model)
    print(f"stored: {sum(map(len, parts.values())) / 1e6:.1f} MB")
    load = best(lambda: from_parts(header, parts), 9)
    first = best(lambda: from_parts(header, parts).log_probabilities_one(texts[0]), 9)
    print(f"cold load: {load * 1e3:.1f} ms, and the first answer after {first * 1e3:.1f} ms")
    scikit = Scikit(model)
    print("characters  scikit-learn batch  row by row, first pass  row by row  times as fast  gap")
    for characters in (60, 235):
        asked = of_length(fresh, characters, 1_500)
        cold_model = from_parts(header, parts)
        start = time.process_time()
        one_by_one(cold_model, asked)
        cold = time.process_time() - start
        ours = best(lambda asked=asked: one_by_one(model, asked))  # type: ignore[misc]
        theirs = best(lambda asked=asked: scikit.decide(asked))  # type: ignore[misc]
        gap = np.abs(
            np.exp(model.log_probabilities(asked)) - np.exp(scikit.log_probabilities(asked))
        ).max()
        count = len(asked)
        print(
            f"{characters:10d}  {count / theirs:12,.0f} rows/s  {count / cold:15,.0f} rows/s  "
            f"{count / ours:5,.0f} rows/s  {theirs / ours:12.2f}x  {gap:.0e}"
        )


if __name__ == "__main__":
    main()
