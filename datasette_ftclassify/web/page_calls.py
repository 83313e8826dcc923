"""Calls of our pages by code of this server, on behalf of an actor: other plugins do what the pages
do, by the pages' own rules, permissions and limits."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from datasette.app import Datasette
from datasette.utils import tilde_encode
from datasette.utils.asgi import BadRequest, Forbidden, NotFound, Request


@dataclass(frozen=True)
class PageAnswer:
    """What a page has answered: an HTTP status, and the object that its JSON is."""

    status: int
    data: dict[str, Any]

    @property
    def error(self) -> str:
        """Why it was refused; empty when it was not."""
        return str(self.data.get("error") or "") if self.status >= 400 else ""

    def require(self) -> dict[str, Any]:
        """The object. Raises Datasette's Forbidden, NotFound or BadRequest in the page's words."""
        if self.status < 400:
            return self.data
        kinds = {403: Forbidden, 404: NotFound}
        raise kinds.get(self.status, BadRequest)(self.error)


async def call_page(
    datasette: Datasette,
    actor: Any,
    path: str,
    *,
    query: Mapping[str, Any] | None = None,
    body: Mapping[str, Any] | None = None,
    **variables: str | int,
) -> PageAnswer:
    """The answer of a page about a database or something in it, as JSON.

    path:      as the page declares it, such as "/classifiers/{name}"
    body:      of a POST, JSON-safe; None: a GET
    variables: `database`, and what the path names
    """
    from .routes import routes

    (route,) = [each for each in routes() if each.path == path and each.about != "instance"]
    named = {name: tilde_encode(str(value)) for name, value in variables.items()}
    address = "/{database}/-/ftclassify".format(**named) + path.format(**named) + ".json"

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": json.dumps(body).encode(), "more_body": False}

    scope = {
        "type": "http",
        "method": "GET" if body is None else "POST",
        "path": address,
        "raw_path": address.encode(),
        "query_string": urlencode(query or {}, doseq=True).encode(),
        "headers": [(b"content-type", b"application/json")],
        "url_route": {"kwargs": {**named, "format": ".json"}},
        "actor": actor,
    }
    response = await route(Request(scope, receive), datasette)
    return PageAnswer(response.status, json.loads(response.body))
