"""What groups of labels add below a minimum score, and whether their promise holds.

    python benchmarks/label_groups.py FILE.csv [--train 2000] [--seeds 2] [--wrong 0.05]

FILE has the columns text and label, and many labels, such as banking77. Groups are those that are
taken for each other in cross-validation. All rows that were not trained on are judged: how many get
a label and how many of these are wrong, and of the others how many get a group.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import temporary_ledger  # noqa: F401
from minimum_scores import divided, judged, read

from datasette_ftclassify.core.label_kinds import MULTICLASS
from datasette_ftclassify.core.label_tree import LISTED, tree_by_confusion
from datasette_ftclassify.core.labels import LabelSet
from datasette_ftclassify.core.near_duplicates import near_groups
from datasette_ftclassify.jobs.label_trees import CONFUSION, group_minimums, rows_for
from datasette_ftclassify.metrics.minimum_scores import minimum_score
from datasette_ftclassify.store.out_of_fold import OutOfFold
from datasette_ftclassify.trainers.base import HeldOut, TrainingSet
from datasette_ftclassify.trainers.local.training import fit


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("file", type=Path)
    parser.add_argument("--train", type=int, default=2_000)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--wrong", type=float, default=0.05)
    given = parser.parse_args()
    texts, truth, names = read(given.file)
    groups = near_groups(texts)
    for seed in range(given.seeds):
        some, _, new = divided(groups, given.train, 0, seed)
        label_set = LabelSet(tuple(names), MULTICLASS.name)
        data = TrainingSet([texts[i] for i in some], truth[some], label_set)
        model, _, kept = fit(data, seed=seed)
        assert kept is not None
        own = truth[some[kept.rows]]
        least = minimum_score(judged(kept.logprobs, own, kept.groups), given.wrong, "likely").score
        if least is None:
            print(f"seed {seed}: nothing can be promised")
            continue
        stored = as_stored(kept, own)
        by, of = rows_for(stored, CONFUSION)
        pairs = Counter((stored.truth[i][0], stored.chosen[i][0]) for i in by)
        tree = tree_by_confusion(names, ((t, a, n) for (t, a), n in pairs.items()))
        levels = group_minimums(tree, stored, of, least, given.wrong, "likely")
        logprobs = model.log_probabilities([texts[i] for i in new])
        labels = judged(logprobs, truth[new], groups[new])
        on = labels.scores >= least
        found = [tree.answer(row.tolist(), levels) for row in logprobs[~on]]
        right = [
            tree.of_label(int(t), 0) == group.name
            for t, group in zip(truth[new][~on], found, strict=True)
            if group is not None
        ]
        sizes = [size for size in tree.sizes[0].values() if size > 1] if tree.levels else []
        print(
            f"seed {seed}: {len(sizes)} groups of {sum(sizes)} labels; of {len(new):,} new rows"
            f" {on.mean():.1%} get a label, {1 - labels.right[on].mean():.1%} of these wrong;"
            f" {len(right) / len(new):.1%} get a group (from {levels}),"
            f" {1 - np.mean(right) if right else 0:.1%} of these wrong",
            flush=True,
        )


def as_stored(kept: HeldOut, truth: np.ndarray) -> OutOfFold:
    probabilities = np.exp(np.minimum(kept.logprobs, 0))
    best = np.argsort(-probabilities, axis=1)[:, :LISTED]
    listed = [
        tuple((int(i), float(p[i])) for i in row)
        for row, p in zip(best, probabilities, strict=True)
    ]
    n = len(truth)
    return OutOfFold(
        [(i,) for i in range(n)], [(int(t),) for t in truth], [(int(row[0]),) for row in best],
        probabilities.max(axis=1), probabilities[np.arange(n), truth], listed, kept.groups,
        np.ones(n, dtype=np.bool_), n, probabilities.shape[1],
    )  # fmt: skip


if __name__ == "__main__":
    main()
