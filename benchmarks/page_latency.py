"""What a training in the worker does to the pages that people look at meanwhile.

    python benchmarks/page_latency.py [--rows 100000] [--training 20000]

Serves a table on the loopback and asks, one after the other, for the table's page and for a query
that classifies 100 of its texts: with nothing else to do, while the server's worker trains a
classifier on another table, and with nothing else to do again. Prints the median and the 95th
percentile with and without the training.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlencode

import datasette
import temporary_ledger  # noqa: F401

from datasette_ftclassify.core.database import connect
from datasette_ftclassify.core.task import define
from datasette_ftclassify.jobs.train import submit_train, train_classifier
from datasette_ftclassify.jobs.train_request import TrainRequest
from datasette_ftclassify.store.jobs.state import get_job

IDLE_SECONDS = 15.0
SQL = "select id, ft_classify(text) from texts where id > :id order by id limit 100"
WORDS = [f"{a}{b}{c}" for a in "bdfgklmnprst" for b in ("a", "e", "i", "ou") for c in "lmnrst"]


def text(chooser: random.Random, label: int) -> str:
    own = WORDS[label * 10 : label * 10 + 10]
    return " ".join(chooser.choice(own if chooser.random() < 0.2 else WORDS) for _ in range(40))


def fill(conn: sqlite3.Connection, table: str, rows: int) -> None:
    chooser = random.Random(table)
    with conn:
        conn.execute(f"create table {table} (id integer primary key, text text, label text)")
        made = (
            (text(chooser, label), f"label {label}")
            for label in (chooser.randrange(20) for _ in range(rows))
        )
        conn.executemany(f"insert into {table} (text, label) values (?, ?)", made)


def build(path: Path, rows: int, training: int) -> None:
    with closing(connect(path, must_exist=False)) as conn:
        fill(conn, "texts", rows)
        fill(conn, "small", 500)
        fill(conn, "large", training)
        task = define(conn, "small", text=["text"], labels=["label"])
        train_classifier(conn, task, TrainRequest(name="small", curve=False))


def start(path: Path) -> tuple[subprocess.Popen[str], int]:
    command = [sys.executable, "-m", "datasette", "serve", str(path), "--port", "0"]
    server = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    assert server.stderr is not None
    for line in server.stderr:
        if found := re.search(r"running on http://127.0.0.1:(\d+)", line):
            return server, int(found[1])
    raise SystemExit("the server did not start")


def get(port: int, path: str) -> float:
    """Seconds that one answer takes."""
    began = time.perf_counter()
    conn = HTTPConnection("127.0.0.1", port, timeout=60)
    conn.request("GET", path)
    response = conn.getresponse()
    body = response.read()
    conn.close()
    assert response.status == 200, body[:500]
    return time.perf_counter() - began


class Measurement:
    """Times of both requests, by name."""

    def __init__(self, port: int, rows: int) -> None:
        self._port, self._rows = port, rows
        self._chooser = random.Random(1)
        self._query = "/bench.json" if datasette.__version__.startswith("0.") else "/bench/-/query"
        self.times: dict[str, list[float]] = {"table page": [], "ft_classify": []}

    def once(self) -> None:
        after = self._chooser.randrange(self._rows - 200)
        self.times["table page"].append(get(self._port, f"/bench/texts?_next={after}"))
        query = f"{self._query}?{urlencode({'sql': SQL, 'id': after})}"
        self.times["ft_classify"].append(get(self._port, query))


def repeat(measurement: Measurement, seconds: float) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        measurement.once()


def quantile(times: list[float], share: float) -> float:
    return sorted(times)[round(share * (len(times) - 1))] * 1000


def measure(path: Path, port: int, rows: int) -> None:
    for _ in range(5):
        Measurement(port, rows).once()  # the first requests load what is loaded once
    idle = Measurement(port, rows)
    repeat(idle, IDLE_SECONDS)
    with closing(connect(path)) as conn:
        task = define(conn, "large", text=["text"], labels=["label"])
        job = submit_train(conn, task, TrainRequest(name="large"))
        while get_job(conn, job.id).state == "queued":
            time.sleep(0.01)
        began = time.monotonic()
        busy = Measurement(port, rows)
        while get_job(conn, job.id).state == "running":
            busy.once()
        ended = get_job(conn, job.id)
    seconds = time.monotonic() - began
    assert ended.state == "finished", ended.error
    repeat(idle, IDLE_SECONDS)  # again: other people's load is not the training's fault
    print(f"Datasette {datasette.__version__}, {os.cpu_count()} cores, training {seconds:.0f} s")
    for name, times in idle.times.items():
        other = busy.times[name]
        for label, share in (("p50", 0.5), ("p95", 0.95)):
            a, b = quantile(times, share), quantile(other, share)
            print(f"{name:12} {label}  idle {a:6.1f} ms  training {b:6.1f} ms  ratio {b / a:.2f}")
        print(
            f"{name:12} max  idle {max(times) * 1e3:6.1f} ms  training {max(other) * 1e3:6.1f} ms"
            f"  ({len(times)} and {len(other)} requests,"
            f" mean ratio {statistics.mean(other) / statistics.mean(times):.2f})"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--training", type=int, default=20_000)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bench.db"
        build(path, given.rows, given.training)
        server, port = start(path)
        try:
            measure(path, port, given.rows)
        finally:
            server.terminate()
            server.communicate()


if __name__ == "__main__":
    main()
