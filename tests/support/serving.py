"""Datasettes on the loopback, whose workers run jobs, in processes that can be killed."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from programs import Program, datasette
from running_jobs import wait_for

from datasette_ftclassify.store.jobs.job import Job


class Server:
    """`datasette serve` on a free port.

    main: what serves
    url:  its address
    """

    def __init__(
        self, *arguments: object, main: Callable[..., object] = datasette, **environ: str | None
    ) -> None:
        self._program = Program(main, "serve", "--port", "0", *arguments, environ=environ)
        self.pid = self._program.pid
        self._announced = r"running on (http://127.0.0.1:\d+)"
        wait_for(lambda: self._said(self._announced) or self._program.has_ended(), "the server")
        self.url = self._said(self._announced)
        assert self.url, f"the server did not start: {self.log}"

    @property
    def log(self) -> str:
        return self._program.output

    @property
    def login(self) -> str:
        """The address at which root is signed in, once: of one with `--root`."""
        return self.url + self._said(r"http://[^/\s]+(/-/auth-token\?token=\w+)")

    def _said(self, pattern: str) -> str:
        found = re.search(pattern, self.log)
        return found[1] if found else ""

    def end(self, how: signal.Signals) -> None:
        self.send(how)
        self.wait()

    def send(self, how: signal.Signals) -> None:
        self._program.send(how)

    def wait(self) -> None:
        self._program.wait()


@contextmanager
def serving(
    *arguments: object, main: Callable[..., object] = datasette, **environ: str | None
) -> Iterator[Server]:
    server = Server(*arguments, main=main, **environ)
    try:
        yield server
    finally:
        server.end(signal.SIGTERM)


def child_of(job: Job) -> int:
    """The process that has the lease."""
    assert job.owner is not None
    return int(job.owner.split(":")[1])
