"""The child process of a job: started, watched and ended by the server."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time

from ..jobs import child
from ..jobs.watchdog import STUCK_CODE
from ..store.jobs.job import Job
from ..trainers.access import Access

STOP_SECONDS = 5.0
"""How long a child may take to end once its input has; it takes milliseconds unless it hangs."""

_TAIL = 4_000
"""Bytes at the end of what it wrote on standard error."""

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


class Child:
    """A process that runs one job. It ends with this one, however this one ends."""

    def __init__(
        self, path: str, job: Job, access: Access, *, manner: str, digest: str | None = None
    ) -> None:
        self.path, self.job, self.manner = path, job, manner
        self.since = time.monotonic()
        self._keys = [e.api_key for e in access.endpoints.values() if e.api_key]
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `close`
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-m", child.__name__, path, str(job.id)],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=self._errors,
                env=_environment(),
                start_new_session=True,  # Ctrl-C in the terminal is meant for the server
            )
        except OSError:
            self._errors.close()
            raise
        try:
            assert self._process.stdin is not None
            self._process.stdin.write(child.access_line(access, digest))
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # it is dead already: `returncode` will say so

    @property
    def returncode(self) -> int | None:
        """None while it runs, below 0 for a signal."""
        return self._process.poll()

    @property
    def was_stuck(self) -> bool:
        """Whether it ended itself, since one step took too long."""
        return self._process.returncode == STUCK_CODE

    def last_words(self) -> str:
        """How it ended, for people: the signal or the code, and its last line, without keys."""
        code = self._process.returncode
        how = f"killed by {_signal(-code)}" if code < 0 else f"exit code {code}"
        self._errors.seek(max(self._errors.seek(0, os.SEEK_END) - _TAIL, 0))
        lines = self._errors.read().decode("utf-8", "replace").split("\n")
        fatal = [line for line in lines if line.startswith("Fatal Python error")]
        said = [line.strip() for line in fatal[:1] or lines if line.strip()]
        text = f"{how}: {said[-1][:300]}" if said else how
        for key in self._keys:
            text = text.replace(key, "[key]")
        return text

    def stop(self) -> None:
        """Ends it. Its job counts as interrupted then."""
        self._close_input()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self.close()

    def close(self) -> None:
        self._close_input()
        self._errors.close()

    def _close_input(self) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.close()
        except BrokenPipeError:
            pass


def _signal(number: int) -> str:
    try:
        name = signal.Signals(number).name
    except ValueError:
        name = f"signal {number}"
    return f"{name}, perhaps for want of memory" if name == "SIGKILL" else name


def _environment() -> dict[str, str]:
    """Leaves a core to the pages, and keeps modules of the working directory out."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    threads = str(max(1, (cores or 1) - 1))
    return {**dict.fromkeys(_THREADS, threads), **os.environ, "PYTHONSAFEPATH": "1"}
