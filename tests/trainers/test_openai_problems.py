"""What a service says about waiting and refusing, in all the forms that were seen."""

from __future__ import annotations

import asyncio
import json
import time
from email.utils import formatdate
from typing import Any

import httpcore2
import httpx2
import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasette_ftclassify.trainers.openai_protocol.bounded_responses import read_answer
from datasette_ftclassify.trainers.openai_protocol.errors import FAILURES, Refusal, problem
from datasette_ftclassify.trainers.openai_protocol.rate_limits import (
    LONGEST,
    duration,
    hold_of,
    wait_of,
)
from datasette_ftclassify.trainers.service_errors import (
    RowRejected,
    ServiceProblem,
    ServiceRefused,
    TryAgain,
)


@pytest.mark.parametrize(
    ("headers", "words", "seconds"),
    [
        ({"retry-after": "20"}, "", 20),
        ({"retry-after": " 1.5 "}, "", 1.5),
        ({"retry-after": "20", "retry-after-ms": "250"}, "", 0.25),
        ({"retry-after": "0"}, "try again in 9s", 0),
        ({"retry-after": "-5"}, "", 0),
        ({"retry-after": "1e12"}, "", LONGEST),
        ({"retry-after": "inf"}, "", LONGEST),
        ({"retry-after": "nan"}, "", None),
        ({"retry-after": "soon"}, "", None),
        ({"retry-after": "soon"}, "Please try again in 1.5s.", 1.5),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, "", 0),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00 -0000"}, "", 0),
        ({"retry-after": "Fri, 31 Dec 9999 23:59:59 GMT"}, "", LONGEST),
        ({"retry-after": "Wed, 99 Oct 2015"}, "", None),
        ({"x-ratelimit-reset-requests": "6m0s"}, "", 360),
        ({"x-ratelimit-reset-requests": "20ms", "x-ratelimit-reset-tokens": "1s"}, "", 1),
        (
            {"x-ratelimit-reset-requests": "9s", "x-ratelimit-remaining-tokens": "0",
             "x-ratelimit-reset-tokens": "1s"}, "", 1,
        ),
        ({}, "Limit 3, Used 3. Please try again in 20ms. Visit https://x", 0.02),
        ({}, "Please try again in 1m12.5s.", 72.5),
        ({}, "Please retry after 59 seconds.", 59),
        ({}, "Try again in 2 minutes 5 seconds", 125),
        ({}, "Try again in 1 hour.", 3600),
        ({}, "Please try again later.", None),
        ({}, "", None),
    ],
)  # fmt: skip
def test_how_long_to_wait(headers: dict[str, str], words: str, seconds: float | None) -> None:
    assert wait_of(headers, words) == pytest.approx(seconds)


def test_a_date_to_come() -> None:
    date = formatdate(time.time() + 60, usegmt=True)
    assert wait_of({"retry-after": date}) == pytest.approx(60, abs=2)


def test_the_limits_of_a_server_that_broke_are_no_wait() -> None:
    headers = {"x-ratelimit-reset-requests": "6m0s"}
    assert wait_of(headers, limited=False) is None
    assert wait_of({**headers, "retry-after": "2"}, limited=False) == 2


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1s", 1), ("6m0s", 360), ("20ms", 0.02), ("1h2m3.5s", 3723.5), ("7.66s", 7.66),
        ("0", 0), ("12", 12), ("1d", LONGEST), ("99h", LONGEST), (None, None), ("", None),
        ("s", None), ("1x", None), ("1s!", None), ("1.2.3s", None), ("-1s", None),
    ],
)  # fmt: skip
def test_durations(text: str | None, seconds: float | None) -> None:
    assert duration(text) == pytest.approx(seconds)


def test_a_number_may_be_a_time_of_the_clock() -> None:
    assert duration(str(int(time.time()) + 30)) == pytest.approx(30, abs=2)
    assert duration("1000000001") == 0


def test_when_nothing_is_left() -> None:
    left = {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "2s"}
    assert hold_of(left) == 2
    assert hold_of({**left, "x-ratelimit-remaining-tokens": "0",
                    "x-ratelimit-reset-tokens": "1m0s"}) == 60  # fmt: skip
    assert hold_of({**left, "x-ratelimit-remaining-requests": "1"}) is None
    assert hold_of({"x-ratelimit-remaining-tokens": "-1", "x-ratelimit-reset-tokens": "9s"}) is None
    assert hold_of({"x-ratelimit-remaining-tokens": "0"}) is None
    assert hold_of(httpx2.Headers({"X-RateLimit-Remaining-Tokens": "0",
                                   "X-RateLimit-Reset-Tokens": "40ms"})) == 0.04  # fmt: skip


NAMES = ["retry-after", "retry-after-ms"] + [
    f"x-ratelimit-{what}-{kind}"
    for what in ("remaining", "reset")
    for kind in ("requests", "tokens")
]
VALUES = st.text() | st.from_regex(r"[0-9.]{1,30}(ms|s|m|h|d)?([0-9.]{1,9}s)?", fullmatch=True)


@given(st.dictionaries(st.sampled_from(NAMES), VALUES), st.text() | VALUES)
def test_no_header_is_too_strange(headers: dict[str, str], words: str) -> None:
    for found in (wait_of(headers, f"try again in {words}"), wait_of(headers, words)):
        assert found is None or 0 <= found <= LONGEST
    hold = hold_of(headers)
    assert hold is None or 0 <= hold <= LONGEST


FIELDS = ["error", "message", "code", "type", "param", "detail", "innererror"]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(FIELDS), inner),
    max_leaves=8,
)


@given(st.integers(200, 599), JSON)
def test_no_refusal_is_too_strange(status: int, body: Any) -> None:
    found = Refusal(status, body).problem()
    assert isinstance(found, (RowRejected, TryAgain, ServiceRefused))
    assert "\n" not in str(found)
    assert len(str(found)) < 900


def refused(status: int, body: object, **headers: str) -> ServiceProblem:
    content = body if isinstance(body, str) else json.dumps(body)
    request = httpx2.Request("POST", "https://llm.example/v1", headers={"api-key": "canary"})
    return Refusal.of(
        httpx2.Response(status, content=content, headers=headers, request=request)
    ).problem()


@pytest.mark.parametrize(
    ("status", "body", "error", "text"),
    [
        (408, {}, TryAgain, "408: Request Timeout."),
        (409, {"error": {"message": "Conflict"}}, TryAgain, "409: Conflict."),
        (413, "too large", RowRejected, "too long for|too long"),
        (418, {"detail": "I am a teapot"}, ServiceRefused, "a teapot"),
        (422, {"detail": [{"msg": "extra"}]}, RowRejected, "422: extra."),
        (422, {"detail": [{"loc": ["body", "max_tokens"], "msg": "not greater than 0"}]},
         ServiceRefused, "greater than 0. .* does not take"),
        (422, {"detail": [{"loc": ["body", "messages", 0, "content"], "msg": "no text"}]},
         RowRejected, "no text"),
        (400, [{"error": {"code": 400, "message": "API key not valid. Pass a valid API key."}}],
         ServiceRefused, "not valid.*Check the key"),
        (400, {"error": {"code": "invalid_api_key", "message": "No"}}, ServiceRefused, "the key"),
        (400, {"error": "The text holds an API key."}, RowRejected, "holds an API key"),
        (429, [{"error": {"code": 429, "message": "Retry in 37.2s."}}], TryAgain, "37.2s"),
        (400, {"error": {"code": "model_decommissioned", "message": "Gone"}},
         ServiceRefused, "may have been deleted or shut down"),
        (404, {"error": {"message": "model 'x' not found, try pulling it first", "code": None}},
         ServiceRefused, "try pulling it first. The model may"),
        (404, {"object": "error", "message": "The model `x` does not exist.", "code": 404},
         ServiceRefused, "does not exist. The model may"),
        (400, {"code": "Arrearage", "message": "Access denied"}, ServiceRefused, "Add credit"),
        (498, {"error": {"code": "capacity_exceeded"}}, TryAgain, "498"),
        (500, {"error": {"message": "the request exceeds the available context size"}},
         RowRejected, "too long"),
        (400, {"error": "`inputs` tokens + `max_new_tokens` must be <= 4096"},
         RowRejected, "too long"),
        (422, {"error": {"param": "seed", "message": "no"}}, ServiceRefused, "does not take"),
        (400, {"error": {"param": "messages[0].content", "message": "no"}}, RowRejected, "no"),
        (400, {"error": "plain words"}, RowRejected, "plain words"),
        (400, {"object": "error", "message": "vLLM's form", "code": 400}, RowRejected, "vLLM"),
        (400, {"error": {"code": None, "innererror": {"code": "ResponsibleAIPolicyViolation"}}},
         RowRejected, "policy"),
        (402, {"message": "Pay first"}, ServiceRefused, "Pay first. Add credit"),
        (404, {"error": {"code": "DeploymentNotFound", "message": "No deployment"}},
         ServiceRefused, "deployment's name.*; a new one answers after some minutes"),
        (404, "<html>nginx</html>", ServiceRefused, "404: Not Found. Is the base URL right"),
        (429, {"error": {"type": "insufficient_quota"}}, ServiceRefused, "Add credit"),
        (529, {}, TryAgain, "529: no reason given"),
        (301, "", ServiceRefused, "redirects to another path"),
        (200, {"error": {"message": "late trouble"}}, TryAgain, "late trouble"),
    ],
)  # fmt: skip
def test_refusals(status: int, body: object, error: type, text: str) -> None:
    with pytest.raises(error, match=text) as caught:
        raise refused(status, body)
    assert str(caught.value).startswith("llm.example")


def test_a_redirect_names_its_target_and_no_password() -> None:
    found = refused(308, "", location="https://me:canary@evil.example:8/v1?key=canary")
    assert "redirects to https://evil.example:8, and" in str(found)
    assert "canary" not in str(found)


def test_keys_are_cut_out() -> None:
    words = "Bad key canary, sk-proj-abc_DEF or Bearer eyJhbGciOi.x or abcd******wxyz here"
    said = str(refused(401, {"error": {"message": words}}))
    assert "Bad key …, … or … or … here." in said


def test_errors_of_the_sdk() -> None:
    request = httpx2.Request("GET", "https://llm.example/v1")
    for error in (openai.APITimeoutError(request), httpx2.ReadTimeout("x", request=request)):
        assert "llm.example did not answer in time" in str(problem(error))
    dropped = openai.APIConnectionError(request=request)
    dropped.__cause__ = httpx2.ConnectError("Name or service not known")
    found = problem(dropped)
    assert isinstance(found, TryAgain)
    assert "connection to llm.example failed: Name or service not known." in str(found)
    assert isinstance(problem(httpx2.ReadError("")), TryAgain)
    assert isinstance(problem(openai.OpenAIError("No.")), ServiceRefused)
    response = httpx2.Response(200, request=request)
    assert isinstance(problem(openai.APIResponseValidationError(response, None)), TryAgain)
    # As made by hand of a batch's line: the body is apart.
    response = httpx2.Response(400, request=request)
    body = {"code": "context_length_exceeded", "message": "Long"}
    assert isinstance(problem(openai.APIStatusError("", response=response, body=body)), RowRejected)
    assert problem(found) is found


@pytest.mark.parametrize("body", [b"{", b"\xff", b"9" * 5_000, b"[" * 200_000], ids=len)
def test_an_answer_that_is_no_json_is_the_fault_of_the_service(body: bytes) -> None:
    async def answer(request: httpx2.Request) -> httpx2.Response:
        return await read_answer(httpcore2.Response(200, content=body), request)

    request = httpx2.Request("GET", "https://llm.example/v1")
    with pytest.raises(FAILURES) as caught:
        asyncio.run(answer(request)).json()
    found = problem(caught.value)
    assert isinstance(found, TryAgain)
    assert "llm.example gave an answer that is not JSON" in str(found)


@pytest.mark.parametrize("mistake", [KeyError("x"), ValueError("x"), RecursionError("x")], ids=repr)
def test_a_mistake_of_ours_is_not_hidden(mistake: Exception) -> None:
    assert not isinstance(mistake, FAILURES)
    with pytest.raises(type(mistake)):
        problem(mistake)


def test_a_mistake_of_ours_is_no_lost_connection() -> None:
    def sending(request: httpx2.Request) -> httpx2.Response:
        raise ValueError("a mistake")

    http = httpx2.Client(transport=httpx2.MockTransport(sending))
    client = openai.OpenAI(api_key="k", http_client=http, max_retries=0)
    with client, pytest.raises(ValueError, match="a mistake") as caught:
        client.models.list()
    assert not isinstance(caught.value, FAILURES)
