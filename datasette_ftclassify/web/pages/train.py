"""The page that prepares a training: what to learn from a table, what its rows look like, the
trainer and the price; and the start of it."""

from __future__ import annotations

import asyncio
import sqlite3
from typing import Any

from datasette.utils.asgi import Response

from ...core.errors import AccessError, FtclassifyError, Implausible, TemplateError
from ...core.label_kinds import KINDS
from ...core.task import Task
from ...core.typed_json import as_json
from ...jobs.check import submit_check
from ...jobs.confirming import TrainConfirmation, confirm_train
from ...jobs.plausible import check_plausible
from ...jobs.settings import CheckSettings, settings_of
from ...jobs.train_plan import TrainEstimate
from ...jobs.train_request import TrainRequest
from ...store.jobs.job import Job
from ...trainers.access import Access
from ...trainers.base import Trainer
from ...trainers.registry import get_trainer
from ...trainers.service import Service
from ...trainers.shutdown_dates import ask_for_dates
from ..background_reads import bring_up_to_date, queue_aside, read_aside, require_file
from ..classifier_names import require_may_replace
from ..column_suggestions import TablePreview, preview_table
from ..filters import left_behind
from ..finding_links import review_urls
from ..operator_settings import access_of, access_or_why, limits_of
from ..page_request import PageRequest
from ..paying import require_agreed, require_may_pay
from ..permissions import SPEND, TRAIN
from ..registry import MenuItem, page
from ..responses import done, form_page, job_json, show, start_training
from ..train_form import Choices, declared_options
from ..trainer_options import offers, usual_model, why_not
from .check import (
    check_or_none,
    find_check,
    is_about,
    pictures_of,
    progress_of,
    report_of,
    review_url,
    row_url,
)


@page(
    "/train",
    MenuItem(
        "table",
        "Train a classifier on this table",
        "Check the labelled rows and train on them",
        order=1,
        when=lambda subject: subject.on_disk and subject.mutable,
    ),
    reads=TRAIN,
    writes=TRAIN,
)
async def train_page(ask: PageRequest) -> Response:
    require_file(ask)
    return await form_page(ask, _form, _act)


async def _form(ask: PageRequest) -> Response:
    """The page with everything as it was chosen; at its top errors, or what is to be agreed to."""
    choices, check = Choices.read(ask.table, ask.fields), ask.one("check") or ask.argument("check")
    if ask.wants_json and ask.argument("progress"):
        job = await ask.read(lambda conn: find_check(conn, check, choices.table, ask.closed))
        return await show(ask, {"check": progress_of(job) if job else None})
    if ask.wants_json and ask.argument("preview"):
        look = await ask.read(lambda conn: preview_table(conn, choices, propose=False))
        return await show(ask, _previewed(ask, look))
    if not (choices.text or choices.template or choices.label) and check:
        choices = await _as_checked(ask, choices, check)
    refusal, confirmation = ask.refusal, ask.to_agree(TrainConfirmation)
    look = await ask.read(
        lambda conn: preview_table(conn, choices, propose=refusal is None, closed=ask.closed)
    )
    if refusal is not None and (name := _field_of(ask.refused, look.choices)):
        look.errors.setdefault(name, refusal)
    job = await ask.read(lambda conn: find_check(conn, check, look.source.name, ask.closed))
    checked = check_or_none(job) if job else None
    report = report_of(ask, checked, look.source) if checked else None
    current = job is not None and is_about(job, look)
    access, trouble = await access_or_why(ask.datasette)
    offered = await asyncio.to_thread(offers, look.choices, access, checked if current else None)
    data = {
        "database": ask.database,
        **_previewed(ask, look),
        "columns": look.columns,
        "check": {**as_json(progress_of(job)), "current": current, "report": report}
        if job
        else None,
        "trainers": offered,
        "estimate": confirmation.estimate.to_dict() if confirmation else None,
        "review": confirmation.review.to_dict() if confirmation else None,
        "limits": limits_of(access),
    }
    more = {
        "look": look,
        "choices": look.choices,
        "kinds": KINDS.values(),
        "chosen_trainer": look.choices.trainer or TrainRequest.trainer,
        "filters": _filter_links(ask, look, check),
        "left_behind": left_behind([*ask.request.args, *ask.given]),
        "drawn": pictures_of(ask, checked) if checked else None,
        "doubted": isinstance(ask.refused, Implausible),
        "trouble": trouble,
        "may_spend": await ask.may(SPEND),
        "confirmed": confirmation.review if confirmation else None,
        **await review_urls(ask, confirmation, look.source.name),
        "links": {
            **_links(ask, look, check),
            "review": await review_url(ask, look.source.name, job),
        },
    }
    return await show(ask, data, more=more)


def _field_of(error: FtclassifyError | None, choices: Choices) -> str | None:
    """The field of the form that an error is about, beside which it stands as well."""
    if isinstance(error, TemplateError):
        return "template"
    name = None if error is None else next(iter(error.fields), None)
    trainer = choices.trainer or TrainRequest.trainer
    return f"{trainer}-{name}" if name in declared_options() else name


def _previewed(ask: PageRequest, look: TablePreview) -> dict[str, Any]:
    examples = [{**e, "url": row_url(ask, look.source, e["key"])} for e in look.examples]
    return {
        "table": look.source.name,
        "choices": look.choices.query(),
        "proposed": list(look.proposed),
        "kind": look.reading.kind if look.reading else None,
        "delimiter": look.reading.delimiter if look.reading else None,
        "notation": look.reading.notation if look.reading else None,
        "read_as": f"{look.reading.kind}{look.reading.words}" if look.reading else "",
        "examples": examples,
        "errors": look.errors,
    }


def _filter_links(ask: PageRequest, look: TablePreview, check: str) -> list[dict[str, str]]:
    """Each filter in words, with the address of this page without it."""
    found = look.filter
    base = {k: v for k, v in look.choices.query().items() if "__" not in k}
    return [
        {"text": text, "remove": ask.url("train", **base, **found.query(number), check=check)}
        for number, text in enumerate(found.texts)
    ]


def _links(ask: PageRequest, look: TablePreview, check: str) -> dict[str, str]:
    query = look.choices.query()
    table = ask.table_url(look.source.name)
    page = ask.url("train", table=look.source.name, check=check, progress=1)
    return {
        "table": table,
        "self": ask.url("train"),
        "preview": ask.url("train") + ".json",
        "progress": page.replace("?", ".json?", 1),
        "unfiltered": ask.url("train", **{k: v for k, v in query.items() if "__" not in k}),
    }


async def _as_checked(ask: PageRequest, choices: Choices, check: str) -> Choices:
    """What a check was about, for a link that says no more than its number."""
    job = await ask.read(lambda conn: find_check(conn, check, choices.table, ask.closed))
    if job is None:
        return choices
    return Choices.read(choices.table, settings_of(job, CheckSettings).fields)


async def _ask_for_dates(ask: PageRequest) -> None:
    """So that until when models answer stands beside them, as their hosts say it now."""
    if await ask.may(SPEND):
        access, _ = await access_or_why(ask.datasette)
        await asyncio.to_thread(ask_for_dates, access)


async def _act(ask: PageRequest) -> Response:
    """Does what a button says."""
    choices, action = Choices.read(ask.table, ask.given), ask.one("action", "train")
    if action == "preview":
        return await done(ask, ask.url("train", **choices.query(), check=ask.one("check")), {})
    if action == "export":
        return await done(ask, ask.url("export", **choices.query()), {})
    if action == "compare":
        return await done(ask, ask.url("sweep", **choices.query()), {})
    await _ask_for_dates(ask)
    if action == "check":
        return await _check(ask, choices)
    if action.startswith("set "):
        return await _check(ask, choices.proposed(action.removeprefix("set ")))
    if action == "train":
        return await _train(ask, choices)
    raise FtclassifyError(f"The action is check, train, preview, export or compare, not {action}.")


async def _check(ask: PageRequest, choices: Choices) -> Response:
    plan = choices.plan()
    access, _ = await access_or_why(ask.datasette)
    task = await read_aside(ask, choices.task)
    chosen = get_trainer(choices.trainer or TrainRequest.trainer)
    model = choices.setting(chosen.name, "model") or None
    able = chosen.capabilities
    there = isinstance(chosen, Service) and able.trains and not able.learns_here
    trainer = chosen.name if there else None
    fields = {k: v for k, v in choices.query().items() if k not in ("table", "trainer")}

    def submit(conn: sqlite3.Connection) -> Job:
        return submit_check(
            conn,
            task,
            plan,
            model=model,
            trainer=trainer,
            leaves_machine=able.leaves_machine,
            fields=fields,
            access=access,
        )

    job = await queue_aside(ask, submit)
    where = ask.url("train", **choices.query(), check=job.id) + "#ft-checked"
    return await done(ask, where, {"job": job_json(job)})


async def _train(ask: PageRequest, choices: Choices) -> Response:
    trainer = get_trainer(choices.trainer or TrainRequest.trainer)
    access = await access_of(ask.datasette)
    if trainer.capabilities.costs_money:
        await require_may_pay(ask, trainer.title, access)
        await bring_up_to_date(ask)
    missing = await asyncio.to_thread(why_not, trainer, access)
    if missing:
        raise AccessError(missing)
    request = choices.request(_host(trainer, access), usual_model(trainer, access) or None)
    task = await read_aside(ask, choices.task)
    name = request.settings(task)["name"]
    await require_may_replace(ask, name)
    estimate = await agreed_estimate(ask, task, request, access)
    if estimate is None and not ask.checked("despite_findings"):
        await read_aside(ask, lambda conn: check_plausible(conn, task))
    return await start_training(ask, task, request, estimate, access)


def _host(trainer: Trainer, access: Access) -> str | None:
    if not isinstance(trainer, Service):
        return None
    return trainer.host(access.endpoint(trainer.name))


async def agreed_estimate(
    ask: PageRequest, task: Task, request: TrainRequest, access: Access
) -> TrainEstimate | None:
    """The estimate, once somebody has agreed to it; None when there is nothing to pay. Raises as
    `require_agreed` does."""
    found = await read_aside(ask, lambda conn: confirm_train(conn, task, request, access))
    if found is None:
        return None
    estimate = found.estimate
    require_agreed(ask, estimate.usd, estimate.price, found, refusal=found.review.refusal)
    return estimate
