"""Agreements to jobs: a job runs only when a person on this machine has agreed to it.

A job is a row in a database file, and the file may come from anyone, or hold triggers that change
the row. So what was agreed to is noted in the installation's ledger, with a digest of all that
decides what the job does: its settings, and the classifier that it uses.
"""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Iterator
from contextlib import suppress
from hashlib import sha256
from typing import Any

from ..core.errors import FtclassifyError, JobError, JobPaused, LimitReached
from ..ledger import Agreement, JobKey, Ledger, LedgerError, identity_of
from ..store.classifiers import find_by_id, find_by_uid
from ..store.jobs.job import Job
from ..store.jobs.remote_cancel import is_ending
from ..store.jobs.state import ask_job
from ..store.schema import transaction
from ..trainers.access import Access
from ..trainers.base import check_from_file
from ..trainers.registry import get_trainer
from .settings import TrainSettings, settings_of

_here: dict[JobKey, Agreement] = {}
"""Agreements to jobs that cost nothing, while the ledger cannot be written."""


def key_of(conn: sqlite3.Connection, job: Job) -> JobKey:
    return JobKey(identity_of(conn), job.id, job.nonce or "")


def digest_of(conn: sqlite3.Connection, job: Job) -> str:
    """Of what the job does: which rows, which columns, which model at which host."""
    words: list[Any] = [job.kind, job.settings]
    if not job.settings.keys().isdisjoint(_CLASSIFIER):
        words.append(_classifier_facts(conn, job))
    text = json.dumps(words, sort_keys=True, default=str)
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


_CLASSIFIER = ("uid", "classifier_id")
"""Settings that name a classifier which is there when somebody agrees."""


def _classifier_facts(conn: sqlite3.Connection, job: Job) -> list[Any] | None:
    """None when it is gone: then the job does nothing."""
    try:
        if "uid" in job.settings:
            found = find_by_uid(conn, str(job.settings["uid"]))
        else:
            found = find_by_id(conn, int(job.classifier_id or 0))
    except FtclassifyError:
        return None
    return [found.uid, found.trainer, found.labels.to_dict(), dict(found.header)]


def agree(
    conn: sqlite3.Connection,
    job: Job,
    access: Access,
    limit_usd: float | None = None,
    expected_usd: float | None = None,
) -> None:
    """Notes that a person wants the job done as it now stands. Call in the transaction that queues
    it, so that nobody finds it without that.

    limit_usd, expected_usd: what it may cost in all, and what it was said to
    Raises LimitReached for a limit that is no amount, LedgerError for a job that costs money when
    the ledger cannot be written.
    """
    if limit_usd is not None and not 0 <= limit_usd < math.inf:
        raise LimitReached(f"A limit must be an amount in USD, such as 5 or 0.50, not {limit_usd}.")
    key = key_of(conn, job)
    agreement = Agreement(digest_of(conn, job), limit_usd, expected_usd)
    if not key.nonce:
        raise JobError(f"Job {job.id} is of an older version: give its command again.")
    try:
        Ledger(access.ledger).agree(key, agreement)
    except LedgerError:
        if paid_trainer(conn, job) is not None:
            raise
        _here[key] = agreement


def spent_by(conn: sqlite3.Connection, job: Job, access: Access) -> float:
    """USD, as the ledger has it. Raises LedgerError."""
    return Ledger(access.ledger).spent(key_of(conn, job)).usd


def spent_today(access: Access) -> float:
    """USD that this installation has spent today (UTC), all databases together. Raises
    LedgerError."""
    return Ledger(access.ledger).spent_today().usd


def agreement_to(conn: sqlite3.Connection, job: Job, access: Access) -> Agreement | None:
    """What a person on this machine has agreed to; None when nobody has agreed to this job, or it
    has been changed since."""
    return _agreement_or_why(conn, job, access)[0]


def why_not_agreed(conn: sqlite3.Connection, job: Job, access: Access) -> str | None:
    """A sentence why the job may not run; None when a person on this machine has agreed to it."""
    found, unreadable = _agreement_or_why(conn, job, access)
    if found is not None:
        return None
    # Where the ledger cannot be read, somebody may have agreed, and nobody can know it.
    return unreadable or (
        "Nobody on this machine has agreed to this job: it came with the file, or was changed "
        "since. Look at it, then run it."
    )


def agreements_in(database: str, access: Access) -> dict[JobKey, Agreement]:
    """To all jobs of a database; where the ledger cannot be read, those that are known without."""
    return _agreements_or_why(database, access)[0]


def _agreement_or_why(
    conn: sqlite3.Connection, job: Job, access: Access
) -> tuple[Agreement | None, str | None]:
    """To the job as it now stands, and why the ledger cannot be read: of one look at it."""
    key = key_of(conn, job)
    known, unreadable = _agreements_or_why(key.database, access)
    found = known.get(key)
    agreed = found is not None and found.digest == digest_of(conn, job)
    return found if agreed else None, unreadable


def _agreements_or_why(database: str, access: Access) -> tuple[dict[JobKey, Agreement], str | None]:
    here = {key: found for key, found in _here.items() if key.database == database}
    try:
        return Ledger(access.ledger).agreements(database) | here, None
    except LedgerError as error:
        return here, str(error)


def require_agreement(
    conn: sqlite3.Connection, job: Job, access: Access, digest: str | None = None
) -> None:
    """Raises JobPaused for a job that nobody has agreed to, as one that a trigger changed while it
    was claimed.

    digest: of the job as it was agreed to, from the process that started this one
    """
    if digest is not None and digest == digest_of(conn, job):
        return
    if why := why_not_agreed(conn, job, access):
        raise JobPaused(f"Job {job.id} is not run. {why}")


def check_brought(job: Job) -> None:
    """For a job that nobody on this machine has agreed to as it stands. Raises TrainingError for a
    training with options that a database file may not bring, see `check_from_file`; JobError for
    settings that are none."""
    if job.kind == "train":
        request = settings_of(job, TrainSettings).request
        check_from_file(get_trainer(request.trainer), request.chosen)


def ask(
    conn: sqlite3.Connection,
    job_id: int,
    action: str,
    access: Access,
    limit_usd: float | None = None,
) -> Job:
    """`store.jobs.ask_job` for a person: to have a job go on is to agree to it.

    limit_usd: what it may cost in all from now on; None: as agreed before
    Raises as `ask_job` does, and `check_brought` for what is to run.
    """
    with transaction(conn):  # a worker must not take it under the old terms
        job = ask_job(conn, job_id, action)
        runs = action in ("run", "resume", "retry")
        if runs or is_ending(job):
            before = agreement_to(conn, job, access)
            if before is None and runs:
                check_brought(job)
            before = before or Agreement("")
            limit = before.limit_usd if limit_usd is None else limit_usd
            agree(conn, job, access, limit, before.expected_usd)
    return job


def paid_trainer(conn: sqlite3.Connection, job: Job) -> str | None:
    """The trainer that the job costs money with; None when it costs none."""
    return next((name for name in _trainers(conn, job) if _costs_money(name)), None)


def _trainers(conn: sqlite3.Connection, job: Job) -> Iterator[str]:
    """Every trainer that the job may lead to: its fields need not agree with each other."""
    if "trainer" in job.settings:
        yield str(job.settings["trainer"])
    if job.settings.get("uid") is not None:
        with suppress(FtclassifyError):  # it is gone, and so is what it could cost
            yield find_by_uid(conn, str(job.settings["uid"])).trainer
    if job.classifier_id is not None:
        with suppress(FtclassifyError):
            yield find_by_id(conn, job.classifier_id).trainer


def _costs_money(trainer: str) -> bool:
    try:
        return get_trainer(trainer).capabilities.costs_money
    except FtclassifyError:
        return False  # there is none of that name, and the job says so in its own record
