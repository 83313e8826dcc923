"""A Datasette whose worker runs jobs, in a process that can be killed."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from working import PATIENCE

from datasette_ftclassify.store.jobs import Job


class Server:
    """`datasette serve` on a free port of the loopback."""

    def __init__(self, arguments: tuple[object, ...], environ: dict[str, str]) -> None:
        command = [sys.executable, "-m", "datasette", "serve", "--port", "0"]
        self.process = subprocess.Popen(
            [*command, *map(str, arguments)],
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
            env={**os.environ, **environ},
        )
        self.log: list[str] = []
        self.url = self._url()
        # Read on, so that the server never waits for a full pipe.
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _url(self) -> str:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.log.append(line)
            if found := re.search(r"running on (http://127.0.0.1:\d+)", line):
                return found[1]
        raise AssertionError("the server did not start: " + "".join(self.log))

    def _read(self) -> None:
        assert self.process.stderr is not None
        self.log.extend(self.process.stderr)

    def end(self, how: signal.Signals) -> None:
        self.process.send_signal(how)
        self.process.wait(PATIENCE)
        self._reader.join(PATIENCE)


@contextmanager
def serving(*arguments: object, **environ: str) -> Iterator[Server]:
    server = Server(arguments, environ)
    try:
        yield server
    finally:
        if server.process.poll() is None:
            server.end(signal.SIGTERM)
        assert server.process.stderr is not None
        server.process.stderr.close()


def child_of(job: Job) -> int:
    """The process that has the lease."""
    assert job.owner is not None
    return int(job.owner.split(":")[1])
