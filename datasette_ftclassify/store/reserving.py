"""Money that jobs may have spent without anybody knowing it yet: no other job may spend it.

It is told by what is under way: the questions of a running job, which says what they may cost; the
batches that are not done; and the trainings at a service, for what was agreed.
"""

from __future__ import annotations

import sqlite3
from typing import Any

from .events import figures
from .jobs import Job


def set_reserved(conn: sqlite3.Connection, job: Job, usd: float) -> None:
    """Says what the questions of a running job may cost that are not paid for. Call in the
    transaction that has seen that there is room."""
    sql = "update _ftclassify_jobs set reserved = ? where id = ? and owner is ?"
    conn.execute(sql, [usd, job.id, job.owner])


def reserved_by_others(conn: sqlite3.Connection, job_id: int | None = None) -> float:
    """USD that all jobs but one may come to cost by what is under way. Call after ensure_schema."""
    questions = "reserved from _ftclassify_jobs where state = 'running' and id is not ?"
    batches = "usd from _ftclassify_batches where state <> 'done' and job_id is not ?"
    trainings = (
        "remote from _ftclassify_jobs where kind = 'train' and classifier_id is null"
        " and state in ('running', 'queued', 'paused', 'failed') and id is not ?"
    )
    amounts = [amount for sql in (questions, batches) for amount in _cells(conn, sql, job_id)]
    amounts += map(_of_training, _cells(conn, trainings, job_id))
    return sum(map(_usd, amounts))


def _cells(conn: sqlite3.Connection, sql: str, job_id: int | None) -> list[Any]:
    return [cell for (cell,) in conn.execute(f"select {sql}", [job_id])]


def _of_training(remote: object) -> object:
    """What a training that has been sent, or is about to be, was expected to cost."""
    from ..trainers.service import OVER

    noted = figures(remote) or {}
    prepared = noted.get("preparation")
    if noted.get("step") == OVER or not isinstance(prepared, dict):
        return None
    return prepared.get("usd")


def _usd(amount: object) -> float:
    """A file that somebody else made may hold anything, and less than nothing makes no room."""
    return max(float(amount), 0.0) if isinstance(amount, (int, float)) else 0.0
