"""The town's messages, and the ways to a service that trains on them, for the tests of training
there."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from openai_server import OpenAIServer
from sample_databases import town_database

from datasette_ftclassify.core.task import Task, define
from datasette_ftclassify.demo.build import merge_label_variants
from datasette_ftclassify.jobs.train import TrainEstimate, plan_and_estimate
from datasette_ftclassify.jobs.train_request import TrainRequest
from datasette_ftclassify.trainers.access import Access, Endpoint
from datasette_ftclassify.trainers.base import TrainerOptions
from datasette_ftclassify.trainers.registry import get_trainer
from datasette_ftclassify.trainers.service import Service

MODEL = "gpt-4.1-mini"


@contextmanager
def quick_to_ask() -> Iterator[None]:
    """The trainers ask about a running job more often than anybody would who waits for hours."""
    trainers: list[Any] = [get_trainer("openai"), get_trainer("azure")]
    for trainer in trainers:
        trainer._settings["poll"] = (0.01, 0.05)
    yield
    for trainer in trainers:
        del trainer._settings["poll"]


def town(path: Path) -> sqlite3.Connection:
    """The messages, their labels mended."""
    conn = town_database(path)
    merge_label_variants(conn)
    return conn


def topics(conn: sqlite3.Connection) -> Task:
    return define(conn, "messages", text=["message"], labels=["topic"])


def access_to(server: OpenAIServer, trainer: str = "openai", **limits: float) -> Access:
    endpoint = Endpoint(api_key=server.api_key, base_url=server.base_url)
    return Access(endpoints={trainer: endpoint}, **limits)


def request(trainer: str = "openai", model: str = MODEL, **options: Any) -> TrainRequest:
    """One that learns from every example once, to be quick."""
    given = {"epochs": 1, **options}
    return TrainRequest(
        name="topics", trainer=trainer, options=TrainerOptions(model=model, **given)
    )


def estimate_train(
    conn: sqlite3.Connection, task: Task, request: TrainRequest, access: Access
) -> TrainEstimate:
    """What the training would cost."""
    trainer = get_trainer(request.trainer)
    assert isinstance(trainer, Service)
    return plan_and_estimate(conn, task, request, trainer, access)[1]


def environment(server: OpenAIServer) -> dict[str, str]:
    return {"OPENAI_API_KEY": server.api_key, "OPENAI_BASE_URL": server.base_url}
