"""The page of a sweep: several trainings of one task, and which is chosen."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from datasette.utils.asgi import NotFound, Response

from ...core.numbers import LIMIT_USD, WHOLE
from ...jobs.plausible import check_plausible
from ...jobs.sweep import (
    Sweep,
    SweepPrice,
    cancel_sweep,
    price_sweep,
    submit_sweep,
    sweep_jobs,
    sweeps_of,
)
from ...jobs.sweep_result import SweepResult, sweep_result
from ...store.jobs.job import Job
from ...store.jobs.queue import put_in_queue
from ...store.schema import transaction
from ...trainers.access import Access
from ..background_reads import bring_up_to_date, read_aside, require_file, write_aside
from ..classifier_names import require_may_replace
from ..finding_links import review_urls
from ..form_fields import number, one, whole
from ..job_tables import JobViewer, tables_of_job
from ..lifespan import wake
from ..operator_settings import access_of
from ..page_request import PageRequest
from ..paying import require_agreed, require_may_pay
from ..permissions import TRAIN
from ..registry import page
from ..responses import done, form_page, show
from ..train_form import Choices, require_offered

OWN = ("variants", "seeds", "limit_usd", "name")


@dataclass(frozen=True)
class _Asked:
    """What was typed: the task and the split as on the page that trains, and the variants, one a
    line."""

    choices: Choices
    variants: str
    seeds: str
    limit_usd: str

    @classmethod
    def read(cls, table: str, fields: Mapping[str, Any]) -> _Asked:
        said = {name: one(fields.get(name)) for name in OWN}
        lines = fields.get("variants")
        if isinstance(lines, list):  # a JSON body may have a list of variants
            said["variants"] = "\n".join(map(str, lines))
        return cls(Choices.read(table, fields), said["variants"], said["seeds"], said["limit_usd"])

    def sweep(self, conn: sqlite3.Connection, access: Access) -> Sweep:
        """Raises FieldError, SourceError, TaskError or TrainingError."""
        return Sweep.of(
            self.choices.task(conn),
            self.choices.plan(),
            self.variants.replace("\r\n", "\n").split("\n"),
            name=self.choices.name or None,
            seeds=int(whole("seeds", self.seeds, WHOLE) or 1),
            access=access,
            require=lambda option, value: require_offered(option, "variants", value),
        )

    def fields(self) -> list[tuple[str, str]]:
        own = [(name, getattr(self, name)) for name in ("variants", "seeds", "limit_usd")]
        others = [pair for pair in self.choices.fields() if pair[0] not in OWN or pair[0] == "name"]
        return [*others, *((name, value) for name, value in own if value)]


@page("/sweep", reads=TRAIN, writes=TRAIN)
async def sweep_page(ask: PageRequest) -> Response:
    require_file(ask)
    if ask.method != "POST" and ask.argument("sweep"):
        return await _result(ask, ask.table, ask.argument("sweep"))
    acts = {"cancel": _cancel, "change": _form}
    return await form_page(ask, _form, acts.get(ask.one("action"), _start))


async def _start(ask: PageRequest) -> Response:
    asked = _Asked.read(ask.table, ask.given)
    access = await access_of(ask.datasette)
    sweep = await read_aside(ask, lambda conn: asked.sweep(conn, access))
    for name in sweep.names():
        await require_may_replace(ask, name)
    limit = number("limit_usd", asked.limit_usd, LIMIT_USD)
    price = await read_aside(ask, lambda conn: price_sweep(conn, sweep, access))
    price.limits(limit)
    if price.paid:
        await require_may_pay(ask, "The sweep", access)
        await bring_up_to_date(ask)
        refusal, data = price.paid[0].review.refusal, _priced(price)
        require_agreed(
            ask, price.usd, price.text, price, refusal=refusal, what="Together it", data=data
        )
    elif not ask.checked("despite_findings"):
        await read_aside(ask, lambda conn: check_plausible(conn, sweep.task))
    where = ask.url("sweep", table=sweep.task.source, sweep=sweep.id)

    def submit(conn: sqlite3.Connection) -> list[Job]:
        with transaction(conn):  # all, or none
            jobs = submit_sweep(conn, sweep, price, limit_usd=limit, access=access)
            return [put_in_queue(conn, job) for job in jobs]

    jobs = await write_aside(ask, submit)
    wake(ask.datasette)
    data = {"sweep": sweep.id, "jobs": [job.id for job in jobs], "url": where}
    return await done(ask, where, data, "The trainings have started.")


def _priced(price: SweepPrice) -> dict[str, Any]:
    """What all trainings together cost and send; JSON-safe."""
    trainings = [
        {"name": request.name, "seed": request.chosen.seed, "price": found.estimate.price}
        for request, found in zip(price.requests, price.confirmations, strict=True)
        if found is not None
    ]
    return {"usd": price.usd, "most_usd": price.most_usd, "trainings": trainings,
            "review": price.paid[0].review.to_dict()}  # fmt: skip


async def _form(ask: PageRequest) -> Response:
    """What was typed; with a price, the button that agrees to it."""
    asked, price, table = _Asked.read(ask.table, ask.fields), ask.to_agree(SweepPrice), ask.table
    recent = await ask.read(lambda conn: sweeps_of(conn, table))
    data = {"table": table, "sweeps": recent}
    more: dict[str, Any] = {
        "asked": asked,
        "confirmed": None,
        "found": None,
        "hidden": asked.fields(),
        "ready": bool(asked.choices.label),
        "links": _links(ask, table, asked.choices),
    }
    if price is not None:
        first = price.paid[0]
        more |= {
            **_priced(price),
            "price": price.text,
            "confirmed": first.review,
            **await review_urls(ask, first, table),
        }
    return await show(ask, data, more=more)


async def _require(ask: PageRequest, table: str, sweep_id: str) -> None:
    found = await ask.read(
        lambda conn: {tables_of_job(conn, job) for job in sweep_jobs(conn, sweep_id, table)}
    )
    viewer = JobViewer(*ask.visitor)
    if not found or not all([await viewer.sees(tables) for tables in found]):
        raise NotFound(f"There is no sweep {sweep_id} of {table}.")


async def _result(ask: PageRequest, table: str, sweep_id: str) -> Response:
    await _require(ask, table, sweep_id)
    result = await read_aside(ask, lambda conn: sweep_result(conn, sweep_id, table))
    data = {**result.to_dict(), "sweeps": [sweep_id]}
    more = {
        "found": result,
        "confirmed": None,
        "links": {**_links(ask, table), **_of_result(ask, result)},
    }
    return await show(ask, data, more=more)


def _of_result(ask: PageRequest, result: SweepResult) -> dict[str, Any]:
    others = [one.best.classifier for one in result.tried[1:] if one.best is not None]
    titles = [one.title for one in others if one is not None][:3]
    chosen = result.chosen
    return {
        "job": lambda number: ask.url("jobs", number),
        "classifier": lambda title: ask.url("classifiers", title),
        "evaluate": chosen and ask.url("classifiers", chosen.title, "evaluate"),
        "compare": ask.url("classifiers", chosen.title, "compare", **{"with": titles})
        if chosen and titles
        else None,
    }


def _links(ask: PageRequest, table: str, choices: Choices | None = None) -> dict[str, Any]:
    return {
        "self": ask.url("sweep"),
        "table": ask.table_url(table),
        "train": ask.url("train", **(choices.query() if choices else {"table": table})),
        "sweep": lambda sweep_id: ask.url("sweep", table=table, sweep=sweep_id),
    }


async def _cancel(ask: PageRequest) -> Response:
    table, sweep_id = ask.table, ask.one("sweep")
    access = await access_of(ask.datasette)
    await _require(ask, table, sweep_id)
    ended = await write_aside(ask, lambda conn: cancel_sweep(conn, sweep_id, access, table))
    where = ask.url("sweep", table=table, sweep=sweep_id)
    return await done(ask, where, {"cancelled": ended}, "The trainings were asked to end.")
