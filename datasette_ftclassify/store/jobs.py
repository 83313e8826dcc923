"""Jobs: what was asked for, who is at it, and how far it has come.

A process runs a job under a lease, which it renews while it lives. What is written under a lease is
written in a transaction that also proves the lease, so a process that was taken for dead, and
replaced, can no longer write.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import JobError, JobNotFound
from .classifiers import has_store, now
from .ending import TO_BE_CANCELLED, goes_on_elsewhere, is_ending
from .owners import is_leased, new_owner
from .schema import ensure_schema, transaction

__all__ = [
    "LEASE_SECONDS", "UNFINISHED", "WISHES", "Event", "Job", "add_event", "add_job", "ask_job",
    "claim_job", "end_job", "figures", "get_job", "is_ending", "job_events", "list_jobs",
    "new_owner", "next_job", "note", "note_terms", "renew_lease", "save_progress",
]  # fmt: skip

LEASE_SECONDS = 30.0
"""How long a process may be silent before another one takes its job."""

UNFINISHED = ("queued", "running", "paused", "failed")

WISHES = {
    "pause": ("queued", "running"),
    "resume": ("paused",),
    "retry": ("failed", "cancelled"),
    "cancel": ("queued", "running", "paused", "failed"),
}
"""What may be asked of a job, and in which states."""

_COLUMNS = (
    "id, kind, state, wanted, step, settings, classifier_id, position, total, done, skipped,"
    " result, error, owner, lease_until, created_at, started_at, updated_at, remote, estimate,"
    " failed"
)
_JSON = [_COLUMNS.split(", ").index(name) for name in ("settings", "position", "result")]
_JSON += [_COLUMNS.split(", ").index(name) for name in ("remote", "estimate")]


@dataclass
class Job:
    """A job as it stands in the database; fields as described in the schema."""

    id: int
    kind: str
    state: str
    wanted: str | None
    step: str
    settings: dict[str, Any]
    classifier_id: int | None
    position: list[Any] | None
    total: int | None
    done: int
    skipped: int
    result: dict[str, Any] | None
    error: str | None
    owner: str | None
    lease_until: float | None
    created_at: str
    started_at: str | None
    updated_at: str
    remote: dict[str, Any] | None = None
    estimate: dict[str, Any] | None = None
    failed: int = 0
    tried_again: bool = False
    """In the process that claimed it: whether somebody asked for another try of a failed one."""

    @property
    def interrupted(self) -> bool:
        """Whether it counts as running, but nobody runs it."""
        return self.state == "running" and not is_leased(self.owner, self.lease_until)

    def to_dict(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "kind": self.kind,
            "state": "interrupted" if self.interrupted else self.state,
            "step": self.step,
            "settings": self.settings,
            "total": self.total,
            "done": self.done,
            "skipped": self.skipped,
            "failed": self.failed,
            "estimate": self.estimate,
            "result": self.result,
            "error": self.error,
            "created_at": self.created_at,
            "started_at": self.started_at,
            "updated_at": self.updated_at,
        }


def add_job(
    conn: sqlite3.Connection,
    kind: str,
    settings: dict[str, Any],
    *,
    classifier_id: int | None = None,
    estimate: dict[str, Any] | None = None,
) -> Job:
    """A new queued job, or the unfinished one that was asked for in the same words.

    estimate: what it is expected to cost, as it was confirmed; kept with the job
    """
    ensure_schema(conn)
    text = json.dumps(settings, ensure_ascii=False, sort_keys=True)
    marks = ", ".join("?" * len(UNFINISHED))
    with transaction(conn):
        row = conn.execute(
            "select id from _ftclassify_jobs where kind = ? and settings = ?"
            f" and state in ({marks}) order by id limit 1",
            [kind, text, *UNFINISHED],
        ).fetchone()
        if row is None:
            row = (_new_id(conn),)
            conn.execute(
                "insert into _ftclassify_jobs (id, kind, state, settings, classifier_id,"
                " created_at, updated_at) values (?, ?, 'queued', ?, ?, ?, ?)",
                [row[0], kind, text, classifier_id, now(), now()],
            )
        if estimate is not None:
            conn.execute(
                "update _ftclassify_jobs set estimate = ? where id = ?",
                [json.dumps(estimate, ensure_ascii=False), row[0]],
            )
    return get_job(conn, row[0])


def _new_id(conn: sqlite3.Connection) -> int:
    """One that no job has had: what deleted jobs spent is kept under theirs."""
    row = conn.execute(
        "select max(coalesce((select max(id) from _ftclassify_jobs), 0), coalesce("
        "(select max(job_id) from _ftclassify_spending where typeof(job_id) = 'integer'"
        " and job_id < ?), 0))",
        [2**53],  # a file that somebody else made may hold a number that has no next one
    )
    return int(row.fetchone()[0]) + 1


def get_job(conn: sqlite3.Connection, job_id: int) -> Job:
    """Raises JobNotFound."""
    row = None
    if has_store(conn):
        sql = f"select {_COLUMNS} from _ftclassify_jobs where id = ?"
        row = conn.execute(sql, [job_id]).fetchone()
    if row is None:
        raise JobNotFound(f"There is no job {job_id} in this database: see ftclassify jobs list.")
    return _job(row)


def list_jobs(conn: sqlite3.Connection) -> list[Job]:
    """All jobs, newest first."""
    if not has_store(conn):
        return []
    rows = conn.execute(f"select {_COLUMNS} from _ftclassify_jobs order by id desc")
    return [_job(row) for row in rows.fetchall()]


def _job(row: tuple[Any, ...]) -> Job:
    values = list(row)
    try:
        for index in _JSON:
            values[index] = None if values[index] is None else json.loads(values[index])
        if not isinstance(values[5], dict) or not isinstance(values[_JSON[3]] or {}, dict):
            raise ValueError("settings are a JSON object")
    except (ValueError, TypeError, RecursionError) as error:
        raise JobError(f"Job {row[0]} is damaged in this file: delete its row.") from error
    return Job(*values)


def claim_job(conn: sqlite3.Connection, job_id: int, owner: str) -> Job:
    """Takes a queued, paused, failed or interrupted job for `owner`.

    A pause or an end that was asked of a process which died before it saw it is still wanted.
    Raises JobError when somebody is at it, or it has ended.
    """
    with transaction(conn):
        job = get_job(conn, job_id)
        if job.state == "running" and not job.interrupted:
            raise JobError(
                f"Job {job_id} is running in another process: follow it with "
                f"ftclassify jobs follow, or wait until it has ended."
            )
        if job.state not in UNFINISHED:
            raise JobError(f"Job {job_id} is {job.state}: there is nothing left to run.")
        wanted = job.wanted if job.wanted in ("pause", "cancel") else None
        conn.execute(
            "update _ftclassify_jobs set state = 'running', wanted = ?, error = null,"
            " owner = ?, lease_until = ?, started_at = coalesce(started_at, ?), updated_at = ?"
            " where id = ?",
            [wanted, owner, time.time() + LEASE_SECONDS, now(), now(), job_id],
        )
        through = job.done + job.skipped + job.failed
        note(conn, job_id, "goes on" if job.started_at else "started", {"rows": through})
    claimed = get_job(conn, job_id)
    claimed.tried_again = job.state == "failed" or job.wanted == "retry"
    return claimed


def note_terms(conn: sqlite3.Connection, job_id: int, terms: Mapping[str, Any]) -> Job:
    """Keeps with a job what it is expected to cost and may cost, as it was agreed last."""
    with transaction(conn):
        conn.execute(
            "update _ftclassify_jobs set estimate = ? where id = ?",
            [json.dumps(terms, ensure_ascii=False), job_id],
        )
    return get_job(conn, job_id)


def next_job(conn: sqlite3.Connection, besides: Collection[int] = ()) -> int | None:
    """The oldest job that waits for a worker: queued, or left behind by a dead process."""
    waiting = [job.id for job in list_jobs(conn) if job.state == "queued" or job.interrupted]
    return next((id_ for id_ in reversed(waiting) if id_ not in besides), None)


def renew_lease(conn: sqlite3.Connection, job_id: int, owner: str) -> str | None:
    """Shows that `owner` lives; gives what somebody wants of it: pause, cancel, or None.

    Raises JobError when the job is no longer the owner's.
    """
    with transaction(conn):
        return _prove(conn, job_id, owner)


def save_progress(conn: sqlite3.Connection, job: Job) -> None:
    """Writes down step, position and counts, and learns what is wanted of the job.

    Call in the transaction that writes the answers.

    Raises JobError, and with it undoes the transaction, when the job is no longer its owner's.
    """
    job.wanted = _prove(conn, job.id, job.owner)
    conn.execute(
        "update _ftclassify_jobs set step = ?, classifier_id = ?, position = ?, total = ?,"
        " done = ?, skipped = ?, failed = ?, remote = ? where id = ?",
        [
            job.step,
            job.classifier_id,
            None if job.position is None else json.dumps(job.position),
            job.total,
            job.done,
            job.skipped,
            job.failed,
            None if job.remote is None else json.dumps(job.remote, ensure_ascii=False),
            job.id,
        ],
    )


def add_event(
    conn: sqlite3.Connection,
    job: Job,
    message: str,
    *,
    data: dict[str, Any] | None = None,
    key: str | None = None,
) -> None:
    """Notes something that happened in a running job; nothing when the key was noted before.

    data: figures, such as {"step": 10, "train_loss": 0.3}
    Raises JobError when the job is no longer its owner's.
    """
    with transaction(conn):
        _prove(conn, job.id, job.owner)
        note(conn, job.id, message, data, key)


def _prove(conn: sqlite3.Connection, job_id: int, owner: str | None) -> str | None:
    changed = conn.execute(
        "update _ftclassify_jobs set lease_until = ?, updated_at = ?"
        " where id = ? and owner = ? and state = 'running'",
        [time.time() + LEASE_SECONDS, now(), job_id, owner],
    ).rowcount
    if not changed:
        raise JobError(f"Job {job_id} was taken over by another process, which goes on with it.")
    row = conn.execute("select wanted from _ftclassify_jobs where id = ?", [job_id]).fetchone()
    return None if row[0] is None else str(row[0])


def end_job(
    conn: sqlite3.Connection,
    job: Job,
    state: str,
    *,
    result: dict[str, Any] | None = None,
    error: str | None = None,
) -> None:
    """Writes down how it ended, or that it rests, and gives up the lease."""
    with transaction(conn):
        _prove(conn, job.id, job.owner)
        conn.execute(
            "update _ftclassify_jobs set state = ?, wanted = null, result = ?, error = ?,"
            " owner = null, lease_until = null where id = ?",
            [
                state,
                None if result is None else json.dumps(result, ensure_ascii=False),
                error,
                job.id,
            ],
        )
        note(conn, job.id, f"{state}: {error}" if error else state)


def ask_job(conn: sqlite3.Connection, job_id: int, wish: str) -> Job:
    """Asks for `pause`, `cancel`, `resume` or `retry`.

    Whoever runs the job does so at the next batch; a job that nobody runs changes at once. Only
    one of which something goes on at a service, and is to be cancelled, is queued for whoever can
    tell the service; asked a second time, it is cancelled here alone.
    Raises JobError when the job's state does not allow it.
    """
    becomes = {"pause": "paused", "cancel": "cancelled", "resume": "queued", "retry": "queued"}
    with transaction(conn):
        job = get_job(conn, job_id)
        if job.state not in WISHES[wish]:
            raise JobError(f"Job {job_id} is {job.state}: there is nothing to {wish}.")
        told = f"asked to {wish}"
        if job.state == "running" and not job.interrupted:
            conn.execute("update _ftclassify_jobs set wanted = ? where id = ?", [wish, job_id])
        elif wish == "cancel" and goes_on_elsewhere(conn, job) and not is_ending(job):
            _set_aside(conn, job, "queued", wish, TO_BE_CANCELLED)
        else:
            if is_ending(job) and wish == "cancel":
                told += ", and nobody told the service: what it has begun goes on there"
            # A retry is remembered: it is the permission to pay for another training.
            _set_aside(conn, job, becomes[wish], wish if wish == "retry" else None, "")
        note(conn, job_id, told)
    return get_job(conn, job_id)


def _set_aside(
    conn: sqlite3.Connection, job: Job, state: str, wanted: str | None, step: str
) -> None:
    step = step or ("" if job.step == TO_BE_CANCELLED else job.step)
    conn.execute(
        "update _ftclassify_jobs set state = ?, wanted = ?, step = ?, owner = null,"
        " lease_until = null, updated_at = ? where id = ?",
        [state, wanted, step, now(), job.id],
    )


def note(
    conn: sqlite3.Connection,
    job_id: int,
    message: str,
    data: dict[str, Any] | None = None,
    key: str | None = None,
) -> None:
    """Adds an event, without a proof of the lease: `add_event` is for those who have one."""
    conn.execute(
        "insert or ignore into _ftclassify_job_events"
        " (job_id, created_at, message, data, event_key) values (?, ?, ?, ?, ?)",
        [job_id, now(), message, None if data is None else json.dumps(data), key],
    )


@dataclass(frozen=True)
class Event:
    """Something that happened in a job; `data` holds figures, if any."""

    at: str
    message: str
    data: dict[str, Any] | None = None


def job_events(conn: sqlite3.Connection, job_id: int) -> list[Event]:
    """Oldest first."""
    rows = conn.execute(
        "select created_at, message, data from _ftclassify_job_events where job_id = ? order by id",
        [job_id],
    )
    return [Event(at, message, figures(data)) for at, message, data in rows.fetchall()]


def figures(text: object) -> dict[str, Any] | None:
    """An event's data as stored; None when there are none, or they make no sense."""
    try:
        data = json.loads(text) if isinstance(text, str) else None
    except (ValueError, RecursionError):
        return None
    return data if isinstance(data, dict) else None
