"""A table whose words never come twice, and a test server whose vectors know what they mean."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

from openai_server import OpenAIServer

from datasette_ftclassify.core.database import connect
from datasette_ftclassify.core.task import Task, define
from datasette_ftclassify.jobs.train import train_classifier
from datasette_ftclassify.jobs.train_request import TrainRequest
from datasette_ftclassify.trainers.access import Access, Endpoint
from datasette_ftclassify.trainers.base import TrainerOptions

MODEL = "text-embedding-3-small"
POST = "POST /embeddings"
TOPICS = ("Parks", "Roads", "Water")
PRICES = (
    '{"date": "2026-11-25", "models": {"text-embedding-3-small": {"input": 1000, "output": 0}}}'
)
"""A tenth of a cent for a token."""


def word(number: int) -> str:
    """Another one for each number, of letters that tell nothing."""
    letters = "abcdefghijklmnopqrstuvwxyz"
    places = ((number * 7919 + 31 * place * place) % 26 for place in range(4))
    return "".join(letters[place] for place in places) + str(number)


def texts(first: int, rows: int) -> list[tuple[str, str]]:
    """(text, topic) of rows."""
    return [(f"{word(3 * i)} {word(3 * i + 1)}", TOPICS[i % 3]) for i in range(first, first + rows)]


def teach(server: OpenAIServer, rows: int = 600) -> None:
    """What the words of the texts mean."""
    server.settings.meanings = {
        part: topic for text, topic in texts(0, rows) for part in text.split()
    }


def table(path: Path, rows: int = 90) -> sqlite3.Connection:
    """Messages (id, body, topic) in a file that is made, or is there."""
    conn = connect(path, must_exist=False)
    with conn:
        conn.execute("create table messages (id integer primary key, body text, topic text)")
        conn.executemany("insert into messages (body, topic) values (?, ?)", texts(0, rows))
    return conn


def task_of(conn: sqlite3.Connection) -> Task:
    return define(conn, "messages", text=["body"], labels=["topic"])


def request(model: str = MODEL, limit_usd: float | None = None) -> TrainRequest:
    options = TrainerOptions(model=model)
    return TrainRequest(
        name="topics",
        trainer="openai-embeddings",
        options=options,
        curve=False,
        limit_usd=limit_usd,
    )


def access_to(server: OpenAIServer, **limits: float) -> Access:
    return Access({"openai-embeddings": Endpoint(server.api_key, server.base_url)}, **limits)


def sent(server: OpenAIServer) -> list[str]:
    """All texts that have arrived there."""
    posts = [json.loads(r.body) for r in server.log if r.path == "/embeddings"]
    return [text for body in posts for text in body["input"]]


def trained(path: Path, server: OpenAIServer) -> None:
    """The file, with a table and a classifier of it."""
    with closing(table(path)) as conn:
        train_classifier(conn, task_of(conn), request(), access=access_to(server))
