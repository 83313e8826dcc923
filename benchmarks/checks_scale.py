"""Seconds and peak memory of the data checks on a small and a large table.

Run it as `python benchmarks/checks_scale.py`. Every size gets a process of its own, so that the
peaks can be compared. The table has 230 labels with sizes from Zipf's law, texts of 10 to 80 words,
some duplicates and some e-mail addresses.
"""

from __future__ import annotations

import json
import random
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import temporary_ledger  # noqa: F401
from measured import peak_mb

SIZES = (12_000, 120_000)
LABELS = 230


def rows(count: int) -> Iterator[tuple[int, str, str, str]]:
    rng = random.Random(0)
    words = [
        "".join(rng.choices("abcdefghijklmnoprstuvw", k=rng.randint(3, 9))) for _ in range(9000)
    ]
    weights = [1 / (rank + 10) for rank in range(LABELS)]
    for number in range(count):
        label = rng.choices(range(LABELS), weights)[0]
        own = words[label * 20 : label * 20 + 20]
        text = rng.choices(words, k=rng.randint(8, 60)) + rng.choices(own, k=rng.randint(2, 20))
        rng.shuffle(text)
        if number % 500 == 0:
            text.append(f"write to {text[0]}@example.org")
        yield number, " ".join(text), f"label {label}", rng.choice("abcd")


def measure(size: int, deep: bool) -> None:
    from datasette_ftclassify.checks import run_checks
    from datasette_ftclassify.core.database import connect
    from datasette_ftclassify.core.task import define

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "scale.db")
        conn = sqlite3.connect(path)
        conn.execute("create table t (id integer primary key, text, label, channel)")
        with conn:
            conn.executemany("insert into t values (?, ?, ?, ?)", rows(size))
        conn.close()
        conn = connect(path)
        task = define(conn, "t", text=["text"], labels=["label"])
        before = time.perf_counter()
        report = run_checks(conn, task, deep=deep)
        seconds = time.perf_counter() - before
        conn.close()
    peak = peak_mb()
    findings = {finding.code: finding.count for finding in report.findings}
    print(json.dumps({"seconds": round(seconds, 1), "peak": round(peak), "findings": findings}))


def main() -> None:
    if len(sys.argv) > 1:
        measure(int(sys.argv[1]), sys.argv[2] == "deep")
        return
    print(f"{'rows':>8} {'checks':>8} {'seconds':>8} {'peak MB':>8}")
    for deep in ("quick", "deep"):
        for size in SIZES:
            command = [sys.executable, __file__, str(size), deep]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            result = json.loads(done.stdout)
            print(f"{size:>8,} {deep:>8} {result['seconds']:>8} {result['peak']:>8}")


if __name__ == "__main__":
    main()
