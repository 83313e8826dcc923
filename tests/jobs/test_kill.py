"""kill -9 at random moments, of a job, of a Datasette whose worker pays for answers, and of the
worker's process alone: nothing lost, nothing written twice, nothing paid twice.

FTCLASSIFY_KILLS says how often a job is killed: 8 times unless told otherwise; a server twice.
"""

from __future__ import annotations

import os
import signal
import sqlite3
import threading
from collections import Counter
from collections.abc import Callable
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
    killed_often,
    number_of_kills,
    paid_rows,
    repeats,
    times_asked,
)
from openai_server import OpenAIServer
from paid_rows import check_books, predict_command, predict_key
from programs import Program, datasette
from running_jobs import wait_for
from service_workflow import reports
from serving import Server, child_of, serving
from stored import list_jobs

from datasette_ftclassify.core.database import connect
from datasette_ftclassify.jobs.agreements import ask
from datasette_ftclassify.jobs.columns import Columns
from datasette_ftclassify.jobs.plan import PredictRequest
from datasette_ftclassify.jobs.predict import submit_predict
from datasette_ftclassify.jobs.sweep_result import sweep_result
from datasette_ftclassify.store.classifiers import find_classifier, list_classifiers
from datasette_ftclassify.store.jobs.state import get_job
from datasette_ftclassify.store.spending import spent_by_job
from datasette_ftclassify.trainers.access import Access

KILLS = number_of_kills(8)


@pytest.fixture
def server(slow_service: OpenAIServer) -> OpenAIServer:
    return slow_service


@pytest.fixture
def predicting(server: OpenAIServer, tmp_path: Path) -> Path:
    return paid_rows(server, tmp_path / "town.db", KILLS)


def starting(server: OpenAIServer, command: list[object]) -> Callable[[], Program]:
    environ = environment(server)
    return lambda: Program(datasette, "ftclassify", *command, environ=environ)


def requests_to(server: OpenAIServer) -> Callable[[], int]:
    return lambda: server.app.requests


def test_a_prediction_killed_again_and_again(server, predicting):
    def check() -> None:
        if server.count(CHAT):
            check_books(server.count(CHAT), predict_key(predicting))

    moments = Moments(requests_to(server), 1, MOST_BETWEEN)
    hits = killed_often(
        starting(server, predict_command(predicting, IN_FLIGHT)), KILLS, moments, check
    )
    asked = times_asked(server)
    check_paid_rows(predicting, KILLS, hits, server.count(CHAT), asked)
    assert repeats(asked) > 0


def test_two_workers_on_one_file_killed_in_turn(server, predicting):
    start = starting(server, predict_command(predicting, IN_FLIGHT))
    results: list[int] = []

    def work(seed: int) -> None:
        """Starts the command until it is done; while the other runs the job it has to wait."""
        moments, hits = Moments(requests_to(server), seed, MOST_BETWEEN), 0
        while True:
            run = start()
            if hits < KILLS // 2:
                moments.wait(run.has_ended)
                run.send(signal.SIGKILL)
            code = run.wait()
            hits += code == -9
            if code == 0:
                break
            if code == 1:  # the other one runs the job, or ended it while this one asked for it
                refused = "running in another process", "nothing left to run"
                assert any(said in run.output for said in refused), run.output
                threading.Event().wait(0.05)
        results.append(hits)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert len(results) == 2
    check_written_once_each(predicting)
    assert repeats(times_asked(server)) <= sum(results) * IN_FLIGHT


def check_written_once_each(path: Path) -> None:
    """The second worker may come when all is done, and then classifies everything again from the
    answers that were kept."""
    with closing(connect(path)) as conn:
        finished = [j for j in list_jobs(conn) if j.kind == "predict" and j.state == "finished"]
        counts = {n for (n,) in conn.execute("select count(*) from written group by id")}
        assert counts == {len(finished)}
        assert conn.execute("select count(*) from fresh where ai_label is null").fetchone()[0] == 0


def test_a_training_killed_again_and_again_is_paid_once(server, tmp_path):
    server.settings.pace = 0.05
    path = tmp_path / "town.db"
    reports(path).close()
    command = ["train", path, "reports", "--text", "text", "--label", "label", "--trainer",
               "openai", "--model", "gpt-4.1-mini", "--epochs", 3, "--yes"]  # fmt: skip
    hits = killed_often(starting(server, command), KILLS, Moments(requests_to(server), 2, 6))
    assert server.jobs_created == 1
    print(f"{hits} kills, {server.count('POST /fine_tuning/jobs')} requests to create")
    with closing(connect(path)) as conn:
        jobs = list_jobs(conn)
        assert [(job.kind, job.state) for job in jobs] == [("train", "finished")]
        assert conn.execute("select count(*) from _ftclassify_classifiers").fetchone()[0] == 1
    assert repeats(times_asked(server)) <= hits * 32
    assert hits >= min(KILLS, 4)


def test_a_sweep_killed_again_and_again_pays_for_each_training_once(server, tmp_path):
    """Two trainings at the service with one on this machine between them, then the test rows."""
    server.settings.pace = 0.05
    path = tmp_path / "town.db"
    reports(path).close()
    ways = [f"openai model=gpt-4.1-mini epochs={n}" for n in (1, 2)]
    variants = [word for way in (ways[0], "local", ways[1]) for word in ("--variant", way)]
    command = ["sweep", path, "reports", "--text", "text", "--label", "label", "--yes",
               "--limit-usd", 1, *variants]  # fmt: skip

    def done() -> int:
        return server.app.requests + events(path)

    hits = killed_often(starting(server, command), KILLS, Moments(done, 3, 10))
    assert server.jobs_created == 2
    print(f"{hits} kills, {server.count('POST /fine_tuning/jobs')} requests to create")
    with closing(connect(path)) as conn:
        jobs = [job for job in list_jobs(conn) if job.kind == "train"]
        assert sorted((job.settings["trainer"], job.state) for job in jobs) == [
            ("local", "finished"), ("openai", "finished"), ("openai", "finished"),
        ]  # fmt: skip
        assert [one.version for one in list_classifiers(conn)] == [1, 1, 1]
        result = sweep_result(conn, jobs[0].settings["sweep"])
        assert result.chosen is not None
        (rows,) = {one.rows for tried in result.tried for one in tried.trained}
        spent = sum(spent_by_job(conn, job.id).usd for job in jobs)
    assert rows > 5
    assert spent <= 1
    assert repeats(times_asked(server)) <= hits * 32
    assert hits >= min(KILLS, 4)


def events(path: Path) -> int:
    """What the jobs have written into their logs."""
    try:
        with closing(sqlite3.connect(path)) as conn:
            return int(conn.execute("select count(*) from _ftclassify_job_events").fetchone()[0])
    except sqlite3.OperationalError:  # no table yet
        return 0


SERVER_KILLS = number_of_kills(2) // 2 * 2


@pytest.fixture
def path(slow_service: OpenAIServer, tmp_path: Path) -> Path:
    return paid_rows(slow_service, tmp_path / "town.db", SERVER_KILLS)


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
        for _ in range(SERVER_KILLS // 2):
            with serving(path, **environ) as server:
                job.kill_process()
                check_books(service.count(CHAT), key)
                job.kill_server(server)
                check_books(service.count(CHAT), key)
        with serving(path, **environ):
            wait_for(job.has_finished, "the end")
    print(dict(job.hits))
    check_paid_rows(path, SERVER_KILLS, job.hits.total(), service.count(CHAT), times_asked(service))
