"""All our routes, as Datasette takes them, and the items of its menus."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from datasette.app import Datasette
from datasette.utils.asgi import Request, Response

from .pages import load_pages
from .registry import MenuItem, pages
from .routing import Route

load_pages()


def routes() -> list[Route]:
    return [page.route for page in pages()]


def items(menu: str) -> list[tuple[MenuItem, Route]]:
    """The items of a menu, in order."""
    found = [(item, page.route) for page in pages() for item in page.menu if item.menu == menu]
    return sorted(found, key=lambda each: each[0].order)


def registered() -> list[tuple[str, Callable[..., Awaitable[Response]]]]:
    """(pattern, view) as Datasette takes them; 1.0 takes nothing but plain functions."""
    return [(route.pattern, _as_function(route)) for route in routes()]


def _as_function(route: Route) -> Callable[..., Awaitable[Response]]:
    async def view(request: Request, datasette: Datasette) -> Response:
        return await route(request, datasette)

    return view
