"""Cheap queries about jobs, for pages that poll."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from ...core.errors import JobError
from ...core.job_events import RESUMED, STARTED, Figures
from ..classifiers import Classifier, find_by_id, has_store
from ..tables import has_table
from .events import AT, DATA, MESSAGE, Event, figures, kind_column
from .job import Job
from .state import brief_jobs, get_job
from .states import ACTIVE

Find = Callable[[sqlite3.Connection, int], Classifier]

MOST_JOBS = 10_000
"""Of one file. Nobody reads a longer list, and a file that somebody else made may have millions."""

_AT_ONCE = 500
"""Ids in a query: old versions of SQLite take 999 parameters."""

MOST_FIGURES = 20_000
"""Of a training, the newest: a picture has room for some hundred."""

MOST_MESSAGES = 1_000
"""Of those about checkpoints or batches that are looked at, the newest."""


@dataclass(frozen=True)
class Noted(Event):
    """An event, and the number by which what came after it is asked for."""

    id: int = 0


def newest_jobs(
    conn: sqlite3.Connection,
    most: int = MOST_JOBS,
    *,
    kind: str | None = None,
    state: str | None = None,
) -> Iterator[Job]:
    """Newest first, read one by one: each may be megabytes, so whoever goes through many holds none
    of them, but the little that it needs. One whose row is damaged is left out.

    kind, state: only those of that kind, or in that state
    """
    found = (
        _job_or_none(conn, job_id) for job_id in newest_ids(conn, most, kind=kind, state=state)
    )
    return (job for job in found if job is not None)


def newest_brief(
    conn: sqlite3.Connection,
    most: int = MOST_JOBS,
    *,
    active: bool = False,
    kind: str | None = None,
) -> Iterator[Job]:
    """As `newest_jobs`, of each what a list shows: see `brief_jobs`."""
    ids = newest_ids(conn, most, active=active, kind=kind)
    for start in range(0, len(ids), _AT_ONCE):
        yield from brief_jobs(conn, ids[start : start + _AT_ONCE])


def newest_ids(
    conn: sqlite3.Connection,
    most: int,
    *,
    active: bool = False,
    kind: str | None = None,
    state: str | None = None,
    predicted_by: int | None = None,
    before: int | None = None,
) -> list[int]:
    """Of jobs, damaged ones among them, newest first.

    active:       only those that run or are queued
    kind, state:  only those of that kind, or in that state
    predicted_by: only the predictions of the classifier with that id
    before:       only those older than the job with that id
    """
    if not has_store(conn):
        return []
    conditions, values = ["1"], list[Any]()
    if active:
        conditions.append(f"state in ({', '.join('?' * len(ACTIVE))})")
        values += ACTIVE
    if predicted_by is not None:
        conditions.append("kind = 'predict'")
    for condition, value in (
        ("kind = ?", kind), ("state = ?", state), ("classifier_id = ?", predicted_by),
        ("id < ?", before),
    ):  # fmt: skip
        if value is not None:
            conditions.append(condition)
            values.append(value)
    rows = conn.execute(
        f"select id from _ftclassify_jobs where {' and '.join(conditions)}"
        " order by id desc limit ?",
        [*values, most],
    )
    return [job_id for (job_id,) in rows.fetchall()]


def _job_or_none(conn: sqlite3.Connection, job_id: int) -> Job | None:
    try:
        return get_job(conn, job_id)
    except JobError:
        return None


def remembered() -> Find:
    """`find_by_id` for many jobs, of which most are of a few classifiers."""
    return lru_cache(maxsize=16)(find_by_id)


def events_after(conn: sqlite3.Connection, job_id: int, after: int, most: int) -> list[Noted]:
    """The next events of a job after that number, oldest first."""
    return _noted(conn, job_id, "and id > ? order by id limit ?", after, most)


def last_events(conn: sqlite3.Connection, job_id: int, most: int) -> tuple[list[Noted], int]:
    """The last events of a job, oldest first, and how many there were before them."""
    found = _noted(conn, job_id, "order by id desc limit ?", most)
    sql = "select count(*) from _ftclassify_job_events where job_id = ?"
    total = int(conn.execute(sql, [job_id]).fetchone()[0])
    return found[::-1], total - len(found)


def last_start(conn: sqlite3.Connection, job_id: int) -> Event | None:
    """The event of the job's last beginning; its `data` has the rows that were done by then."""
    kind = kind_column(conn)
    which = f"({kind}) in (?, ?) or (({kind}) is null and message in ('started', 'goes on'))"
    tail = f"and ({which}) order by id desc limit 1"
    return next(iter(_noted(conn, job_id, tail, STARTED.name, RESUMED.name)), None)


def _noted(conn: sqlite3.Connection, job_id: int, tail: str, *values: Any) -> list[Noted]:
    rows = conn.execute(
        f"select {AT}, {MESSAGE}, {DATA}, {kind_column(conn)}, id from _ftclassify_job_events"
        f" where job_id = ? {tail}",
        [job_id, *values],
    )
    return [
        Noted(str(at), str(message), figures(data), kind, number)
        for at, message, data, kind, number in rows.fetchall()
    ]


def training_figures(conn: sqlite3.Connection, job_id: int) -> list[Figures]:
    """Losses and accuracies of a training so far, as its events have them, oldest first."""
    rows = conn.execute(
        f"select {DATA} from _ftclassify_job_events where job_id = ? and data is not null"
        " order by id desc limit ?",
        [job_id, MOST_FIGURES],
    )
    found = [figures(data) for (data,) in reversed(rows.fetchall())]
    return [data for data in found if data and "step" in data]


def checkpoint_messages(conn: sqlite3.Connection, job_id: int) -> list[str]:
    """What a service said when it kept a checkpoint."""
    rows = conn.execute(
        f"select {MESSAGE} from _ftclassify_job_events"
        " where job_id = ? and message like '%checkpoint%step%' order by id desc limit ?",
        [job_id, MOST_MESSAGES],
    )
    return [str(message) for (message,) in reversed(rows.fetchall())]


def batch_ids(conn: sqlite3.Connection, job_id: int) -> list[tuple[str, str, int]]:
    """(id at the service, its state with us, requests) of the job's batches; none in a file of a
    version that had no batches."""
    if not has_table(conn, "batches"):
        return []
    rows = conn.execute(
        "select batch_id, state, requests from _ftclassify_batches"
        " where job_id = ? and batch_id is not null order by id desc limit ?",
        [job_id, MOST_MESSAGES],
    )
    return [(str(name), str(state), count) for name, state, count in reversed(rows.fetchall())]
