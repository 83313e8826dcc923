"""Limits on the size and duration of responses, for every request to a service.

A server may send a gigabyte, a small body that unpacks to one, or a byte a minute. So a body is
counted as it is unpacked, and the whole answer has a deadline, its headers included: timeouts of
single reads, which is all that HTTP clients have, begin anew with each byte.
"""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any
from urllib.request import getproxies

import httpcore2
import httpx2

MIB = 1024**2

JSON_BYTES = 8 * MIB
"""Of a body that is read as a whole: a page of 10,000 files takes about 3 MB."""

ANSWER_BYTES = 4 * MIB
"""Bytes of the response to one request, of which there are hundreds at the same time."""

STREAM_BYTES = 2048 * MIB
"""Of a file that is read as it comes: the answers of a batch of 50,000 requests with scores."""

STREAM_SECONDS = 3600.0
"""For a file that is read as it comes."""

SENDING = 10
"""Sending may take so many times as long as an answer: of a large file over a slow line."""

KEEP_SECONDS = 5.0
"""The longest that a connection is kept which nobody uses: servers close such ones without a word,
and what is sent at that moment fails. The usual time of HTTP clients here."""

_DEADLINE = "answer_seconds"
_ENCODINGS = {"Accept-Encoding": "gzip"}
_OF_THE_TRANSFER = ("content-encoding", "transfer-encoding", "content-length")


class TooLarge(httpx2.TransportError):
    """A body has more bytes than it may; the rest was not read."""


class NotJson(httpx2.DecodingError):
    """A body is no JSON. Of an error of ours nothing like it is raised."""


class BoundedResponse(httpx2.Response):
    """A response that has been read, and says so when it is no JSON."""

    def json(self, **options: Any) -> Any:
        """Raises NotJson."""
        try:
            return super().json(**options)
        except (ValueError, RecursionError):  # also of a number with thousands of digits
            raise NotJson("The answer is not JSON", request=self.request) from None


class BoundedClient(httpx2.Client):
    """A client for one thread that follows no redirect, and whose answers have bounds.

    timeout: seconds; a request's own is also that of its whole answer
    """

    def __init__(self, *, timeout: httpx2.Timeout, **options: Any) -> None:
        if not has_proxy():
            # Past a proxy only the body has a deadline, and each read of the headers.
            options["transport"] = BoundedTransport()
        super().__init__(timeout=timeout, verify=certificates(), headers=_ENCODINGS, **options)

    def send(self, request: httpx2.Request, *, stream: bool = False, **options: Any) -> Any:
        """As httpx2.Client. Raises TooLarge."""
        seconds = STREAM_SECONDS if stream else _seconds(request)
        request.extensions = {**request.extensions, _DEADLINE: seconds}
        response = super().send(request, stream=True, **options)
        until = time.monotonic() + seconds
        if stream:
            assert isinstance(response.stream, httpx2.SyncByteStream)
            response.stream = _Counted(response.stream, STREAM_BYTES, until, request)
            return response
        try:
            pieces = _within(response.iter_bytes(), JSON_BYTES, until, request)
            return whole(response, b"".join(pieces))
        finally:
            response.close()


def _seconds(request: httpx2.Request) -> float:
    """The timeout of a single read, for the response."""
    return float((request.extensions.get("timeout") or {}).get("read") or STREAM_SECONDS)


def _within(
    pieces: Iterable[bytes], most: int, until: float, request: httpx2.Request
) -> Iterator[bytes]:
    seen = 0
    for piece in pieces:
        seen += len(piece)
        check_size(seen, most, request)
        if time.monotonic() > until:
            raise httpx2.ReadTimeout("The answer did not end.", request=request)
        yield piece


def check_size(size: int, most: int, request: httpx2.Request) -> None:
    """Raises TooLarge."""
    if size > most:
        raise TooLarge(f"The answer has more than {most / MIB:,.0f} MB", request=request)


def whole(response: httpx2.Response, body: bytes) -> BoundedResponse:
    """The response with its body, which is unpacked."""
    headers = [
        (k, v) for k, v in response.headers.raw if k.decode().lower() not in _OF_THE_TRANSFER
    ]
    return BoundedResponse(
        response.status_code,
        headers=headers,
        content=body,
        request=response.request,
        extensions=response.extensions,
    )


async def read_answer(
    answer: httpcore2.Response | httpx2.Response, request: httpx2.Request
) -> httpx2.Response:
    """Reads the body of a response that was opened as a stream. Raises TooLarge."""
    if isinstance(answer, httpx2.Response):
        status, headers, stream = answer.status_code, answer.headers.raw, answer.aiter_raw()
    else:
        status, headers, stream = answer.status, answer.headers, answer.aiter_stream()
    pieces, seen = [], 0
    async for piece in stream:
        seen += len(piece)
        check_size(seen, ANSWER_BYTES, request)
        pieces.append(piece)
    if not any(name.lower() == b"content-encoding" for name, _ in headers):
        body = b"".join(pieces)
        return BoundedResponse(status, headers=headers, content=body, request=request)
    packed = httpx2.Response(status, headers=headers, stream=_Pieces(pieces), request=request)
    unpacked = _within(packed.iter_bytes(), ANSWER_BYTES, float("inf"), request)
    return whole(packed, b"".join(unpacked))


class _Pieces(httpx2.SyncByteStream):
    def __init__(self, pieces: list[bytes]) -> None:
        self._pieces = pieces

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._pieces)


class _Counted(httpx2.SyncByteStream):
    def __init__(
        self, stream: httpx2.SyncByteStream, most: int, until: float, request: httpx2.Request
    ) -> None:
        self._stream, self._bounds = stream, (most, until, request)

    def __iter__(self) -> Iterator[bytes]:
        return _within(self._stream, *self._bounds)

    def close(self) -> None:
        self._stream.close()


class BoundedTransport(httpx2.BaseTransport):
    """Connections whose answers, from the first byte of their headers to the last, have a deadline:
    the request's extension `answer_seconds`."""

    def __init__(self) -> None:
        self._clock = _Clock()
        self._pool = httpcore2.ConnectionPool(
            ssl_context=certificates(),
            keepalive_expiry=KEEP_SECONDS,
            network_backend=_Backend(self._clock),
        )

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        assert isinstance(request.stream, httpx2.SyncByteStream)
        self._clock.start(float(request.extensions.get(_DEADLINE) or _seconds(request)))
        url = request.url
        asked = httpcore2.Request(
            method=request.method,
            url=httpcore2.URL(
                scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path
            ),
            headers=request.headers.raw,
            content=request.stream,
            extensions=request.extensions,
        )
        with translated(request):
            answer = self._pool.handle_request(asked)
        assert isinstance(answer.stream, Iterable)
        return httpx2.Response(
            answer.status,
            headers=answer.headers,
            stream=_Body(answer, request),
            extensions=answer.extensions,
        )

    def close(self) -> None:
        self._pool.close()


class _Body(httpx2.SyncByteStream):
    def __init__(self, answer: httpcore2.Response, request: httpx2.Request) -> None:
        self._answer, self._request = answer, request

    def __iter__(self) -> Iterator[bytes]:
        with translated(self._request):
            yield from self._answer.iter_stream()

    def close(self) -> None:
        with translated(self._request):
            self._answer.close()


@contextmanager
def translated(request: httpx2.Request) -> Iterator[None]:
    """Raises httpx2's exceptions in the place of those of the layer below it."""
    try:
        yield
    except httpcore2.ConnectTimeout as error:
        raise httpx2.ConnectTimeout(str(error), request=request) from error
    except httpcore2.TimeoutException as error:
        raise httpx2.ReadTimeout(str(error), request=request) from error
    except httpcore2.UnsupportedProtocol as error:
        raise httpx2.UnsupportedProtocol(str(error), request=request) from error
    except (httpcore2.NetworkError, httpcore2.ProtocolError, httpcore2.ProxyError) as error:
        raise httpx2.TransportError(str(error), request=request) from error


class _Clock(threading.local):
    """How long the request of this thread may still take. Its answer's time begins when it has
    been sent."""

    seconds = STREAM_SECONDS
    until = float("inf")
    receiving = False

    def start(self, seconds: float) -> None:
        self.seconds, self.receiving = seconds, False
        self.until = time.monotonic() + SENDING * seconds

    def left(self, timeout: float | None, *, receiving: bool) -> float:
        """Seconds that a single read or write may take. Raises ReadTimeout when none are left."""
        now = time.monotonic()
        if receiving and not self.receiving:
            self.receiving, self.until = True, min(self.until, now + self.seconds)
        left = self.until - now
        if left <= 0:
            raise httpcore2.ReadTimeout("The answer did not end.")
        return left if timeout is None else min(timeout, left)


class _Stream(httpcore2.NetworkStream):
    def __init__(self, stream: httpcore2.NetworkStream, clock: _Clock) -> None:
        self._stream, self._clock = stream, clock

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, self._clock.left(timeout, receiving=True))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, self._clock.left(timeout, receiving=False))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore2.NetworkStream:
        return _Stream(self._stream.start_tls(ssl_context, server_hostname, timeout), self._clock)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


class _Backend(httpcore2.NetworkBackend):
    def __init__(self, clock: _Clock) -> None:
        self._plain, self._clock = httpcore2.SyncBackend(), clock

    def connect_tcp(self, host: str, port: int, *args: Any, **options: Any) -> Any:
        return _Stream(self._plain.connect_tcp(host, port, *args, **options), self._clock)


def has_proxy() -> bool:
    """Whether the environment names one, which an HTTP client knows how to go through, or past."""
    return bool({"http", "https", "all"} & getproxies().keys())


@lru_cache(maxsize=1)
def certificates() -> ssl.SSLContext:
    """What an HTTP client would load for itself, in 20 ms each time."""
    return httpx2.create_ssl_context()
