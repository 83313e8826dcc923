"""All our routes, so that one test can try each of them as each kind of visitor."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from .listing import database_page
from .routing import Route

if TYPE_CHECKING:
    from datasette.app import Datasette
    from datasette.utils.asgi import Request, Response

ROUTES = [
    Route("", database_page, "database"),
]


def registered() -> list[tuple[str, Callable[..., Awaitable[Response]]]]:
    """(pattern, view) as Datasette takes them; 1.0 takes nothing but plain functions."""
    return [(route.pattern, _as_function(route)) for route in ROUTES]


def _as_function(route: Route) -> Callable[..., Awaitable[Response]]:
    async def view(request: Request, datasette: Datasette) -> Response:
        return await route(request, datasette)

    return view
