"""How fast examples become files, and that memory does not grow with the table.

    python benchmarks/export_speed.py

Prints the rate of building lines next to a bare loop of json.dumps over the same dicts, and the
seconds and peak memory of splitting and exporting 12,000 and 120,000 rows, each in a process of
its own. Exits with 1 when the ratio is under 0.5 or memory grows by 200 MB or more.
"""

from __future__ import annotations

import json
import random
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import temporary_ledger  # noqa: F401
from measured import peak_mb

from datasette_ftclassify.core.database import connect
from datasette_ftclassify.core.labels import LabelSet
from datasette_ftclassify.core.task import define
from datasette_ftclassify.export import ExportFormat
from datasette_ftclassify.jobs.export import export_task

ROWS, LABELS = 120_000, 230
WORDS = (
    *("please", "refund", "order", "café", "late", "“broken”", "delivery"),
    *("account", "naïve", "charge", "twice", "東京", "help"),
)


def make(path: Path, rows: int) -> None:
    rng = random.Random(0)
    with sqlite3.connect(path) as conn:
        conn.execute("create table mail (id integer primary key, body text, folder text)")
        conn.executemany(
            "insert into mail (body, folder) values (?, ?)",
            (
                (f"{i} " + " ".join(rng.choices(WORDS, k=60)), f"folder {rng.randrange(LABELS)}")
                for i in range(rows)
            ),
        )


def once(path: Path, out: str) -> tuple[float, float]:
    """Seconds, and peak memory of this process in MB."""
    start = time.perf_counter()
    conn = connect(path)
    task = define(conn, "mail", text=["body"], labels=["folder"], kind="multiclass")
    export_task(conn, task, ExportFormat(), out)
    peak = peak_mb()
    return time.perf_counter() - start, peak


def line_rates(path: Path) -> tuple[float, float]:
    """Lines a second of ours, and of json.dumps; the best of five turns each."""
    with sqlite3.connect(path) as conn:
        rows = conn.execute("select body, folder from mail limit 30000").fetchall()
    codec = ExportFormat().bind(LabelSet.of([label for _, label in rows], "multiclass"))
    examples = [(body, (label,)) for body, label in rows]
    dicts = [json.loads(codec.encode(body, labels)) for body, labels in examples]

    def ours() -> None:
        for body, labels in examples:
            codec.encode(body, labels)

    def bare() -> None:
        for data in dicts:
            json.dumps(data, ensure_ascii=False)

    def best(run: object) -> float:
        times = []
        for _ in range(5):
            start = time.perf_counter()
            run()  # type: ignore[operator]
            times.append(time.perf_counter() - start)
        return len(rows) / min(times)

    return best(ours), best(bare)


def main() -> int:
    if len(sys.argv) == 3:
        print(*once(Path(sys.argv[1]), sys.argv[2]))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        peaks = []
        for rows in (ROWS // 10, ROWS):
            path = Path(folder, f"{rows}.db")
            make(path, rows)
            command = [sys.executable, __file__, str(path), str(Path(folder, f"out-{rows}"))]
            run = subprocess.run(command, capture_output=True, text=True, check=True)
            seconds, peak = map(float, run.stdout.split())
            peaks.append(peak)
            print(
                f"{rows:>7,} rows: {seconds:5.1f} s ({rows / seconds:,.0f} rows/s), {peak:.0f} MB"
            )
        ours, bare = line_rates(path)
    growth = peaks[1] - peaks[0]
    print(f"memory grows by {growth:.0f} MB")
    print(f"lines: {ours:,.0f}/s, json.dumps {bare:,.0f}/s, ratio {ours / bare:.2f}")
    return int(ours / bare < 0.5 or growth >= 200)


if __name__ == "__main__":
    sys.exit(main())
