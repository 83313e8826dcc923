"""Deleting a classifier from its page, once it is seen what that would do."""

from __future__ import annotations

import sqlite3
from dataclasses import replace

from datasette.utils import tilde_decode
from datasette.utils.asgi import Forbidden, Response

from ...core.errors import ClassifierInUse, FtclassifyError
from ...jobs.agreements import paid_trainer
from ...jobs.deletion import end_jobs
from ...store.classifiers import Classifier, find_classifier
from ...store.deletion import Deletion, delete_classifier, plan_deletion
from ...store.jobs.job import Job
from ..background_reads import write_aside
from ..classifier_names import seen_classifiers
from ..events import DeleteClassifierEvent, track
from ..lifespan import has_worker
from ..page_request import PageRequest
from ..responses import done
from ..routing import table_of
from .jobs import may_act

CANCEL_SECONDS = 8.0
"""How long a page waits for cancelled jobs to end before it says that they are still at it."""


async def deletion_of(ask: PageRequest, title: str) -> Deletion:
    """What deleting would do."""
    return await _as_seen(ask, await ask.read(lambda conn: plan_deletion(conn, title)))


async def delete_page(ask: PageRequest) -> Response:
    known = ask.classifier_or_none
    title = tilde_decode(ask.request.url_vars["name"]) if known is None else known.title
    plan = await ask.read(lambda conn: plan_deletion(conn, title))
    if plan.busy and ask.checked("cancel_jobs"):
        for job in plan.busy:
            await _require_may_cancel(ask, job)
        await write_aside(ask, lambda conn: end_jobs(conn, title, seconds=CANCEL_SECONDS))
    try:
        gone = await ask.write(lambda conn: delete_classifier(conn, title))
        gone = await _as_seen(ask, gone)
    except ClassifierInUse as error:
        refusal = _in_words(ask, error)
        if ask.wants_json:
            raise refusal from None
        ask.datasette.add_message(ask.request, str(refusal), ask.datasette.ERROR)
        return Response.redirect(ask.url("classifiers", title))
    for deleted in gone.titles:
        about = {"database": ask.database, "classifier": deleted}
        await track(ask.datasette, DeleteClassifierEvent, ask.actor, **about)
    data = {
        "message": gone.done, "deleted": list(gone.titles), "default": gone.default,
        "cancelled_jobs": [job.id for job in plan.busy],
    }  # fmt: skip
    return await done(ask, ask.url(), data, gone.done)


async def _as_seen(ask: PageRequest, deletion: Deletion) -> Deletion:
    """Without the name of a default that the visitor may not see."""
    name = deletion.default
    if name is None:
        return deletion

    def find(conn: sqlite3.Connection) -> list[Classifier]:
        try:
            return [find_classifier(conn, name)]
        except FtclassifyError:
            return []  # damaged: nobody knows what it is about

    seen = await seen_classifiers(*ask.visitor, await ask.read(find))
    return deletion if seen else replace(deletion, default=None, hidden=True)


def _in_words(ask: PageRequest, error: ClassifierInUse) -> ClassifierInUse:
    """The error with what to do next, in words of a page or of the JSON API."""
    if not ask.checked("cancel_jobs"):
        how = "Send cancel_jobs to cancel" if ask.wants_json else "Below you can cancel"
        return ClassifierInUse(f"{error} {how} that first.", error.jobs)
    again = "Delete it when that has ended."
    if not has_worker(ask.datasette):
        again += " This server runs no jobs: they have to be run where the file is."
    return ClassifierInUse(f"{error} {again}", error.jobs)


async def _require_may_cancel(ask: PageRequest, job: Job) -> None:
    def about(conn: sqlite3.Connection) -> tuple[str, bool]:
        return str(table_of(conn, job)), paid_trainer(conn, job) is not None

    table, paid = await ask.read(about)
    if not await may_act(ask, job.kind, table, paid):
        raise Forbidden(f"You may not cancel job {job.id}, which is busy with this classifier.")


def require_mutable(ask: PageRequest) -> None:
    if not ask.db.is_mutable:
        raise FtclassifyError(f"{ask.database} cannot be changed: it is a published copy.")
