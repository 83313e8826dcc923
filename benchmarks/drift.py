"""How often drift is said of unchanged rows, and how often of rows of which a quarter has changed.

    python benchmarks/drift.py FOLDER [--seeds 3] [--batches 200] [--only sms_spam]

FOLDER has banking77.csv, sms_spam.csv, cfpb_products_5.csv and goemotions_multilabel.csv with the
columns text, label and split. Classifiers of banking77 without 20 intents, of sms_spam and of
cfpb_products_5 are trained on half of their rows. Again and again 200 of the other rows are taken
for new ones and 800 others of them (or all that are left) for the test rows: the share of such
batches of which the three tests say that something changed. Then 50 of the 200 are exchanged: for
the intents that were left out, for texts of the other sets, or for rows of one label.
"""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import temporary_ledger  # noqa: F401
from known import arguments, cases, train

from datasette_ftclassify.core.labels import LabelSet
from datasette_ftclassify.core.prediction import Answerer
from datasette_ftclassify.jobs.drift import answered
from datasette_ftclassify.metrics.drift import Answered, drift_tests

NEW, CHANGED, TEST = 200, 50, 800


def taken(batch: Answered, rows: Any) -> Answered:
    known = None if batch.known is None else batch.known[rows]
    return Answered(batch.scores[rows], batch.labels[rows], known)


def joined(one: Answered, other: Answered) -> Answered:
    assert one.known is not None
    assert other.known is not None
    return Answered(
        np.concatenate([one.scores, other.scores]),
        np.concatenate([one.labels, other.labels]),
        np.concatenate([one.known, other.known]),
    )


def share_found(
    rows: Answered, others: Answered | None, n_labels: int, batches: int, draw: Any
) -> tuple[float, Counter[str]]:
    """Of batches of rows, with CHANGED of the others among them; and which tests said it."""
    found, by_test = 0, Counter[str]()
    for _ in range(batches):
        order = draw.permutation(len(rows))
        new, test = taken(rows, order[:NEW]), taken(rows, order[NEW : NEW + TEST])
        if others is not None:
            chosen = draw.choice(len(others), CHANGED, replace=len(others) < CHANGED)
            new = joined(taken(new, np.arange(NEW - CHANGED)), taken(others, chosen))
        changed = [test.what for test in drift_tests(test, new, n_labels) if test.changed]
        found += bool(changed)
        by_test.update(changed)
    return found / batches, by_test


def main() -> None:
    options = arguments(__doc__ or "", seeds=3, batches=200)
    for name, seed, rows, others in cases(options):
        draw = np.random.default_rng(seed)
        order, half = draw.permutation(len(rows)), len(rows) // 2
        learnt, rest = ([rows[i] for i in part] for part in (order[:half], order[half:]))
        most = Counter(row["label"] for row in rest).most_common()
        label = most[-1 if name == "sms_spam" else 0][0]
        others = {**others, "one label": [row for row in rest if row["label"] == label]}
        model, _ = train(learnt, options.embeddings, options.encoder, seed)
        names = sorted({row["label"] for row in learnt})
        answerer = Answerer(model, LabelSet.of(names, "multiclass"))
        pool = answered(answerer, [row["text"] for row in rest[:2_000]])
        alarms, by_test = share_found(pool, None, len(names), options.batches, draw)
        print(f"{name}, seed {seed}: false alarms {alarms:.3f} {dict(by_test)}", flush=True)
        for kind, texts in others.items():
            chosen = [texts[i]["text"] for i in draw.permutation(len(texts))[:500]]
            found, by_test = share_found(
                pool, answered(answerer, chosen), len(names), options.batches, draw
            )
            print(f"  a quarter of {kind:24s} found {found:.3f} {dict(by_test)}", flush=True)


if __name__ == "__main__":
    main()
