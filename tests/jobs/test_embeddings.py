"""Training on vectors that are paid for, and answering with them: nothing sent unseen, nothing paid
for twice, no limit exceeded."""

from __future__ import annotations

import json
import shutil
import signal
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import embedded
import pytest
from embedded import POST, access_to, request, sent, table, task_of, teach
from openai_server import OpenAIServer
from programs import Program, datasette
from running_jobs import wait_for
from sample_databases import answer, value
from stored import list_jobs

from datasette_ftclassify.core.database import connect
from datasette_ftclassify.core.errors import AccessError, JobPaused, LimitReached, TrainingError
from datasette_ftclassify.jobs.ask import ask_text, estimate_text
from datasette_ftclassify.jobs.confirming import confirm_predict, confirm_train
from datasette_ftclassify.jobs.model_files import read_model, store_model
from datasette_ftclassify.jobs.plan import Plan, PredictRequest
from datasette_ftclassify.jobs.predict import predict_rows
from datasette_ftclassify.jobs.publish import publish_copy
from datasette_ftclassify.jobs.train import run_submitted, submit_train, train_classifier
from datasette_ftclassify.ledger import Ledger
from datasette_ftclassify.sql import remote_inference
from datasette_ftclassify.sql.functions import register
from datasette_ftclassify.store.classifiers import find_classifier
from datasette_ftclassify.store.jobs.events import job_events
from datasette_ftclassify.trainers.embeddings import paid_vectors
from datasette_ftclassify.trainers.encoders.vector_store import opened_store, text_key
from datasette_ftclassify.trainers.local import memory


@pytest.fixture(scope="module")
def service() -> Iterator[OpenAIServer]:
    with OpenAIServer() as server:
        teach(server)
        yield server


@pytest.fixture
def server(service: OpenAIServer) -> OpenAIServer:
    service.log.clear()
    service.faults.clear()
    return service


@pytest.fixture(autouse=True)
def own_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, vocabularies: Path) -> None:
    """A ledger and vectors of this test's own, and a price."""
    (tmp_path / "prices.json").write_text(embedded.PRICES)
    monkeypatch.setenv("FTCLASSIFY_PRICES", str(tmp_path / "prices.json"))
    monkeypatch.setenv("FTCLASSIFY_LEDGER", str(tmp_path / "ledger.db"))
    monkeypatch.setenv("FTCLASSIFY_VECTORS", str(tmp_path / "vectors.db"))


@pytest.fixture
def conn(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with closing(table(tmp_path / "town.db")) as conn:
        yield conn


@pytest.fixture(scope="module")
def made(service: OpenAIServer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a trained classifier, its ledger and its vectors."""
    folder = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("ledger", "vectors"):
            patch.setenv(f"FTCLASSIFY_{name.upper()}", str(folder / f"{name}.db"))
        embedded.trained(folder / "town.db", service)
    return folder


@pytest.fixture
def town(made: Path, tmp_path: Path) -> Iterator[sqlite3.Connection]:
    for name in ("town", "vectors"):
        shutil.copy(made / f"{name}.db", tmp_path / f"{name}.db")
    with closing(connect(tmp_path / "town.db")) as conn:
        yield conn


def spent() -> Any:
    return Ledger().spent_today()


def test_what_leaves_and_what_it_costs_is_said_before(
    conn: sqlite3.Connection, server: OpenAIServer
):
    found = confirm_train(conn, task_of(conn), request(), access_to(server))
    assert found is not None
    assert server.log == []
    estimate, sending = found.estimate, found.review.sending
    assert sending.host == server.origin.removeprefix("http://")
    assert (sending.rows, sending.columns, sending.labels) == (90, ("body",), ())
    assert any("names of the labels are sent" in note for note in estimate.notes)
    assert estimate.exact
    assert estimate.usd == pytest.approx((estimate.training_tokens + estimate.input_tokens) / 1000)


def test_vectors_are_bought_once_and_the_bill_is_as_it_was_said(
    conn: sqlite3.Connection, server: OpenAIServer
):
    task, access = task_of(conn), access_to(server)
    told = confirm_train(conn, task, request(), access)
    assert told is not None
    result = train_classifier(conn, task, request(), access=access)
    asked = Counter(sent(server))
    rows = [body for (body,) in conn.execute("select body from messages")]
    assert asked == Counter([*rows, "parks", "roads", "water"])
    assert result.classifier.trainer == "openai-embeddings"
    assert "vectors" in result.classifier.report["recipe"]
    assert result.metrics is not None
    assert result.metrics["accuracy"] == 1
    assert result.usd == pytest.approx(told.estimate.usd)
    assert spent().usd == pytest.approx(told.estimate.usd)
    server.log.clear()
    again = confirm_train(conn, task, request(), access)
    assert again is not None
    assert (again.estimate.usd, again.estimate.rows_sent) == (0, 0)
    assert train_classifier(conn, task, request(), access=access).usd == 0
    assert server.log == []


def test_where_vectors_do_not_help_the_classifier_needs_no_service(
    tmp_path: Path, server: OpenAIServer, monkeypatch: pytest.MonkeyPatch
):
    with closing(table(tmp_path / "plain.db", 0)) as conn:
        with conn:
            conn.executemany(
                "insert into messages (body, topic) values (?, ?)",
                [(f"{topic} {i}", topic) for topic in ("aaaa", "bbbb") for i in range(40)],
            )
        server.settings.meanings, before = (
            {"aaaa": "same", "bbbb": "same"},
            server.settings.meanings,
        )
        try:
            result = train_classifier(conn, task_of(conn), request(), access=access_to(server))
        finally:
            server.settings.meanings = before
        assert result.classifier.trainer == "local"
        assert "not used" in " ".join(result.classifier.report["warnings"])


def test_a_limit_below_the_price_sends_nothing(conn: sqlite3.Connection, server: OpenAIServer):
    with pytest.raises(LimitReached, match="more than the limit"):
        confirm_train(conn, task_of(conn), request(limit_usd=0.01), access_to(server))
    with pytest.raises(LimitReached):
        train_classifier(conn, task_of(conn), request(limit_usd=0.01), access=access_to(server))
    assert server.log == []


def test_a_model_without_a_price_is_refused_under_a_limit(
    conn: sqlite3.Connection, server: OpenAIServer
):
    asked = request("nomic-embed-text", limit_usd=5)
    with pytest.raises(LimitReached, match="No price known"):
        train_classifier(conn, task_of(conn), asked, access=access_to(server))
    assert server.log == []
    found = confirm_train(conn, task_of(conn), request("nomic-embed-text"), access_to(server))
    assert found is not None
    assert found.estimate.usd is None


def test_what_could_not_be_learnt_from_or_stored_is_not_paid_for(
    conn: sqlite3.Connection, server: OpenAIServer, monkeypatch: pytest.MonkeyPatch
):
    task, access = task_of(conn), access_to(server)
    with monkeypatch.context() as patch:
        patch.setattr(paid_vectors, "MOST_BYTES", 10_000)
        with pytest.raises(TrainingError, match="more than are stored on this machine"):
            confirm_train(conn, task, request(), access)
    monkeypatch.setattr(memory, "MOST_KEPT", 100)
    with pytest.raises(TrainingError, match="no vectors can be used in training"):
        confirm_train(conn, task, request(), access)
    with pytest.raises(TrainingError, match="no vectors can be used in training"):
        train_classifier(conn, task, request(), access=access)
    assert server.log == []


def test_the_limit_holds_although_answers_are_lost(conn: sqlite3.Connection, server: OpenAIServer):
    """Every request is dropped after it was worked on, as if it were billed."""
    task, access = task_of(conn), access_to(server)
    told = confirm_train(conn, task, request(), access)
    assert told is not None
    limit = 1.2 * told.estimate.usd
    server.faults.add("/embeddings", "drop", None, after=True)
    job = submit_train(conn, task, request(limit_usd=limit), told.estimate, access=access)
    with pytest.raises(JobPaused):
        run_submitted(conn, job, access=access)
    assert spent().usd <= limit
    billed = sum(len(text.split()) for text in sent(server)) / 1000
    assert billed <= limit
    server.faults.clear()
    with pytest.raises((JobPaused, LimitReached)):
        run_submitted(conn, job, access=access)
    assert spent().usd <= limit


def test_a_pause_loses_nothing_and_the_rest_is_all_that_is_sent_then(
    conn: sqlite3.Connection, server: OpenAIServer
):
    task, access = task_of(conn), access_to(server)
    server.faults.add("/embeddings", "insufficient_quota", None, skip=2)
    job = submit_train(conn, task, request(), access=access)
    with pytest.raises(JobPaused, match="quota"):
        run_submitted(conn, job, access=access)
    with opened_store() as store:
        (known,) = store.encoders()
    first = known.vectors
    assert 0 < first < 60
    assert spent().requests == first
    server.faults.clear()
    server.log.clear()
    run_submitted(conn, job, access=access)
    assert len(sent(server)) == 93 - first


def test_texts_that_the_service_rejects_count_by_their_words_and_are_told(
    conn: sqlite3.Connection, server: OpenAIServer
):
    with conn:
        # As many as make it sure that one is trained on; copies of it are one text.
        conn.execute("update messages set body = 'awful' where id % 15 = 1")
    server.faults.add(
        "/embeddings", "content_policy", None,
        where=lambda r: "awful" in json.loads(r.body)["input"],
    )  # fmt: skip
    result = train_classifier(conn, task_of(conn), request(), access=access_to(server))
    told = " ".join(result.classifier.report["warnings"])
    assert "1 text has no vector, and only the words count there" in told
    assert "content policy" in told


def test_rows_go_to_no_other_host_than_the_one_that_was_agreed_to(
    conn: sqlite3.Connection, server: OpenAIServer
):
    asked = replace(request(), host="api.openai.com")
    with pytest.raises(AccessError, match=r"asked for at api\.openai\.com"):
        train_classifier(conn, task_of(conn), asked, access=access_to(server))
    assert server.log == []


def test_a_prediction_is_paid_for_once_within_its_limit(
    town: sqlite3.Connection, server: OpenAIServer
):
    classifier, access = find_classifier(town, "topics"), access_to(server)
    with town:
        town.executemany(
            "insert into messages (body) values (?)", [(t,) for t, _ in embedded.texts(90, 20)]
        )
    plan = Plan.of(town, classifier, "messages", PredictRequest())
    told = confirm_predict(town, plan, PredictRequest(), access)
    assert told is not None
    assert told.estimate.requests == 20  # the others have vectors here
    result = predict_rows(
        town, classifier, "messages", PredictRequest(), access=access, estimate=told.estimate
    )
    assert sorted(sent(server)) == sorted(t for t, _ in embedded.texts(90, 20))
    assert result.spent is not None
    assert result.spent.usd == pytest.approx(told.estimate.usd)
    rows = town.execute("select body, topics_label, topics_score from messages where id > 90")
    right = dict(embedded.texts(90, 20))
    assert all(right[body] == label and score > 0.5 for body, label, score in rows)


def test_one_text_is_asked_for_at_its_price(town: sqlite3.Connection, server: OpenAIServer):
    classifier, access = find_classifier(town, "topics"), access_to(server)
    ((text, topic),) = embedded.texts(200, 1)
    estimate = estimate_text(classifier, text, access)
    assert estimate is not None
    assert estimate.usd > 0
    found = ask_text(town, classifier, text, access, estimate=estimate)
    assert found.answer.labels == (topic,)
    assert found.spent.usd == pytest.approx(estimate.usd)
    assert ask_text(town, classifier, text, access, estimate=estimate).spent.usd == 0
    assert server.count(POST) == 1
    server.faults.add("/embeddings", "drop", None, after=True)
    ((other, _),) = embedded.texts(201, 1)
    estimate = estimate_text(classifier, other, access)
    with pytest.raises(JobPaused):
        ask_text(town, classifier, other, access, estimate=estimate)


def test_a_copy_answers_and_a_published_one_asks_nobody(
    town: sqlite3.Connection, server: OpenAIServer, tmp_path: Path
):
    classifier, access = find_classifier(town, "topics"), access_to(server)
    with closing(connect(tmp_path / "other.db", must_exist=False)) as other:
        copied = store_model(other, read_model(town, classifier))
        ((text, topic),) = embedded.texts(210, 1)
        assert ask_text(other, copied, text, access).answer.labels == (topic,)
    server.log.clear()
    predict_rows(town, classifier, "messages", PredictRequest(), access=access)
    publish_copy(tmp_path / "town.db", tmp_path / "public.db")
    with closing(connect(tmp_path / "public.db")) as public:
        dump = "\n".join(public.iterdump())
        assert public.execute("select count(*) from _ftclassify_answers").fetchone()[0] >= 90
        assert public.execute("select count(*) from _ftclassify_artifacts").fetchone() == (0,)
    assert server.origin.removeprefix("http://") not in dump
    assert server.api_key not in dump


def test_events_say_what_was_sent(town: sqlite3.Connection):
    told = [event.message for event in job_events(town, 1)]
    assert any("sending 84 texts to" in line for line in told), told


# SQL functions


@pytest.fixture
def inference(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As of a process that has just been started."""
    fresh = remote_inference.SqlInference()
    monkeypatch.setattr(remote_inference, "INFERENCE", fresh)
    yield
    fresh.close()


@pytest.mark.usefixtures("inference")
def test_sql_functions_ask_within_the_budget_of_the_operator_alone(
    town: sqlite3.Connection, server: OpenAIServer
):
    ((text, topic),) = embedded.texts(220, 1)
    register(town, access=lambda: access_to(server))
    assert value(town, "select ft_classify(?)", [text]) is None
    assert "budget" in answer(town, "select ft_classify_json(?)", [text])["error"]
    assert server.log == []
    register(town, access=lambda: access_to(server, sql_usd_per_day=1.0))
    assert value(town, "select ft_classify(?)", [text]) == topic
    assert value(town, "select ft_score(?)", [text]) > 0.5
    assert server.count(POST) == 1
    assert spent().usd > 0
    register(town, access=lambda: access_to(server, sql_usd_per_day=spent().usd + 0.001))
    ((other, _),) = embedded.texts(221, 1)
    assert value(town, "select ft_classify(?)", [other]) is None
    assert server.count(POST) == 1


@pytest.mark.usefixtures("inference")
def test_an_explanation_says_what_the_vector_adds(town: sqlite3.Connection, server: OpenAIServer):
    text, topic = town.execute("select body, topic from messages where id = 1").fetchone()
    register(town, access=lambda: access_to(server, sql_usd_per_day=1.0))
    told = answer(town, "select ft_explain(?)", [text])
    assert told["label"] == topic
    assert told["words"][0]["word"] == "(the whole text)"
    assert told["words"][0]["weight"] > 0
    assert server.log == []  # its vector was there


# Killed


def test_a_killed_training_loses_no_vector_that_was_paid_and_booked(
    server: OpenAIServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    table(tmp_path / "killed.db", 150).close()
    monkeypatch.setattr(server.settings, "latency", 0.02)
    command = [
        "ftclassify", "train", tmp_path / "killed.db", "messages", "--text", "body", "--label",
        "topic", "--trainer", "openai-embeddings", "--no-curve", "--yes",
    ]  # fmt: skip
    environ = {
        "OPENAI_API_KEY": server.api_key, "OPENAI_BASE_URL": server.base_url,
        "FTCLASSIFY_OFFLINE": "1",
    }  # fmt: skip
    program = Program(datasette, *command, environ=environ)
    wait_for(lambda: server.count(POST) >= 4, "requests")
    program.send(signal.SIGKILL)
    assert program.wait() == -9
    with opened_store() as store:
        known = {row for (row,) in store._conn.execute("select text from vectors")}
    before = sent(server)
    assert 0 < len(known) < 138
    stored_and_booked = Ledger().spent_today().requests
    assert stored_and_booked <= len(known)
    again = Program(datasette, *command, environ=environ)
    assert again.wait() == 0, again.output
    assert f"will leave this machine, to 127.0.0.1:{server.port}" in again.output
    assert "Vectors by text-embedding-3-small: " in again.output
    asked = Counter(sent(server))
    assert len(asked) == 153
    assert all(asked[text] == 1 for text in before if text_key(text) in known)
    booked = Ledger().spent_today()
    assert booked.requests >= asked.total()
    with closing(connect(tmp_path / "killed.db")) as conn:
        (job,) = list_jobs(conn)
        assert job.state == "finished"
