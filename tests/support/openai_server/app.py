"""The application: one request from its arrival to its answer, and what may befall it."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Coroutine
from functools import partial
from typing import Any

from . import answers, batches, decisions, embeddings, files, jobs, models, training
from .errors import ApiError
from .examples import read
from .faults import DELIVERY, REFUSALS, Fault, Faults
from .http import Request, Response, Router
from .learner import Learner
from .settings import Settings
from .speaking import Speaker
from .state import State, new_id
from .wire import Connection, head

ANSWERING = ("/chat/completions", "/completions", "/decisions", "/embeddings")


class App:
    """What all endpoints share.

    held:     states in which jobs and batches stay for now
    taught:   what decisions know
    answered: requests to models that were answered well, batches' apart
    """

    def __init__(self, state: State, settings: Settings, faults: Faults) -> None:
        self.state = state
        self.settings = settings
        self.faults = faults
        self.held: set[str] = set()
        self.taught: list[Learner] = []
        self.speakers: dict[int, Speaker] = {}
        self.log: list[Request] = []
        self.requests = 0
        self.answered = 0
        self.in_flight = 0
        self.in_flight_max = 0
        self._answering = 0
        self._recent: deque[float] = deque()
        self._learners: dict[tuple[tuple[str, ...], int], asyncio.Task[Learner]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._router = Router()
        for module in (files, jobs, models, answers, batches, decisions, embeddings):
            for route, handler in module.ROUTES.items():
                self._router.add(route, partial(handler, self))

    def clock(self) -> float:
        return time.time()

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        """Lets work go on beside the requests."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def go_on(self) -> None:
        """Takes up the jobs and batches of a server that was killed."""
        for job in self.state.jobs.values():
            if not job.ended:
                self.start(training.live(self, job))
        for batch in self.state.batches.values():
            if batch.record["status"] not in batches.ENDED:
                self.start(batches.live(self, batch))

    def dated(self, model: str) -> str:
        """The name with a date that an alias stands for."""
        info = self.settings.models.get(model)
        return info.alias_of if info and info.alias_of else model

    def lineage(self, model: str) -> tuple[str, list[str]]:
        """The dated base of a model that is to be tuned, and what it has learnt already."""
        tuned = self.state.models.get(model)
        return (tuned.base, tuned.files) if tuned else (self.dated(model), [])

    async def learner(self, contents: tuple[str, ...], epochs: int) -> Learner:
        """The learner of these training contents, trained when first asked for."""
        key = (contents, epochs)
        if key not in self._learners:
            fit = asyncio.to_thread(self._fit, contents, epochs)
            self._learners[key] = asyncio.ensure_future(fit)
        return await asyncio.shield(self._learners[key])

    def _fit(self, contents: tuple[str, ...], epochs: int) -> Learner:
        examples = [e for name in contents for e in read(self.state.contents[name])]
        held = self.state.contents.get(contents[-1].replace("training-", "validation-", 1))
        return Learner(examples, epochs, read(held) if held else ())

    async def serve(self, request: Request, connection: Connection) -> None:
        """One request, and what befalls it."""
        self.requests += 1
        if self.settings.keep_log:
            self.log.append(request)
        self.in_flight += 1
        self.in_flight_max = max(self.in_flight_max, self.in_flight)
        try:
            await self._serve(request, connection)
        finally:
            self.in_flight -= 1

    async def _serve(self, request: Request, connection: Connection) -> None:
        fault = self.faults.take(request, DELIVERY | REFUSALS)
        if fault is not None and not fault.after and await _before(fault, connection):
            return
        if fault is not None and not fault.after and fault.kind in REFUSALS:
            response = fault.error().response()
        else:
            response = await self.answer(request)
        if fault is not None:
            if fault.after and fault.kind == "drop":
                connection.abort()
                return
            response = _spoil(fault, response)
        request.status = response.status
        await _send(connection, response, fault)
        if request.headers.get("connection", "").lower() == "close":
            connection.transport.close()

    async def answer(self, request: Request) -> Response:
        """What the endpoint says; also for the requests within a batch."""
        path = request.path.removeprefix("/batches/-") if request.in_batch else request.path
        answering = path in ANSWERING and not request.in_batch
        try:
            if request.in_batch:
                fault = self.faults.take(request, REFUSALS)
                if fault is not None:
                    raise fault.error()
            else:
                self._let_in(request)
            if answering:
                self._limit()
            return await self._handle(request, path, answering)
        except ApiError as error:
            return error.response()

    async def _handle(self, request: Request, path: str, answering: bool) -> Response:
        found = self._router.find(request.method, path)
        if isinstance(found, int):
            raise _no_route(request, found)
        handler, arguments = found
        if not answering:
            response = await handler(request, **arguments)
            if request.method != "GET" and not request.in_batch:
                self.state.save()
            return response
        self._answering += 1
        done = request.arrived + self.settings.latency
        try:
            response = await handler(request, **arguments)
            rest = done - time.monotonic()
            if rest > 0:
                await asyncio.sleep(rest)
            while self.settings.silent:
                await asyncio.sleep(0.002)
        finally:
            self._answering -= 1
        self.answered += 1
        response.headers.update(self._limit_headers())
        return response

    def _let_in(self, request: Request) -> None:
        bearer = request.headers.get("authorization", "").removeprefix("Bearer ")
        key = request.headers.get("api-key") or bearer
        if self.settings.key_header is not None:
            key = request.headers.get(self.settings.key_header)
        if not request.path:
            raise _no_route(request, 404)
        if not key:
            raise ApiError(401, "You didn't provide an API key.")
        if key != self.settings.api_key:
            raise ApiError(
                401, f"Incorrect API key provided: {key[:3]}***.", code="invalid_api_key"
            )

    def _limit(self) -> None:
        most = self.settings.max_in_flight
        if most is not None and self._answering >= most:
            raise _too_many("Too many requests at once.", 0.05)
        if self.settings.per_minute is None:
            return
        moment = time.monotonic()
        while self._recent and self._recent[0] < moment - 60:
            self._recent.popleft()
        if len(self._recent) >= self.settings.per_minute:
            raise _too_many("Rate limit reached.", 60 - (moment - self._recent[0]))
        self._recent.append(moment)

    def _limit_headers(self) -> dict[str, str]:
        most = self.settings.per_minute
        if most is None:
            return {}
        return {
            "x-ratelimit-limit-requests": str(most),
            "x-ratelimit-remaining-requests": str(most - len(self._recent)),
            "x-ratelimit-reset-requests": f"{60 - (time.monotonic() - self._recent[0]):.3f}s",
        }


def _too_many(message: str, wait: float) -> ApiError:
    return ApiError(
        429,
        f"{message} Please try again in {wait:.2f}s.",
        code="rate_limit_exceeded",
        kind="requests",
        headers={"retry-after": str(max(1, round(wait))), "retry-after-ms": f"{wait * 1000:.0f}"},
    )


def _no_route(request: Request, status: int) -> ApiError:
    if status == 405:
        return ApiError(405, f"Not allowed to {request.method} on {request.url}.")
    return ApiError(404, f"Invalid URL ({request.method} {request.url})")


async def _before(fault: Fault, connection: Connection) -> bool:
    """Does what needs no answer of the endpoint; whether that was all."""
    if fault.kind == "drop":
        connection.abort()
    elif fault.kind == "hang":
        await asyncio.sleep(fault.duration if fault.duration != 1.0 else 3600)
        connection.abort()
    else:
        return False
    return True


def _spoil(fault: Fault, response: Response) -> Response:
    if fault.kind in REFUSALS:
        return fault.error().response()
    if fault.kind == "malformed_json":
        return Response(response.body[: len(response.body) // 2])
    if fault.kind == "html":
        page = b"<html><body><h1>502 Bad Gateway</h1></body></html>"
        return Response(page, 502, media_type="text/html")
    if fault.kind == "redirect":
        return Response(b"", 307, {"location": fault.location})
    return response


async def _send(connection: Connection, response: Response, fault: Fault | None) -> None:
    body = response.body
    headers = {
        "content-type": response.media_type,
        "content-length": str(len(body)),
        "x-request-id": new_id("req", "_"),
        **response.headers,
    }
    kind = fault.kind if fault is not None else ""
    if kind == "slow" and fault is not None:
        connection.write(head(response.status, headers))
        size = len(body) // 10 + 1
        for start in range(0, len(body), size):
            connection.write(body[start : start + size])
            await asyncio.sleep(fault.duration / 10)
    elif kind == "truncated":
        connection.write(head(response.status, headers), body[: len(body) // 2])
        await asyncio.sleep(0.01)
        connection.abort()
    else:
        connection.write(head(response.status, headers), body)
