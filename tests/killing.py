"""Commands in processes that can be killed, without paying for the imports each time.

A process of its own imports everything once and forks a child for each command; it has no threads,
so a fork of it is a whole one.
"""

from __future__ import annotations

import json
import os
import random
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType

_NURSERY = """
import json, os, sys
import datasette_ftclassify.cli, openai, numpy, sqlite_utils, tiktoken, sklearn.linear_model
import datasette_ftclassify.jobs.runner
from datasette_ftclassify.cli import ftclassify
print("ready", flush=True)
for line in sys.stdin:
    order = json.loads(line)
    pid = os.fork()
    if pid == 0:
        log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0); os.dup2(log, 1); os.dup2(log, 2)
        try:
            ftclassify(order["argv"], standalone_mode=True)
        finally:
            os._exit(int(getattr(sys.exc_info()[1], "code", 0) or 0))
    print(pid, flush=True)
    _, status = os.waitpid(pid, 0)
    print(os.waitstatus_to_exitcode(status), flush=True)
"""


class Run:
    """One command that runs; `kill` ends it as a power cut would."""

    def __init__(self, nursery: Nursery, pid: int, log: Path) -> None:
        self.pid = pid
        self.log = log
        self._nursery = nursery

    def kill(self) -> None:
        try:
            os.kill(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass

    def has_ended(self) -> bool:
        """Whether it has ended; its exit code can then be had at once."""
        return self._nursery.has_said()

    def wait(self) -> int:
        """The exit code; below 0: the signal that ended it."""
        return int(self._nursery.read())

    @property
    def output(self) -> str:
        return self.log.read_text(errors="replace")


class Nursery:
    """Forks commands; a context manager. `environ` is added to their environment."""

    def __init__(self, folder: Path, environ: Mapping[str, str] | None = None) -> None:
        self._folder = folder
        self._runs = 0
        self._process = subprocess.Popen(
            [sys.executable, "-c", _NURSERY],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **(environ or {})},
        )
        assert self.read() == "ready"

    def read(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def has_said(self) -> bool:
        """Whether there is something to read."""
        assert self._process.stdout is not None
        return bool(select.select([self._process.stdout], [], [], 0)[0])

    def start(self, *argv: object) -> Run:
        """Starts `datasette ftclassify argv…`; one at a time."""
        assert self._process.stdin is not None
        self._runs += 1
        log = self._folder / f"run-{os.getpid()}-{id(self)}-{self._runs}.log"
        order = {"argv": [str(a) for a in argv], "log": str(log)}
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return Run(self, int(self.read()), log)

    def __enter__(self) -> Nursery:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(30)
        if self._process.stdout is not None:
            self._process.stdout.close()


class Moments:
    """Random moments to kill at: now and then while the process starts, mostly a little after the
    service has been asked for something more, wherever the work then is.

    sent:      how many requests have arrived there
    questions: the most to wait for
    """

    def __init__(self, sent: Callable[[], int], seed: int, questions: int) -> None:
        self._sent = sent
        self._chance = random.Random(seed)
        self._questions = questions

    def wait(self, has_ended: Callable[[], bool]) -> None:
        if self._chance.random() < 0.15:
            threading.Event().wait(self._chance.uniform(0, 0.3))
            return
        wanted = self._sent() + self._chance.randint(1, self._questions)
        while self._sent() < wanted and not has_ended():
            threading.Event().wait(0.001)
        threading.Event().wait(self._chance.uniform(0, 0.03))


def killed_often(
    nursery: Nursery,
    argv: list[object],
    kills: int,
    moments: Moments,
    killed: Callable[[], object] = lambda: None,
) -> int:
    """Runs the command, kills it at random moments, and lets it end at last. How many kills hit.

    killed: called after each
    """
    hits = 0
    while True:
        run = nursery.start(*argv)
        if hits < kills:
            moments.wait(run.has_ended)
            run.kill()
        code = run.wait()
        if code == 0:
            return hits
        assert code == -9, run.output
        hits += 1
        killed()
