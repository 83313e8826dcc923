"""Jobs and their events as output: lines for people, JSON objects for programs."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

from ..present.jobs import classifier_of, describe, money, progress_text, shows_step
from ..store.classifiers import find_by_id

if TYPE_CHECKING:
    import sqlite3

    from ..present.jobs import JobFacts
    from ..store.jobs.events import Event
    from ..store.jobs.job import Job
    from ..store.jobs.queries import Find

MOST_FIGURES = 4
"""Events with figures in a row that are shown one by one."""


def line(conn: sqlite3.Connection, job: Job) -> str:
    """All that fits on one line."""
    return line_of(conn, describe(conn, job))


def line_of(conn: sqlite3.Connection, facts: JobFacts, find: Find = find_by_id) -> str:
    job = facts.job
    parts = [
        f"{job.id:4}", f"{job.kind:8}", f"{job.shown_state:11}", job.created_at,
        *(part for part in (_about(conn, job, find), *_figures(facts)) if part),
    ]  # fmt: skip
    return "  ".join(parts)


def _figures(facts: JobFacts) -> list[str]:
    job = facts.job
    parts = [progress_text(job, facts.pace), money(job, facts.usd)]
    if shows_step(job):
        parts.append(job.step)
    # Of a job that waits or runs again, the error is an old one.
    return [*parts, (job.error or "") if job.state in ("paused", "failed", "cancelled") else ""]


def _about(conn: sqlite3.Connection, job: Job, find: Find) -> str:
    from ..jobs.kinds import kind_of, named

    classifier = classifier_of(conn, job, find)
    return named(kind_of(job.kind).line, job, None, classifier.title if classifier else None)


def settings_lines(job: Job) -> list[str]:
    """The settings of a job, a line for each group; for any content of a stranger's file."""
    from ..present.settings import settings_list

    groups = {n: {n: value} for n, value in job.settings.items() if isinstance(value, dict)}
    plain = {name: value for name, value in job.settings.items() if name not in groups}
    agreed = {name: (job.estimate or {}).get(name) for name in _AGREED}
    return [
        f"{title:10}{', '.join(words)}"
        for title, group in {"settings": plain, **groups, "agreed": agreed}.items()
        if (words := [f"{name} {value}" for name, value in settings_list(group)])
    ]


_AGREED = ("limit_usd", "concurrency", "max_errors", "batch")


def event_lines(events: list[Event]) -> list[str]:
    """A line for each event; of a row of figures the first and the last."""
    lines: list[str] = []
    for is_figures, group in groupby(events, lambda event: "step" in (event.data or {})):
        some = [event_line(event) for event in group]
        if is_figures and len(some) > MOST_FIGURES:
            some[1:-1] = [f"… {len(some) - 2:,} more events with figures: add --json to see them"]
        lines += some
    return lines


def event_line(event: Event) -> str:
    """When, what, and the figures that came with it."""
    figures = [
        f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in (event.data or {}).items()
        if isinstance(value, (int, float, str)) and name not in ("step", "total_steps")
    ]
    message = f"warning: {event.message}" if event.level == "warning" else event.message
    return "  ".join([event.at, message, *([", ".join(figures)] if figures else [])])
