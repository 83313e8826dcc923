"""An HTTP client for many small requests to one address, with little overhead for each.

What the SDK's client and the HTTP client below it do for every request (options, cookies,
redirects, hooks, a search for a free connection) is about half of what such a request takes, and a
table takes thousands of them. So they use httpcore, the layer below both, directly.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import httpcore2
import httpx2

from ..access import Endpoint
from .bounded_responses import KEEP_SECONDS, certificates, has_proxy, read_answer, translated
from .client import address_of
from .dialect import OPENAI, Dialect


class HttpClient:
    """Sends JSON to one address of a service with the SDK's headers, for one event loop.

    Never follows a redirect and never tries again. Where the environment has a proxy, an HTTP
    client is used after all, which knows how to go through it, or past it.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        path: str,
        model: str,
        dialect: Dialect = OPENAI,
        *,
        timeout: float = 60.0,
    ) -> None:
        """path: such as `chat/completions`; timeout: seconds for a request, from its first byte to
        the last of its answer. Raises AccessError as `open_client` does."""
        url, headers, limits = address_of(endpoint, path, model, dialect, timeout=timeout)
        self._to = httpx2.Request("POST", url, headers={**headers, "Accept-Encoding": "gzip"})
        where = self._to.url
        self._url = httpcore2.URL(
            scheme=where.raw_scheme, host=where.raw_host, port=where.port, target=where.raw_path
        )
        self._headers = [(k, v) for k, v in self._to.headers.raw if k.lower() != b"content-length"]
        self._extensions = {"timeout": limits.as_dict()}
        self._timeout = timeout
        # One connection in each: a pool looks at every one it has, twice for each request.
        self._pools: list[httpcore2.AsyncConnectionPool] = []
        self._idle: list[httpcore2.AsyncConnectionPool] = []
        self._client: httpx2.AsyncClient | None = None
        if has_proxy():
            many = httpx2.Limits(max_connections=None, max_keepalive_connections=None)
            self._client = httpx2.AsyncClient(
                headers=headers, timeout=limits, limits=many, verify=certificates()
            )

    @property
    def url(self) -> str:
        return str(self._to.url)

    async def post(self, content: bytes) -> httpx2.Response:
        """The answer, whatever its status, read to its end. Raises httpx2.HTTPError."""
        # A server that sends a byte now and then never lets a read time out.
        with _within(self._timeout, self._to):
            return await self._post(content)

    async def _post(self, content: bytes) -> httpx2.Response:
        if self._client is not None:
            sent = self._client.stream("POST", self._to.url, content=content)
            async with sent as streamed:
                return await read_answer(streamed, self._to)
        pool = self._idle.pop() if self._idle else self._new_pool()
        asked = pool.stream(
            "POST",
            self._url,
            headers=[*self._headers, (b"Content-Length", b"%d" % len(content))],
            content=content,
            extensions=self._extensions,
        )
        try:
            with translated(self._to):
                async with asked as answer:
                    return await read_answer(answer, self._to)
        finally:
            self._idle.append(pool)  # one that has failed makes a new connection

    async def close(self) -> None:
        if self._client is not None:
            await self._client.aclose()
        for pool in self._pools:
            await pool.aclose()

    def _new_pool(self) -> httpcore2.AsyncConnectionPool:
        pool = httpcore2.AsyncConnectionPool(
            ssl_context=certificates(), keepalive_expiry=KEEP_SECONDS
        )
        self._pools.append(pool)
        return pool


@contextmanager
def _within(seconds: float, request: httpx2.Request) -> Iterator[None]:
    """Raises TimeoutException in the task at hand when the block takes longer. As asyncio.timeout,
    which Python 3.10 does not have."""
    task, loop = asyncio.current_task(), asyncio.get_running_loop()
    assert task is not None
    over = False

    def end() -> None:
        nonlocal over
        over = task.cancel()

    timer = loop.call_later(seconds, end)
    try:
        yield
    except asyncio.CancelledError:
        if not over:
            raise
        if hasattr(task, "uncancel"):
            task.uncancel()
        raise httpx2.TimeoutException("The answer did not end.", request=request) from None
    finally:
        timer.cancel()
