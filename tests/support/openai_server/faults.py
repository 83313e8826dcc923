"""What the server is told to do wrong."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.utils import formatdate
from fnmatch import fnmatchcase
from typing import Any

from .errors import ApiError
from .http import Request

_REFUSALS: dict[str, tuple[int, str | None, str, str]] = {
    "unauthorized": (
        401, "invalid_api_key", "invalid_request_error", "Incorrect API key provided.",
    ),
    "forbidden": (
        403, "insufficient_permissions", "invalid_request_error",
        "You have insufficient permissions for this operation.",
    ),
    "training_not_available": (
        403, "training_not_available", "invalid_request_error",
        "Fine-tuning is not available to your organization.",
    ),
    "not_found": (404, None, "invalid_request_error", "Not found."),
    "model_not_ready": (
        404, "model_not_found", "invalid_request_error",
        "The model does not exist or you do not have access to it.",
    ),
    "content_policy": (
        400, "content_policy_violation", "invalid_request_error",
        "Your request was rejected by our content policy.",
    ),
    "bad_request": (400, None, "invalid_request_error", "The request is not valid."),
    "rate_limit": (
        429, "rate_limit_exceeded", "requests", "Rate limit reached for requests per min (RPM).",
    ),
    "insufficient_quota": (
        429, "insufficient_quota", "insufficient_quota",
        "You exceeded your current quota, please check your plan and billing details.",
    ),
    "server_error": (
        500, None, "server_error", "The server had an error while processing your request.",
    ),
    "unavailable": (503, None, "server_error", "The engine is currently overloaded."),
}  # fmt: skip
REFUSALS = frozenset(_REFUSALS)
DELIVERY = frozenset({"drop", "hang", "slow", "truncated", "malformed_json", "html", "redirect"})
ANSWERS = frozenset({"no_logprobs", "out_of_set", "refusal", "content_filter", "empty", "reasons"})
JOBS = frozenset({"job_fails", "job_stalls", "job_paused", "job_cancelled"})
BATCHES = frozenset({"batch_fails", "batch_stalls", "batch_expires"})
EMBEDDINGS = frozenset(
    {"fewer_vectors", "same_index", "not_finite", "other_dimensions", "huge_vectors"}
)
KINDS = EMBEDDINGS | REFUSALS | DELIVERY | ANSWERS | JOBS | BATCHES

_BY_STATUS = {
    400: "bad_request", 401: "unauthorized", 403: "forbidden", 404: "not_found",
    429: "rate_limit", 500: "server_error", 503: "unavailable",
}  # fmt: skip


@dataclass
class Fault:
    """Something that goes wrong.

    pattern:     path (`/files/*`), or method and path (`POST /fine_tuning/jobs`). Requests within
                 a batch have paths that begin with /batches/-
    times:       how often; None: always
    skip, every: leaves out the first `skip`, then strikes every n-th request
    seconds:     strikes for so long, from the first request on
    where:       and only requests that it accepts
    after:       acts first and refuses or drops then: the caller cannot know that it was done
    retry_after: seconds in the Retry-After header; `http_date` writes them as a date
    message, code: in the place of the usual ones; a job's or batch's error too
    text:        what is answered out of the set, or as a refusal
    duration:    seconds that a slow body takes
    location:    where a redirect leads
    stage:       the state in which a job stalls
    done:        share of a batch that is done when it expires
    struck:      how often it has
    """

    pattern: str
    kind: str
    times: int | None = 1
    skip: int = 0
    every: int = 1
    seconds: float | None = None
    where: Callable[[Request], bool] | None = None
    after: bool = False
    retry_after: float | None = None
    http_date: bool = False
    message: str | None = None
    code: str | None = None
    text: str = "zebra"
    duration: float = 1.0
    location: str = ""
    stage: str = "running"
    done: float = 0.5
    struck: int = 0
    seen: int = 0
    _until: float | None = None

    def strikes(self, request: Request) -> bool:
        """Whether this request is one of its own; counts it."""
        if not self._fits(request) or (self.times is not None and self.struck >= self.times):
            return False
        self.seen += 1
        if self.seen <= self.skip or (self.seen - self.skip - 1) % self.every:
            return False
        if self.seconds is not None:
            self._until = self._until or time.monotonic() + self.seconds
            if time.monotonic() > self._until:
                return False
        self.struck += 1
        return True

    def _fits(self, request: Request) -> bool:
        method, _, path = self.pattern.rpartition(" ")
        return (
            (not method or method == request.method)
            and fnmatchcase(request.path, path)
            and (self.where is None or self.where(request))
        )

    def error(self) -> ApiError:
        """The refusal. KeyError when its kind is none."""
        status, code, kind, message = _REFUSALS[self.kind]
        return ApiError(
            status,
            self.message or message,
            code=self.code or code,
            kind=kind,
            headers=self._headers(),
        )

    def _headers(self) -> dict[str, str]:
        if self.retry_after is None:
            return {}
        if self.http_date:
            return {"retry-after": formatdate(time.time() + self.retry_after, usegmt=True)}
        return {"retry-after": f"{self.retry_after:g}"}


class Faults:
    """The faults to come, oldest first."""

    def __init__(self) -> None:
        self._all: list[Fault] = []

    def add(self, pattern: str, kind: str | int, times: int | None = 1, **options: Any) -> Fault:
        """Plans a fault; see Fault. A status as its kind means the usual refusal with it.

        One with `seconds` strikes any number of times. Raises ValueError for an unknown kind.
        """
        name = _BY_STATUS.get(kind) if isinstance(kind, int) else kind
        if name not in KINDS:
            raise ValueError(f"{kind!r} is no fault; there are {', '.join(sorted(KINDS))}.")
        if "seconds" in options:
            times = None
        fault = Fault(pattern, name, times, **options)
        self._all.append(fault)
        return fault

    def clear(self) -> None:
        self._all.clear()

    @contextmanager
    def during(self, pattern: str, kind: str | int, **options: Any) -> Iterator[Fault]:
        """A fault that strikes always, until the block ends."""
        fault = self.add(pattern, kind, None, **options)
        try:
            yield fault
        finally:
            self._all.remove(fault)

    def take(self, request: Request, kinds: frozenset[str]) -> Fault | None:
        """The first fault of these kinds that strikes the request."""
        for fault in list(self._all):
            if fault.kind in kinds and fault.strikes(request):
                return fault
        return None
