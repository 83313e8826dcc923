"""A table of reports, and the way of a user with it to a service and back."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

from openai_examples import HELD_OUT, examples

from datasette_ftclassify.core.database import connect
from datasette_ftclassify.core.task import define
from datasette_ftclassify.jobs.plan import PredictRequest
from datasette_ftclassify.jobs.predict import predict_rows
from datasette_ftclassify.jobs.predict_result import PredictResult
from datasette_ftclassify.jobs.train import TrainResult, train_classifier
from datasette_ftclassify.jobs.train_request import TrainRequest
from datasette_ftclassify.trainers.access import Access, Endpoint
from datasette_ftclassify.trainers.base import TrainerOptions

NAMES = {"0": "roads", "1": "parks", "2": "water"}


def reports(path: Path, n: int = 60) -> sqlite3.Connection:
    """A database with labelled rows in `reports`, and others without a label in `fresh`."""
    conn = connect(path, must_exist=False)
    with conn:
        conn.execute("create table reports (id integer primary key, text, label)")
        conn.execute("create table fresh (id integer primary key, text, label)")
        rows = {
            "reports": [(text, NAMES[code]) for text, code in examples(n)],
            "fresh": [(text, None) for text, _ in HELD_OUT],
        }
        for table, made in rows.items():
            conn.executemany(f"insert into {table} (text, label) values (?, ?)", made)
    return conn


def access_to(url: str, key: str = "sk-test-canary", trainer: str = "openai") -> Access:
    return Access({trainer: Endpoint(key, url)})


def train_at(
    conn: sqlite3.Connection, access: Access, trainer: str = "openai", **options: Any
) -> TrainResult:
    task = define(conn, "reports", text=["text"], labels=["label"])
    given = TrainerOptions(**{"model": "gpt-4.1-mini", "epochs": 3, **options})
    request = TrainRequest(trainer=trainer, options=given, curve=False)
    return train_classifier(conn, task, request, access=access)


def predict_at(
    conn: sqlite3.Connection, result: TrainResult, access: Access, **given: Any
) -> PredictResult:
    request = PredictRequest(**given)
    return predict_rows(conn, result.classifier, "fresh", request, access=access)


def right(conn: sqlite3.Connection) -> int:
    """How many of the fresh rows have their label."""
    said = [label for (label,) in conn.execute("select reports_label from fresh order by id")]
    wanted = [NAMES[code] for _, code in HELD_OUT]
    return sum(a == b for a, b in zip(said, wanted, strict=True))
