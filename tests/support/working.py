"""What processes do that tests start to work on jobs, and kill: see `programs.Program`."""

from __future__ import annotations

from contextlib import closing

from datasette_ftclassify.core.database import connect
from datasette_ftclassify.jobs import predict, runner
from datasette_ftclassify.jobs.plan import PredictRequest
from datasette_ftclassify.store.classifiers import find_classifier
from datasette_ftclassify.trainers.configuration import read_access

READY = "ready"
"""Said when the work begins."""


def work_in_small_batches(path: str, rows: str) -> None:
    """Runs the jobs of a database, with so many rows in a batch."""
    predict.BATCH = int(rows)
    with closing(connect(path)) as conn:
        print(READY, flush=True)
        runner.work(conn)


def work(path: str) -> None:
    with closing(connect(path)) as conn:
        runner.work(conn)


def predict_reports(path: str, concurrency: str) -> None:
    """With the service that the environment names."""
    with closing(connect(path)) as conn:
        predict.predict_rows(
            conn, find_classifier(conn, "topics"), "reports",
            PredictRequest(concurrency=int(concurrency)), access=read_access(),
        )  # fmt: skip
