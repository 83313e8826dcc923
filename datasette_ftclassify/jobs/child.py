"""Runs one job in a process of its own: `python -m datasette_ftclassify.jobs.child DB ID`.

So a training keeps its memory and its interpreter lock to itself, has a low priority, and takes
nothing else down when it crashes. What it may reach and spend comes as one line on standard input:
arguments and environments can be read by others. The input stays open as long as the parent lives.
Its end ends this process at once, as kill -9 would, so that a killed server leaves no process
behind.
"""

from __future__ import annotations

import faulthandler
import json
import os
import sys
import threading
from contextlib import closing
from dataclasses import asdict

from ..core.errors import JobNotFound
from ..store.jobs.state import get_job
from ..store.schema import ensure_schema
from ..store.tables import open_database
from ..trainers.access import Access, Endpoint
from .watchdog import end_when_stuck

NICE = 10
"""Added to the parent's niceness: pages come first."""

_STDIN = 0


def access_line(access: Access, digest: str | None = None) -> bytes:
    """The line that a child reads from its standard input. It holds keys, so it goes through a
    pipe.

    digest: of the job that was agreed to
    """
    return json.dumps({**asdict(access), "digest": digest}).encode() + b"\n"


def read_line(line: bytes) -> tuple[Access, str | None]:
    """The other way round."""
    data = json.loads(line)
    digest = data.pop("digest")
    endpoints = {name: Endpoint(**given) for name, given in data.pop("endpoints").items()}
    return Access(endpoints=endpoints, **data), digest


def main(database: str, job_id: int) -> None:
    """Runs the job. Ends without an error when the job's record says how it ended."""
    faulthandler.enable()  # a crash of a library says where, for the job's record
    access, digest = read_line(_first_line())
    threading.Thread(target=_end_with_the_parent, daemon=True).start()
    end_when_stuck()
    if hasattr(os, "nice"):
        os.nice(NICE)
    from ..trainers.encoders.allowed import allow_encoders
    from .runner import run_job

    allow_encoders(access.encoder)
    with closing(open_database(database)) as conn:
        ensure_schema(conn)
        try:
            run_job(conn, job_id, access=access, digest=digest)
        except JobNotFound:
            return
        except Exception:
            if get_job(conn, job_id).state in ("queued", "running"):
                raise


def _first_line() -> bytes:
    """Read without a buffer: at the end of Python, a thread that waits in one is a fatal error."""
    line = b""
    while not line.endswith(b"\n"):
        byte = os.read(_STDIN, 1)
        if not byte:
            os._exit(1)
        line += byte
    return line


def _end_with_the_parent() -> None:
    while os.read(_STDIN, 1024):
        pass
    os._exit(1)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
