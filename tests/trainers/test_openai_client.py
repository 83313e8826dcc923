"""Where questions are sent, and that the key goes there and nowhere else."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from openai_inference import AZURE, CHAT, CODES, TOWN, Header, ask, asking, endpoint, tuned, untuned
from openai_server import OpenAIServer

from datasette_ftclassify.core.errors import AccessError
from datasette_ftclassify.trainers.access import Endpoint
from datasette_ftclassify.trainers.openai_protocol.client import open_client
from datasette_ftclassify.trainers.openai_protocol.dialect import OPENAI, Dialect
from datasette_ftclassify.trainers.openai_protocol.errors import FAILURES, problem
from datasette_ftclassify.trainers.openai_protocol.inference import OpenAIInferenceClient
from datasette_ftclassify.trainers.service_errors import ServiceProblem, ServiceRefused


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
