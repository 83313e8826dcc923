"""The page of a review queue: one row a screen, its labels to choose from, and what was changed.

To look changes nothing. A row is claimed when somebody goes on to it, by the same POST that stores
what they chose for the one before; so everything also works as plain forms.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from datasette.utils.asgi import NotFound, Response

from ...core.database import Key, relation
from ...core.errors import ReviewError, RowChanged
from ...core.time_limit import TooSlow
from ...jobs.review.agreement import next_decision
from ...jobs.review.batches import undo_batch
from ...jobs.review.changes import Changed, change_row, start, undo
from ...jobs.review.shown import (
    QueueNow,
    ShownChange,
    ShownRow,
    changes_shown,
    label_order,
    list_shown,
    queue_now,
    show_row,
)
from ...store.jobs.job import Job
from ..background_reads import require_file
from ..page_request import PageRequest
from ..permissions import REVIEW, is_modern, may_edit
from ..registry import page
from ..responses import done, form_page, show
from .check import progress_of, row_url
from .review import require_edit

LISTED = 50
"""Rows, or changes, that are listed at once."""


@page("/jobs/{id}/review", template="ftclassify_review_rows.html", reads=REVIEW, writes=REVIEW)
async def review_rows_page(ask: PageRequest) -> Response:
    require_queue(ask, "no label can be corrected in it: review the original file.")
    return await form_page(ask, _shown, _act)


def require_queue(ask: PageRequest, so: str) -> None:
    """Raises NotFound for a job that made no queue, and as `require_file` does."""
    if ask.job.kind != "review":
        raise NotFound(f"Job {ask.job.id} made no review queue.")
    require_file(ask, so)


def who_is(ask: PageRequest) -> str:
    """By which name changes are recorded."""
    return str((ask.actor or {}).get("id") or "anonymous")[:200]


async def _act(ask: PageRequest) -> Response:
    await require_edit(ask)
    action = ask.action("next", "label", "skip", "undo", usual="label")
    job, who = ask.job, who_is(ask)
    if action == "next":
        place = await ask.write(lambda conn: start(conn, job, who))
        return await _on(ask, job, place, {"place": place})
    if action == "undo":
        number = whole_number(ask, "change") if ask.one("change") else None
        changed = await ask.edit(lambda conn: undo(conn, job, who, number))
        await _track(ask, changed)
        return await _on(ask, job, changed.next, _told(changed))
    place, seen, note = whole_number(ask, "place"), ask.one("seen"), ask.one("note")
    chosen, new = _chosen(ask) if action == "label" else (None, "")
    changed = await ask.edit(
        lambda conn: change_row(
            conn, job, place, chosen, seen=seen, who=who, note=note, new_label=new
        )
    )
    await _track(ask, changed)
    following = changed.next
    if changed.decided:
        following = await ask.write(lambda conn: next_decision(conn, job, who))
    return await _on(ask, job, following, {**_told(changed), "place": following})


def _chosen(ask: PageRequest) -> tuple[list[str], str]:
    """The names of labels, and of a new one. Raises ReviewError where nothing was chosen."""
    names = list(ask.many("label"))
    other, new = ask.one("other"), ask.one("new_label").strip()
    if other:
        names.append(other)
    if new and not ask.checked("add"):
        raise ReviewError(
            f"{new} would be a new label: confirm that it should be added, or choose an existing "
            "one.",
            fields=("add",),
        )
    if not names and not new and not ask.checked("none"):
        raise ReviewError("Choose a label.", fields=("label",))
    return names, new


def whole_number(ask: PageRequest, name: str) -> int:
    text = ask.one(name)
    if not text.isdecimal() or len(text) > 15:
        raise ReviewError(f"The {name} is a whole number, not {text[:40] or 'nothing'}.")
    return int(text)


def _told(changed: Changed) -> dict[str, Any]:
    change = changed.change
    return {"change": change.id, "action": change.action, "place": changed.next}


async def _on(ask: PageRequest, job: Job, place: int | None, data: dict[str, Any]) -> Response:
    """To the row at that place, or, where none is left, to the queue."""
    where = ask.url("jobs", job.id, "review", place=place)
    who, row = who_is(ask), None
    if place is not None and ask.wants_json:
        with suppress(TooSlow):  # what was done stays done, and is told
            shown = await ask.read(lambda conn: show_row(conn, job, place, who))
            row = shown
    return await done(ask, where, {**data, "row": row})


async def _track_edit(ask: PageRequest, table: str, key: Key) -> None:
    """Other plugins, of a row that the visitor has edited. Nothing on Datasette 0.65."""
    if is_modern(ask.datasette):
        from datasette.events import UpdateRowEvent

        about = {"database": ask.database, "table": table, "pks": list(key)}
        await ask.datasette.track_event(UpdateRowEvent(actor=ask.actor, **about))


async def track_edits(ask: PageRequest, keys: Sequence[Key]) -> None:
    """Other plugins, of rows of the table that were edited."""
    for key in keys:
        await _track_edit(ask, ask.table, key)


async def undo_many(ask: PageRequest, of: Job | str, where: str) -> Response:
    """Takes back what the form's `batch` has written, of a queue or a table as of `undo_batch`."""
    number, who = whole_number(ask, "batch"), who_is(ask)
    undone = await ask.edit(lambda conn: undo_batch(conn, number, who, of))
    await track_edits(ask, undone.restored)
    data = {"restored": len(undone.restored), "kept": undone.kept}
    return await done(ask, where, data, f"{undone.said}.")


async def _track(ask: PageRequest, changed: Changed) -> None:
    if changed.wrote:
        await _track_edit(ask, changed.change.source, changed.change.key)


async def _shown(ask: PageRequest) -> Response:
    job = ask.job
    more = {
        "queue_url": ask.url("jobs", job.id, "review"),
        "job_url": ask.url("jobs", job.id),
        "agreement_url": ask.url("jobs", job.id, "agreement"),
        "back": ask.url("review", table=ask.table),
        "table": ask.table,
        "table_url": ask.table_url(),
        "may_edit": await may_edit(*ask.visitor, ask.table),
        "who": who_is(ask),
        "place": None,
    }
    if job.state != "finished":
        none = {"state": progress_of(job), "queue": None, "row": None}
        return await show(ask, none, more=more)
    place = _wanted(ask)
    found = await ask.read(lambda conn: _read(conn, job, place, who_is(ask)))
    queue, row = found.queue, found.row
    data = {
        "state": progress_of(job),
        "queue": queue,
        "row": row,
        "changes": found.changes,
    }
    if ask.wants_json and ask.argument("list"):
        start_ = ask.number("start") or 0
        who = who_is(ask)
        rows = await ask.read(
            lambda conn: list_shown(conn, job, after=start_, most=LISTED, who=who)
        )
        data["rows"] = rows
    more |= _row_parts(ask, queue, row, place)
    source = await ask.read(lambda conn: relation(conn, queue.source))
    more["row_url"] = None if row is None else row_url(ask, source, row.key)
    more["change_urls"] = [row_url(ask, source, change.key) for change in found.changes]
    return await show(ask, data, more=more)


def _wanted(ask: PageRequest) -> int | None:
    """The place that is asked for by the address, or by a form that was refused."""
    if ask.method == "POST":
        text = ask.one("place")
        return int(text) if text.isdecimal() and len(text) <= 15 else None
    return ask.number("place")


@dataclass(frozen=True)
class _Found:
    queue: QueueNow
    row: ShownRow | None
    changes: list[ShownChange]


def _read(conn: sqlite3.Connection, job: Job, place: int | None, who: str) -> _Found:
    return _Found(
        queue_now(conn, job, who),
        None if place is None else show_row(conn, job, place, who),
        changes_shown(conn, job, place=place, most=LISTED, who=who),
    )


def _row_parts(
    ask: PageRequest,
    queue: QueueNow,
    row: ShownRow | None,
    place: int | None,
) -> dict[str, Any]:
    """What the page of a row needs besides its data."""
    rows = queue.progress.rows
    parts: dict[str, Any] = {
        "place": place,
        "previous": place - 1 if place is not None and place > 1 else None,
        "following": place + 1 if place is not None and place < rows else None,
        "changed_meanwhile": isinstance(ask.refused, RowChanged),
        "typed": {name: ask.one(name) for name in ("note", "new_label")},
    }
    if row is not None:
        parts["first"], parts["others"] = label_order(queue.labels, row)
        ticked = row.labels if row.labels is not None else (row.mine or row.suggested or [])
        parts["ticked"] = list(ask.many("label")) if ask.refused else ticked
    return parts
