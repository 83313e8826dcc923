"""The `TrainingLog` of a job that runs under a lease.

It is stored in the job's own row. Every entry is committed in a transaction that checks the lease,
so a process that lost its lease to another one can neither write nor go on.
"""

from __future__ import annotations

import time
import uuid
from typing import Any

from ..core.job_events import FIGURES, SERVICE, EventKind, Figures
from ..core.untrusted_json import JsonObject
from ..store.jobs.state import add_event, save_progress
from ..store.schema import transaction
from ..trainers.base import Progress, no_progress
from .lease import Lease

LOOK_EVERY = 0.1
"""Seconds between two looks, while waiting, at whether something is wanted."""

REPORT_EVERY = 1.0
"""Seconds between two writes of the step at hand, which may change many times a second."""

_TAG, _SHOWN = "tag", "shown"


class JobTrainingLog:
    """Over a leased job; makes the tag, and commits it, before anything else is said."""

    def __init__(self, lease: Lease, progress: Progress = no_progress) -> None:
        self._lease = lease
        self._job = lease.job
        self._progress = progress
        self._reported = 0.0
        self._loss = ""
        if _TAG not in self.state:
            self.save(**{_TAG: uuid.uuid4().hex})

    @property
    def state(self) -> JsonObject:
        return self._job.remote or {}

    @property
    def tag(self) -> str:
        return str(self.state[_TAG])

    @property
    def wanted(self) -> str | None:
        return self._job.wanted

    def save(self, **changes: Any) -> None:
        self._write({**self.state, **changes})

    def restart(self) -> None:
        """Starts over with another tag, and drops the saved state."""
        self._write({_TAG: uuid.uuid4().hex})

    def _write(self, remote: JsonObject) -> None:
        before = self._job.remote
        self._job.remote = remote
        try:
            with transaction(self._lease.conn):
                save_progress(self._lease.conn, self._job)
        except BaseException:
            self._job.remote = before
            raise

    def event(
        self,
        message: str,
        *,
        data: Figures | None = None,
        key: str | None = None,
        kind: EventKind = SERVICE,
    ) -> None:
        if isinstance((loss := (data or {}).get("train_loss")), (int, float)):
            self._loss = f", loss {loss:.3f}"
        if kind is SERVICE and "step" in (data or {}):
            kind = FIGURES
        add_event(self._lease.conn, self._job, kind, message, data=data, key=key)

    def report_progress(self, step: str, share: float) -> None:
        step += self._loss
        self._progress(step, share)
        now = time.monotonic()
        if now - self._reported < REPORT_EVERY and self._reported:
            return
        self._reported = now
        self._job.step = step
        self.save(**{_SHOWN: round(share, 3)})

    def wait(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            if self.wanted or self._lease.lost.is_set():
                return
            time.sleep(min(LOOK_EVERY, left))

    def check(self) -> None:
        self._lease.check()
