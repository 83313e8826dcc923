"""How many of the labels that were changed the queue of probably mislabelled rows has at its top.

    python benchmarks/review_queues.py FILE.csv ... [--seeds 1]

Each FILE has the columns text and label. Some labels are changed: 5 and 10 % of the rows to another
label at random, and 5 % to the one that an out-of-fold model finds second most probable (the most
probable that is not the given one). The queue is made as the product makes it, from a table in a
file. Its first rows are looked at, as many as were changed: the share of them that was changed is
precision and recall in one. `probable`: how many the queue calls probably wrong, the share of them
that was changed, and the share of the changed ones that is among them.
"""

from __future__ import annotations

import argparse
import csv
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

from datasette_ftclassify.core.database import connect
from datasette_ftclassify.core.task import define
from datasette_ftclassify.jobs.review.build import submit_review
from datasette_ftclassify.jobs.review.queue_rows import MOST_ROWS
from datasette_ftclassify.jobs.runner import run_job
from datasette_ftclassify.jobs.settings import ReviewSettings
from datasette_ftclassify.store.reviews import list_rows
from datasette_ftclassify.trainers.local.cross_val_predict import out_of_fold

CHANGES = (("5% at random", 0.05, False), ("10% at random", 0.10, False),
           ("5% to the second", 0.05, True))  # fmt: skip


def read(path: str) -> tuple[list[str], Any, list[str]]:
    with open(path, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    names = sorted({row["label"] for row in rows})
    return [r["text"] for r in rows], np.array([names.index(r["label"]) for r in rows]), names


def changed(labels: Any, share: float, chances: Any | None, n_labels: int, seed: int) -> Any:
    """The labels with some of them changed: at random, or to the most probable other one."""
    rng = np.random.default_rng(seed)
    rows = rng.choice(len(labels), round(share * len(labels)), replace=False)
    found = labels.copy()
    if chances is None:
        found[rows] = (labels[rows] + rng.integers(1, n_labels, len(rows))) % n_labels
    else:
        others = chances[rows].copy()
        others[np.arange(len(rows)), labels[rows]] = -1
        found[rows] = others.argmax(axis=1)
    return found


def queue(texts: Sequence[str], labels: Sequence[str], folder: str) -> tuple[list[int], int]:
    """The rows' numbers in the order of the queue, and how many of them are called probable."""
    path = Path(folder) / f"rows-{time.monotonic_ns()}.db"
    with closing(sqlite3.connect(path)) as conn, conn:
        conn.execute("create table rows (id integer primary key, text, label)")
        conn.executemany(
            "insert into rows (text, label) values (?, ?)", zip(texts, labels, strict=True)
        )
    with closing(connect(path)) as conn:
        task = define(conn, "rows", text=["text"], labels=["label"], kind="multiclass")
        job = run_job(conn, submit_review(conn, ReviewSettings(task, "mislabelled")).id)
        rows = list_rows(conn, job.id, most=MOST_ROWS)
    path.unlink()
    return [int(row.key[0]) - 1 for row in rows], int((job.result or {})["probable"])  # type: ignore[arg-type]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("csv", nargs="+")
    parser.add_argument("--seeds", type=int, default=1)
    options = parser.parse_args()
    means: dict[str, list[float]] = {}
    print("rows, changes: found at as many rows as changes | probable: rows, precision, recall")
    for path in options.csv:
        texts, labels, names = read(path)
        logprobs, judged = out_of_fold(texts, labels, len(names), max_rows=len(texts))
        chances = np.zeros((len(texts), len(names)))
        chances[judged] = np.exp(logprobs)
        for name, share, confusable in CHANGES:
            found = []
            for seed in range(options.seeds):
                now = changed(labels, share, chances if confusable else None, len(names), seed)
                wrong = set(np.flatnonzero(now != labels).tolist())
                start = time.perf_counter()
                with tempfile.TemporaryDirectory() as folder:
                    order, probable = queue(texts, [names[i] for i in now], folder)
                seconds = time.perf_counter() - start
                found.append(len(wrong & set(order[: len(wrong)])) / len(wrong))
                hits = len(wrong & set(order[:probable]))
                print(
                    f"{Path(path).stem:16} {name:16} {found[-1]:.3f} of {len(wrong):,} |"
                    f" {probable:,} rows, {hits / max(probable, 1):.2f}, {hits / len(wrong):.2f};"
                    f" {seconds:.0f} s",
                    flush=True,
                )
            means.setdefault(name, []).append(float(np.mean(found)))
    for name, values in means.items():
        print(f"mean of {len(values)} sets, {name}: {np.mean(values):.3f}")


if __name__ == "__main__":
    main()
