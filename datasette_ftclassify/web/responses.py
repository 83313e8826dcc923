"""The data of a view as a response: an HTML page or JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from datasette.utils.asgi import Response

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .page_request import PageRequest


async def show(
    ask: PageRequest,
    data: Mapping[str, Any],
    *,
    more: Mapping[str, Any] | None = None,
    status: int = 200,
    template: str | None = None,
) -> Response:
    """The data as JSON where that was asked for, else in the page's template.

    data:     JSON-safe; the same on the page and at .json
    more:     what the page alone needs, such as pictures
    template: another one than the page has declared
    """
    if ask.wants_json:
        return Response.json({"ok": status < 400, **data}, status=status)
    context = {**data, **(more or {}), "ask": ask, "url": ask.url}
    html = await ask.datasette.render_template(
        template or ask.template, context, request=ask.request
    )
    return Response.html(html, status=status)


async def done(
    ask: PageRequest, where: str, data: Mapping[str, Any], message: str = ""
) -> Response:
    """After an action: JSON about what was done, or on to the page that shows it."""
    if ask.wants_json:
        return Response.json({"ok": True, **data})
    if message:
        ask.datasette.add_message(ask.request, message, ask.datasette.INFO)
    return Response.redirect(where)
