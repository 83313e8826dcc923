"""Jobs: what was asked for, and how far it has come."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass
from typing import Any

from .classifiers import now


@dataclass
class Job:
    """A prediction job. `position` is the key of the last row whose answer is committed."""

    id: int
    position: list[Any] | None
    total: int
    done: int
    skipped: int


def start_job(
    conn: sqlite3.Connection, kind: str, classifier_id: int, settings: dict[str, Any], total: int
) -> Job:
    """A new job, or the same one (equal settings) where it was interrupted.

    Call inside a transaction.
    """
    text = json.dumps({"kind": kind, **settings}, ensure_ascii=False, sort_keys=True)
    row = conn.execute(
        "select id, position, done, skipped from _ftclassify_jobs"
        " where settings = ? and state = 'running'",
        [text],
    ).fetchone()
    if row is not None:
        conn.execute("update _ftclassify_jobs set total = ? where id = ?", [total, row[0]])
        position = None if row[1] is None else json.loads(row[1])
        return Job(row[0], position, total, row[2], row[3])
    conn.execute("delete from _ftclassify_jobs where settings = ?", [text])
    cursor = conn.execute(
        "insert into _ftclassify_jobs (kind, state, classifier_id, settings, total, done, skipped,"
        " created_at, updated_at) values (?, 'running', ?, ?, ?, 0, 0, ?, ?)",
        [kind, classifier_id, text, total, now(), now()],
    )
    assert cursor.lastrowid is not None
    return Job(cursor.lastrowid, None, total, 0, 0)


def save_position(conn: sqlite3.Connection, job: Job) -> None:
    """Writes down how far the job has come. Call in the transaction that writes its answers."""
    conn.execute(
        "update _ftclassify_jobs set position = ?, done = ?, skipped = ?, updated_at = ?"
        " where id = ?",
        [json.dumps(job.position), job.done, job.skipped, now(), job.id],
    )


def finish_job(conn: sqlite3.Connection, job: Job) -> None:
    with conn:
        conn.execute(
            "update _ftclassify_jobs set state = 'finished', updated_at = ? where id = ?",
            [now(), job.id],
        )
