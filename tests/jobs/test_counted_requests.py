"""Every request that a service gets is in the ledger before it is sent: at no moment has the server
counted more than the books say, whatever goes wrong between the first question and its answer."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from batch_predictions import QUICK
from openai_server import OpenAIServer
from remote_classifier import access_to, add_asked, report_table

from datasette_ftclassify.core.database import connect
from datasette_ftclassify.core.errors import FtclassifyError
from datasette_ftclassify.jobs.ask import ask_text
from datasette_ftclassify.jobs.evaluate import evaluate_classifier
from datasette_ftclassify.jobs.plan import PredictRequest
from datasette_ftclassify.jobs.predict import predict_rows
from datasette_ftclassify.jobs.remote import predict as remote_predict
from datasette_ftclassify.ledger import default_path
from datasette_ftclassify.sql import remote_inference
from datasette_ftclassify.sql.functions import register
from datasette_ftclassify.store.classifiers import Classifier, find_classifier
from datasette_ftclassify.trainers.access import Access

CHAT = "/chat/completions"
ROWS = 40


@pytest.fixture(autouse=True)
def desk(monkeypatch: pytest.MonkeyPatch) -> Iterator[remote_inference.SqlInference]:
    desk = remote_inference.SqlInference()
    monkeypatch.setattr(remote_inference, "INFERENCE", desk)
    yield desk
    desk.close()


@pytest.fixture
def path(running: tuple[OpenAIServer, str], tmp_path: Path) -> Path:
    with closing(report_table(tmp_path / "town.db", ROWS)) as conn:
        add_asked(conn, *running)
    return tmp_path / "town.db"


def counted() -> int:
    """Requests that the ledger knows of: answered, refused, or under way."""
    with closing(sqlite3.connect(default_path(), timeout=10)) as db:
        sql = (
            "select (select coalesce(sum(requests + unbilled), 0) from spending)"
            " + (select coalesce(sum(requests), 0) from under_way)"
        )
        return int(db.execute(sql).fetchone()[0])


@dataclass
class Watch:
    """Compares the books with the server's count whenever a request arrives there."""

    server: OpenAIServer
    seen: int = 0
    short: list[tuple[int, int]] = field(default_factory=list)

    def __call__(self, request: Any) -> bool:
        self.seen += 1
        if counted() < self.seen:
            self.short.append((self.seen, counted()))
        return False


def refuse(server: OpenAIServer, name: str) -> None:
    server.faults.add(
        CHAT, 400, times=None, where=lambda r: name in r.json, code="unsupported_parameter",
        message=f"Unsupported parameter: '{name}'.",
    )  # fmt: skip


FAULTS: dict[str, Callable[[OpenAIServer], object]] = {
    "nothing": lambda server: None,
    "a field": lambda server: refuse(server, "temperature"),
    "two fields": lambda server: [refuse(server, n) for n in ("max_completion_tokens", "logprobs")],
    "reasoning": lambda server: server.faults.add(
        CHAT, "reasons", times=None, where=lambda r: r.json["max_completion_tokens"] < 100
    ),
    "a field, then reasoning": lambda server: [
        refuse(server, "logprobs"),
        server.faults.add(
            CHAT, "reasons", times=None, where=lambda r: r.json["max_completion_tokens"] < 100
        ),
    ],
    "too many": lambda server: server.faults.add(CHAT, 429, times=9, every=3),
    "overloaded": lambda server: server.faults.add(CHAT, 503, times=9, every=3),
    "lost": lambda server: server.faults.add(CHAT, "drop", times=9, every=3, after=True),
    "no JSON": lambda server: server.faults.add(CHAT, "malformed_json", times=9, every=3),
    "refused texts": lambda server: server.faults.add(CHAT, "content_policy", times=9, every=3),
}  # fmt: skip


def predict(conn: sqlite3.Connection, topics: Classifier, access: Access) -> None:
    predict_rows(conn, topics, "reports", PredictRequest(limit_usd=1, max_errors=1), access=access)


def evaluate(conn: sqlite3.Connection, topics: Classifier, access: Access) -> None:
    evaluate_classifier(conn, topics, access=access)


def ask(conn: sqlite3.Connection, topics: Classifier, access: Access) -> None:
    for text in ("a kerb", "a drain"):
        ask_text(conn, topics, text, access, limit_usd=1)


def sql(conn: sqlite3.Connection, topics: Classifier, access: Access) -> None:
    register(conn, access=lambda: access)
    for text in ("a kerb", "a drain"):
        conn.execute("select ft_classify(?)", [text]).fetchone()


WAYS = {"predict": predict, "evaluate": evaluate, "ask": ask, "sql": sql}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("fault", FAULTS)
def test_no_request_is_sent_that_the_ledger_does_not_count(path, server, fault, way):
    watch = Watch(server)
    server.faults.add(CHAT, 400, times=None, where=watch)
    FAULTS[fault](server)
    with closing(connect(path)) as conn:
        topics = find_classifier(conn, "topics")
        try:
            WAYS[way](conn, topics, access_to(server, usd_per_day=5.0, sql_usd_per_day=5.0))
        except FtclassifyError:
            assert fault in ("lost", "no JSON", "refused texts", "overloaded", "too many")
    assert watch.short == []
    sent = server.count(f"POST {CHAT}")
    assert watch.seen == sent > 0
    assert counted() == sent


LINES = "/batches/-/chat/completions"


@pytest.mark.parametrize("kind", [None, "content_policy", "server_error", "no_logprobs"])
def test_questions_of_batches_are_counted_too(path, server, monkeypatch, kind):
    quickly = partial(remote_predict.ask_in_batches, pace=QUICK)
    monkeypatch.setattr(remote_predict, "ask_in_batches", quickly)
    watch = Watch(server)
    server.faults.add(LINES, 400, times=None, where=watch)
    if kind is not None:
        server.faults.add(LINES, kind, times=7)
    with closing(connect(path)) as conn:
        request = PredictRequest(limit_usd=1, max_errors=1, batch=True)
        topics = find_classifier(conn, "topics")
        predict_rows(conn, topics, "reports", request, access=access_to(server, usd_per_day=5.0))
    assert watch.short == []
    # What a batch left unanswered is asked again, in another batch or alone.
    assert counted() == watch.seen + server.count(f"POST {CHAT}") >= ROWS
