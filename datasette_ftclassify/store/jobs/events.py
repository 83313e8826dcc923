"""The events of jobs, each noted once."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass
from typing import Any

from ..classifiers import now


@dataclass(frozen=True)
class Event:
    """Something that happened in a job; `data` holds figures, if any."""

    at: str
    message: str
    data: dict[str, Any] | None = None


def note(
    conn: sqlite3.Connection,
    job_id: int,
    message: str,
    data: dict[str, Any] | None = None,
    key: str | None = None,
) -> None:
    """Adds an event, without a proof of the lease: `jobs.add_event` is for those who have one.
    Nothing when the key was noted before."""
    conn.execute(
        "insert into _ftclassify_job_events"
        " (job_id, created_at, message, data, event_key) values (?, ?, ?, ?, ?)"
        " on conflict do nothing",
        [job_id, now(), message, None if data is None else json.dumps(data), key],
    )


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
