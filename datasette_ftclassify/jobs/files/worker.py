"""Answers parts in a process of its own: `python -m datasette_ftclassify.jobs.files.worker`.

Parts come as lines on standard input, as `Part.to_line` writes them; standard output has a line of
JSON for each batch, `{"batch": rows}`, and one for each part, its counts. The end
of the input ends this process at once, so that who starts one and is killed leaves none behind.
"""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
from dataclasses import asdict

from .part import answer_line


def main() -> None:
    lines: queue.SimpleQueue[str] = queue.SimpleQueue()
    threading.Thread(target=_read_until_the_end, args=(lines,), daemon=True).start()
    while True:
        print(json.dumps(asdict(answer_line(lines.get(), _report_batch))), flush=True)


def _report_batch(rows: int) -> None:
    print(json.dumps({"batch": rows}), flush=True)


def _read_until_the_end(lines: queue.SimpleQueue[str]) -> None:
    for line in sys.stdin:
        lines.put(line)
    os._exit(0)


if __name__ == "__main__":
    main()
