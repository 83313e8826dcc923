"""Jobs as pages: how far each is, what happened in it, and the actions that it allows."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from datasette.utils.asgi import Forbidden, NotFound, Response

from ...core.humanize import shortened
from ...core.numbers import LIMIT_USD
from ...core.typed_json import as_json
from ...jobs.agreements import agreement_to, paid_trainer
from ...jobs.agreements import ask as ask_for
from ...jobs.as_published import without_places
from ...jobs.kinds import kind_of, named
from ...present.jobs import classifier_of, describe, pace, progress_text, shows_step
from ...present.settings import settings_list
from ...store.classifiers import Classifier
from ...store.jobs.job import Job
from ...store.jobs.queries import (
    Find,
    Noted,
    batch_ids,
    checkpoint_messages,
    events_after,
    last_events,
    newest_ids,
    remembered,
    training_figures,
)
from ...store.jobs.state import brief_jobs, note_terms
from ...store.jobs.states import ACTIONS
from ...store.schema import transaction
from .. import job_facts as parts
from ..classifier_names import require_may_replace
from ..form_fields import number
from ..job_tables import JobTables, JobViewer, tables_of_job
from ..lifespan import has_worker, wake
from ..operator_settings import access_of
from ..page_request import PageRequest
from ..permissions import PREDICT, SPEND, TRAIN, VIEW, may_write
from ..registry import page
from ..responses import done, form_page, show
from ..routing import table_of
from .classify import result_url

MOST_EVENTS = 500
"""Events on a page, and in one answer: what came before is in the next one."""

OPEN_EVENTS = 20
"""The newest ones, which stand open; those before them are folded away."""

MOST_JOBS = 200

MOST_READ = 5_000
"""Of the newest jobs, among which those are looked for that a page shows."""

_AT_ONCE = 25
"""Jobs that are read at once, within the time that a page has for a look."""


@dataclass(frozen=True)
class JobSummary:
    """A job in a list. share: how far it is, 0-1; None where nobody knows"""

    id: int
    kind: str
    writes_rows: bool
    state: str
    title: str
    table: str | None
    share: float | None
    rows: str
    active: bool
    created_at: str
    url: str = ""


# What else a POST needs depends on the kind of job: the view asks for it.
@page("/jobs/{id}", template="ftclassify_job.html", reads=VIEW, writes=VIEW)
async def job_page(ask: PageRequest) -> Response:
    """Its `.json?since=EVENT` is cheap enough for each second."""
    return await form_page(ask, _shown, _act)


async def _shown(ask: PageRequest) -> Response:
    job = ask.job
    served = has_worker(ask.datasette)
    access = await access_of(ask.datasette)
    agreed = await ask.read(lambda conn: agreement_to(conn, job, access) is not None)
    classifier = await ask.read(lambda conn: classifier_of(conn, job))
    said, inside, paid = await ask.read(
        lambda conn: _page_data(conn, job, classifier, served, agreed)
    )
    trains, acts = await ask.may(TRAIN), await may_act(ask, job.kind, ask.table, paid is not None)
    links, splits = _links(ask, job, said["table"], classifier, trains), dict[str, int]()
    if job.state == "finished" and kind_of(job.kind).writes_rows:
        sql, splits = await ask.read(lambda conn: parts.splits_of(conn, job))
        links |= parts.query_link(ask, sql)
    inner = await ask.read(lambda conn: _inner(conn, job, ask.number("since"))) if trains else None
    data = {
        **said,
        **(inside if trains or acts else {}),
        "actions": parts.actions_of(job, agreed=agreed) if acts else [],
        "links": links,
        "splits": splits,
        **(inner or {}),
    }
    more: dict[str, Any] = {"paid": paid is not None, "trains": trains}
    more["leads_to"] = named(kind_of(job.kind).leads_to, job, said["table"], said["classifier"])
    more["typed_limit"] = ask.one("limit_usd")
    if not ask.wants_json:
        more["open_events"] = OPEN_EVENTS
        more["took"] = parts.took(job)
        more["curves"] = await ask.read(lambda conn: _curves(conn, job)) if trains else None
        if trains:
            settings = without_places(job.settings, job.settings)
            more["settings_list"] = settings_list(settings)
            more["settings_json"] = json.dumps(settings, indent=2, ensure_ascii=False)
    return await show(ask, without_places(data, job.settings), more=more)


def _page_data(
    conn: sqlite3.Connection, job: Job, made: Classifier | None, served: bool, agreed: bool
) -> tuple[dict[str, Any], dict[str, Any], str | None]:
    """What everybody may know who works on the job's table; the reasons and the money, for those
    who may do something about them; and the trainer that costs money, if any."""
    facts = describe(conn, job)
    classifier, table, kind = made.title if made else None, table_of(conn, job), kind_of(job.kind)
    step = job.step if shows_step(job) else ""
    data = {
        "id": job.id,
        "kind": job.kind,
        "total": job.total,
        "done": job.done,
        "skipped": job.skipped,
        "failed": job.failed,
        "created_at": job.created_at,
        "started_at": job.started_at,
        "updated_at": job.updated_at,
        "rows_per_second": facts.pace.rows_per_second,
        "seconds_left": facts.pace.seconds_left,
        "state": job.shown_state,
        "title": named(kind.title, job, table, classifier),
        "table": table,
        "classifier": classifier,
        "step": "" if step.startswith("waits: ") else step,
        "wanted": job.wanted,
        "rows": job.rows_done,
        "share": parts.share_of(job),
        "active": parts.is_active(job),
        "state_text": parts.state_text(job, served, agreed),
        "agreed": agreed,
        "rows_text": progress_text(job, facts.pace).capitalize(),
    }
    inside = {
        "step": step,
        "error": job.error,
        "usd": facts.usd,
        "expected_usd": job.terms.usd,
        "limit_usd": job.terms.limit_usd,
        "money_text": parts.money_text(job, facts.usd),
    }
    return data, inside, paid_trainer(conn, job)


def _inner(conn: sqlite3.Connection, job: Job, after: int | None) -> dict[str, Any]:
    """What only those see who may train: events, settings and what is at a service.

    after: give events after that one, and nothing that does not change with them
    """
    if after is not None:
        events = events_after(conn, job.id, after, MOST_EVENTS)
        return {"events": [*map(as_json, events)], "last_event": _last(events, after)}
    events, before = last_events(conn, job.id, MOST_EVENTS)
    return {
        "events": [*map(as_json, events)],
        "events_before": before,
        "last_event": _last(events, 0),
        "settings": job.settings,
        "estimate": job.estimate,
        "result": job.result,
        "service_ids": parts.service_ids(job, batch_ids(conn, job.id)),
    }


def _last(events: list[Noted], otherwise: int) -> int:
    return events[-1].id if events else otherwise


def _curves(conn: sqlite3.Connection, job: Job) -> parts.Curves | None:
    if not kind_of(job.kind).trains:
        return None
    marks = parts.checkpoint_steps(job, checkpoint_messages(conn, job.id))
    return parts.curves(training_figures(conn, job.id), marks)


def _links(
    ask: PageRequest, job: Job, table: str, made: Classifier | None, trains: bool
) -> dict[str, str]:
    """Where to go from here; `result` is what the job made, once it has."""
    links = {"self": ask.url("jobs", job.id), "all": ask.url(), "table": ask.table_url(table)}
    if made is not None:
        links["classifier"] = ask.url("classifiers", made.title)
    if job.state == "finished":
        result = kind_of(job.kind).result
        if result == "rows":
            arrays = made is not None and not made.labels.exclusive
            links["result"] = result_url(ask.datasette, ask.database, job, arrays=arrays)
        elif result == "queue":
            links["result"] = ask.url("jobs", job.id, "review")
        elif result == "findings" and trains:
            links["result"] = ask.url("train", table=table, check=job.id)
        elif result == "classifier" and "classifier" in links:
            links["result"] = links["classifier"]
    return links


async def may_act(ask: PageRequest, kind: str, table: str, paid: bool) -> bool:
    """Whether the actor may pause, resume, cancel and retry a job: who may start such a job, may.

    table: that the job reads or writes
    """
    if not ask.db.is_mutable or (paid and not await ask.may(SPEND, table)):
        return False
    if not kind_of(kind).writes_rows:
        return await ask.may(TRAIN, table)
    return await may_write(*ask.visitor, table)


async def _act(ask: PageRequest) -> Response:
    job = ask.job
    paid = await ask.read(lambda conn: paid_trainer(conn, job)) is not None
    if not await may_act(ask, job.kind, ask.table, paid):
        action = PREDICT if kind_of(job.kind).writes_rows else TRAIN
        needed = f"{action} and {SPEND}" if paid else action
        raise Forbidden(
            f"You may not do this with job {job.id}: it needs the permission {needed}, and a "
            "database that may be changed."
        )
    requested = ask.action(*ACTIONS)
    made = job.settings.get("name")
    if requested not in ("pause", "cancel") and isinstance(made, str):
        await require_may_replace(ask, made, ": cancel this job, and train under another name")
    limit = (
        number("limit_usd", ask.one("limit_usd"), LIMIT_USD)
        if paid and requested in ("run", "resume", "retry")
        else None
    )

    access = await access_of(ask.datasette)

    def write(conn: sqlite3.Connection) -> Job:
        with transaction(conn):  # a worker must not take it under the old terms
            asked = ask_for(conn, job.id, requested, access, limit)
            if limit is None:
                return asked
            return note_terms(conn, job.id, {**(asked.estimate or {}), "limit_usd": limit})

    asked: Job = await ask.write(write)
    if asked.state == "queued":
        wake(ask.datasette)
    data = {"id": job.id, "state": asked.shown_state, "wanted": asked.wanted}
    return await done(ask, ask.url("jobs", job.id), data)


@page("/jobs", about="database", reads=VIEW, writes=None)
async def jobs_page(ask: PageRequest) -> Response:
    table = ask.argument("table") or None
    active = ask.argument("active") not in ("", "0")
    jobs = await visible_jobs(ask, MOST_JOBS, table=table, active=active)
    if not jobs and not ask.db.is_mutable:
        raise NotFound("There are no jobs here, or you may not see them.")
    data = {"database": ask.database, "table": table, "active": active, "jobs": jobs}
    return await show(ask, data)


async def visible_jobs(
    ask: PageRequest,
    most: int,
    *,
    table: str | None = None,
    active: bool = False,
    predicted_by: int | None = None,
) -> list[JobSummary]:
    """The newest jobs of tables that the actor works on: readers are shown none.

    predicted_by: only the predictions of the classifier with that id
    """
    viewer = JobViewer(*ask.visitor)
    shown: list[JobSummary] = []
    before: int | None = None
    for _ in range(MOST_READ // _AT_ONCE):
        some = partial(_some, before=before, active=active, predicted_by=predicted_by)
        found, before = await ask.read(some)
        for row, tables in found:
            if table in (None, tables.own) and await viewer.sees(tables):
                shown.append(replace(row, url=ask.url("jobs", row.id)))
        if len(shown) >= most or before is None:
            break
    return shown[:most]


def _some(
    conn: sqlite3.Connection, *, before: int | None, active: bool, predicted_by: int | None
) -> tuple[list[tuple[JobSummary, JobTables]], int | None]:
    """The next jobs, and the last one that was looked at, None when there are no more."""
    ids = newest_ids(conn, _AT_ONCE, active=active, predicted_by=predicted_by, before=before)
    find = remembered()
    rows = [_summary(conn, job, find) for job in brief_jobs(conn, ids)]
    return rows, ids[-1] if ids else None


def _summary(conn: sqlite3.Connection, job: Job, find: Find) -> tuple[JobSummary, JobTables]:
    kind, tables = kind_of(job.kind), tables_of_job(conn, job, find)
    made = classifier_of(conn, job, find)
    title = named(kind.title, job, tables.own, made.title if made else None)
    done, rows = parts.share_of(job), progress_text(job, pace(conn, job)).capitalize()
    row = JobSummary(job.id, job.kind, kind.writes_rows, job.shown_state, shortened(title, 300),
                     tables.own, done, rows, parts.is_active(job), job.created_at)  # fmt: skip
    return row, tables
