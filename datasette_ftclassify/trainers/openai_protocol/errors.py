"""What a failed request means: it concerns this row, it may be retried, or all others would fail.

The SDK's errors hold the request with its key, so they end here: what goes on is text, in the
provider's own words and with what to do next, and without anything that looks like a key.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

import httpcore2
import httpx2
import openai

from ..service_errors import RowRejected, ServiceProblem, ServiceRefused, TryAgain
from .bounded_responses import NotJson, TooLarge
from .rate_limits import wait_of

FAILURES = (openai.OpenAIError, httpx2.HTTPError, httpx2.StreamError)
"""What requests raise, of the SDK's and of ours; `problem` translates them."""

NOT_AVAILABLE = "training_not_available"
"""The code of a service that trains no longer for who asks."""

WORDS = 400
"""Characters of a provider's message that are shown."""

_NO_MONEY = {
    "insufficient_quota", "billing_hard_limit_reached", "billing_not_active",
    "access_terminated", "insufficient_balance", "insufficient_credits", "quota_exceeded",
    "arrearage",
}  # fmt: skip
_FILTER = {"content_filter", "content_filtered", "responsibleaipolicyviolation"}
_POLICY = {*_FILTER, "content_policy_violation", "invalid_prompt", "cyber_policy_violation"}
_TOO_LONG = {"context_length_exceeded", "string_above_max_length", "request_too_large"}
_NO_MODEL = {
    "model_not_found", "invalid_model", "model_not_available", "model_decommissioned",
    "model_deprecated",
}  # fmt: skip
_NO_MODEL_WORDS = re.compile(
    r"\bmodel\b.{1,200}\b(?:not found|does not exist|decommissioned|deprecated)\b", re.IGNORECASE
)
_NO_KEY = {"invalid_api_key", "api_key_invalid", "invalidapikey"}
_NO_KEY_WORDS = re.compile(
    r"\b(?:invalid|incorrect|expired|missing) API[ _-]?key\b"
    r"|\bAPI[ _-]?key\b.{0,40}\b(?:not valid|invalid|incorrect|expired|missing|required)\b",
    re.IGNORECASE,
)
_BAD_SETTING = {
    "unsupported_parameter", "unsupported_value", "unknown_parameter", "invalid_parameter",
    "invalid_value", "invalid_type", "missing_required_parameter", "operationnotsupported",
    "invalid_parameter_combination", "unknown_url",
}  # fmt: skip
_OF_THE_TEXT = ("messages", "prompt", "input")
_LONG_WORDS = re.compile(
    r"maximum context length|context window|request too large|prompt is too long"
    # Ollama's and llama.cpp's about texts for embedding models.
    r"|exceeds the context length|input is too large|larger than the max context size"
    r"|exceeds the available context size|too many tokens|tokens.{0,60} must be <= \d+",
    re.IGNORECASE,
)
_LOOKS_LIKE_KEY = re.compile(
    r"\bsk-[\w*-]{3,}|\bbearer\s+\S{8,}|\S*\*{3,}\S*|(?<=api-key: )\S+", re.IGNORECASE
)
_LATER = (408, 409, 423, 424, 425, 498)
_NOT_BEGUN = (*_LATER, 429, 503, 529)
"""A service that says so has done nothing for the request. Behind any other failure (500, or a
gateway's 502 and 504) may be an answer that is billed."""


def problem(error: Exception) -> ServiceProblem:
    """What to raise, `from None`, in place of one of FAILURES. Raises any other error again."""
    if isinstance(error, ServiceProblem):
        return error
    if isinstance(error, openai.APIStatusError):
        return Refusal.of(error.response, error.body).problem()
    if isinstance(error, (openai.APITimeoutError, httpx2.TimeoutException)):
        return TryAgain(f"{_host(_request(error))} did not answer in time. Try again.")
    if isinstance(error, openai.APIResponseValidationError):
        host = _host(_request(error))
        return TryAgain(f"{host} answered something that is not in OpenAI's form. Try again.")
    if isinstance(cause := error.__cause__ or error, TooLarge):
        return TryAgain(f"{_host(_request(cause))}: {cause}, and the rest was not read.")
    if isinstance(error, NotJson):
        return TryAgain(f"{_host(error.request)} gave an answer that is not JSON. Try again.")
    if isinstance(error, (openai.APIConnectionError, httpx2.HTTPError, httpx2.StreamError)):
        return _of_connection(error)
    if isinstance(error, openai.OpenAIError):
        return ServiceRefused(_clean(str(error), _secrets(_request(error))))
    raise error


@dataclass(frozen=True)
class Refusal:
    """An answer with an error's status, in any of the forms that servers give it.

    body:    JSON, or the text when it is none: `{"error": {"message", "code", "type", "param"}}`
    host:    who said it
    secrets: what must not be shown
    """

    status: int
    body: object
    host: str = "The service"
    headers: Mapping[str, str] = field(default_factory=dict)
    secrets: tuple[str, ...] = field(default=(), repr=False)

    @classmethod
    def of(cls, response: httpx2.Response, body: object = None) -> Refusal:
        """Of a response that has been read, or whose body was kept apart."""
        if body is None:
            try:
                body = json.loads(response.content)
            except (ValueError, RecursionError):
                body = response.text
        request = response.request
        return cls(response.status_code, body, _host(request), response.headers, _secrets(request))

    @cached_property
    def words(self) -> str:
        """The provider's own, on one line that ends in a full stop."""
        text = self.body if isinstance(self.body, str) else self._find("message", "detail", "error")
        if isinstance(text, list):  # FastAPI's: what is wrong with each field
            text = "; ".join(str(d["msg"]) for d in text if isinstance(d, dict) and "msg" in d)
        if not isinstance(text, str) or text.lstrip().startswith("<"):
            text = ""  # a page for people says less than its status
        try:
            said = _clean(text, self.secrets) or HTTPStatus(self.status).phrase
        except ValueError:
            said = "no reason given"
        return said if said[-1] in ".!?…" else f"{said}."

    @cached_property
    def codes(self) -> set[str]:
        """Its code, type and inner code in lower case."""
        inner = self._find("innererror", "inner_error")
        names = [self._find("code"), self._find("type")]
        names.append(inner.get("code") if isinstance(inner, dict) else None)
        return {str(name).lower() for name in names if isinstance(name, (str, int))}

    @property
    def code(self) -> str | None:
        found = self._find("code", "type")
        return _clean(str(found), self.secrets) if isinstance(found, (str, int)) else None

    @property
    def parameter(self) -> str:
        """The field of the request that it is about, or ""."""
        found = self._find("param")
        if isinstance(details := self._find("detail"), list) and details:
            place = details[0].get("loc") if isinstance(details[0], dict) else None
            found = ".".join(map(str, place[1:])) if isinstance(place, list) else None
        return found if isinstance(found, str) else ""

    @property
    def filtered(self) -> bool:
        """Whether a content filter stopped the text, which Azure says as an error."""
        return self.status == 400 and bool(self.codes & _FILTER)

    @property
    def of_text(self) -> bool:
        """Whether it is surely about this one text, which is too long or against a policy."""
        return self.too_long or bool(self.codes & _POLICY)

    @property
    def too_long(self) -> bool:
        """Whether the text, or several together, are more than the model or the server takes."""
        long = self.status == 413 or self.codes & _TOO_LONG or _LONG_WORDS.search(self.words)
        return bool(long)

    def problem(self) -> ServiceProblem:
        status = self.status
        if 300 <= status < 400:
            return self._redirected()
        if status == 402 or (status < 500 and self.codes & _NO_MONEY):
            return self._refused("Add credit or raise the limit at the provider, then continue.")
        if status == 429 and _LONG_WORDS.search(self.words):
            return RowRejected(f"{self} The text has more tokens than a minute's limit.")
        if status == 500 and _LONG_WORDS.search(self.words):
            return self._bad_request()
        if status == 429 or status in _LATER or status >= 500 or status < 300:
            after = wait_of(self.headers, self.words, limited=status == 429)
            return TryAgain(
                str(self), after=after, rate_limited=status == 429, unbilled=status in _NOT_BEGUN
            )
        if status in (401, 403) or (
            status == 400 and (self.codes & _NO_KEY or _NO_KEY_WORDS.search(self.words))
        ):
            return self._not_allowed()
        if "deploymentnotfound" in self.codes:
            # No reason to wait: more often than not it is another name.
            return self._refused(
                "Give the deployment's name as Azure shows it; a new one answers after some "
                "minutes."
            )
        if self.codes & _NO_MODEL or (
            status in (400, 404) and not self.of_text and _NO_MODEL_WORDS.search(self.words)
        ):
            return self._refused(
                "The model may have been deleted or shut down, belong to another organization, or "
                "not be ready yet: a new one can take some minutes.",
                "model_not_found",
            )
        if status in (404, 405, 410):
            return self._refused("Is the base URL right? Most end in /v1.")
        return self._bad_request()

    def __str__(self) -> str:
        return f"{self.host} answered {self.status}: {self.words}"

    def _refused(self, advice: str, code: str | None = None) -> ServiceRefused:
        return ServiceRefused(f"{self} {advice}", code=code or self.code)

    def _not_allowed(self) -> ServiceRefused:
        if NOT_AVAILABLE in self.codes:
            return ServiceRefused(str(self), code=NOT_AVAILABLE)  # who trains says what is possible
        if self.status in (400, 401):
            return self._refused("Check the key: it may be wrong, expired or revoked.")
        return self._refused(
            "The key may not do this: check its permissions, project and organization, or use "
            "another trainer."
        )

    def _bad_request(self) -> ServiceProblem:
        if self.of_text:
            policy = "is against the provider's policy" if self.codes & _POLICY else "is too long"
            return RowRejected(f"{self} The text {policy}.")
        about_text = self.parameter.startswith(_OF_THE_TEXT)
        setting = self.parameter or self.codes & _BAD_SETTING
        if self.status in (400, 422) and (about_text or not setting):
            return RowRejected(str(self))
        return self._refused("The model or the server does not take such a request.")

    def _redirected(self) -> ServiceRefused:
        try:
            target = urlsplit(self.headers.get("location") or "")
        except ValueError:
            target = urlsplit("")
        where = "another path"
        if target.netloc:
            where = _clean(f"{target.scheme}://{target.netloc.rpartition('@')[2]}", self.secrets)
        return ServiceRefused(
            f"{self.host} redirects to {where}, and nothing was sent there. Set the base URL to it "
            "if you trust it.",
            code="redirect",
        )

    def _find(self, *names: str) -> Any:
        """The first of the fields that says something, in the error or around it."""
        body = self.body
        if isinstance(body, list) and body:  # Google's
            body = body[0]
        body = body if isinstance(body, dict) else {}
        error = body.get("error")
        places = [error, body] if isinstance(error, dict) else [body]
        return next((place[name] for place in places for name in names if place.get(name)), None)


def _of_connection(error: Exception) -> ServiceProblem:
    request, cause = _request(error), error.__cause__ or error
    what = _clean(str(cause), _secrets(request)).rstrip(".") or type(cause).__name__
    if isinstance(cause, httpx2.UnsupportedProtocol):
        return ServiceRefused(f"The base URL cannot be used: {what}.")
    return TryAgain(
        f"The connection to {_host(request)} failed: {what}. Is the address right, and is the "
        "network up?",
        unbilled=isinstance(cause, (httpx2.ConnectError, httpcore2.ConnectError)),
    )


def _request(error: Exception) -> httpx2.Request | None:
    try:
        found = getattr(error, "request", None)
    except RuntimeError:  # what an error of httpx2 without one raises
        return None
    return found if isinstance(found, httpx2.Request) else None


def _host(request: httpx2.Request | None) -> str:
    return request.url.netloc.decode("ascii", "replace") if request is not None else "The service"


def _secrets(request: httpx2.Request | None) -> tuple[str, ...]:
    if request is None:
        return ()
    sent = (request.headers.get(name, "") for name in ("authorization", "api-key"))
    return tuple(key.rpartition(" ")[2] for key in sent if key)


def _clean(text: str, secrets: tuple[str, ...]) -> str:
    """The text on one line, not too long, and without keys."""
    for secret in secrets:
        text = text.replace(secret, "…")
    text = _LOOKS_LIKE_KEY.sub("…", text[: 20 * WORDS])
    text = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return text if len(text) <= WORDS else text[:WORDS].rstrip() + "…"
