"""A price comes from what is really asked, never from what a stranger's file says of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from openai_server import OpenAIServer
from remote_classifier import add_asked, quick, report_table, train_at

from datasette_ftclassify.core.errors import FtclassifyError
from datasette_ftclassify.jobs.ask import ask_text, estimate_text
from datasette_ftclassify.jobs.evaluate import evaluate_classifier
from datasette_ftclassify.jobs.load_classifier import load_batch_client, load_inference_client
from datasette_ftclassify.jobs.plan import PredictRequest
from datasette_ftclassify.jobs.predict import predict_rows
from datasette_ftclassify.jobs.remote import inference_loop
from datasette_ftclassify.jobs.remote.model_names import deploy
from datasette_ftclassify.ledger import Ledger
from datasette_ftclassify.sql import remote_inference
from datasette_ftclassify.sql.functions import register
from datasette_ftclassify.store.classifiers import Classifier, find_classifier
from datasette_ftclassify.trainers.access import Access, Endpoint

CHEAP = "gpt-4o-mini"
DEAR = "gpt-4.1"
LIMIT = 0.004


@pytest.fixture(scope="module")
def running() -> Iterator[tuple[OpenAIServer, str]]:
    with OpenAIServer() as server:
        yield server, train_at(server)


@pytest.fixture
def server(running: tuple[OpenAIServer, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setattr(inference_loop, "DEFAULT_RETRY_POLICY", quick())
    desk = remote_inference.SqlInference()
    monkeypatch.setattr(remote_inference, "INFERENCE", desk)
    running[0].log.clear()
    yield running[0]
    desk.close()


@pytest.fixture
def conn(running: tuple[OpenAIServer, str], tmp_path: Path) -> Iterator[Any]:
    with closing(report_table(tmp_path / "theirs.db", 60)) as conn:
        add_asked(conn, *running)
        yield conn


def claim(conn: Any, trainer: str = "openai", **header: Any) -> Classifier:
    """What a stranger's file says."""
    kept = {**find_classifier(conn, "topics").header, **header}
    with conn:
        conn.execute(
            "update _ftclassify_classifiers set header = ?, trainer = ?",
            [json.dumps(kept), trainer],
        )
    return find_classifier(conn, "topics")


def access_to(server: OpenAIServer, **limits: float) -> Access:
    endpoint = Endpoint(server.api_key, server.base_url)
    return Access({"openai": endpoint, "azure": endpoint, "prompted": endpoint}, **limits)


def predict(conn: Any, topics: Classifier, access: Access) -> None:
    predict_rows(conn, topics, "reports", PredictRequest(), access=access)


def in_batches(conn: Any, topics: Classifier, access: Access) -> None:
    predict_rows(conn, topics, "reports", PredictRequest(batch=True), access=access)


def evaluate(conn: Any, topics: Classifier, access: Access) -> None:
    evaluate_classifier(conn, topics, access=access)


def ask(conn: Any, topics: Classifier, access: Access) -> None:
    ask_text(conn, topics, "a kerb", access)


def sql(conn: Any, topics: Classifier, access: Access) -> None:
    register(conn, access=lambda: access)
    conn.execute("select ft_classify(body) from reports limit 20").fetchall()


WAYS: dict[str, Callable[[Any, Classifier, Access], None]] = {
    "predict": predict, "batches": in_batches, "evaluate": evaluate, "ask": ask, "sql": sql,
}  # fmt: skip

CLAIMS: dict[str, Callable[[Any], Classifier]] = {
    "a deployment called like a cheap model": lambda conn: claim(
        conn, "azure", deployment=CHEAP, base=CHEAP, model=f"{CHEAP}-2024-07-18.ft-1"
    ),
    "a deployment of a cheap model": lambda conn: claim(
        conn, "azure", deployment="their-topics", base=CHEAP, model=f"ft:{CHEAP}:a:b:c"
    ),
    "an id that says nothing": lambda conn: claim(conn, model="ftjob-model-17", base=CHEAP),
    "an untuned id that says nothing": lambda conn: claim(
        conn, "prompted", model="dear-model", base=CHEAP
    ),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("said", CLAIMS)
def test_a_file_that_claims_a_cheap_model_spends_nothing_under_a_limit(conn, server, said, way):
    topics = CLAIMS[said](conn)
    limited = access_to(server, usd_per_day=LIMIT, usd_per_job=LIMIT, sql_usd_per_day=LIMIT)
    if way == "sql":  # whose functions raise nothing
        WAYS[way](conn, topics, limited)
    else:
        with pytest.raises(FtclassifyError, match="FTCLASSIFY_PRICES"):
            WAYS[way](conn, topics, limited)
    assert server.log == []
    assert Ledger().spent_today().usd == 0


@pytest.mark.parametrize("said", CLAIMS)
def test_nobody_is_told_a_price_that_only_the_file_knows(conn, server, said):
    estimate = estimate_text(CLAIMS[said](conn), "a kerb", access_to(server))
    assert estimate is not None
    assert estimate.usd is None
    assert "No price known" in estimate.note
    assert CHEAP not in estimate.note.partition("/")[0]


def test_a_name_that_says_its_model_has_the_price_of_that(conn, server):
    topics = claim(conn, base=CHEAP, model=f"ft:{DEAR}-2025-04-14:o::1")
    assert load_inference_client(topics, access_to(server)).model == f"{DEAR}-2025-04-14"
    assert load_batch_client(topics, access_to(server)).model == f"{DEAR}-2025-04-14"


def test_a_deployment_that_somebody_here_names_has_the_price_of_its_model(conn, server):
    topics = claim(conn, "azure", base=CHEAP, model=f"{DEAR}-2025-04-14.ft-1")
    topics = deploy(conn, topics, "my-topics", access_to(server))
    assert load_inference_client(topics, access_to(server)).model == f"{DEAR}-2025-04-14"
    # That of another resource may be of another model.
    theirs = claim(conn, "azure", host="theirs.openai.azure.com")
    elsewhere = Endpoint(server.api_key, "https://theirs.openai.azure.com/openai/v1")
    inference_client = load_inference_client(theirs, Access({"azure": elsewhere}))
    assert inference_client.model == "theirs.openai.azure.com/my-topics"


def test_an_operators_table_may_know_an_id_that_says_nothing(conn, server, tmp_path, monkeypatch):
    prices = tmp_path / "prices.json"
    entry = {"input": 0, "output": 0}
    prices.write_text(json.dumps({"date": "2026-11-29", "models": {"ftjob-model-17": entry}}))
    monkeypatch.setenv("FTCLASSIFY_PRICES", str(prices))
    topics = claim(conn, model="ftjob-model-17", base=DEAR)
    estimate = estimate_text(topics, "a kerb", access_to(server))
    assert estimate is not None
    assert estimate.usd == 0
