"""What is stored in a file: a small classifier, and its jobs."""

from __future__ import annotations

import sqlite3
from typing import Any

from datasette_ftclassify.core.labels import LabelSet
from datasette_ftclassify.core.task import Task
from datasette_ftclassify.store.classifiers import Classifier, add_classifier
from datasette_ftclassify.store.jobs.job import Job
from datasette_ftclassify.store.jobs.queries import newest_jobs
from datasette_ftclassify.store.splits import add_split

TASK = Task("t", ("text",), ("label",), "multiclass")
LABELS = LabelSet.of(["a", 1, 2.5], "multiclass")


def add(conn: sqlite3.Connection, name: str = "topics", **changes: Any) -> Classifier:
    split_id = add_split(conn, TASK, {"seed": 0}, [((1,), 11, "train"), ((2,), 22, "test")])
    arguments: dict[str, Any] = {
        "name": name,
        "trainer": "local",
        "labels": LABELS,
        "task": TASK,
        "split_id": split_id,
        "seed": 3,
        "training_rows": 7,
        "header": {"format": 1, "é": "🦉"},
        "parts": {"weights": b"\x00\xff", "words": "ü".encode()},
        "report": {"majority": 0},
    }
    return add_classifier(conn, **{**arguments, **changes})


def list_jobs(
    conn: sqlite3.Connection, kind: str | None = None, state: str | None = None
) -> list[Job]:
    """Newest first."""
    return list(newest_jobs(conn, kind=kind, state=state))
