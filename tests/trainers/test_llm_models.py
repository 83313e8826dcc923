"""The package llm as a trainer, with a plugin of llm that is defined here."""

from __future__ import annotations

import asyncio
import json
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from openai_examples import WORDS
from remote_classifier import NAMES, report_table
from sample_databases import rows, value

from datasette_ftclassify.core.errors import FtclassifyError, JobPaused, TrainingError
from datasette_ftclassify.core.task import define
from datasette_ftclassify.jobs.plan import PredictRequest
from datasette_ftclassify.jobs.predict import predict_rows
from datasette_ftclassify.jobs.train import train_classifier
from datasette_ftclassify.jobs.train_request import TrainRequest
from datasette_ftclassify.ledger import Ledger
from datasette_ftclassify.store.classifiers import Classifier
from datasette_ftclassify.trainers.access import Access, Endpoint
from datasette_ftclassify.trainers.base import TrainerOptions
from datasette_ftclassify.trainers.registry import get_trainer
from datasette_ftclassify.trainers.service_errors import TryAgain

llm = pytest.importorskip("llm", reason="datasette-ftclassify[llm] is not installed")

KEY = "sk-of-llm-itself"
MEANT = {word: NAMES[code] for code, words in WORDS.items() for word in words.split()}


def answer(prompt: Any) -> str:
    """What a good model says: the code, in the system message, of the label that is meant."""
    codes = {name: code for code, name in re.findall(r"^(\d+) = (.+)$", prompt.system, re.M)}
    label = next((MEANT[word] for word in prompt.prompt.split() if word in MEANT), "none of them")
    return f" {codes.get(label, label)}\n"


class Words(llm.Model):
    """A model that answers by words, and counts the tokens."""

    model_id = "town-words"

    class Options(llm.Options):
        max_tokens: int | None = None
        temperature: float | None = None

    def __init__(self) -> None:
        self.prompts: list[Any] = []

    def execute(self, prompt, stream, response, conversation):
        self.prompts.append(prompt)
        response.set_usage(input=100, output=1)
        yield answer(prompt)


class AsyncWords(llm.AsyncModel):
    """Another, asynchronous, and without options or a count of tokens."""

    model_id = "town-async"

    def __init__(self) -> None:
        self.prompts: list[Any] = []

    async def execute(self, prompt, stream, response, conversation):
        self.prompts.append(prompt)
        yield answer(prompt)


class Twin(llm.Model):
    """What llm wants beside an asynchronous one, which goes before it."""

    model_id = "town-async"

    def execute(self, prompt, stream, response, conversation):
        raise AssertionError("asked although there is an asynchronous one")
        yield


class Keyed(llm.KeyModel):
    """One that needs a key, and repeats it in its errors."""

    model_id = "town-keyed"
    needs_key = "town"
    key_env_var = "TOWN_KEY"

    def execute(self, prompt, stream, response, conversation, key):
        raise llm.ModelError(f"The key {key} is wrong.")
        yield


class Plugin:
    """As a package of llm's registers models."""

    def __init__(self) -> None:
        self.words, self.other, self.keyed = Words(), AsyncWords(), Keyed()

    @llm.hookimpl
    def register_models(self, register):
        register(self.words, aliases=("gpt-4.1-nano-words",))
        register(Twin(), self.other)
        register(self.keyed)


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Plugin]:
    """Registered with llm, whose keys and settings are in an empty folder."""
    monkeypatch.setenv("LLM_USER_PATH", str(tmp_path / "llm"))
    llm.plugins.load_plugins()
    found = Plugin()
    llm.plugins.pm.register(found, name="town")
    yield found
    llm.plugins.pm.unregister(found)


@pytest.fixture
def conn(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with closing(report_table(tmp_path / "town.db", 40)) as conn:
        yield conn


@pytest.fixture
def prices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A table in which a million tokens of the model cost $1,000, so that a request costs $0.1."""
    path = tmp_path / "prices.json"
    models = {"town-words-untuned": {"input": 1000, "output": 1000}}
    path.write_text(json.dumps({"date": "2026-11-29", "models": models}))
    monkeypatch.setenv("FTCLASSIFY_PRICES", str(path))


def made(conn: sqlite3.Connection, model: str, access: Access | None = None) -> Classifier:
    task = define(conn, "reports", text=["body"], labels=["topic"])
    request = TrainRequest(name="topics", trainer="llm", options=TrainerOptions(model=model))
    return train_classifier(conn, task, request, access=access or Access()).classifier


@pytest.mark.parametrize("model", ["town-words", "town-async"])
def test_a_model_of_a_plugin_is_prompted_and_its_answers_stored(plugin, conn, model):
    topics = made(conn, model)
    assert (topics.trainer, topics.header["model"]) == ("llm", model)
    sent = plugin.words.prompts or plugin.other.prompts
    assert 0 < len(sent) < 40  # the test rows, which it was evaluated on
    result = predict_rows(conn, topics, "reports", access=Access())
    assert len(sent) == 40  # each text once
    assert result.written == 40
    assert rows(conn, "select topics_label is topic, count(*) from reports group by 1") == [(1, 40)]
    assert value(conn, "select count(topics_score) from reports") == 0  # it says none
    predict_rows(conn, topics, "reports", PredictRequest(where="id < 9"), access=Access())
    assert len(sent) == 40
    assert "0 = " in sent[0].system
    if model == "town-words":
        assert (sent[0].options.temperature, sent[0].options.max_tokens) == (0, 64)


def test_what_is_no_label_is_an_abstention(plugin, conn):
    topics = made(conn, "town-words")
    with conn:
        conn.execute("update reports set body = 'nothing of this town' where id = 40")
    predict_rows(conn, topics, "reports", access=Access())
    found = rows(conn, "select topics_label, topics_raw, topics_reason from reports where id = 40")
    assert found == [(None, " none of them\n", "outside the label set")]


def test_a_model_without_a_price_is_refused_under_a_limit(plugin, conn):
    topics = made(conn, "town-words")
    before = len(plugin.words.prompts)
    for limited in (Access(usd_per_day=5), Access(usd_per_job=5)):
        with pytest.raises(FtclassifyError, match="no price of the model is known"):
            predict_rows(conn, topics, "reports", access=limited)
    with pytest.raises(FtclassifyError, match="no price of the model is known"):
        predict_rows(conn, topics, "reports", PredictRequest(limit_usd=1.0), access=Access())
    assert len(plugin.words.prompts) == before


def test_what_it_costs_is_kept_to_the_limit(plugin, conn, prices):
    topics = made(conn, "town-words")
    before, spent = len(plugin.words.prompts), Ledger().spent_today().usd
    assert spent == pytest.approx(before * 0.101)
    with pytest.raises(JobPaused):
        predict_rows(conn, topics, "reports", PredictRequest(limit_usd=1.0), access=Access())
    asked = len(plugin.words.prompts) - before
    assert 0 < asked < 10
    assert Ledger().spent_today().usd - spent == pytest.approx(asked * 0.101)


def test_an_alias_has_the_price_of_the_model_that_it_stands_for(plugin, conn, prices):
    assert get_trainer("llm").priced_as("gpt-4.1-nano-words") == "town-words-untuned"


def test_a_model_that_llm_does_not_know_is_named_with_those_that_are_like_it(plugin, conn):
    with pytest.raises(TrainingError, match=r"no model town-word here: did you mean .*town-words"):
        made(conn, "town-word")
    assert value(conn, "select count(*) from _ftclassify_classifiers") == 0


def test_llm_keeps_the_keys(plugin, conn, monkeypatch):
    topics = made(conn, "town-keyed")
    with pytest.raises(JobPaused, match="llm has no key"):
        predict_rows(conn, topics, "reports", access=Access())
    monkeypatch.setenv("TOWN_KEY", KEY)
    client = get_trainer("llm").inference_client(topics.header, topics.labels, Endpoint())
    with pytest.raises(TryAgain) as told:
        asyncio.run(client.ask("a lamp"))
    assert str(told.value) == "town-keyed: The key (key) is wrong."
