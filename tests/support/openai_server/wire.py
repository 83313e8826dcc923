"""HTTP/1.1 on asyncio's own transports: requests come in, bytes go out.

Own code, since a server for all of Python's needs took twice the time of everything else that an
answer takes, and since a test must be able to cut a connection at any byte.
"""

from __future__ import annotations

import asyncio
import http
import time
from collections.abc import Callable, Coroutine
from typing import Any
from urllib.parse import parse_qsl, unquote

from .http import Request, locate

Serve = Callable[[Request, "Connection"], Coroutine[Any, Any, None]]


class Connection(asyncio.Protocol):
    """One client's connection: a request at a time, kept alive until the client says otherwise."""

    transport: asyncio.Transport

    def __init__(self, serve: Serve, all_of_them: set[Connection]) -> None:
        """all_of_them: where it is entered while it lives"""
        self._serve = serve
        self._all = all_of_them
        self._buffer = bytearray()
        self._head: tuple[str, str, dict[str, str]] | None = None
        self._task: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._all.add(self)

    def connection_lost(self, _: Exception | None) -> None:
        self._all.discard(self)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if self._task is None:
            self._begin()

    def write(self, *pieces: bytes) -> None:
        """Sends them unless the client has gone."""
        if not self.transport.is_closing():
            self.transport.write(b"".join(pieces))

    def abort(self) -> None:
        """Hangs up; what was not sent yet is lost."""
        self.transport.abort()

    def _begin(self) -> None:
        """Serves the next request if all of it is here."""
        try:
            request = self._take()
        except (ValueError, IndexError):
            self.write(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n")
            self.transport.close()
            return
        if request is not None:
            self._task = asyncio.get_running_loop().create_task(self._serve(request, self))
            self._task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._task = None
        if task.cancelled():
            return
        if task.exception() is not None:
            self.abort()  # the loop shows the error when the task is collected
            return
        if not self.transport.is_closing():
            self._begin()

    def _take(self) -> Request | None:
        """Cuts a request off the buffer. Raises ValueError or IndexError when it is none."""
        if self._head is None:
            end = self._buffer.find(b"\r\n\r\n")
            if end < 0:
                return None
            self._head = _read_head(self._buffer[:end].decode("latin-1"))
            del self._buffer[: end + 4]
            if self._head[2].get("expect", "").lower() == "100-continue":
                self.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        method, target, headers = self._head
        if headers.get("transfer-encoding", "").lower() == "chunked":
            body = _take_chunks(self._buffer)
        else:
            body = _take_bytes(self._buffer, int(headers.get("content-length", 0)))
        if body is None:
            return None
        self._head = None
        url, _, asked = target.partition("?")
        url = unquote(url)
        query = parse_qsl(asked, keep_blank_values=True) if asked else []
        versioned = any(name == "api-version" for name, _ in query)
        path, deployment = locate(url, versioned=versioned) or ("", None)
        return Request(
            method, path, url, query, headers, body, deployment, arrived=time.monotonic()
        )


def _read_head(text: str) -> tuple[str, str, dict[str, str]]:
    first, *lines = text.split("\r\n")
    method, target, version = first.split(" ")
    if not version.startswith("HTTP/1."):
        raise ValueError(f"{version} is not spoken here.")
    headers = {}
    for line in lines:
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    return method, target, headers


def _take_bytes(buffer: bytearray, size: int) -> bytes | None:
    if len(buffer) < size:
        return None
    taken = bytes(buffer[:size])
    del buffer[:size]
    return taken


def _take_chunks(buffer: bytearray) -> bytes | None:
    """A body in chunks, once its last one is here; trailers are not read."""
    pieces = []
    place = 0
    while True:
        end = buffer.find(b"\r\n", place)
        if end < 0:
            return None
        size = int(buffer[place:end].split(b";")[0], 16)
        place = end + 2 + size + 2
        if len(buffer) < place:
            return None
        if size == 0:
            del buffer[:place]
            return b"".join(pieces)
        pieces.append(bytes(buffer[end + 2 : end + 2 + size]))


_REASONS = {status.value: status.phrase for status in http.HTTPStatus}


def head(status: int, headers: dict[str, str]) -> bytes:
    """The bytes of an answer before its body."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {status} {_REASONS.get(status, '')}\r\n{lines}\r\n".encode("latin-1")
