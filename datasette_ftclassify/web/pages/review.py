"""The page of a table's review queues: those that there are, and a form that makes one."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from datasette.utils.asgi import Forbidden, Response

from ...core.errors import FtclassifyError, ReviewError
from ...core.label_kinds import MULTICLASS
from ...core.numbers import Range
from ...core.task import Task, with_variants_merged
from ...jobs.review.build import MOST_PEOPLE, submit_review
from ...jobs.review.queue_rows import MOST_ROWS
from ...jobs.review.queues import QUEUES, queue_of
from ...jobs.review.rows import find_source
from ...jobs.settings import CheckSettings, ReviewSettings, settings_of
from ...store.classifiers import Classifier, list_classifiers
from ...store.jobs.job import Job
from ...store.jobs.queries import newest_jobs
from ...store.reviews import progress_of
from ...store.tables import has_table
from ..background_reads import queue_aside, read_aside, require_file
from ..classifier_names import seen_classifiers
from ..column_suggestions import preview_table
from ..form_fields import whole
from ..operator_settings import access_of
from ..page_request import PageRequest
from ..permissions import EDITS, REVIEW, is_modern, may_edit
from ..registry import MenuItem, page
from ..responses import done, form_page, job_json, show
from ..train_form import Choices
from .check import find_check

QUEUE_ROWS = Range(1, MOST_ROWS, whole=True)
PEOPLE = Range(1, MOST_PEOPLE, whole=True)
_MOST_QUEUES = 50
_KIND = ("name", "title", "help", "rows", "classifiers")
_FORM = (
    "queue", "rows", "people", "classifier", "other", "check", "learnt", "text", "label",
    "delimiter", "markup", "merge_variants",
)  # fmt: skip


@page(
    "/review",
    MenuItem(
        "table",
        "Review the labels of this table",
        "Review probably wrong labels one by one, and correct them",
        order=2,
        when=lambda subject: subject.on_disk and subject.mutable,
        filtered=False,
    ),
    reads=REVIEW,
    writes=REVIEW,
)
async def review_page(ask: PageRequest) -> Response:
    require_file(ask, "no label can be corrected in it: review the original file.")
    return await form_page(ask, _form, _make)


async def require_edit(ask: PageRequest) -> None:
    """Raises Forbidden for whom Datasette itself would not let change a row."""
    if not await may_edit(*ask.visitor, ask.table):
        needed = ", ".join([REVIEW, *(EDITS if is_modern(ask.datasette) else ())])
        raise Forbidden(f"You may not change labels of {ask.table}: it needs {needed}.")


async def _make(ask: PageRequest) -> Response:
    await require_edit(ask)
    queue = queue_of(ask.one("queue"))
    rows = whole("rows", ask.one("rows"), QUEUE_ROWS)
    people = whole("people", ask.one("people"), PEOPLE) or 1
    table = ask.table
    own = await table_classifiers(ask, table)
    task = await read_aside(ask, lambda conn: _task(conn, ask, table, own))
    asked = [ask.one("classifier") or _name_in(ask.one("learnt"), "classifier"), ask.one("other")]
    uids = [named(own, name, table).uid for name in asked[: queue.classifiers]]
    first, second = [*uids, None, None][:2]
    settings = ReviewSettings(task, queue.name, first, second, rows=rows, people=people)
    access = await access_of(ask.datasette)
    job = await queue_aside(ask, lambda conn: submit_review(conn, settings, access=access))
    where = ask.url("jobs", job.id, "review")
    return await done(ask, where, {"job": job_json(job), "url": where})


def _task(
    conn: sqlite3.Connection, ask: PageRequest, table: str, own: Sequence[Classifier]
) -> Task:
    """What is learnt from the table: by a classifier, by a check, or from columns.

    own: the table's classifiers that the visitor may know of
    """
    classifier = ask.one("classifier") or _name_in(ask.one("learnt"), "classifier")
    check = ask.one("check") or _name_in(ask.one("learnt"), "check")
    if classifier:
        return named(own, classifier, table).task
    if check:
        job = find_check(conn, check, table, ask.closed)
        if job is None:
            raise ReviewError(f"There is no check {check} of {table}.", fields=("check",))
        return settings_of(job, CheckSettings).task
    task = Choices.read(table, ask.given).task(conn)
    return with_variants_merged(conn, task) if ask.checked("merge_variants") else task


def _name_in(learnt: str, kind: str) -> str:
    """What is chosen in the form's list: `classifier NAME` or `check ID`."""
    found, _, name = learnt.partition(" ")
    return name if found == kind else ""


def named(own: Sequence[Classifier], name: str, table: str) -> Classifier:
    """The newest of that name, or the version of that title. Raises ReviewError for none, in the
    same words for one that the visitor may not know of."""
    if not name:
        raise ReviewError(
            "Choose a classifier that was trained on this table.", fields=("classifier",)
        )
    found = [c for c in own if name in (c.name, c.title)]
    if not found:
        raise ReviewError(
            f"{table} has no classifier {name[:100]}: choose another one.", fields=("classifier",)
        )
    return max(found, key=lambda c: c.version)


async def _form(ask: PageRequest) -> Response:
    table = ask.table
    access = {c.title for c in await table_classifiers(ask, table)}
    learnt, checks, queues = await ask.read(lambda conn: _read(conn, table))
    chosen = {name: ask.one(name) or ask.argument(name) for name in _FORM}
    why_not = await ask.read(lambda conn: _why_not(conn, table))
    look = await ask.read(lambda conn: preview_table(conn, Choices(table), closed=ask.closed))
    columns = [column.name for column in look.columns]
    data = {
        "database": ask.database,
        "table": table,
        "queues": [replace(queue, url=ask.url("jobs", queue.job, "review")) for queue in queues],
        "kinds": [{name: getattr(queue, name) for name in _KIND} for queue in QUEUES.values()],
        "classifiers": [one for one in learnt if one["title"] in access],
        "problem": ask.refusal,
    }
    more = {
        "checks": checks,
        "chosen": chosen,
        "columns": columns,
        "proposed": {
            "text": chosen["text"] or next(iter(look.choices.text), ""),
            "label": chosen["label"] or next(iter(look.choices.label), ""),
        },
        "why_not": why_not,
        "may_edit": await may_edit(*ask.visitor, table),
        "action": ask.url("review", table=table),
        "table_url": ask.table_url(table),
    }
    return await show(ask, data, more=more)


def _why_not(conn: sqlite3.Connection, table: str) -> str | None:
    """Why no label of this table or view can be corrected, whatever its column."""
    try:
        find_source(conn, replace(_NO_COLUMNS, source=table))
    except FtclassifyError as error:
        return str(error)
    return None


_NO_COLUMNS = Task(source="", text=(), labels=(), kind=MULTICLASS.name)


async def table_classifiers(ask: PageRequest, table: str) -> list[Classifier]:
    """Those that were trained on the table and reveal nothing that the visitor may not see."""
    found = await ask.read(list_classifiers)
    own = (c for c in found if c.task.source == table)
    return await seen_classifiers(*ask.visitor, own)


@dataclass(frozen=True)
class _Queue:
    """rows, open, changed: None before it is made"""

    job: int
    queue: str
    title: str
    labels: tuple[str, ...]
    state: str
    created_at: str
    rows: int | None
    open: int | None
    people: int
    changed: int | None
    url: str = ""


_Learnt = list[dict[str, str | int]]


def _read(conn: sqlite3.Connection, table: str) -> tuple[_Learnt, _Learnt, list[_Queue]]:
    """The classifiers that learnt from the table by title, its checks by id, each with what it
    reads in words; and its queues."""
    learnt: _Learnt = [
        {"title": c.title, **_columns_said(c.task)}
        for c in list_classifiers(conn)
        if c.task.source == table
    ]
    checks: Iterator[dict[str, str | int]] = (
        {"id": job.id, **_columns_said(task)}
        for job in newest_jobs(conn, kind="check", state="finished")
        if (task := _source_of(job, CheckSettings)) is not None and task.source == table
    )
    mine = (job for job in newest_jobs(conn, kind="review") if _is_of(job, table))
    queues = (_queue(conn, job) for job in mine)
    return learnt, list(islice(checks, 10)), list(islice(queues, _MOST_QUEUES))


def _columns_said(task: Task) -> dict[str, str]:
    """How a task reads a table, which tells its checks apart."""
    html = " (HTML as its words)" if task.markup else ""
    merged = " (its variants as one)" if task.merged else ""
    return {"text": ", ".join(task.text) + html, "label": ", ".join(task.labels) + merged}


def _is_of(job: Job, table: str) -> bool:
    task = _source_of(job, ReviewSettings)
    return task is not None and task.source == table


def _source_of(job: Job, kind: type[CheckSettings] | type[ReviewSettings]) -> Task | None:
    try:
        return settings_of(job, kind).task
    except FtclassifyError:
        return None


def _queue(conn: sqlite3.Connection, job: Job) -> _Queue:
    settings = settings_of(job, ReviewSettings)
    known = QUEUES.get(settings.queue)
    made = job.state == "finished" and has_table(conn, "label_changes")
    progress = progress_of(conn, job.id) if made else None
    return _Queue(
        job.id,
        settings.queue,
        known.title if known else settings.queue,
        settings.task.labels,
        job.shown_state,
        job.created_at,
        rows=progress.rows if progress else None,
        open=progress.open if progress else None,
        people=settings.people,
        changed=progress.changed if progress else None,
    )
