"""kill -9 of a Datasette whose worker pays for answers, and of the worker's process alone.

FTCLASSIFY_KILLS says how often: twice unless told otherwise, every other time the server.
"""

from __future__ import annotations

import os
import signal
import sqlite3
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from killing import Moments
from openai_server import OpenAIServer
from paid_rows import check_books, check_rows, make_watched, predict_key
from running_jobs import wait_for
from service_training import environment
from service_workflow import access_to
from serving import Server, child_of, serving

from datasette_ftclassify.core.database import connect
from datasette_ftclassify.jobs.agreements import ask
from datasette_ftclassify.jobs.columns import Columns
from datasette_ftclassify.jobs.plan import PredictRequest
from datasette_ftclassify.jobs.predict import submit_predict
from datasette_ftclassify.store.classifiers import find_classifier
from datasette_ftclassify.store.jobs.state import get_job
from datasette_ftclassify.trainers.access import Access

KILLS = int(os.environ.get("FTCLASSIFY_KILLS", "2"))
IN_FLIGHT = 8
MOST_BETWEEN = 80
"""Requests from a kill to the next."""
ROWS = 600 + KILLS * MOST_BETWEEN
CHAT = "POST /chat/completions"


@pytest.fixture
def service() -> Iterator[OpenAIServer]:
    with OpenAIServer(latency=0.02) as service:
        yield service


@pytest.fixture
def path(service: OpenAIServer, tmp_path: Path) -> Path:
    path = tmp_path / "town.db"
    make_watched(path, access_to(service.base_url), ROWS)
    service.log.clear()
    return path


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


def test_a_paid_prediction_in_a_server_killed_again_and_again(service, path):
    environ = {**environment(service), "FTCLASSIFY_OFFLINE": "1", "FTCLASSIFY_USD_PER_JOB": "1"}
    job_id, begun = queue_paid(path), time.monotonic()
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
    check_rows(path, ROWS)
    books = check_books(service.count(CHAT), key)
    asked = Counter(request.body for request in service.log if request.path == CHAT.split()[1])
    repeated = asked.total() - len(asked)
    print(
        f"{dict(job.hits)} killed, {repeated} of {ROWS} questions asked again, {books.repeats} "
        f"booked as such, {asked.total()} requests, {books.requests} booked, "
        f"{time.monotonic() - begun:.0f} s"
    )
    assert len(asked) == ROWS
    assert repeated <= books.repeats <= job.hits.total() * IN_FLIGHT
    assert job.hits.total() >= min(KILLS // 2 * 2, 4)
