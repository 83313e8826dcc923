"""The state of jobs: settings, lease, progress and result.

A process runs a job under a lease, which it renews while it lives. Every write under a lease is in
a transaction that also checks the lease, so a process that lost it to another one can no longer
write.
"""

from __future__ import annotations

import json
import sqlite3
import uuid
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import closing
from dataclasses import fields
from typing import Any

from ...core.database import Cell
from ...core.errors import ArtifactError, JobError, JobNotFound
from ...core.job_events import REQUESTED, RESUMED, STARTED, EventKind, Figures
from ...core.untrusted_json import MOST_BYTES, MOST_SHOWN, JsonObject, read_json
from ..cell_size import at_most, fits
from ..classifiers import has_store, now
from ..schema import ensure_schema, transaction
from ..version_numbers import new_job_number
from .events import note
from .job import Job
from .leases import lease_ends
from .remote_cancel import TO_BE_CANCELLED, goes_on_elsewhere, is_ending, why_lost
from .states import ACTIONS, UNFINISHED, ending

ENDED = ("finished", "failed", "cancelled")

LONGEST = 10_000
"""Characters of a text of a job, of which the error is the longest."""

BRIEF_BYTES = 20_000
BRIEF_SETTINGS = 400_000
"""Of JSON that is read of a job in a list. Settings have some hundred bytes, or say what 500 labels
mean in a paragraph each."""


def add_job(
    conn: sqlite3.Connection,
    kind: str,
    settings: JsonObject,
    *,
    classifier_id: int | None = None,
    estimate: JsonObject | None = None,
) -> Job:
    """A new queued job, or the unfinished one that was asked for in the same words and that nobody
    has asked to end.

    estimate: what it is expected to cost, as it was confirmed; kept with the job
    """
    ensure_schema(conn)
    with transaction(conn):
        number = _unfinished(conn, kind, settings)
        if number is None:
            number = new_job_number(conn)
            conn.execute(
                "insert into _ftclassify_jobs (id, kind, state, settings, classifier_id, nonce,"
                " created_at, updated_at) values (?, ?, 'queued', ?, ?, ?, ?, ?)",
                [number, kind, _words(settings), classifier_id, uuid.uuid4().hex, now(), now()],
            )
        else:
            sql = "update _ftclassify_jobs set nonce = ? where id = ? and nonce is null"
            conn.execute(sql, [uuid.uuid4().hex, number])
        if estimate is not None:
            conn.execute(
                "update _ftclassify_jobs set estimate = ? where id = ?",
                [json.dumps(estimate, ensure_ascii=False), number],
            )
    return get_job(conn, number)


def find_unfinished(conn: sqlite3.Connection, kind: str, settings: JsonObject) -> Job | None:
    """The job that `add_job` would give again; None where it would make a new one. Raises JobError
    when it is damaged."""
    number = _unfinished(conn, kind, settings) if has_store(conn) else None
    return None if number is None else get_job(conn, number)


def _unfinished(conn: sqlite3.Connection, kind: str, settings: JsonObject) -> int | None:
    marks = ", ".join("?" * len(UNFINISHED))
    row = conn.execute(
        "select id from _ftclassify_jobs where kind = ? and settings = ?"
        f" and state in ({marks}) and wanted is not 'cancel' order by id limit 1",
        [kind, _words(settings), *UNFINISHED],
    ).fetchone()
    return None if row is None else int(row[0])


def _words(settings: JsonObject) -> str:
    return json.dumps(settings, ensure_ascii=False, sort_keys=True)


def get_job(conn: sqlite3.Connection, job_id: int) -> Job:
    """Raises JobNotFound."""
    row = None
    if has_store(conn):
        row = next(_rows(conn, "where id = ?", [job_id]), None)
    if row is None:
        raise JobNotFound(f"There is no job {job_id} in this database.")
    return _job(row)


def brief_jobs(conn: sqlite3.Connection, ids: Sequence[int]) -> Iterator[Job]:
    """Of the jobs with these ids what a list shows, newest first, without damaged and deleted ones.

    They have no position, a result only where it is that of a prediction, and `{}` in the place of
    JSON of more than BRIEF_BYTES or BRIEF_SETTINGS: no job is run or judged by that.
    """
    if not ids or not has_store(conn):
        return iter(())
    tail = f"where id in ({', '.join('?' * len(ids))}) order by id desc"
    found = (_job_or_none(row) for row in _rows(conn, tail, ids, _brief_cell))
    return (job for job in found if job is not None)


def _rows(
    conn: sqlite3.Connection,
    tail: str,
    values: Sequence[Any] = (),
    cell: Callable[[str], str] | None = None,
) -> Iterator[dict[str, Cell]]:
    """Rows by column: a file of an older version, which cannot be written, has fewer.

    cell: the SQL that is read of a column; None: the cell, or as much as shows that it is too long
    """
    here = conn.execute("select name from pragma_table_info('_ftclassify_jobs')")
    names = [name for (name,) in here.fetchall() if name in _STORED]
    cells = ", ".join(map(cell or _cell, names))
    cursor = conn.execute(f"select {cells} from _ftclassify_jobs {tail}", values)
    return (dict(zip(names, row, strict=True)) for row in cursor)


def _cell(name: str) -> str:
    most = MOST_BYTES if name in _JSON else LONGEST
    return (
        f"case when typeof({name}) in ('text', 'blob') then {at_most(name, most)} else {name} end"
    )


def _brief_cell(name: str) -> str:
    if name == "position":
        return "null"
    if name not in _JSON:
        return _cell(name)
    small = fits(name, BRIEF_SETTINGS if name == "settings" else BRIEF_BYTES)
    cell = f"case when {small} then {name} when {name} is not null then '{{}}' end"
    return f"case when kind = 'predict' then {cell} end" if name == "result" else cell


def _job_or_none(row: dict[str, Cell]) -> Job | None:
    try:
        return _job(row)
    except JobError:
        return None


def _job(row: dict[str, Cell]) -> Job:
    try:
        return Job(**{name: _checked(name, row[name]) for name in _STORED if name in row})
    except (ValueError, TypeError, ArtifactError) as error:
        raise JobError(f"Job {row['id']!r} is damaged in this file: delete its row.") from error


_STORED = tuple(field.name for field in fields(Job) if field.name != "tried_again")
_JSON = {"settings": dict, "position": list, "result": dict, "remote": dict, "estimate": dict}
_NUMBERS: dict[str, type | tuple[type, ...]] = dict.fromkeys(
    ("id", "classifier_id", "total", "done", "skipped", "failed"), int
)
_NUMBERS |= dict.fromkeys(("lease_until", "lease_clock", "ends_at"), (int, float))
_REQUIRED = ("id", "kind", "state", "step", "settings", "done", "skipped", "failed")


def _checked(name: str, cell: Any) -> Any:
    """A cell as a job has it. Raises ValueError for what can stand in none that we wrote."""
    if cell is None and name not in _REQUIRED:
        return None
    value = read_json(cell, name, most_characters=MOST_SHOWN) if name in _JSON else cell
    expected = _JSON.get(name) or _NUMBERS.get(name, str)
    too_long = isinstance(value, str) and len(value) > LONGEST
    if too_long or not isinstance(value, expected):
        raise ValueError(f"{name} is not what it should be")
    return value


def claim_job(conn: sqlite3.Connection, job_id: int, owner: str) -> Job:
    """Takes a queued, paused, failed or interrupted job for `owner`.

    A pause or cancellation that was requested of a process which died before it saw that is still
    requested. Raises JobError when another process runs it, or it has ended.
    """
    with transaction(conn):
        job = get_job(conn, job_id)
        if job.state == "running" and not job.interrupted:
            raise JobError(f"Job {job_id} is running in another process: wait until it has ended.")
        if job.state not in UNFINISHED:
            raise JobError(f"Job {job_id} is {job.state}: there is nothing left to run.")
        wanted = job.wanted if job.wanted in ("pause", "cancel") else None
        conn.execute(
            "update _ftclassify_jobs set state = 'running', wanted = ?, error = null, owner = ?,"
            " lease_until = ?, lease_clock = ?, started_at = coalesce(started_at, ?),"
            " ends_at = null, updated_at = ? where id = ?",
            [wanted, owner, *lease_ends(), now(), now(), job_id],
        )
        if job.started_at:
            note(conn, job_id, RESUMED, "goes on", {"rows": job.rows_done})
        else:
            note(conn, job_id, STARTED, "started", {"rows": job.rows_done})
    claimed = get_job(conn, job_id)
    claimed.tried_again = job.state == "failed" or job.wanted == "retry"
    return claimed


def note_terms(conn: sqlite3.Connection, job_id: int, terms: JsonObject) -> Job:
    """Keeps with a job what it is expected to cost and may cost, as it was agreed last."""
    with transaction(conn):
        conn.execute(
            "update _ftclassify_jobs set estimate = ? where id = ?",
            [json.dumps(terms, ensure_ascii=False), job_id],
        )
    return get_job(conn, job_id)


def next_job(conn: sqlite3.Connection, besides: Collection[int] = ()) -> int | None:
    """The oldest job that waits for a worker: queued, or left behind by a dead process. Not a
    single text, which runs at once in the process that wants the answer."""
    if not has_store(conn):
        return None
    sql = (
        "select id from _ftclassify_jobs where state = 'running'"
        " or (state = 'queued' and kind <> 'ask') order by id"
    )
    with closing(conn.execute(sql)) as found:
        ids = (id_ for (id_,) in found if id_ not in besides)
        jobs = (_job_or_none(row) for id_ in ids for row in _rows(conn, "where id = ?", [id_]))
        waiting = (job for job in jobs if job and (job.state == "queued" or job.interrupted))
        first = next(waiting, None)
    return None if first is None else first.id


def renew_lease(conn: sqlite3.Connection, job_id: int, owner: str) -> str | None:
    """Renews the lease of `owner`; gives what is requested: pause, cancel, or None.

    Raises JobError when the job is no longer the owner's.
    """
    with transaction(conn):
        return _prove(conn, job_id, owner)


def save_progress(conn: sqlite3.Connection, job: Job) -> None:
    """Stores step, position and counts, and reads whether a pause or cancellation is requested.

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
    kind: EventKind,
    message: str,
    *,
    data: Figures | None = None,
    key: str | None = None,
) -> None:
    """Notes something that happened in a running job; nothing when the key was noted before.

    data: figures, such as {"step": 10, "train_loss": 0.3}
    Raises JobError when the job is no longer its owner's.
    """
    with transaction(conn):
        _prove(conn, job.id, job.owner)
        note(conn, job.id, kind, message, data, key)


def _prove(conn: sqlite3.Connection, job_id: int, owner: str | None) -> str | None:
    changed = conn.execute(
        "update _ftclassify_jobs set lease_until = ?, lease_clock = ?, updated_at = ?"
        " where id = ? and owner = ? and state = 'running'",
        [*lease_ends(), now(), job_id, owner],
    ).rowcount
    if not changed:
        raise JobError(why_lost(conn, job_id))
    row = conn.execute("select wanted from _ftclassify_jobs where id = ?", [job_id]).fetchone()
    return None if row[0] is None else str(row[0])


def end_job(
    conn: sqlite3.Connection,
    job: Job,
    state: str,
    *,
    result: JsonObject | None = None,
    error: str | None = None,
) -> None:
    """Stores how it ended, or that it is paused, and gives up the lease. Raises ValueError for
    another state."""
    with transaction(conn):
        _prove(conn, job.id, job.owner)
        conn.execute(
            "update _ftclassify_jobs set state = ?, wanted = null, result = ?, error = ?,"
            " owner = null, lease_until = null where id = ?",
            [
                state,
                None if result is None else json.dumps(result, ensure_ascii=False),
                None if error is None else error[:LONGEST],
                job.id,
            ],
        )
        note(conn, job.id, ending(state), f"{state}: {error}" if error else state)


def ask_job(conn: sqlite3.Connection, job_id: int, action: str) -> Job:
    """Requests `pause`, `cancel`, `resume` or `retry`.

    A running job follows at its next batch; one that does not run changes at once. Only a cancelled
    one with something running at a service is queued first, for a worker that cancels it there; a
    second request cancels it here alone.
    Raises JobError when the job's state does not allow it.
    """
    becomes = {"pause": "paused", "cancel": "cancelled"}
    with transaction(conn):
        job = get_job(conn, job_id)
        if job.state not in ACTIONS[action]:
            raise JobError(f"Job {job_id} is {job.state}: there is nothing to {action}.")
        if action == "run" and job.state == "running" and not job.interrupted:
            raise JobError(f"Job {job_id} is running already.")
        message = f"asked to {action}"
        if job.state == "running" and not job.interrupted:
            conn.execute("update _ftclassify_jobs set wanted = ? where id = ?", [action, job_id])
        elif action == "cancel" and goes_on_elsewhere(conn, job) and not is_ending(job):
            _set_aside(conn, job, "queued", action, TO_BE_CANCELLED)
        else:
            if is_ending(job) and action == "cancel":
                message += ", but the service was not told: what it has begun continues there"
            # A retry is remembered: it is the permission to pay for another training.
            state = becomes.get(action, "queued")
            _set_aside(conn, job, state, action if action == "retry" else None, "")
        note(conn, job_id, REQUESTED, message)
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
