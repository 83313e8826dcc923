"""The events of jobs, each noted once; see core/job_events.py for their kinds."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass
from math import isfinite

from ...core.errors import ArtifactError
from ...core.job_events import EventKind, Figures, Level, level_of
from ...core.typed_json import in_json
from ...core.untrusted_json import read_object
from ..cell_size import cut
from ..classifiers import now


@dataclass(frozen=True)
class Event:
    """Something that happened in a job; `data` holds figures, if any.

    kind: one of `job_events.EVENTS`; None in a file of an earlier version
    """

    at: str
    message: str
    data: Figures | None = None
    kind: str | None = None

    @property
    @in_json
    def level(self) -> Level:
        return level_of(self.kind)


def note(
    conn: sqlite3.Connection,
    job_id: int,
    kind: EventKind,
    message: str,
    data: Figures | None = None,
    key: str | None = None,
) -> None:
    """Adds an event, without a proof of the lease: `jobs.add_event` is for those who have one.
    Nothing when the key was noted before. Raises ValueError for what was not declared."""
    kind.check(data)
    # A loss that is no number is none that JSON has.
    whole = {n: v for n, v in (data or {}).items() if not isinstance(v, float) or isfinite(v)}
    figures = None if data is None else json.dumps(whole)
    conn.execute(
        "insert into _ftclassify_job_events"
        " (job_id, created_at, message, data, event_key, kind) values (?, ?, ?, ?, ?, ?)"
        " on conflict do nothing",
        [job_id, now(), message, figures, key, kind.name],
    )


AT, MESSAGE, DATA = cut("created_at", 100), cut("message", 10_000), cut("data", 100_000)
"""A file may hold an event of any length; figures that were cut count as none."""


def job_events(conn: sqlite3.Connection, job_id: int) -> list[Event]:
    """Oldest first."""
    rows = conn.execute(
        f"select {AT}, {MESSAGE}, {DATA}, {kind_column(conn)} from _ftclassify_job_events"
        " where job_id = ? order by id",
        [job_id],
    )
    return [Event(at, message, figures(data), kind) for at, message, data, kind in rows.fetchall()]


def kind_column(conn: sqlite3.Connection) -> str:
    """Of an event's kind, as a text or NULL; of a file that nobody has written to since an earlier
    version, NULL."""
    columns = {row[1] for row in conn.execute("pragma table_info(_ftclassify_job_events)")}
    return (
        f"case typeof(kind) when 'text' then {cut('kind', 100)} end"
        if "kind" in columns
        else "null"
    )


def figures(text: object) -> Figures | None:
    """An event's data as stored; None when there are none, or they make no sense."""
    try:
        return None if text is None else read_object(text, "data of the event")
    except ArtifactError:
        return None
