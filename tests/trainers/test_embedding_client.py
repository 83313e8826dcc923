"""Requests for vectors: what is sent, what is read of an answer, and whose failure one is."""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from openai_server import OpenAIServer
from openai_server.embeddings import vector

from datasette_ftclassify.core.labels import LabelSet
from datasette_ftclassify.trainers.access import Endpoint
from datasette_ftclassify.trainers.embeddings.client import EmbeddingClient
from datasette_ftclassify.trainers.embeddings.paid_vectors import PaidVectors, as_stored
from datasette_ftclassify.trainers.embeddings.trainer import EmbeddingsTrainer
from datasette_ftclassify.trainers.encoders.vector_store import opened_store, store_path
from datasette_ftclassify.trainers.registry import get_trainer
from datasette_ftclassify.trainers.service_errors import (
    AskAgain,
    RowRejected,
    ServiceProblem,
    ServiceRefused,
    TryAgain,
)
from datasette_ftclassify.trainers.usage import Usage

MODEL = "text-embedding-3-small"
POST = "POST /embeddings"


@pytest.fixture(autouse=True)
def vectors_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FTCLASSIFY_VECTORS", str(tmp_path / "vectors.db"))


@pytest.fixture
def server(openai_server: OpenAIServer) -> OpenAIServer:
    return openai_server


def endpoint_of(server: OpenAIServer, **more: Any) -> Endpoint:
    return Endpoint(server.api_key, server.base_url, **more)


def paid(server: OpenAIServer, model: str = MODEL, dimensions: int | None = None) -> PaidVectors:
    return EmbeddingsTrainer().vectors(model, dimensions, endpoint_of(server))


def ask(
    server: OpenAIServer, *texts: str, vectors: PaidVectors | None = None, rounds: int = 1,
    endpoint: Endpoint | None = None, timeout: float = 60.0, **options: Any,
) -> list[Any]:  # fmt: skip
    """What becomes of each text: the client's answer, or the problem. Asked again so often where
    the client says so."""
    vectors = vectors or paid(server, **options)
    trainer = EmbeddingsTrainer()
    client = EmbeddingClient(
        vectors, endpoint or endpoint_of(server), trainer.dialect,
        priced_as=MODEL, hold=True, timeout=timeout,
    )  # fmt: skip

    async def run() -> list[Any]:
        found: list[Any] = [AskAgain("", sent=False)] * len(texts)
        try:
            for _ in range(rounds):
                again = [i for i, f in enumerate(found) if isinstance(f, AskAgain)]
                answers = await asyncio.gather(
                    *(client.embed(texts[i]) for i in again), return_exceptions=True
                )
                for i, answer in zip(again, answers, strict=True):
                    found[i] = answer
        finally:
            await client.close()
        return found

    return asyncio.run(run())


def bodies(server: OpenAIServer) -> list[dict[str, Any]]:
    return [json.loads(request.body) for request in server.log]


@pytest.mark.parametrize("packed", [True, False], ids=["base64", "numbers"])
def test_texts_that_are_asked_for_at_once_are_one_request(server: OpenAIServer, packed: bool):
    server.settings.base64_vectors = packed
    texts = [f"text {i} \ud800" for i in range(20)]
    found = ask(server, *texts)
    assert server.count(POST) == 1
    (body,) = bodies(server)
    assert body["model"] == MODEL
    assert body["input"] == [text.replace("\ud800", "?") for text in texts]
    for text, each in zip(body["input"], found, strict=True):
        np.testing.assert_array_equal(each.vector, as_stored(vector(text, 16, {})))


def test_the_sdk_reads_what_the_server_answers(server: OpenAIServer):
    """The SDK asks for base64 by itself, and unpacks it."""
    with server.client() as client:
        plain = client.embeddings.create(model=MODEL, input="a drain", encoding_format="float")
        usual = client.embeddings.create(model=MODEL, input=["a drain"], dimensions=4)
    np.testing.assert_allclose(plain.data[0].embedding, vector("a drain", 16, {}), rtol=1e-6)
    np.testing.assert_allclose(usual.data[0].embedding, vector("a drain", 4, {}), rtol=1e-6)
    assert plain.usage.prompt_tokens == 2
    assert json.loads(server.log[-1].body)["encoding_format"] == "base64"


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"input": ""}, "input"), ({"input": []}, "input"), ({"input": ["x"] * 2_049}, "input"),
        ({"input": "x", "dimensions": 17}, "dimensions"), ({"input": 5}, "input"),
        ({"input": ["word " * 8_000] * 40}, "input"), ({"input": "x", "format": "a"}, "format"),
    ],
)  # fmt: skip
def test_the_server_refuses_what_openai_refuses(
    server: OpenAIServer, body: dict[str, Any], param: str
):
    with server.client() as client, pytest.raises(Exception, match="400") as told:
        client.post("/embeddings", body={"model": MODEL, **body}, cast_to=object)
    assert getattr(told.value, "param", None) == param


def test_tokens_are_counted_once_and_shared(server: OpenAIServer, vocabularies: Path):
    first, second = ask(server, "a drain leaks", "a")
    assert (first.usage, second.usage) == (Usage(3), Usage(1))
    client = get_trainer("openai-embeddings").vector_client(paid(server), endpoint_of(server))
    assert client.expected("a drain leaks") == Usage()  # it is there now
    assert client.expected("a pipe leaks too") == Usage(4)


def test_a_request_has_so_many_texts_at_most(server: OpenAIServer):
    ask(server, *(f"text {i}" for i in range(70)))
    assert sorted([len(body["input"]) for body in bodies(server)]) == [6, 32, 32]


def test_a_vector_is_stored_before_it_is_told_of_and_not_asked_for_again(server: OpenAIServer):
    (first,) = ask(server, "a drain")
    again = paid(server).get("a drain")
    assert again is not None
    np.testing.assert_array_equal(again, first.vector)
    assert paid(server).missing(["a drain", "a bench", "a bench"]) == ["a bench"]
    assert paid(server, dimensions=4).get("a drain") is None
    with opened_store() as store:
        (known,) = store.encoders()
    assert known.name == f"{MODEL} at {server.origin.removeprefix('http://')}"
    assert (known.dimensions, known.vectors, known.bytes) == (16, 1, 0)
    assert oct(os.stat(store_path()).st_mode & 0o777) == "0o600"
    with closing(sqlite3.connect(store_path())) as conn:
        assert b"drain" not in b"".join(bytes(str(row), "utf-8") for row in conn.iterdump())


@pytest.mark.parametrize(
    ("fault", "problem", "unbilled"),
    [
        ("rate_limit", TryAgain, True), ("server_error", TryAgain, False),
        ("unavailable", TryAgain, True), ("drop", TryAgain, False), ("html", TryAgain, False),
        ("malformed_json", TryAgain, False), ("unauthorized", ServiceRefused, True),
        ("insufficient_quota", ServiceRefused, True), ("redirect", ServiceRefused, True),
        ("content_policy", RowRejected, True), ("fewer_vectors", ServiceRefused, False),
        ("same_index", ServiceRefused, False), ("huge_vectors", TryAgain, False),
    ],
)  # fmt: skip
def test_failures_are_of_the_text_of_a_while_or_of_all(
    server: OpenAIServer, fault: str, problem: type[ServiceProblem], unbilled: bool
):
    texts = ["x", "y"] if fault == "same_index" else ["x"]
    server.faults.add("/embeddings", fault)
    found = ask(server, *texts)
    assert [type(each) for each in found] == [problem] * len(texts)
    assert [each.unbilled for each in found] == [unbilled] * len(texts)
    assert server.api_key not in str(found[0])
    assert server.count(POST) == 1


def test_an_answer_that_does_not_come_is_given_up(server: OpenAIServer):
    server.faults.add("/embeddings", "hang")
    (found,) = ask(server, "x", timeout=0.2)
    assert isinstance(found, TryAgain)
    assert not found.unbilled
    assert "did not" in str(found)


@pytest.mark.parametrize("packed", [True, False], ids=["base64", "numbers"])
def test_a_vector_of_no_numbers_is_of_its_text_alone(server: OpenAIServer, packed: bool):
    server.settings.base64_vectors = packed
    server.faults.add("/embeddings", "not_finite")
    bad, good = ask(server, "x", "y")
    assert isinstance(bad, RowRejected)
    assert not bad.unbilled
    np.testing.assert_array_equal(good.vector, as_stored(vector("y", 16, {})))
    assert paid(server).missing(["x", "y"]) == ["x"]


def test_other_dimensions_are_another_model_and_nothing_of_it_is_kept(server: OpenAIServer):
    ask(server, "a")
    server.faults.add("/embeddings", "other_dimensions")
    (found,) = ask(server, "b")
    assert isinstance(found, ServiceRefused)
    assert "15 numbers, and of 16 before" in str(found)
    assert paid(server).missing(["a", "b"]) == ["b"]
    server.faults.add("/embeddings", "other_dimensions")
    (found,) = ask(server, "c", dimensions=8)
    assert "7 numbers" in str(found)


def test_dimensions_that_a_model_cannot_give_are_refused_for_all(server: OpenAIServer):
    (found,) = ask(server, "x", model="nomic-embed-text", dimensions=8)
    assert isinstance(found, ServiceRefused)
    assert "dimensions" in str(found)


def test_one_text_that_is_refused_takes_no_other_with_it(server: OpenAIServer):
    def has_bad(request: Any) -> bool:
        return "bad" in json.loads(request.body)["input"]

    server.faults.add("/embeddings", "content_policy", None, where=has_bad)
    found = ask(server, "good", "bad", "fine", rounds=3)
    assert [isinstance(each, RowRejected) for each in found] == [False, True, False]
    assert [len(body["input"]) for body in bodies(server)] == [3, 1, 1, 1]


def test_one_text_that_breaks_the_server_takes_no_other_with_it(server: OpenAIServer):
    def has_bad(request: Any) -> bool:
        return "bad" in json.loads(request.body)["input"]

    server.faults.add("/embeddings", "server_error", None, where=has_bad)
    vectors = paid(server)
    ask(server, "good", "bad", vectors=vectors)
    client = EmbeddingsTrainer().vector_client(vectors, endpoint_of(server))

    async def twice() -> list[Any]:
        found: list[Any] = []
        for _ in range(2):
            found = await asyncio.gather(
                client.embed("good"), client.embed("bad"), return_exceptions=True
            )
        await client.close()
        return found

    good, bad = asyncio.run(twice())
    assert isinstance(bad, TryAgain)
    assert not isinstance(good, Exception)


def test_a_text_that_is_too_long_is_cut_until_the_model_takes_it(server: OpenAIServer):
    long = " ".join(f"word{i}" for i in range(6_000))
    found = ask(server, long, "short", rounds=6)
    assert not any(isinstance(each, Exception) for each in found)
    sent = [len(text) for body in bodies(server) for text in body["input"] if text != "short"]
    assert sent == sorted(sent, reverse=True)
    assert sent[-1] >= len(long) // 8
    assert paid(server).missing([long]) == []


def test_a_server_that_knows_no_base64_is_asked_without(server: OpenAIServer):
    server.settings.base64_vectors = False
    server.faults.add(
        "/embeddings", "bad_request", message="Unknown parameter: 'encoding_format'.",
        where=lambda request: "encoding_format" in json.loads(request.body), times=None,
    )  # fmt: skip
    (found,) = ask(server, "x", rounds=2)
    assert found.vector.shape == (16,)
    assert "encoding_format" not in bodies(server)[-1]


def test_azure_is_asked_by_deployment_with_its_own_header():
    with OpenAIServer(dialect="azure") as server:
        trainer = get_trainer("azure-embeddings")
        for version in (None, "2025-04-01-preview"):
            endpoint = Endpoint(server.api_key, server.origin, api_version=version)
            vectors = trainer.vectors(MODEL, None, endpoint)

            async def run(vectors: Any = vectors, endpoint: Any = endpoint) -> Any:
                client = trainer.vector_client(vectors, endpoint)
                try:
                    return await client.ask(f"x {endpoint.api_version}")
                finally:
                    await client.close()

            assert asyncio.run(run()).usage.input_tokens
        assert [request.headers.get("api-key") for request in server.log] == [server.api_key] * 2
        assert "deployments" in server.log[1].url


def test_names_of_labels_go_along_where_rows_are_few():
    trainer = EmbeddingsTrainer()
    labels = LabelSet(("Road works", "Parks"), "multiclass")
    assert trainer.texts_for(["a", " ", "a", "b"], labels) == ["a", "b", "road works", "parks"]
    assert trainer.texts_for(["a"], LabelSet(("0", "1"), "binary")) == ["a"]
