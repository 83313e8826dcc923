"""Asking a fine-tuned model one question at a time: where it is sent, that the key goes there and
nowhere else, and all that can come back."""

from __future__ import annotations

import asyncio
import json
import math
import os
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, get_args

import pytest
from openai.types.shared import ReasoningEffort
from openai_examples import HELD_OUT
from openai_inference import (
    AZURE,
    CHAT,
    CODES,
    MANY,
    NAMES,
    TOWN,
    Header,
    ask,
    asking,
    bodies,
    endpoint,
    request_with_retry,
    tuned,
    untuned,
    values_of,
)
from openai_server import OpenAIServer

from datasette_ftclassify.core.errors import AccessError, ArtifactError
from datasette_ftclassify.core.labels import LabelSet
from datasette_ftclassify.prompts import tokenizer
from datasette_ftclassify.prompts.formats import ExportFormat
from datasette_ftclassify.trainers.access import Endpoint
from datasette_ftclassify.trainers.openai_protocol.client import open_client
from datasette_ftclassify.trainers.openai_protocol.dialect import OPENAI, Dialect
from datasette_ftclassify.trainers.openai_protocol.errors import FAILURES, Refusal, problem
from datasette_ftclassify.trainers.openai_protocol.inference import OpenAIInferenceClient
from datasette_ftclassify.trainers.openai_protocol.request_options import REASONING_TOKENS, Fields
from datasette_ftclassify.trainers.openai_protocol.requests import RequestBuilder
from datasette_ftclassify.trainers.service import InferenceResponse
from datasette_ftclassify.trainers.service_errors import (
    RowRejected,
    ServiceProblem,
    ServiceRefused,
    TryAgain,
)


@pytest.fixture(scope="module")
def service(vocabularies: Path) -> Iterator[OpenAIServer]:
    with OpenAIServer() as server:
        yield server


@pytest.fixture
def header(service: OpenAIServer) -> Iterator[Header]:
    """Of a model tuned on codes in chat form."""
    yield tuned(service, CODES, TOWN)
    service.faults.clear()


async def test_azure_by_deployment(vocabularies: Path) -> None:
    with OpenAIServer(dialect="azure") as server:
        header = untuned(server, "gpt-4.1-mini.ft-1")
        server.deploy("gpt-4o", "my-deployment")
        header |= {"deployment": "my-deployment"}
        for version in (None, "2024-10-21"):
            async with asking(
                server, header, dialect=AZURE, base_url=server.origin, api_version=version
            ) as inference_client:
                assert (await inference_client.ask("a kerb")).answer.raw
                assert inference_client.model.endswith("/my-deployment")  # its name says no base
        first, second = server.log
        assert first.url.startswith("/openai/v1/chat/completions")
        assert second.url.startswith("/openai/deployments/my-deployment/chat/completions")
        assert second.params["api-version"] == "2024-10-21"
        for request in server.log:
            assert request.headers["api-key"] == server.api_key
            assert "authorization" not in request.headers


@pytest.mark.parametrize("dialect", [OPENAI, AZURE], ids=lambda d: d.trainer)
async def test_a_key_does_not_go_along_with_a_redirect(
    vocabularies: Path, dialect: Dialect
) -> None:
    name = dialect.trainer
    with OpenAIServer(dialect=name) as server, OpenAIServer(dialect=name) as other:
        where = f"http://localhost:{other.port}"
        server.faults.add("*", "redirect", times=None, location=f"{where}/v1{CHAT}?k=1")
        with pytest.raises(ServiceRefused, match=f"redirects to {where}, and") as caught:
            await ask(server, untuned(server, "gpt-4o"), dialect=dialect)
        assert caught.value.code == "redirect"
        for version in (None, "2024-10-21") if dialect == AZURE else (None,):
            at = endpoint(server, api_version=version)
            with open_client(at, dialect) as client:
                with pytest.raises(FAILURES) as failed:
                    client.files.list()
                assert isinstance(problem(failed.value), ServiceRefused)
        assert other.log == []


async def test_a_key_is_nowhere_to_be_seen(service: OpenAIServer, header: Header) -> None:
    key = service.api_key
    assert key not in repr(endpoint(service))
    echo = f"Incorrect API key provided: {key}. Bearer {key} api-key: {key} sk-proj-12**cd"
    for kind in (401, 400, 500, "drop", "malformed_json"):
        options = {"message": echo} if isinstance(kind, int) else {}
        service.faults.add("*", kind, times=2, **options)
        async with asking(service, header) as inference_client:
            with pytest.raises(ServiceProblem) as caught:
                await inference_client.ask("a kerb")
            assert key not in repr(inference_client)
        with open_client(endpoint(service)) as client:
            with pytest.raises(FAILURES) as failed:
                client.models.list()
            translated = problem(failed.value)
        for error in (caught.value, translated):
            shown = "".join(traceback.format_exception(error)) + repr(error) + repr(vars(error))
            assert key not in shown
            assert "12**cd" not in shown


async def test_a_proxy_of_the_environment_is_used(
    service: OpenAIServer, header: Header, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", service.origin)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    async with asking(service, header) as inference_client:
        assert (await inference_client.ask("a kerb")).answer.labels == ("Roads",)
    away = {**header, "host": "model.example"}
    async with asking(service, away, base_url="http://model.example/v1") as inference_client:
        with pytest.raises(ServiceProblem):  # our server is no proxy
            await inference_client.ask("a kerb")
    assert service.log[-1].url == f"http://model.example/v1{CHAT}"


async def test_a_connection_that_the_server_has_closed_is_not_used_again(
    service: OpenAIServer, header: Header
) -> None:
    async with asking(service, header) as inference_client:
        for _ in range(2):
            service.faults.add("*", "drop")
            with pytest.raises(ServiceProblem, match=r"127\.0\.0\.1.*failed"):
                await inference_client.ask("a kerb")
            assert (await inference_client.ask("a kerb")).answer.labels == ("Roads",)


_TALK = """
import asyncio, json, logging, sys
logging.basicConfig(level=logging.DEBUG, stream=sys.stdout)
from datasette_ftclassify.core.labels import LabelSet
from datasette_ftclassify.trainers.access import Endpoint
from datasette_ftclassify.trainers.openai_protocol.inference import OpenAIInferenceClient
from datasette_ftclassify.trainers.openai_protocol.client import open_client
header, url = json.loads(sys.argv[1]), sys.argv[2]
endpoint = Endpoint(api_key=sys.stdin.read(), base_url=url)
async def ask():
    labels = LabelSet.of(["Roads", "Parks", "Water works"], "multiclass")
    asker = OpenAIInferenceClient(header, labels, endpoint)
    print(await asker.ask("a kerb"))
    await asker.close()
asyncio.run(ask())
print(len(list(open_client(endpoint).models.list())))
"""


def test_a_key_is_not_logged(service: OpenAIServer, header: Header) -> None:
    run = subprocess.run(
        [sys.executable, "-c", _TALK, json.dumps(header), service.base_url],
        input=service.api_key, capture_output=True, text=True, check=True,
        env={**os.environ, "OPENAI_LOG": "debug"},
    )  # fmt: skip
    assert "Roads" in run.stdout
    assert "DEBUG" in run.stdout + run.stderr
    assert service.api_key not in run.stdout + run.stderr


def test_only_the_host_that_the_operator_chose_is_asked() -> None:
    server = OpenAIServer(port=1)
    header = {**untuned(server, "gpt-4o"), "host": "evil.example"}
    with pytest.raises(AccessError, match=r"is at evil\.example.* ask 127\.0\.0\.1:1.*base URL"):
        OpenAIInferenceClient(header, TOWN, endpoint(server))


@pytest.mark.parametrize(
    ("dialect", "options", "host"),
    [
        (OPENAI, {}, "api.openai.com"),
        (OPENAI, {"base_url": "https://API.example:443/v1"}, "api.example"),
        (OPENAI, {"base_url": "http://localhost:8000/v1"}, "localhost:8000"),
        (AZURE, {"base_url": "https://r.openai.azure.com"}, "r.openai.azure.com"),
    ],
)
def test_hosts(dialect: Dialect, options: dict[str, Any], host: str) -> None:
    assert dialect.host(Endpoint(**options)) == host


@pytest.mark.parametrize(
    ("dialect", "options", "text"),
    [
        (OPENAI, {}, "Set OPENAI_API_KEY, or api_key in"),
        (AZURE, {"base_url": "https://r.example"}, "Set AZURE_OPENAI_API_KEY"),
        (Dialect("other"), {}, "There is no key for other"),
        (OPENAI, {"api_key": "sk-canary\nx"}, "Copy it again"),
        (OPENAI, {"api_key": "sk-canary-…"}, "Copy it again"),
        (AZURE, {"api_key": "k"}, "AZURE_OPENAI_ENDPOINT"),
        (OPENAI, {"api_key": "k", "base_url": "api.openai.com/v1"}, "must begin with https://"),
        (OPENAI, {"api_key": "k", "base_url": "file:///etc"}, "must begin with https://"),
        (OPENAI, {"api_key": "k", "base_url": "http://[::1"}, "must begin with https://"),
        (OPENAI, {"api_key": "k", "base_url": "http://a:b@c/v1"}, "user or password"),
    ],
)
def test_what_the_operator_has_to_set(dialect: Dialect, options: dict[str, Any], text: str) -> None:
    with pytest.raises(AccessError, match=text) as caught:
        open_client(Endpoint(**options), dialect)
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize(
    ("base_url", "version", "found"),
    [
        ("https://r.openai.azure.com", None, "https://r.openai.azure.com/openai/v1/"),
        ("https://r.openai.azure.com/openai/", None, "https://r.openai.azure.com/openai/v1/"),
        ("https://r.openai.azure.com/openai/v1", None, "https://r.openai.azure.com/openai/v1/"),
        ("https://r.openai.azure.com/", "2024-10-21", "https://r.openai.azure.com/openai/"),
        ("https://r.example/openai/v1/", "2024-10-21", "https://r.example/openai/"),
    ],
)
def test_azure_addresses(base_url: str, version: str | None, found: str) -> None:
    where = Endpoint(api_key="k", base_url=base_url, api_version=version)
    with open_client(where, AZURE) as client:
        assert str(client.base_url) == found
        assert client.max_retries == 0


def test_no_http_client_is_loaded_to_say_where_a_service_is_and_what_it_costs() -> None:
    """The page of a training says so before anything is sent, and the SDK takes a second."""
    code = (
        "import sys; from datasette_ftclassify.trainers.access import Access, Endpoint;"
        "from datasette_ftclassify.trainers.registry import list_services;"
        "from datasette_ftclassify.web.train_form import Choices;"
        "from datasette_ftclassify.web.trainer_options import offers;"
        "url = 'https://unit.example/v1';"
        "access = Access({s.name: Endpoint('sk', url) for s in list_services()});"
        "said = offers(Choices('messages'), access, None);"
        "print('unit.example' in str(said));"
        "print(sorted({'openai', 'httpcore2', 'tiktoken', 'sklearn'} & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.split("\n")[:2] == ["True", "[]"]


FORMS = [
    ("gpt-4.1-mini", ExportFormat(labels="code"), TOWN),
    ("gpt-4.1-mini", ExportFormat(), TOWN),
    ("babbage-002", ExportFormat("completion", labels="code"), TOWN),
    ("babbage-002", ExportFormat("completion"), TOWN),
    ("gpt-4.1-mini", ExportFormat(), MANY),
    ("gpt-4.1-mini", ExportFormat(multilabel="flags"), MANY),
    ("babbage-002", ExportFormat("completion", multilabel="flags"), MANY),
]


@pytest.mark.parametrize(("base", "fmt", "labels"), FORMS)
async def test_every_form(
    service: OpenAIServer, base: str, fmt: ExportFormat, labels: LabelSet
) -> None:
    header = tuned(service, fmt, labels, base)
    async with asking(service, header, labels) as inference_client:
        replies = await asyncio.gather(*(inference_client.ask(text) for text, _ in HELD_OUT))
        expected = [inference_client.expected(text) for text, _ in HELD_OUT]
    assert inference_client.model.startswith(base)  # and the date of the version
    wanted = [set(values_of(label, labels)) for _, label in HELD_OUT]
    assert [set(r.answer.labels or ()) for r in replies] == wanted
    for reply, before in zip(replies, expected, strict=True):
        assert reply.answer.how == "exact"
        assert reply.scores is not None
        assert reply.usage.input_tokens == before.input_tokens
        assert 0 < reply.usage.output_tokens <= before.output_tokens
        chances = [math.exp(value) for value in reply.scores.logprobs]
        assert not labels.exclusive or sum(chances) == pytest.approx(1, abs=1e-9)
        sure = {v for v, p in zip(labels.values, chances, strict=True) if p > 0.5}
        assert sure == set(reply.answer.labels or ())


async def test_the_prompt_is_that_of_the_training(service: OpenAIServer, header: Header) -> None:
    start = len(service.log)
    text = 'She said "naïve" 🛣\n\ttwice'
    await ask(service, header, text, extra_body={"user": "me"})
    (body,) = bodies(service, start)
    line = json.loads(CODES.bind(TOWN).encode(text, ["Roads"]))
    assert body == {
        "model": header["model"], "messages": line["messages"][:-1], "temperature": 0,
        "max_completion_tokens": 2, "logprobs": True, "top_logprobs": 20, "user": "me",
    }  # fmt: skip


async def test_a_switch_about_training_is_not_sent_with_a_question(
    service: OpenAIServer, header: Header
) -> None:
    start = len(service.log)
    await ask(service, header, extra_body={"legacy_hyperparameters": True, "user": "me"})
    (body,) = bodies(service, start)
    assert body["user"] == "me"
    assert "legacy_hyperparameters" not in body


async def test_a_completion_has_a_stop_sequence(service: OpenAIServer) -> None:
    fmt = ExportFormat("completion")
    start = len(service.log)
    await ask(service, tuned(service, fmt, TOWN, "babbage-002"))
    (body,) = bodies(service, start)
    assert (body["logprobs"], body["stop"], body["temperature"]) == (5, "\n", 0)
    assert body["prompt"] == "a kerb\n\n###\n\n"
    assert body["max_tokens"] == 4  # ` Water`, ` works`, the line break, and one more


async def test_without_the_vocabulary_answers_have_room_and_scores(
    service: OpenAIServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    header = tuned(service, ExportFormat(), TOWN)
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(tokenizer, "_loaded", {})
    start = len(service.log)
    async with asking(service, header) as inference_client:
        reply = await inference_client.ask("a sewer")
    assert bodies(service, start)[0]["max_completion_tokens"] == len("Water works") + 1
    assert reply.answer.labels == ("Water works",)
    assert reply.scores is not None


@pytest.mark.parametrize(
    ("model", "base", "found"),
    [
        ("my-own-model", "gpt-4o", "my-own-model"),
        ("my-own-model", None, "my-own-model"),
        # A stranger's file does not make a model cheaper than it is.
        ("ft:gpt-4.1-2025-04-14:org::id", "gpt-4.1-nano", "gpt-4.1-2025-04-14"),
        ("gpt-4.1", "gpt-4.1-nano", "gpt-4.1"),
    ],
)
def test_the_name_by_which_prices_are_found(model: str, base: str | None, found: str) -> None:
    server = OpenAIServer(port=1)
    header = {**untuned(server, model), "base": base, "deployment": "gpt-4.1-nano"}
    inference_client = OpenAIInferenceClient(header, TOWN, endpoint(server))
    assert inference_client.model == found


@pytest.mark.parametrize(
    ("kind", "reason", "raw"),
    [
        ("out_of_set", "outside the label set", "zebra"[:8]),
        ("refusal", "refused", "zebra"),
        ("content_filter", "filtered", ""),
        ("empty", "empty answer", ""),
    ],
)
async def test_answers_that_are_no_label(
    service: OpenAIServer, kind: str, reason: str, raw: str
) -> None:
    header = tuned(service, ExportFormat(), TOWN)
    service.faults.add(CHAT, kind)
    reply = await ask(service, header)
    assert (reply.answer.labels, reply.answer.reason) == (None, reason)
    assert raw.startswith(reply.answer.raw) or reply.answer.raw == raw
    if kind != "out_of_set":
        assert reply.scores is None


async def test_no_log_probabilities_no_scores(service: OpenAIServer, header: Header) -> None:
    service.faults.add(CHAT, "no_logprobs")
    reply = await ask(service, header)
    assert (reply.answer.labels, reply.scores) == (("Roads",), None)


async def test_a_content_filter_that_is_an_error_is_an_answer(
    service: OpenAIServer, header: Header
) -> None:
    service.faults.add(CHAT, "bad_request", code="content_filter", message="Filtered: violence.")
    reply = await ask(service, header)
    assert (reply.answer.labels, reply.answer.reason) == (None, "filtered")
    assert (reply.answer.raw, reply.scores) == ("Filtered: violence.", None)


@pytest.mark.parametrize(
    ("kind", "options", "error", "text", "code"),
    [
        (400, {}, RowRejected, "The request is not valid", None),
        ("content_policy", {}, RowRejected, "content policy", None),
        (400, {"code": "context_length_exceeded"}, RowRejected, "too long", None),
        (
            400,
            {"message": "'max_tokens' is too large: this model's maximum context length is 9."},
            RowRejected, "too long", None,
        ),
        (400, {"code": "invalid_model"}, ServiceRefused, "deleted", "model_not_found"),
        (400, {"code": "unsupported_value"}, ServiceRefused, "does not take", "unsupported_value"),
        (400, {"code": "billing_hard_limit_reached"}, ServiceRefused, "credit",
         "billing_hard_limit_reached"),
        (401, {}, ServiceRefused, "Check the key", "invalid_api_key"),
        (403, {}, ServiceRefused, "permissions", "insufficient_permissions"),
        ("training_not_available", {}, ServiceRefused, "not available", "training_not_available"),
        (404, {}, ServiceRefused, "base URL", "invalid_request_error"),
        ("model_not_ready", {}, ServiceRefused, "not be ready yet", "model_not_found"),
        (429, {}, TryAgain, "Rate limit reached", None),
        (429, {"message": "Request too large for gpt-4o on tokens per min"}, RowRejected,
         "too large", None),
        ("insufficient_quota", {}, ServiceRefused, "Add credit", "insufficient_quota"),
        (500, {}, TryAgain, "500", None),
        (503, {}, TryAgain, "overloaded", None),
        ("html", {}, TryAgain, "502: Bad Gateway.", None),
        ("malformed_json", {}, TryAgain, "not JSON", None),
        ("truncated", {}, TryAgain, "connection", None),
        ("drop", {}, TryAgain, "connection", None),
    ],
)  # fmt: skip
async def test_what_a_failure_means(
    service: OpenAIServer, header: Header, kind: str | int, options: dict[str, Any],
    error: type[ServiceProblem], text: str, code: str | None,
) -> None:  # fmt: skip
    service.faults.add(CHAT, kind, **options)
    async with asking(service, header) as inference_client:
        with pytest.raises(error, match=text) as caught:
            await inference_client.ask("a kerb")
        assert getattr(caught.value, "code", None) == code
        assert getattr(caught.value, "rate_limited", False) == (kind == 429 and error is TryAgain)
        assert "\n" not in str(caught.value)
        # It was one request, and the next one is well.
        assert (await inference_client.ask("a kerb")).answer.labels == ("Roads",)


async def test_waiting_as_long_as_the_service_says(service: OpenAIServer, header: Header) -> None:
    service.faults.add(CHAT, 429, retry_after=300)
    service.faults.add(CHAT, 429, retry_after=300, http_date=True)
    service.faults.add(CHAT, 503, message="Busy. Please try again in 20ms.")
    found = []
    async with asking(service, header) as inference_client:
        for _ in range(3):
            with pytest.raises(TryAgain) as caught:
                await inference_client.ask("a kerb")
            found.append((caught.value.after or 0, caught.value.rate_limited))
    assert found[0] == (300, True)
    assert 290 < found[1][0] <= 300
    assert found[2] == (pytest.approx(0.02), False)


async def test_the_service_wants_a_pause(vocabularies: Path) -> None:
    with OpenAIServer(per_minute=2) as server:
        async with asking(server, untuned(server, "gpt-4o")) as inference_client:
            assert (await inference_client.ask("a kerb")).hold is None
            hold = (await inference_client.ask("a drain")).hold
            assert hold is not None
            assert 50 < hold <= 60
            with pytest.raises(TryAgain) as caught:
                await inference_client.ask("a bench")
        assert caught.value.rate_limited
        assert 50 < (caught.value.after or 0) <= 60


async def test_a_service_that_hangs(service: OpenAIServer, header: Header) -> None:
    service.faults.add(CHAT, "hang")
    with pytest.raises(TryAgain, match="did not answer in time"):
        await ask(service, header, timeout=0.2)


async def test_a_service_that_drips(service: OpenAIServer, header: Header) -> None:
    service.faults.add(CHAT, "slow", duration=20.0)  # a piece every two seconds
    async with asking(service, header, timeout=2.5) as inference_client:
        with pytest.raises(TryAgain, match="did not answer in time"):
            await inference_client.ask("a kerb")
        assert (await inference_client.ask("a kerb")).answer.labels == ("Roads",)


async def test_others_go_on_when_the_first_question_fails(
    service: OpenAIServer, header: Header
) -> None:
    service.faults.add(CHAT, "drop")
    async with asking(service, header) as inference_client:
        questions = [asyncio.ensure_future(inference_client.ask(text)) for text, _ in HELD_OUT]
        first, *others = await asyncio.gather(*questions, return_exceptions=True)
    assert isinstance(first, TryAgain)
    assert all(isinstance(other, InferenceResponse) for other in others)


async def test_a_question_that_is_given_up_holds_nobody(
    service: OpenAIServer, header: Header
) -> None:
    fault = service.faults.add(CHAT, "hang")
    async with asking(service, header) as inference_client:
        first = asyncio.ensure_future(inference_client.ask("a kerb"))
        second = asyncio.ensure_future(inference_client.ask("a drain"))
        while not fault.struck:
            await asyncio.sleep(0.001)
        first.cancel()
        assert (await second).answer.labels == ("Water works",)


async def test_many_at_once(vocabularies: Path) -> None:
    with OpenAIServer(latency=1) as server:
        async with asking(server, untuned(server, "gpt-4o")) as inference_client:
            await inference_client.ask("a kerb")
            replies = await asyncio.gather(*(inference_client.ask(f"kerb {i}") for i in range(100)))
        assert len(replies) == 100
        assert server.requests_in_flight_max > 64


async def test_nobody_listens() -> None:
    server = OpenAIServer(port=9)
    with pytest.raises(TryAgain, match=r"connection to 127\.0\.0\.1:9 failed"):
        await ask(server, untuned(server, "gpt-4o"))


def without(fields: Sequence[str], message: str) -> tuple[Callable[[Any], bool], str]:
    return lambda request: any(name in request.json for name in fields), message


REFUSED = {
    "max_completion_tokens": without(
        ["max_completion_tokens"], "Extra inputs are not permitted: max_completion_tokens"
    ),
    "logprobs": without(["logprobs"], "This server does not support logprobs."),
    "temperature": without(["temperature"], "Unsupported parameter: 'temperature'."),
}


@pytest.mark.parametrize("field", list(REFUSED))
async def test_a_field_that_a_server_does_not_know_is_left_out(
    service: OpenAIServer, header: Header, field: str
) -> None:
    where, message = REFUSED[field]
    fault = service.faults.add(CHAT, 400, times=None, where=where, message=message)
    start = len(service.log)
    async with asking(service, header) as inference_client:
        replies = await asyncio.gather(
            *(request_with_retry(inference_client, text) for text, _ in HELD_OUT)
        )
        await inference_client.ask("a kerb")
    if field != "temperature":  # without it, answers are drawn by lot
        assert [r.answer.labels for r in replies] == [(NAMES[int(n)],) for _, n in HELD_OUT]
    # One question found out, for all the others.
    assert fault.struck == 1
    sent = bodies(service, start)
    assert len(sent) == len(HELD_OUT) + 2
    assert all(field not in body for body in sent[1:])
    assert (replies[0].scores is None) == (field == "logprobs")
    assert all(("max_tokens" in body) == (field == "max_completion_tokens") for body in sent[1:])


async def test_fewer_log_probabilities_are_better_than_none(
    service: OpenAIServer, header: Header
) -> None:
    service.faults.add(
        CHAT, 400, times=None, where=lambda r: r.json["top_logprobs"] > 5,
        message="top_logprobs must be at most 5, for logprobs",
    )  # fmt: skip
    assert (await ask(service, header)).scores is not None


async def test_a_field_of_the_operator_is_never_left_out(
    service: OpenAIServer, header: Header
) -> None:
    service.faults.add(CHAT, 400, code="unsupported_value", message="No 'temperature' 0.3.")
    with pytest.raises(ServiceRefused, match="temperature"):
        await ask(service, header, extra_body={"temperature": 0.3})


async def test_a_text_does_not_choose_what_is_left_out(
    service: OpenAIServer, header: Header
) -> None:
    text = "the temperature of the drain"
    service.faults.add(CHAT, 400, message=f"Not allowed: {text}")
    start = len(service.log)
    async with asking(service, header) as inference_client:
        with pytest.raises(RowRejected):
            await inference_client.ask(text)
        await inference_client.ask("a kerb")
    assert all(body["temperature"] == 0 for body in bodies(service, start))


async def test_a_server_that_refuses_everything_is_left_alone(
    service: OpenAIServer, header: Header
) -> None:
    fault = service.faults.add(
        CHAT, 400, times=None, code="unsupported_parameter",
        message="max_tokens, max_completion_tokens, temperature, logprobs, top_logprobs",
    )  # fmt: skip
    with pytest.raises(ServiceRefused):
        await ask(service, header)
    assert fault.struck < 10


async def test_a_reasoning_model(service: OpenAIServer) -> None:
    start = len(service.log)
    reply = await ask(service, untuned(service, "gpt-5-mini"))
    assert reply.answer.raw
    assert reply.scores is None
    last = bodies(service, start)[-1]
    assert not {"temperature", "logprobs", "top_logprobs"} & set(last)


async def test_room_for_reasoning(service: OpenAIServer, header: Header) -> None:
    service.faults.add(
        CHAT, 400, times=None, where=lambda r: r.json["max_completion_tokens"] < 100,
        message="Could not finish: max_tokens or model output limit was reached.",
    )  # fmt: skip
    async with asking(service, header) as inference_client:
        assert (await request_with_retry(inference_client, "a kerb")).answer.labels == ("Roads",)
        assert inference_client.expected("a kerb").output_tokens == 2 + REASONING_TOKENS


@pytest.mark.parametrize(
    "change",
    [
        {"model": None}, {"model": ""}, {"model": 3}, {"model": "a\nb"}, {"model": "m" * 501},
        {"model": ".."}, {"host": None}, {"host": ["a"]}, {"base": 1}, {"deployment": ""},
        {"deployment": ".."}, {"format": None}, {"format": "chat"}, {"format": {}},
        {"format": {**CODES.to_dict(), "form": "shell"}},
        {"format": {**CODES.to_dict(), "bom": 1}},
        {"format": {**CODES.to_dict(), "extra": 1}},
        {"format": {**ExportFormat("completion").to_dict(), "stop": "Roads"}},
    ],
)  # fmt: skip
def test_a_header_made_by_a_stranger(change: dict[str, Any]) -> None:
    server = OpenAIServer(port=1)
    header = {**untuned(server, "gpt-4o"), **change}
    with pytest.raises(ArtifactError, match="does not say rightly which model"):
        OpenAIInferenceClient(header, TOWN, endpoint(server), AZURE)


def test_a_model_that_reasons_is_told_not_to(service: OpenAIServer, header: Header) -> None:
    def questions(model: str) -> RequestBuilder:
        return RequestBuilder({**header, "model": model, "base": model}, TOWN, endpoint(service))

    assert "reasoning_effort" not in questions("gpt-4.1-mini").options
    asked = questions("gpt-6-luna")
    fields = Fields.of(asked, endpoint(service))
    options, efforts = dict(asked.options), []
    refusal = Refusal(400, {"error": {"param": "reasoning_effort", "code": "unsupported_value"}})
    while "reasoning_effort" in options:
        efforts.append(options["reasoning_effort"])
        options = fields.without_refused(options, refusal, "a kerb") or {}
    assert efforts == ["none", "minimal", "low"]
    assert options["logprobs"] is True
    assert set(efforts) <= set(get_args(get_args(ReasoningEffort)[0]))
