"""kill -9 at random moments: nothing lost, nothing written twice, nothing paid twice.

FTCLASSIFY_KILLS says how often a job is killed: 8 times unless told otherwise.
"""

from __future__ import annotations

import signal
import sqlite3
import threading
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
from service_workflow import reports
from stored import list_jobs

from datasette_ftclassify.core.database import connect
from datasette_ftclassify.jobs.sweep_result import sweep_result
from datasette_ftclassify.store.classifiers import list_classifiers
from datasette_ftclassify.store.spending import spent_by_job

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
