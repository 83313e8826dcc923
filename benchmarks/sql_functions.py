"""How fast a query classifies: `select ft_classify(text)` over a table.

    python benchmarks/sql_functions.py [--csv FILE]

Peers, measured in the same run on the same texts: scikit-learn's batch transform and decision
function of the same model; and, where the package sqlite-ml is installed, its `sqml_predict`,
which knows no text and is therefore given 32 ready-made numbers a row (less work than ours).
Also the first answer of a fresh process, counted from the moment the connection is made.
"""

from __future__ import annotations

import argparse
import json
import re
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import temporary_ledger  # noqa: F401
from predict_speed import Scikit, best, from_csv, made_up, of_length

from datasette_ftclassify.core.database import connect
from datasette_ftclassify.core.task import define
from datasette_ftclassify.jobs.load_classifier import load_answerer
from datasette_ftclassify.jobs.train import train_classifier
from datasette_ftclassify.jobs.train_request import TrainRequest
from datasette_ftclassify.sql.functions import register
from datasette_ftclassify.store.classifiers import find_classifier

ROWS = 4_000
"""More than a connection remembers answers for, so that each text is really classified."""

FRESH = """
import sys

from datasette_ftclassify.sql.functions import register
import sqlite3, time
assert "sklearn" not in sys.modules
start = time.perf_counter()
conn = sqlite3.connect(sys.argv[1])
register(conn)
assert conn.execute("select ft_classify('one text')").fetchone()[0]
print(time.perf_counter() - start)
"""


def make_database(path: Path, texts: list[str], names: list[str]) -> None:
    with closing(connect(path, must_exist=False)) as conn:
        with conn:
            conn.execute("create table t (id integer primary key, text, label)")
            rows = zip(texts, names, strict=True)
            conn.executemany("insert into t (text, label) values (?, ?)", rows)
        task = define(conn, "t", text=["text"], labels=["label"])
        train_classifier(conn, task, TrainRequest(name="bench", curve=False))


def classify_all(path: Path, table: str) -> None:
    with closing(sqlite3.connect(path)) as conn:  # a new one, which remembers nothing
        register(conn)
        conn.execute(f"select count(ft_classify(text)) from {table}").fetchone()


def seconds_to_first_answer(path: Path) -> float:
    command = [sys.executable, "-c", FRESH, str(path)]
    return min(
        float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        for _ in range(7)
    )


def sqlite_ml_seconds(texts: list[str], names: list[str]) -> float | None:
    """Seconds a row for sqml_predict; None where sqlite-ml is not installed."""
    try:
        from sqlite_ml.sqml import SQML
    except ImportError:
        return None
    words = Counter(re.findall(r"\w+", " ".join(texts).lower()))
    columns = [word for word, _ in words.most_common(32)]
    with closing(sqlite3.connect(":memory:")) as conn:
        sqml = SQML()
        sqml.setup_schema(conn)
        sqml.register_functions(conn)
        rows = [[t.lower().split().count(w) for w in columns] for t in texts]
        listed = ", ".join(f"w{i} real" for i in range(32))
        conn.execute(f"create table numbers ({listed}, target integer)")
        marks = ", ".join("?" * 33)
        labels = sorted(set(names))
        conn.executemany(
            f"insert into numbers values ({marks})",
            [[*row, labels.index(name)] for row, name in zip(rows, names, strict=True)],
        )
        conn.execute(
            "select sqml_train('e', 'classification', 'logistic_regression', 'numbers', 'target')"
        ).fetchone()
        conn.execute("create table asked (features text)")
        asked = [json.dumps({f"w{i}": n for i, n in enumerate(row)}) for row in rows[:200]]
        conn.executemany("insert into asked values (?)", [[a] for a in asked])
        start = time.perf_counter()
        got = conn.execute("select count(sqml_predict('e', features)) from asked").fetchone()[0]
        assert got == len(asked)
        return (time.perf_counter() - start) / len(asked)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--csv", help="columns text, label and perhaps split")
    options = parser.parse_args()
    texts, names = from_csv(options.csv) if options.csv else made_up(4_000, 77, 60, seed=1)
    fresh = texts if options.csv else made_up(20_000, 77, 60, seed=2)[0]
    peer = sqlite_ml_seconds(texts, names)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bench.db"
        make_database(path, texts, names)
        with closing(connect(path)) as conn:
            classifier = find_classifier(conn)
            answerer = load_answerer(conn, classifier)
            print(f"{len(texts):,} rows, {len(classifier.labels)} labels, {classifier.title}")
            scikit: Any = Scikit(answerer.predictor)  # type: ignore[arg-type]
            print("characters  ft_classify  scikit-learn batch   ratio  sqml_predict    ratio")
            for characters in (60, 235):
                asked = of_length(fresh, characters, ROWS)
                table = f"asked{characters}"
                with conn:
                    conn.execute(f"create table {table} (text)")
                    conn.executemany(f"insert into {table} values (?)", [[t] for t in asked])
                ours = best(lambda table=table: classify_all(path, table)) / len(asked)  # type: ignore[misc]
                theirs = best(lambda asked=asked: scikit.decide(asked).argmax(axis=1)) / len(asked)  # type: ignore[misc]
                other = f"{1 / peer:7,.0f} rows/s  {peer / ours:6.1f}x" if peer else "not installed"
                print(
                    f"{characters:10d}  {1 / ours:4,.0f} rows/s  {1 / theirs:11,.0f} rows/s"
                    f"  {theirs / ours:5.2f}x  {other}"
                )
        first = seconds_to_first_answer(path)
        print(f"first answer of a fresh process: {first * 1e3:.0f} ms after connecting")


if __name__ == "__main__":
    main()
