"""A table of reports and a classifier of them whose model is at a test server."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from openai_examples import WORDS, tune
from openai_server import OpenAIServer

from datasette_ftclassify.core.database import connect
from datasette_ftclassify.core.labels import LabelSet
from datasette_ftclassify.core.task import define
from datasette_ftclassify.core.text import text_hash
from datasette_ftclassify.jobs.confirming import confirm_predict
from datasette_ftclassify.jobs.estimates import JobEstimate
from datasette_ftclassify.jobs.plan import Plan, PredictRequest
from datasette_ftclassify.jobs.remote.concurrency import RetryPolicy
from datasette_ftclassify.prompts.formats import ExportFormat
from datasette_ftclassify.store.classifiers import Classifier, add_classifier
from datasette_ftclassify.store.splits import add_split
from datasette_ftclassify.trainers.access import Access, Endpoint

LABELS = LabelSet(("Parks", "Roads", "Water"), "multiclass")
FORMAT = ExportFormat(labels="code")
NAMES = {"0": "Roads", "1": "Parks", "2": "Water"}
ASK = "POST /chat/completions"


def reports(n: int, first: int = 0) -> list[tuple[str, str]]:
    """(text, label), every text another one."""
    rows = []
    for i in range(first, first + n):
        code = str(i % 3)
        words = WORDS[code].split()
        rows.append((f"report {i} on a {words[i % 5]} and a {words[(i + 2) % 5]}", NAMES[code]))
    return rows


def train_at(server: OpenAIServer) -> str:
    """The name of a model that knows the labels."""
    codec = FORMAT.bind(LABELS)
    lines = "".join(codec.encode(text, (label,)) + "\n" for text, label in reports(60, 1_000_000))
    model = tune(server, lines.encode()).fine_tuned_model
    assert model is not None
    return model


def access_to(server: OpenAIServer, **limits: Any) -> Access:
    return Access({"openai": Endpoint(server.api_key, server.base_url)}, **limits)


def report_table(path: Path, n: int, rows: Sequence[tuple[Any, Any]] = ()) -> sqlite3.Connection:
    conn = connect(path, must_exist=False)
    with conn:
        conn.execute("create table reports (id integer primary key, body, topic text)")
        given = rows or reports(n)
        conn.executemany("insert into reports (body, topic) values (?, ?)", given)
    return conn


def add_asked(
    conn: sqlite3.Connection, server: OpenAIServer, model: str, held: int = 10
) -> Classifier:
    """Stores the classifier `topics`; `held` rows of the table were held back, the first ones."""
    task = define(conn, "reports", text=["body"], labels=["topic"], kind="multiclass")
    sql = "select id, body from reports where typeof(body) = 'text' limit ?"
    members = [
        ((id_,), text_hash(text), "test") for id_, text in conn.execute(sql, [held]).fetchall()
    ]
    header = {
        "model": model,
        "format": FORMAT.bind(LABELS).resolved.to_dict(),
        "host": urlsplit(server.base_url).netloc,
    }
    return add_classifier(
        conn,
        name="topics",
        trainer="openai",
        labels=LABELS,
        task=task,
        split_id=add_split(conn, task, {"seed": 0}, members),
        seed=0,
        training_rows=60,
        header=header,
        parts={},
        report={},
    )


def estimate_predict(
    conn: sqlite3.Connection, classifier: Classifier, access: Access, **request: Any
) -> JobEstimate:
    """What a prediction of the reports would cost."""
    asked = PredictRequest(**request)
    found = confirm_predict(conn, Plan.of(conn, classifier, "reports", asked), asked, access)
    assert found is not None
    return found.estimate


def asked_texts(server: OpenAIServer) -> list[str]:
    """The texts of all questions, oldest first, however they were answered."""
    asked = [r for r in server.log if r.path == "/chat/completions"]
    return [r.json["messages"][-1]["content"] for r in asked]


def quick() -> RetryPolicy:
    """As patient as usual, but for how long."""
    return RetryPolicy(base=0.002, cap=0.02, ready_every=0.02, leave=5.0)


def count_answers(conn: sqlite3.Connection, classifier_id: int) -> int:
    """Questions to the classifier whose answers are kept."""
    sql = "select count(*) from _ftclassify_answers where classifier_id = ?"
    return int(conn.execute(sql, [classifier_id]).fetchone()[0])
