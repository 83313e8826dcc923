"""Requests, answers and routes: the little of a web framework that this server needs.

Own code, so that a test can see every byte that arrived and cut a connection at any point.
"""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any


@dataclass
class Request:
    """One request, and what became of it.

    path:       as routed, without /v1 or Azure's prefixes
    url:        the path as sent
    headers:    names in lower case
    deployment: the name in Azure's older URLs
    status:     of the answer; None while it is being worked on, or when there was none
    arrived:    when all of it was here, by time.monotonic()
    """

    method: str
    path: str
    url: str
    query: list[tuple[str, str]]
    headers: dict[str, str]
    body: bytes
    deployment: str | None = None
    in_batch: bool = False
    status: int | None = None
    arrived: float = 0.0

    @cached_property
    def json(self) -> Any:
        """The body. Raises ValueError when it is not JSON."""
        return json.loads(self.body)

    @cached_property
    def params(self) -> dict[str, str]:
        return dict(self.query)

    @cached_property
    def form(self) -> dict[str, FormPart]:
        """The parts of a multipart body by name. Raises ValueError when it is not one."""
        return read_multipart(self.headers.get("content-type", ""), self.body)


@dataclass
class Response:
    body: bytes
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    media_type: str = "application/json"


@dataclass(frozen=True)
class FormPart:
    filename: str | None
    content: bytes


Handler = Callable[..., Awaitable[Response]]


class Router:
    """Finds the handler of a path; `{name}` in a pattern becomes an argument."""

    def __init__(self) -> None:
        self._plain: dict[tuple[str, str], Handler] = {}
        self._routes: list[tuple[str, re.Pattern[str], Handler]] = []

    def add(self, route: str, handler: Handler) -> None:
        """`route` is a method and a pattern, as in `GET /files/{id}`."""
        method, pattern = route.split()
        if "{" not in pattern:
            self._plain[method, pattern] = handler
        expression = re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", pattern)
        self._routes.append((method, re.compile(expression), handler))

    def find(self, method: str, path: str) -> tuple[Handler, dict[str, str]] | int:
        """The handler and its arguments, or 404 or 405."""
        plain = self._plain.get((method, path))
        if plain is not None:
            return plain, {}
        status = 404
        for allowed, pattern, handler in self._routes:
            match = pattern.fullmatch(path)
            if match and allowed == method:
                return handler, match.groupdict()
            if match:
                status = 405
        return status


_AZURE_DEPLOYMENT = re.compile(r"/openai/deployments/([^/]+)(/.+)")


def locate(url: str, *, versioned: bool) -> tuple[str, str | None] | None:
    """The path to route and Azure's deployment name; None when no server answers there.

    versioned: whether the query names an api-version, which Azure's older URLs need
    """
    match = _AZURE_DEPLOYMENT.fullmatch(url)
    if match:
        return (match[2], match[1]) if versioned else None
    for prefix in ("/openai/v1", "/v1"):
        if url.startswith(prefix + "/"):
            return url.removeprefix(prefix), None
    if url.startswith("/openai/") and versioned:
        return url.removeprefix("/openai"), None
    return None


_DISPOSITION = re.compile(rb'(\w+)="((?:[^"\\]|\\.)*)"')


def read_multipart(content_type: str, body: bytes) -> dict[str, FormPart]:
    """The parts of a multipart/form-data body. Raises ValueError when it is not one."""
    boundary = re.search(r'boundary="?([^";]+)', content_type)
    if not content_type.startswith("multipart/form-data") or not boundary:
        raise ValueError("The request is not multipart/form-data.")
    mark = b"\r\n--" + boundary[1].encode()
    parts = {}
    for part in (b"\r\n" + body).split(mark)[1:-1]:
        head, _, content = part.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        disposition = next(
            line for line in head.split(b"\r\n") if line.lower().startswith(b"content-disposition")
        )
        fields = {key.decode(): value.decode() for key, value in _DISPOSITION.findall(disposition)}
        parts[fields["name"]] = FormPart(fields.get("filename"), content)
    return parts
