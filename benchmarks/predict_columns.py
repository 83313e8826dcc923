"""Prediction into columns, next to a batch prediction and a bare `executemany` UPDATE.

    python benchmarks/predict_columns.py [--rows 20000]

Both write the same four columns of the same table with the same classifier, in one process. Ours
also keeps its place, so that it can be killed at any moment. Memory: the peak of a fresh process
over the table, and over one ten times as large.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

import temporary_ledger  # noqa: F401
from measured import peak_mb
from predict_speed import made_up
from sql_functions import make_database

from datasette_ftclassify.core.database import connect
from datasette_ftclassify.jobs.load_classifier import load_answerer
from datasette_ftclassify.jobs.predict import predict_rows
from datasette_ftclassify.store.classifiers import find_classifier

LABELS = 20


def ours(path: str) -> float:
    with closing(connect(path)) as conn:
        classifier = find_classifier(conn)
        start = time.process_time()
        predict_rows(conn, classifier, "big")
        return time.process_time() - start


def bare(path: str) -> float:
    """The least that does the job when nothing may go wrong."""
    with closing(connect(path)) as conn:
        answerer = load_answerer(conn, find_classifier(conn))
        names = answerer.labels.names
        for column in ("label text", "score real", "logprob real", "logprobs text"):
            conn.execute(f"alter table big add column bare_{column}")
        start = time.process_time()
        rows = conn.execute("select id, text from big").fetchall()
        logprobs = answerer.predictor.log_probabilities([text for _, text in rows])
        updates = []
        for (id_, _), row, best in zip(rows, logprobs.tolist(), logprobs.argmax(1), strict=True):
            top = row[best]
            pairs = json.dumps(dict(zip(names, row, strict=True)))
            updates.append((names[best], math.exp(top), top, pairs, id_))
        with conn:
            conn.executemany(
                "update big set bare_label = ?, bare_score = ?, bare_logprob = ?,"
                " bare_logprobs = ? where id = ?",
                updates,
            )
        return time.process_time() - start


def fill(path: str, rows: int) -> None:
    texts, _ = made_up(5_000, LABELS, 60, seed=3)
    with closing(connect(path)) as conn, conn:
        conn.execute("create table big (id integer primary key, text)")
        made = ((f"{texts[n % 5_000]} {n}",) for n in range(rows))
        conn.executemany("insert into big (text) values (?)", made)


def in_fresh_process(what: str, path: Path) -> tuple[float, float]:
    """Seconds of processor, and the peak of memory in MB."""
    command = [sys.executable, __file__, "--run", what, str(path)]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    seconds, peak = json.loads(out)
    return seconds, peak


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--run", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run:
        seconds = {"ours": ours, "bare": bare}[options.run[0]](options.run[1])
        peak = peak_mb()
        print(json.dumps([seconds, peak]))
        return
    with tempfile.TemporaryDirectory() as folder:
        peaks = []
        for rows in (options.rows, options.rows * 10):
            path = Path(folder) / f"{rows}.db"
            texts, names = made_up(2_000, LABELS, 60, seed=1)
            make_database(path, texts, names)
            fill(str(path), rows)
            (mine, peak) = in_fresh_process("ours", path)
            peaks.append(peak)
            if rows == options.rows:
                theirs, _ = in_fresh_process("bare", path)
                print(
                    f"{rows:,} rows: predict {rows / mine:,.0f} rows/s, bare batch and UPDATE"
                    f" {rows / theirs:,.0f} rows/s, ratio {theirs / mine:.2f}"
                )
        print(f"peak memory: {peaks[0]:.0f} MB, and {peaks[1]:.0f} MB for ten times the rows")


if __name__ == "__main__":
    main()
