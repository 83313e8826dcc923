"""How many labels the queue of rows to label next needs for what 500 random ones give.

    python benchmarks/labelling_costs.py FILE.csv ... [--seed 0] [--draws 3]

Each FILE has the columns text and label. 50 rows have a label to begin with. Then the product makes
the queue `label` (half of its rows those of the smallest margin, half random) of 50 rows, they get
their labels as in a review, and the product's own trainer trains on all labelled rows; and so on to
500. Against it stand trainings on 500 rows drawn at random, `--draws` of them. Accuracy and
expected calibration error are of test rows that nothing else sees: 1,500, or a quarter of a small
table, or there would be nothing to choose from. The queue chooses from a pool of 4,000 rows at
most, to keep this to minutes.
"""

from __future__ import annotations

import argparse
import sqlite3
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import temporary_ledger  # noqa: F401
from review_queues import read

from datasette_ftclassify.core.database import connect
from datasette_ftclassify.core.splits import SplitPlan
from datasette_ftclassify.core.task import define
from datasette_ftclassify.jobs.load_classifier import load_answerer
from datasette_ftclassify.jobs.review.build import submit_review
from datasette_ftclassify.jobs.review.changes import change_row
from datasette_ftclassify.jobs.review.shown import list_shown, queue_now
from datasette_ftclassify.jobs.runner import run_job
from datasette_ftclassify.jobs.settings import ReviewSettings
from datasette_ftclassify.jobs.train import train_classifier
from datasette_ftclassify.jobs.train_request import TrainRequest
from datasette_ftclassify.metrics.scores import calibration_error
from datasette_ftclassify.store.classifiers import Classifier

FIRST, STEP, LAST, POOL, TEST = 50, 50, 500, 4_000, 1_500


class Rows:
    """A table of rows in a file: a pool, some of it labelled, and test rows beside it."""

    def __init__(self, path: str, seed: int, folder: str) -> None:
        texts, labels, names = read(path)
        order = np.random.default_rng(seed).permutation(len(texts))
        tested = min(TEST, len(order) // 4)
        test, pool = order[:tested], order[tested : tested + POOL]
        self.test_texts = [texts[i] for i in test]
        self.truth = [names[labels[i]] for i in test]
        self.pool = [(texts[i], names[labels[i]]) for i in pool]
        self.folder = Path(folder)

    def table(self, labelled: Sequence[int]) -> Path:
        """A file in which those rows of the pool have their label."""
        path = self.folder / f"rows-{time.monotonic_ns()}.db"
        known = set(labelled)
        with closing(sqlite3.connect(path)) as conn, conn:
            conn.execute("create table rows (id integer primary key, text, label)")
            conn.executemany(
                "insert into rows values (?, ?, ?)",
                ((i, t, label if i in known else None) for i, (t, label) in enumerate(self.pool)),
            )
        return path

    def train(self, conn: sqlite3.Connection) -> tuple[Classifier, float, float]:
        """Trained on all labelled rows; its accuracy and calibration error on the test rows."""
        task = define(conn, "rows", text=["text"], labels=["label"], kind="multiclass")
        request = TrainRequest(name="rows", plan=SplitPlan(test=0, validation=0), curve=False)
        classifier = train_classifier(conn, task, request).classifier
        logprobs = load_answerer(conn, classifier).predictor.log_probabilities(self.test_texts)
        best: Any = logprobs.argmax(axis=1)
        names = classifier.labels.names
        right = np.array([names[i] == label for i, label in zip(best, self.truth, strict=True)])
        error = calibration_error(np.exp(logprobs.max(axis=1)), right)
        return classifier, float(right.mean()), float(error or 0.0)


def by_queue(rows: Rows) -> list[tuple[int, float, float]]:
    """Labels, accuracy and calibration error after each queue."""
    found = []
    with closing(connect(rows.table(range(FIRST)))) as conn:
        for count in range(FIRST, LAST + 1, STEP):
            classifier, accuracy, error = rows.train(conn)
            found.append((count, accuracy, error))
            print(f"    {count} by queues: {accuracy:.3f}, {error:.3f}", flush=True)
            if count == LAST:
                break
            settings = ReviewSettings(classifier.task, "label", classifier.uid, rows=STEP)
            job = run_job(conn, submit_review(conn, settings).id)
            for row in list_shown(conn, job, most=STEP):
                label = rows.pool[int(row.key[0])][1]
                known = label in queue_now(conn, job).labels
                change_row(
                    conn, job, row.place, [label] if known else [], seen=row.seen, who="benchmark",
                    new_label="" if known else label,
                )  # fmt: skip
    return found


def needed(found: Sequence[tuple[int, float, float]], goal: float) -> float | None:
    """Labels at which the accuracy reaches the goal, between two steps by a straight line."""
    before = found[0]
    for here in found:
        if here[1] >= goal:
            if here is before:
                return float(here[0])
            share = (goal - before[1]) / (here[1] - before[1])
            return before[0] + share * (here[0] - before[0])
        before = here
    return None


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("csv", nargs="+")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--draws", type=int, default=3)
    options = parser.parse_args()
    for path in options.csv:
        started = time.process_time()
        with tempfile.TemporaryDirectory() as folder:
            rows = Rows(path, options.seed, folder)
            random = []
            for draw in range(options.draws):
                chosen = np.random.default_rng(draw).permutation(len(rows.pool))[:LAST]
                with closing(connect(rows.table(chosen.tolist()))) as conn:
                    random.append(rows.train(conn)[1:])
            goal, error = np.mean(random, axis=0)
            print(f"{Path(path).stem}: 500 random {goal:.3f}, {error:.3f}", flush=True)
            found = by_queue(rows)
        labels = needed(found, goal)
        said = "more than 500" if labels is None else f"{labels:.0f}"
        print(
            f"  as good with {said} labels; at 500 accuracy {found[-1][1]:.3f} against {goal:.3f},"
            f" ECE {found[-1][2]:.3f} against {error:.3f};"
            f" {time.process_time() - started:.0f} s of processor",
            flush=True,
        )


if __name__ == "__main__":
    main()
