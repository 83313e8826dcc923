"""A server that speaks OpenAI's protocol with ways of its own is one entry of a table."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import says
from openai_server import OpenAIServer

from datasette_ftclassify.trainers import registry
from datasette_ftclassify.trainers.openai_protocol.dialect import DIALECTS, Dialect

ENTRY = Dialect(
    "townhall",
    title="The town hall: its own models",
    provider="the town hall",
    variables={"api_key": "TOWNHALL_KEY", "base_url": "TOWNHALL_URL"},
    home=None,
    no_home="Set TOWNHALL_URL.",
    key_header="x-town-key",
    batch_root=None,
    suffix=12,
    extra_body={"legacy_hyperparameters": True, "project": "town"},
)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[OpenAIServer]:
    DIALECTS.append(ENTRY)
    registry._registered.cache_clear()
    try:
        with OpenAIServer(
            dialect="compatible", pace=0.0, extra_body={"project"}, key_header="x-town-key"
        ) as server:
            monkeypatch.setenv("TOWNHALL_URL", server.base_url)
            yield server
    finally:
        DIALECTS.remove(ENTRY)
        registry._registered.cache_clear()


def test_an_entry_is_a_trainer_with_its_header_its_limits_and_its_fields(
    town: Path, server: OpenAIServer, vocabularies: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = {t["name"]: t for t in json.loads(says("trainers", "--json"))["trainers"]}
    assert (listed["townhall"]["batch"], listed["townhall"]["deploys"]) == (False, False)
    options = {option["name"]: option for option in listed["townhall"]["options"]}
    assert options["suffix"]["most"] == 12
    task = [town, "messages", "--text", "message", "--label", "topic", "--name", "hall"]
    model = ["--trainer", "townhall", "--model", "gpt-4.1-mini", "--epochs", 2]
    train = ["train", *task, *model, "--yes"]
    assert "Set TOWNHALL_KEY" in says(*train, code=1)
    monkeypatch.setenv("TOWNHALL_KEY", server.settings.api_key)
    assert "townhall takes 12 at most" in says(*train, "--suffix", "s" * 13, code=1)
    assert server.log == []
    made = json.loads(says(*train, "--json"))
    assert made["metrics"]["accuracy"] > made["metrics"]["majority_accuracy"]
    (created,) = [
        json.loads(request.body)
        for request in server.log
        if (request.method, request.path) == ("POST", "/fine_tuning/jobs")
    ]
    assert created["hyperparameters"] == {"n_epochs": 2}
    assert created["project"] == "town"
    assert not {"method", "metadata", "legacy_hyperparameters"} & set(created)
    assert "cannot be asked in batches" in says("predict", town, "messages", "--classifier", "hall",
                                     "--batch", "--yes", code=1)  # fmt: skip
