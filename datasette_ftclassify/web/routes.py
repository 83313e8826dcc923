"""All our routes, so that one test can try each of them as each kind of visitor."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from .pages.check import finding_page
from .pages.classifier import card_page
from .pages.classify import classify_page
from .pages.evaluate import evaluate_page
from .pages.evaluation_rows import judged_page
from .pages.export import export_page
from .pages.jobs import job_page, jobs_page
from .pages.listing import database_page, instance_page
from .pages.train import train_page
from .pages.try_text import try_page
from .permissions import DELETE, PREDICT, TRAIN, VIEW
from .routing import Route

if TYPE_CHECKING:
    from datasette.app import Datasette
    from datasette.utils.asgi import Request, Response

ROUTES = [
    Route("", instance_page, "instance"),
    Route("", database_page, "database"),
    Route(r"/classifiers/(?P<name>[^/]+?)", card_page, "classifier", writes=DELETE, damaged=True),
    Route(r"/classifiers/(?P<name>[^/]+?)/rows", judged_page, "classifier"),
    # A POST that costs money needs another permission: the view asks for it.
    Route(r"/classifiers/(?P<name>[^/]+?)/try", try_page, "classifier", writes=VIEW),
    Route(r"/classifiers/(?P<name>[^/]+?)/evaluate", evaluate_page, "classifier", TRAIN, TRAIN),
    Route("/classify", classify_page, "table", reads=PREDICT, writes=PREDICT),
    Route("/jobs", jobs_page, "database"),
    # What else a POST needs depends on the kind of job: the view asks for it.
    Route(r"/jobs/(?P<id>[0-9]{1,15})", job_page, "job", writes=VIEW),
    Route(r"/jobs/(?P<id>[0-9]{1,15})/finding/(?P<number>[0-9]{1,6})", finding_page, "job", TRAIN),
    Route("/train", train_page, "table", TRAIN, TRAIN),
    Route("/export", export_page, "table", TRAIN),
]


def registered() -> list[tuple[str, Callable[..., Awaitable[Response]]]]:
    """(pattern, view) as Datasette takes them; 1.0 takes nothing but plain functions."""
    return [(route.pattern, _as_function(route)) for route in ROUTES]


def _as_function(route: Route) -> Callable[..., Awaitable[Response]]:
    async def view(request: Request, datasette: Datasette) -> Response:
        return await route(request, datasette)

    return view
