"""What a running training or check says of itself in the job's row: its step, how far it is, and
when it will probably end. Pages and commands read it there, whichever process runs the job."""

from __future__ import annotations

import re
import time
from collections.abc import Callable

from ..core.sqlite_errors import OPERATIONAL_ERRORS
from ..store.jobs.queue import note_step
from ..trainers.base import Progress, no_progress
from .lease import Lease

REPORT_EVERY = 1.0
"""Seconds between two writes of what is being done."""

LEAST_SHARE = 0.03
LEAST_SECONDS = 2.0
"""Before so much is done, a rate says nothing about the rest."""


def recorded(
    lease: Lease, progress: Progress = no_progress, clock: Callable[[], float] = time.monotonic
) -> Progress:
    """Checks the lease at each step and writes the step into the job. The share never decreases,
    not even below that of a process that died with the job; the time left is that of this attempt,
    by its own rate since it was last at nothing.

    progress: called with the same steps
    """
    conn, job = lease.conn, lease.job
    before = re.search(r"(\d{1,2})%$", job.step)
    shown = int(before[1]) / 100 if before else 0.0
    written: float | None = None
    begun = clock()

    def report_progress(step: str, share: float) -> None:
        nonlocal shown, written, begun
        lease.check()
        progress(step, share)
        now = clock()
        if not share:
            begun = now
        if conn.in_transaction or (written is not None and now - written < REPORT_EVERY):
            return
        written = now
        shown = max(shown, min(share, 0.99))
        left = seconds_left(now - begun, share)
        job.step = f"{step} {shown:.0%}" if shown else step
        try:
            note_step(conn, job.id, job.step, None if left is None else time.time() + left)
        except OPERATIONAL_ERRORS:
            pass  # locked by a long write: the next one will do

    return report_progress


def seconds_left(seconds: float, share: float) -> float | None:
    """For the rest, when that share took so long; None where that says too little."""
    if share < LEAST_SHARE or seconds < LEAST_SECONDS:
        return None
    return seconds * (1 - min(share, 1.0)) / share
