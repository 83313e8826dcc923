"""What comes out of the whole way of a user, on real data: from `check` to columns.

    python benchmarks/service_accuracy.py FOLDER [--rows 1500] [--sets sms_spam banking77]

FOLDER has CSV files with the columns text, label and split; several labels of a row are joined
with | in those whose name says multilabel. Every step is a command of its own, as people give it.
Accuracy: of the rows of the test split, the share whose column says their label (all of their
labels). Asked in batches: of all rows, the share whose column says what openai's says.
The service is the test server, which learns with TF-IDF and logistic regression, so its figure
tells whether anything is lost on the way to a service and back, not how good one is.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import random
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import temporary_ledger  # noqa: F401
from service_server import Server, use_vocabularies

csv.field_size_limit(2**24)


def load(source: Path, path: Path, most: int) -> None:
    """A sample of the file, a fifth of it from the test split, in the table `texts`."""
    with source.open(newline="", encoding="utf-8") as file:
        rows = [(r["text"], r["label"], r["split"]) for r in csv.DictReader(file)]
    random.Random(0).shuffle(rows)
    test = [row for row in rows if row[2] == "test"][: most // 5]
    train = [row for row in rows if row[2] == "train"][: most - len(test)]
    with closing(sqlite3.connect(path)) as conn, conn:
        conn.execute("create table texts (id integer primary key, text, label, split)")
        conn.executemany("insert into texts (text, label, split) values (?, ?, ?)", train + test)


class User:
    """Gives commands about one database file."""

    def __init__(self, path: Path, *, several: bool) -> None:
        self.path = path
        self.task = ["--text", "text", "--label", "label", "--split-column", "split"]
        self.several = several
        if several:
            self.task += ["--delimiter", "|"]

    def run(self, *words: str) -> str:
        command = [sys.executable, "-m", "datasette", "ftclassify", words[0], str(self.path)]
        done = subprocess.run([*command, *words[1:]], capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"{' '.join(words)}:\n{done.stdout}{done.stderr}")
        return done.stdout

    def train(self, name: str, *options: str) -> dict[str, Any]:
        given = ["--name", name, "--no-curve", "--json", *options]
        result: dict[str, Any] = json.loads(self.run("train", "texts", *self.task, *given))
        return result

    def accuracy(self, name: str) -> float:
        """Of the column that `predict` has written."""
        sql = f"select label, {name}_label from texts where split = 'test'"
        with closing(sqlite3.connect(self.path)) as conn:
            rows = conn.execute(sql).fetchall()
        if not self.several:
            return sum(said == wanted for wanted, said in rows) / len(rows)
        right = sum(
            said is not None and set(json.loads(said)) == set(wanted.split("|"))
            for wanted, said in rows
        )
        return right / len(rows)

    def agreement(self, name: str, other: str) -> float:
        """The share of all rows in which two columns of `predict` are the same."""
        sql = f"select avg({name}_label is {other}_label) from texts"
        with closing(sqlite3.connect(self.path)) as conn:
            return float(conn.execute(sql).fetchone()[0])


def way(
    user: User, name: str, trainer: str, server: Server | None, *, batch: bool = False
) -> tuple[float, float]:
    """Accuracy, and seconds from the training to the columns."""
    start = time.perf_counter()
    there, paid = [], []
    if server is not None:
        there = ["--base-url", server.base_url]
        paid = ["--yes", *there]
    training = ["--trainer", trainer, *paid]
    if server is not None:
        training += ["--model", "gpt-4.1-mini", "--epochs", "3"]
    if server is not None and server.dialect == "compatible":
        training += ["--extra", json.dumps({"legacy_hyperparameters": True})]
    result = user.train(name, *training)
    if server is not None and server.dialect == "azure":
        model = result["report"]["service"]["model"]
        server.order(deploy={"model": model, "name": "bench"})
        user.run("evaluate", name, "--deployment", "bench", *paid)
    how = ["--batch"] if batch else []
    user.run("predict", "texts", "--classifier", name, *paid, *how)
    return user.accuracy(name), time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("folder", type=Path, help="with CSV files")
    parser.add_argument("--rows", type=int, default=1_500, help="of each file at most")
    parser.add_argument("--sets", nargs="+", help="names of files; all of them")
    parser.add_argument("--batch-set", help="asked in batches as well; the last one")
    options = parser.parse_args()
    sources = sorted(options.folder.glob("*.csv"))
    if options.sets:
        sources = [options.folder / f"{name}.csv" for name in options.sets]
    batched = options.batch_set or sources[-1].stem
    print(
        f"accuracy on the test split, {options.rows:,} rows of each set at most\n"
        f"{'data set':25s}     local    openai  compatible     azure     batch   seconds"
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        use_vocabularies(folder / "vocabularies")
        for source in sources:
            path = folder / f"{source.stem}.db"
            load(source, path, options.rows)
            user = User(path, several="multilabel" in source.stem)
            user.run("check", "texts", *user.task)
            found = [way(user, "here", "local", None)]
            same, spans = 0.0, ""
            for dialect in ("openai", "compatible", "azure"):
                with Server(dialect=dialect) as server:
                    os.environ["OPENAI_API_KEY"] = server.api_key
                    os.environ["AZURE_OPENAI_API_KEY"] = server.api_key
                    trainer = "azure" if dialect == "azure" else "openai"
                    found.append(way(user, dialect, trainer, server))
                    if dialect == "openai" and source.stem == batched:
                        _, span = way(user, "in_batches", trainer, server, batch=True)
                        same, spans = user.agreement("in_batches", "openai"), f", {span:.0f}"
            cells = [f"{share:8.3f}" for share, _ in found]
            cells.append(f"{same:8.3f}" if spans else f"{'':8s}")
            spans = ", ".join(f"{seconds:.0f}" for _, seconds in found) + spans
            print(f"{source.stem:25s}  {'  '.join(cells)}   {spans}", flush=True)


if __name__ == "__main__":
    main()
