"""A service with a classifier that was trained there, for tests of jobs that ask it, and one that
is slow, for tests that kill them; and the classifier of topics."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Any

import pytest
from killing import LATENCY
from openai_server import OpenAIServer
from remote_classifier import quick, train_at

from datasette_ftclassify.jobs.remote import inference_loop
from datasette_ftclassify.store.classifiers import Classifier, find_classifier


@pytest.fixture(scope="module")
def running() -> Iterator[tuple[OpenAIServer, str]]:
    """(the server, the name of the model that it has tuned)"""
    with OpenAIServer() as server:
        yield server, train_at(server)


@pytest.fixture
def topics(conn: sqlite3.Connection) -> Classifier:
    return find_classifier(conn, "topics")


@pytest.fixture
def server(running: tuple[OpenAIServer, str], monkeypatch: pytest.MonkeyPatch) -> Any:
    """The same, without faults and with nothing in its log; requests are tried again at once."""
    monkeypatch.setattr(inference_loop, "DEFAULT_RETRY_POLICY", quick())
    running[0].log.clear()
    yield running[0]
    running[0].faults.clear()


@pytest.fixture
def slow_service() -> Iterator[OpenAIServer]:
    with OpenAIServer(latency=LATENCY) as server:
        yield server
