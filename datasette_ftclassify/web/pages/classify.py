"""The page that classifies rows: which classifier, which rows, into which columns, for how much.

What costs money is shown with its estimate first, and started from there. The work itself is a job
of the worker; this page only looks, asks and queues.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode

from datasette.app import Datasette
from datasette.utils.asgi import Forbidden, NotFound, Response

from ...core.database import relation
from ...core.errors import PredictError
from ...core.humanize import one_or_more
from ...core.strengths import PROMISES, STRENGTHS
from ...core.time_limit import TooSlow, within
from ...core.typed_json import as_json
from ...jobs.agreements import spent_today
from ...jobs.columns import taken_columns
from ...jobs.confirming import PredictConfirmation, confirm_predict
from ...jobs.estimates import JobEstimate
from ...jobs.new_rows import check_follow, submit_follow
from ...jobs.plan import Plan, PredictRequest
from ...jobs.predict import submit_plan
from ...jobs.stale import submit_stale
from ...store.classifiers import Classifier, has_store
from ...store.jobs.job import Job
from ...store.jobs.new_rows import end_following
from ...store.schema import TABLES
from ...trainers.access import Access
from ..background_reads import bring_up_to_date, queue_aside, read_aside, write_aside
from ..classifier_names import seen_ids
from ..classify_choices import Choice, Facts, choices, facts, pick
from ..classify_form import ON_ERRORS_TEXT, ROLES_TEXT, Form
from ..filters import facet_of, left_behind
from ..finding_links import review_urls
from ..form_fields import FieldError
from ..job_facts import RUNS_NO_JOBS
from ..lifespan import has_worker
from ..operator_settings import access_of, limits_of
from ..page_request import PageRequest
from ..paying import require_may_pay, require_priced, require_said
from ..permissions import PREDICT, SPEND, WRITES, is_modern, may_write
from ..registry import MenuItem, page
from ..responses import done, form_page, show

ESTIMATE_SECONDS = 10.0
"""How long an estimate may take before somebody is asked to go on without one."""

ADVANCED = ("default_label", "max_errors", "concurrency", "limit_usd")
"""Fields that are folded away."""


@dataclass(frozen=True)
class _Prepared:
    """A request that can work, with what is to be agreed to.

    plan: None where even its condition takes too long for a page
    slow: there are too many rows to look at in the time that a page has
    """

    classifier: Classifier
    request: PredictRequest
    plan: Plan | None
    confirmation: PredictConfirmation | None
    paid: bool
    slow: bool
    spent_today: float

    @property
    def estimate(self) -> JobEstimate | None:
        return None if self.confirmation is None else self.confirmation.estimate

    @property
    def refusal(self) -> str | None:
        return None if self.confirmation is None else self.confirmation.review.refusal


@page(
    "/classify",
    MenuItem(
        "table",
        "Classify rows",
        "Write a classifier's labels into columns of this table",
        order=3,
        when=lambda subject: subject.takes_labels,
    ),
    MenuItem(
        "row",
        "Classify this row",
        "Write a classifier's label into columns of this row",
        when=lambda subject: subject.takes_labels,
    ),
    reads=PREDICT,
    writes=PREDICT,
)
async def classify_page(ask: PageRequest) -> Response:
    if ask.table in TABLES or ask.table.startswith("sqlite_"):
        raise NotFound(f"There is no table {ask.table} to classify.")
    return await form_page(ask, _show_form, _act)


async def _act(ask: PageRequest) -> Response:
    form = Form.read(ask.table, ask.given)
    if ask.one("action") == "change":
        return await _show_form(ask)
    if ask.db.is_mutable and not await may_write(*ask.visitor, ask.table):
        raise Forbidden(f"You may not do this: it needs the permissions {_writes(ask)}.")
    if ask.one("action") == "stop":
        return await _stop_following(ask, form)
    if reason := await _blocked(ask):
        raise PredictError(reason)
    allowed = await _choices(ask)
    choice = pick(allowed, form.classifier)
    access = await access_of(ask.datasette)
    if choice.paid:
        await require_may_pay(ask, choice.title, access)
        await bring_up_to_date(ask)
    prepared = await read_aside(ask, lambda conn: _prepare(conn, form, choice, access))
    if prepared.paid and _asks(prepared):
        asks = asks_to_confirm(choice.title, prepared.estimate)
        found, refusal = prepared.confirmation, prepared.refusal
        data = {} if found is None else as_json(found)
        require_said(ask, ask.checked("confirm"), asks, prepared, refusal=refusal, data=data)
    if prepared.slow and prepared.request.limit_usd is None:
        raise FieldError("limit_usd", "There is no estimate: set a spending limit.")
    job = await queue_aside(ask, lambda conn: _submit(conn, form, prepared, access))
    where = ask.url("jobs", job.id)
    return await done(ask, where, {"job": job.id, "url": where}, _queued(ask, job))


def _asks(prepared: _Prepared) -> bool:
    """Whether anything is left to be asked, and paid for."""
    return prepared.slow or (prepared.estimate is not None and prepared.estimate.requests > 0)


def _prepare(conn: sqlite3.Connection, form: Form, choice: Choice, access: Access) -> _Prepared:
    """Refuses what cannot work, and reckons what the rest costs."""
    classifier = choice.classifier
    target = relation(conn, form.table)
    request = form.request(conn, classifier, target)
    columns = request.columns or form.columns(classifier)
    taken = [] if target.is_view else taken_columns(conn, target, columns, classifier)
    if taken and not form.overwrite:
        raise FieldError(
            "overwrite",
            f"{target.name} already has {_named(taken)}, which {classifier.name} did not write: "
            "choose another prefix, leave the column out, or allow overwriting.",
        )
    if form.follow:
        check_follow(conn, classifier, form.table, request)
    plan, found, slow = None, None, False
    try:
        with within(conn, ESTIMATE_SECONDS):
            plan = Plan.of(conn, classifier, form.table, request)
            found = confirm_predict(conn, plan, request, access)
    except TooSlow:
        slow = True
    if choice.paid and found is not None:
        require_priced(classifier.title, found.estimate)
    return _Prepared(classifier, request, plan, found, choice.paid, slow, spent_today(access))


def _submit(conn: sqlite3.Connection, form: Form, prepared: _Prepared, access: Access) -> Job:
    request = prepared.request
    plan = prepared.plan or Plan.of(conn, prepared.classifier, form.table, request)
    if form.rows == "stale":
        answers = form.stale_answers(conn, prepared.classifier, relation(conn, form.table))
        return submit_stale(conn, answers, plan, request, estimate=prepared.estimate, access=access)
    if form.follow:
        return submit_follow(conn, plan, request, access)
    return submit_plan(conn, plan, request, estimate=prepared.estimate, access=access)


async def _stop_following(ask: PageRequest, form: Form) -> Response:
    """New rows of the table are no longer classified by the classifier."""
    uid = pick(await _choices(ask), form.classifier).classifier.uid
    await write_aside(ask, lambda conn: end_following(conn, form.table, uid))
    where = ask.url("classify", table=form.table)
    return await done(ask, where, {}, "New rows are no longer classified automatically.")


async def _review(ask: PageRequest, form: Form, prepared: _Prepared) -> Response:
    """The estimate, what was found and what leaves this machine, and the button that agrees to
    it."""
    confirmation, estimate = prepared.confirmation, prepared.estimate
    limit = prepared.request.limit_usd
    if limit is None and estimate is not None:
        limit = estimate.most_usd
    review = {
        "classifier": prepared.classifier.title,
        "estimate": estimate,
        "price": None if estimate is None else estimate.price,
        "limit_usd": limit,
        "batch": prepared.request.batch,
        "spent_today": prepared.spent_today,
    }
    found = await _found(ask, form)
    hidden = [pair for pair in form.fields() if pair[0] != "limit_usd"]
    return await show(ask, found, more={
        "form": form, "review": review, "hidden": hidden, "links": _links(ask),
        "columns": (prepared.request.columns or form.columns(prepared.classifier)).items(),
        "found": None if confirmation is None else confirmation.review,
        **await review_urls(ask, confirmation, form.table),
        "unlabelled": None if confirmation is None else confirmation.unlabelled,
    })  # fmt: skip


def asks_to_confirm(title: str, estimate: JobEstimate | None) -> str:
    """What a program is told that has not agreed to the price. title: of the classifier"""
    if estimate is None:
        return (
            "There are too many rows to estimate the cost: send confirm with limit_usd, the "
            "spending limit."
        )
    return (
        f"{title} sends {estimate.requests:,} requests, {estimate.price}. {estimate.note} "
        "Send confirm to agree, and limit_usd as the spending limit."
    )


async def _show_form(ask: PageRequest) -> Response:
    form, prepared = Form.read(ask.table, ask.fields), ask.to_agree(_Prepared)
    if prepared is not None:
        return await _review(ask, form, prepared)
    found = await _found(ask, form)
    if not form.rows and ask.method != "POST":
        form = replace(form, rows=found.get("proposed_rows", "all"))
    offered = {choice["title"]: choice for choice in found["classifiers"]}
    more = {
        "form": form,
        "links": _links(ask),
        "review": None,
        "chosen": offered.get(found.get("classifier"), {}),
        "roles": ROLES_TEXT.items(),
        "on_errors": ON_ERRORS_TEXT,
        "strengths": [(name, STRENGTHS[name]) for name in PROMISES],
        "advanced": ADVANCED,
        "unfollowed": left_behind(ask.request.args),
    }
    return await show(ask, found, more=more)


async def _found(ask: PageRequest, form: Form) -> dict[str, Any]:
    """What there is to choose from; the same on the page and at .json."""
    allowed = await _choices(ask)
    access = await access_of(ask.datasette)
    data: Facts | None = None
    if ask.db.path:
        data = found = await read_aside(ask, lambda conn: facts(conn, form, allowed))
        for followed in found["following"].values():
            followed["url"] = ask.url("jobs", followed["job"])
    return {
        "database": ask.database,
        "table": ask.table,
        "blocked": await _blocked(ask),
        "may_spend": await ask.may(SPEND),
        "limits": limits_of(access),
        **(data or {"classifiers": [], "following": {}}),
    }


async def _choices(ask: PageRequest) -> list[Choice]:
    """The classifiers that the actor may see and the table has the columns for."""
    table = ask.table
    every = await ask.read(lambda conn: choices(conn, table) if has_store(conn) else [])
    ids = await seen_ids(*ask.visitor, (choice.classifier for choice in every))
    return [choice for choice in every if choice.classifier.id in ids]


async def _blocked(ask: PageRequest) -> str | None:
    """Why nothing can be written to the table, whatever is chosen."""
    table = ask.table
    if not ask.db.path:
        return f"{ask.database} is in memory, and jobs need a database file."
    if not ask.db.is_mutable:
        return f"{ask.database} is served as immutable, so labels cannot be written into it."
    if await ask.read(lambda conn: relation(conn, table).is_view):
        return (
            f"{table} is a view and has no columns of its own to write: classify the table behind "
            "it, or use the classifier in the view's SQL."
        )
    if not await may_write(*ask.visitor, table):
        return f"You may not write into {table}: that needs the permissions {_writes(ask)}."
    return None


def _writes(ask: PageRequest) -> str:
    return ", ".join([PREDICT, *(WRITES if is_modern(ask.datasette) else ())])


def _queued(ask: PageRequest, job: Job) -> str:
    if job.state == "running":
        return f"Job {job.id} is at these rows already."
    if not has_worker(ask.datasette):
        return f"Job {job.id} waits. {RUNS_NO_JOBS}"
    return ""


def _named(columns: list[str]) -> str:
    return f"{one_or_more(len(columns), 'a column', 'columns')} {', '.join(columns)}"


def _links(ask: PageRequest) -> dict[str, str]:
    urls = ask.datasette.urls
    return {
        "here": ask.url("classify"),
        "table": str(urls.table(ask.database, ask.table)),
        "train": ask.url("train", table=ask.table),
        "query": str(urls.database(ask.database)),
    }


def result_url(datasette: Datasette, database: str, job: Job, *, arrays: bool) -> str:
    """Where the labels of a prediction job can be seen: the rows of its table that have one, with a
    facet of the labels, the least sure first, since those want to be looked at.

    For the page of a finished job, and safe on whatever settings a file holds: without columns it
    is the table as it is, without a table the database.

    arrays: whether the label column holds JSON arrays
    """
    settings = job.settings
    table, columns = settings.get("table"), settings.get("columns")
    if not isinstance(table, str):
        return str(datasette.urls.database(database))
    columns = columns if isinstance(columns, dict) else {}
    label, score = (columns.get(role) for role in ("label", "score"))
    query = {}
    if isinstance(label, str):
        query = facet_of(label, arrays=arrays)
        if not label.startswith("_"):  # which are no filters of Datasette's
            query[f"{label}__notnull"] = "1"
    if isinstance(score, str):
        query["_sort"] = score
    return str(datasette.urls.table(database, table)) + (f"?{urlencode(query)}" if query else "")
