"""What `datasette-ftclassify-serve` saves beside the whole: megabytes, start and first answer.

    python benchmarks/serve_installation.py

Builds its wheel and installs it into a virtual environment with what it requires, linked from this
one (tests/support/serve_venv.py). Sizes are those of the packages' files, without bytecode. Each
program runs three times in each installation, in turn, and medians are printed, in seconds of
processor: the start of Datasette with a page of the classifiers, and a connection of sqlite3 that
answers all rows of the demo's table ten times.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from importlib.metadata import Distribution, distribution
from pathlib import Path
from typing import Any

import measured
import temporary_ledger  # noqa: F401
from sample_databases import make_trained
from serve_venv import ServeVenv, build_wheel, required

from datasette_ftclassify.jobs.publish import publish_copy

ROOT = Path(measured.__file__).resolve().parent.parent
RUNS, TIMES = 3, 10

PAGE = """
import asyncio, json, sys, time
start = time.process_time()
from datasette.app import Datasette
loaded = time.process_time() - start
client = Datasette(immutables=[sys.argv[1]]).client
assert asyncio.run(client.get("/town/-/ftclassify")).status_code == 200
print(json.dumps({"import of Datasette, s": loaded, "a page, s": time.process_time() - start}))
"""

ANSWERS = """
import importlib, json, sqlite3, sys, time
sys.path.insert(0, sys.argv[4])
from memory import peak
start = time.process_time()
conn = sqlite3.connect(sys.argv[1])
importlib.import_module(sys.argv[2] + ".sql.functions").register(conn)
conn.execute("select ft_classify('the lamp flickers')").fetchone()
first = time.process_time() - start
sql = "select count(ft_classify(message || value)) from messages, json_each(?)"
start = time.process_time()
(n,) = conn.execute(sql, [json.dumps(list(range(int(sys.argv[3]))))]).fetchone()
rate = n / (time.process_time() - start)
found = {"first answer, s": first, "answers a second": rate, "memory, MB": peak() / 2**20}
print(json.dumps(found))
"""


def megabytes(packages: Iterable[Distribution]) -> float:
    files = (Path(str(one.locate_file(file))) for one in packages for file in one.files or [])
    return sum(f.stat().st_size for f in files if f.suffix != ".pyc" and f.is_file()) / 1e6


def run(python: Path | str, script: str, *arguments: object) -> dict[str, float]:
    command = [str(python), "-c", script, *map(str, arguments)]
    environ = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environ)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_trained(folder / "private.db")
        copy = publish_copy(folder / "private.db", folder / "town.db").path
        wheel = build_wheel(ROOT, folder / "dist")
        serve = ServeVenv(folder / "venv", wheel)
        own = sum(p.stat().st_size for p in serve.site.glob("datasette_ftclassify*/**/*.*")
                  if p.suffix != ".pyc") / 1e6  # fmt: skip
        whole = required(distribution("datasette-ftclassify")).values()
        sizes = {
            "Datasette alone": megabytes(required(distribution("datasette")).values()),
            "serve": megabytes(serve.packages.values()) + own,
            "whole": megabytes(whole) + own,
        }
        for what, size in sizes.items():
            print(f"{what:16} {size:6.0f} MB")
        pythons: dict[str, tuple[Any, str]] = {
            "serve": (serve.python, "datasette_ftclassify_serve"),
            "whole": (sys.executable, "datasette_ftclassify"),
        }
        runs: dict[str, list[dict[str, float]]] = {what: [] for what in pythons}
        for _ in range(RUNS):
            for what, (python, package) in pythons.items():
                found = run(python, PAGE, copy) | run(
                    python, ANSWERS, copy, package, TIMES, ROOT / "tests" / "support"
                )
                runs[what].append(found)
        for figure in runs["serve"][0]:
            median = {w: statistics.median(r[figure] for r in found) for w, found in runs.items()}
            print(f"{figure:24} serve {median['serve']:9.2f}   whole {median['whole']:9.2f}")


if __name__ == "__main__":
    main()
