"""Whether many labels are learnt better in two stages: first a group, then a label of the group.

    python benchmarks/two_stage.py FILE.csv [--rows 2500] [--groups 20] [--seeds 1]

FILE has the columns text and label. In cross-validation (5 folds) a logistic regression over words
and parts of words learns all labels side by side, or groups of labels and then the labels of each
group. Groups are labels that are taken for each other in a cross-validation of the training part.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
from minimum_scores import read
from scipy.sparse import hstack
from sklearn.cluster import AgglomerativeClustering
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold

NEVER = -30.0
"""The logarithm of a probability that is as good as 0."""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("file", type=Path)
    parser.add_argument("--rows", type=int, default=2_500)
    parser.add_argument("--groups", type=int, default=20)
    parser.add_argument("--seeds", type=int, default=1)
    given = parser.parse_args()
    texts, truth, names = read(given.file)
    for seed in range(given.seeds):
        drawn = np.random.default_rng(seed).permutation(len(texts))[: given.rows]
        some, labels = [texts[i] for i in drawn], truth[drawn]
        right = np.zeros(3)
        folds = StratifiedKFold(5, shuffle=True, random_state=seed)
        for train, test in folds.split(some, labels):
            x, z = features([some[i] for i in train], [some[i] for i in test])
            own = labels[test]
            answers = fold(x, labels[train], z, len(names), given.groups, seed)
            right += [(answer == own).sum() for answer in answers]
        flat, product, first = right / len(some)
        print(
            f"seed {seed}: side by side {flat:.4f}, group times label {product:.4f},"
            f" group first {first:.4f}",
            flush=True,
        )


def features(train: list[str], test: list[str]) -> tuple[Any, Any]:
    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
    parts = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4), sublinear_tf=True)
    x = hstack([words.fit_transform(train), parts.fit_transform(train)]).tocsr()
    return x, hstack([words.transform(test), parts.transform(test)]).tocsr()


def fold(
    x: Any, y: np.ndarray, z: Any, n_labels: int, n_groups: int, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The answers to z of the flat model, of the product of both stages, of the group first."""
    group = groups_of(x, y, n_labels, n_groups, seed)
    of_group = scores(x, group[y], z, n_groups)
    within = np.full((z.shape[0], n_labels), NEVER)
    for number in range(n_groups):
        members = np.flatnonzero(group == number)
        on = np.isin(y, members)
        present = np.unique(y[on])
        if len(present) == 1:
            within[:, present[0]] = 0
        elif len(present):
            within[:, members] = scores(x[on], y[on], z, n_labels)[:, members]
    best = of_group.argmax(axis=1)
    chosen = np.where(group[None, :] == best[:, None], within, 3 * NEVER)
    flat = scores(x, y, z, n_labels)
    return flat.argmax(1), (within + of_group[:, group]).argmax(1), chosen.argmax(1)


def groups_of(x: Any, y: np.ndarray, n_labels: int, n_groups: int, seed: int) -> np.ndarray:
    taken = np.zeros((n_labels, n_labels))
    for train, test in StratifiedKFold(3, shuffle=True, random_state=seed).split(x, y):
        answers = model().fit(x[train], y[train]).predict(x[test])
        np.add.at(taken, (y[test], answers), 1)
    share = taken / np.maximum(taken.sum(axis=1, keepdims=True), 1)
    distance = 1 - (share + share.T) / 2
    np.fill_diagonal(distance, 0)
    clusters = AgglomerativeClustering(n_groups, metric="precomputed", linkage="average")
    return np.asarray(clusters.fit_predict(distance))


def scores(x: Any, y: np.ndarray, z: Any, n: int) -> np.ndarray:
    fitted = model().fit(x, y)
    found = np.full((z.shape[0], n), NEVER)
    found[:, fitted.classes_] = np.log(np.maximum(fitted.predict_proba(z), 1e-12))
    return found


def model() -> LogisticRegression:
    return LogisticRegression(C=20, max_iter=200)


if __name__ == "__main__":
    main()
