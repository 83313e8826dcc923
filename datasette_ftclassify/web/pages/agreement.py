"""The page of a queue that several people have labelled, each for themselves: how far they agree,
where not, and what is decided about it."""

from __future__ import annotations

import sqlite3
from typing import Any

from datasette.utils.asgi import Response

from ...core.database import relation
from ...core.humanize import rows_text
from ...core.typed_json import as_json
from ...jobs.review.agreement import Accepted, accept_agreed, agreement, next_decision
from ...store.change_batches import last_of_queue
from ..page_request import PageRequest
from ..permissions import REVIEW, may_edit
from ..registry import page
from ..responses import done, form_page, show
from .check import row_url
from .review import require_edit
from .review_rows import require_queue, track_edits, undo_many, who_is

LISTED = 200
"""Disagreements that the page lists; as JSON there are all."""


@page("/jobs/{id}/agreement", reads=REVIEW, writes=REVIEW)
async def agreement_page(ask: PageRequest) -> Response:
    require_queue(ask, "nothing can be decided: use the original file.")
    return await form_page(ask, _shown, _act)


async def _act(ask: PageRequest) -> Response:
    await require_edit(ask)
    job = ask.job
    action, who = ask.action("accept", "decide", "undo"), who_is(ask)
    here = ask.url("jobs", job.id, "agreement")
    if action == "decide":
        place = await ask.write(lambda conn: next_decision(conn, job, who))
        where = here if place is None else ask.url("jobs", job.id, "review", place=place)
        return await done(ask, where, {"place": place})
    if action == "undo":
        return await undo_many(ask, job, here)
    accepted = await ask.edit(lambda conn: accept_agreed(conn, job, who))
    await track_edits(ask, accepted.written)
    data = {"written": len(accepted.written), "kept": accepted.kept, "left": accepted.left,
            "reason": accepted.reason}  # fmt: skip
    return await done(ask, here, data, _accepted(accepted))


def _accepted(found: Accepted) -> str:
    said = f"{rows_text(len(found.written)).capitalize()} written"
    if found.kept:
        said += f", {rows_text(found.kept)} had the label"
    if found.left:
        said += f", {rows_text(found.left)} left as they are. {found.reason}"
    return said if found.left else f"{said}."


async def _shown(ask: PageRequest) -> Response:
    job = ask.job

    def look(conn: sqlite3.Connection) -> dict[str, Any]:
        found, batch = agreement(conn, job), last_of_queue(conn, job.id)
        source = relation(conn, found.source)
        urls = [row_url(ask, source, one.key) for one in found.disagreements[:LISTED]]
        undoable = None if batch is None else {"id": batch.id, "said": batch.said, "who": batch.who}
        return {"data": {**as_json(found), "accepted": undoable}, "urls": urls}

    found = await ask.read(look)
    more = {
        "page_url": ask.url("jobs", job.id, "agreement"),
        "queue_url": ask.url("jobs", job.id, "review"),
        "table": ask.table,
        "row_urls": found["urls"],
        "listed": LISTED,
        "may_edit": await may_edit(*ask.visitor, ask.table),
    }
    return await show(ask, found["data"], more=more)
