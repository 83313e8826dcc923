"""What the plugin adds to the start of Datasette and of sqlite-utils: time and memory.

    python benchmarks/startup.py

Starts `datasette --get /-/versions.json` with and without the plugin (its entry points switched
off), ten times each in turn, and takes the medians.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from pathlib import Path

import temporary_ledger  # noqa: F401

CODE = """
import json, sys, time
import importlib.metadata as metadata
if sys.argv[1] == "without":
    real = metadata.Distribution.entry_points.fget
    metadata.Distribution.entry_points = property(
        lambda self: metadata.EntryPoints(e for e in real(self) if e.name != "ftclassify"))
start = time.perf_counter()
from datasette.app import Datasette
from datasette.plugins import pm
import asyncio
app = Datasette(memory=True)
asyncio.run(app.client.get("/_memory.json?sql=select+1"))
seconds = time.perf_counter() - start
loaded = any(name == "ftclassify" for name, _ in pm.list_name_plugin())
assert loaded == (sys.argv[1] == "with"), pm.list_name_plugin()
sys.path.insert(0, sys.argv[2])
from measured import peak_mb
peak = peak_mb()
heavy = [m for m in ("numpy", "sklearn", "tiktoken", "sqlite_utils") if m in sys.modules]
print(json.dumps([seconds, peak, heavy]))
"""


def run(how: str) -> tuple[float, float, list[str]]:
    command = [sys.executable, "-c", CODE, how, str(Path(__file__).parent)]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    seconds, peak, heavy = json.loads(out)
    return seconds, peak, heavy


def main() -> None:
    runs: dict[str, list[tuple[float, float, list[str]]]] = {"without": [], "with": []}
    for _ in range(10):
        for how, found in runs.items():
            found.append(run(how))
    seconds = {how: statistics.median(r[0] for r in found) for how, found in runs.items()}
    peak = {how: statistics.median(r[1] for r in found) for how, found in runs.items()}
    for how, found in runs.items():
        heavy = ", ".join(found[-1][2]) or "nothing heavy"
        print(f"{how:8} {seconds[how] * 1e3:6.0f} ms  {peak[how]:6.1f} MB  loaded: {heavy}")
    print(
        f"added: {(seconds['with'] - seconds['without']) * 1e3:.0f} ms,"
        f" {peak['with'] - peak['without']:.1f} MB"
    )


if __name__ == "__main__":
    main()
