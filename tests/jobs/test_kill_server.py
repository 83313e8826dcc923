"""kill -9 of a Datasette whose worker pays for answers, and of the worker's process alone.

FTCLASSIFY_KILLS says how often: twice unless told otherwise, every other time the server.
"""

from __future__ import annotations

import os
import signal
import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest
from killing import (
    CHAT,
    IN_FLIGHT,
    MOST_BETWEEN,
    Moments,
    check_paid_rows,
    environment,
    number_of_kills,
    paid_rows,
    times_asked,
)
from openai_server import OpenAIServer
from paid_rows import check_books, predict_key
from running_jobs import wait_for
from serving import Server, child_of, serving

from datasette_ftclassify.core.database import connect
from datasette_ftclassify.jobs.agreements import ask
from datasette_ftclassify.jobs.columns import Columns
from datasette_ftclassify.jobs.plan import PredictRequest
from datasette_ftclassify.jobs.predict import submit_predict
from datasette_ftclassify.store.classifiers import find_classifier
from datasette_ftclassify.store.jobs.state import get_job
from datasette_ftclassify.trainers.access import Access

KILLS = number_of_kills(2) // 2 * 2


@pytest.fixture
def path(slow_service: OpenAIServer, tmp_path: Path) -> Path:
    return paid_rows(slow_service, tmp_path / "town.db", KILLS)


def queue_paid(path: Path) -> int:
    request = PredictRequest(
        columns=Columns.named("ai"), overwrite=True, concurrency=IN_FLIGHT, limit_usd=1
    )
    with closing(connect(path)) as conn:
        return submit_predict(conn, find_classifier(conn), "fresh", request).id


def kill(pid: int) -> bool:
    """Whether there was such a process."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


class Job:
    """One whose processes are killed."""

    def __init__(self, conn: sqlite3.Connection, job_id: int, moments: Moments) -> None:
        self._conn, self._id, self._moments = conn, job_id, moments
        self._killed: int | None = None
        self.hits = Counter[str]()

    def is_over(self) -> bool:
        return get_job(self._conn, self._id).state in ("finished", "failed")

    def has_finished(self) -> bool:
        """Asks for another try as a person does, when its processes were killed too often."""
        job = get_job(self._conn, self._id)
        if job.state == "failed":
            assert "SIGKILL" in str(job.error)
            ask(self._conn, self._id, "retry", Access())
        return job.state == "finished"

    def _process(self) -> int | None:
        """The one that runs it; None: there is none, or it was killed and nobody has noticed."""
        job = get_job(self._conn, self._id)
        pid = child_of(job) if job.state == "running" and not job.interrupted else None
        return None if pid == self._killed else pid

    def kill_process(self) -> None:
        """It alone: the server has the job go on in another one."""
        while True:
            wait_for(lambda: self.has_finished() or self._process(), "a process")
            self._moments.wait(self.is_over)
            pid = self._process()
            if pid is not None and kill(pid):
                self._killed = pid
                self.hits["process"] += 1
                return
            if self.has_finished():
                return

    def kill_server(self, server: Server) -> None:
        """With the process, or while there is none."""
        self._moments.wait(self.is_over)
        server.end(signal.SIGKILL)
        self.hits["server"] += not self.has_finished()


def test_a_paid_prediction_in_a_server_killed_again_and_again(slow_service, path):
    service = slow_service
    environ = {**environment(service), "FTCLASSIFY_USD_PER_JOB": "1"}
    job_id = queue_paid(path)
    key = predict_key(path)
    with closing(connect(path)) as conn:
        job = Job(conn, job_id, Moments(lambda: service.app.requests, 3, MOST_BETWEEN))
        for _ in range(KILLS // 2):
            with serving(path, **environ) as server:
                job.kill_process()
                check_books(service.count(CHAT), key)
                job.kill_server(server)
                check_books(service.count(CHAT), key)
        with serving(path, **environ):
            wait_for(job.has_finished, "the end")
    print(dict(job.hits))
    check_paid_rows(path, KILLS, job.hits.total(), service.count(CHAT), times_asked(service))
