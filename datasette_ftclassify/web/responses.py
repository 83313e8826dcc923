"""The data of a view as a response: an HTML page or JSON."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from datasette.utils.asgi import Response

from ..core.errors import FtclassifyError
from ..core.task import Task
from ..core.typed_json import json_default
from ..jobs.as_published import without_places
from ..jobs.train import submit_train
from ..jobs.train_plan import TrainEstimate
from ..jobs.train_request import TrainRequest
from ..sql.classifier import identity_of
from ..store.jobs.job import Job
from ..trainers.access import Access
from .background_reads import queue_aside
from .page_request import PageRequest


async def form_page(
    ask: PageRequest,
    shown: Callable[[PageRequest], Awaitable[Response]],
    act: Callable[[PageRequest], Awaitable[Response]],
) -> Response:
    """A page with a form: GET shows it, POST acts. What is refused is said on the page, with
    everything as it was typed; a program is told by the route, as of every error."""
    if ask.method != "POST":
        return await shown(ask)
    try:
        return await act(ask)
    except FtclassifyError as error:
        if ask.wants_json:
            raise
        ask.refused = error
        return await shown(ask)


async def show(
    ask: PageRequest,
    data: Mapping[str, Any],
    *,
    more: Mapping[str, Any] | None = None,
    problem: str | None = None,
    template: str | None = None,
) -> Response:
    """The data as JSON where that was asked for, else in the page's template.

    data:     JSON-safe but for dataclasses; the same on the page and at .json. Of a classifier's
              pages, its name and version besides
    more:     what the page alone needs, such as pictures. Of a classifier it has the `title` and
              the way `back`; and why a form was refused, if it was, and for which field
    problem:  why not all could be done or shown; the status is that of an error then
    template: another one than the page has declared
    """
    status = max(ask.status, 400) if problem else ask.status
    if ask.classifier_or_none is not None:
        data = {**identity_of(ask.classifier), **data}
    if problem:
        data = {**data, "error": problem, "errors": [problem], "status": status}
    if ask.wants_json:
        return Response.json({"ok": status < 400, **data}, status=status, default=json_default)
    about: dict[str, object] = {"refusal": ask.refusal}
    about["wrong"] = next(iter(ask.refused.fields), None) if ask.refused else None
    if ask.classifier_or_none is not None:
        title = ask.classifier_or_none.title
        about |= {"title": title, "back": ask.url("classifiers", title)}
    context = {**about, **data, **(more or {}), "ask": ask, "url": ask.url}
    html = await ask.datasette.render_template(
        template or ask.template, context, request=ask.request
    )
    return Response.html(html, status=status)


async def start_training(
    ask: PageRequest,
    task: Task,
    request: TrainRequest,
    estimate: TrainEstimate | None = None,
    access: Access = Access(),  # noqa: B008 - it is frozen
) -> Response:
    """Queues a training, and leads to its job. estimate: what was agreed to, if it costs money"""
    job = await queue_aside(
        ask, lambda conn: submit_train(conn, task, request, estimate, access=access)
    )
    return await done(ask, ask.url("jobs", job.id), {"job": job_json(job)}, "Training started.")


def job_json(job: Job) -> dict[str, Any]:
    """A job for a program, as its page shows it."""
    found: dict[str, Any] = without_places(job.to_dict(), job.settings)
    return found


async def done(
    ask: PageRequest, where: str, data: Mapping[str, Any], message: str = ""
) -> Response:
    """After an action: JSON about what was done, or on to the page that shows it."""
    if ask.wants_json:
        return Response.json({"ok": True, **data}, default=json_default)
    if message:
        ask.datasette.add_message(ask.request, message, ask.datasette.INFO)
    return Response.redirect(where)
