"""The findings of the checks for a task, from an earlier check of the same rows if there is one."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import chain, islice

from ..checks import run_checks
from ..checks.row_conditions import MOST_KEYS
from ..core.errors import ArtifactError, JobError
from ..core.examples import Record, count_records
from ..core.humanize import when
from ..core.splits import SplitPlan
from ..core.task import Task
from ..store.jobs.job import Job
from ..store.jobs.queries import newest_jobs
from ..trainers.service import Service
from .check import as_trained_by, rows_digest
from .settings import CheckSettings, settings_of
from .stored_check import StoredCheck, StoredFinding, read_check


@dataclass(frozen=True)
class Checked:
    """findings: None where the rows were not checked; job: whose result that is"""

    findings: tuple[StoredFinding, ...] | None
    how: str
    job: Job | None = None


def check_rows(
    conn: sqlite3.Connection,
    task: Task,
    plan: SplitPlan | None,
    trainer: Service,
    model: str | None,
    *,
    most: int | None = None,
    digest: str | None = None,
    usable: Sequence[Record] | None = None,
) -> Checked:
    """What the checks say of the rows, from the last check job if it was about the same.

    plan:   None: whatever the split is
    model:  to be trained; None: it is trained already
    most:   rows that are checked, unless a check job has
    digest: of the rows, where they have been read; `usable`: those that can be trained on
    """
    checks = _checks_of(conn, task, plan, model)
    newest = list(islice(checks, 1))
    rows = 0 if most is None else count_records(conn, task)
    too_many = most is not None and rows > most
    if too_many and not newest:
        return _unchecked(rows)
    digest = digest or rows_digest(conn, task)
    for job, check in chain(newest, checks):
        if check.rows_digest == digest:
            how = f"Checked by job {job.id} ({when(job.updated_at)}): the rows are the same."
            return Checked(tuple(check.findings), how, job)
    if too_many:
        return _unchecked(rows)
    words = json.dumps([task.to_dict(), asdict(plan or SplitPlan()), trainer.name, model])
    found = _RECENT.find(digest, words)
    if found is None:
        found = _run(conn, task, plan, trainer, model, usable)
        _RECENT.keep(digest, words, found)
    return Checked(found, "Checked just now, without the search for wrong labels and leaks.")


def _unchecked(rows: int) -> Checked:
    return Checked(
        None,
        f"The labels of {rows:,} rows were not checked, which would take its time: check the rows "
        "on the page that trains, and the result is used here.",
    )


def _run(
    conn: sqlite3.Connection,
    task: Task,
    plan: SplitPlan | None,
    trainer: Service,
    model: str | None,
    usable: Sequence[Record] | None,
) -> tuple[StoredFinding, ...]:
    report = run_checks(
        conn,
        task,
        plan=plan,
        model=model,
        leaves_machine=model is not None,
        sample_size=0,
        deep=False,
        private=False,
        usable=usable,
        most_keys=MOST_KEYS,
        **as_trained_by(trainer.name, model),
    )
    return tuple(StoredFinding(**vars(finding)) for finding in report.findings)


def _checks_of(
    conn: sqlite3.Connection, task: Task, plan: SplitPlan | None, model: str | None
) -> Iterator[tuple[Job, StoredCheck]]:
    """Finished check jobs about the task, newest first; of its rows as they were then."""
    for job in newest_jobs(conn, kind="check", state="finished"):
        try:
            settings = settings_of(job, CheckSettings)
            if settings.task != task or plan not in (None, settings.plan):
                continue
            check = read_check(job)
        except (JobError, ArtifactError):
            continue
        # Which texts and labels it can take goes by the model, and only a check for a service says
        # so without reserve.
        counted = check.tokens if settings.leaves_machine else None
        if model is None or (counted is not None and counted["model"] == model):
            yield job, check


class _Recent:
    """Recent findings of this process: a price is usually shown, and agreed to a moment later."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._found: OrderedDict[tuple[str, str], tuple[StoredFinding, ...]] = OrderedDict()
        self._lock = threading.Lock()

    def find(self, digest: str, words: str) -> tuple[StoredFinding, ...] | None:
        with self._lock:
            return self._found.get((digest, words))

    def keep(self, digest: str, words: str, found: tuple[StoredFinding, ...]) -> None:
        with self._lock:
            self._found[digest, words] = found
            while len(self._found) > self._most:
                self._found.popitem(last=False)


_RECENT = _Recent(16)
