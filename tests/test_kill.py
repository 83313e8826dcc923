"""kill -9 at random moments: nothing lost, nothing written twice, nothing paid twice.

FTCLASSIFY_KILLS says how often a job is killed: 8 times unless told otherwise.
"""

from __future__ import annotations

import os
import random
import sqlite3
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from killing import Nursery, Run
from openai_server import OpenAIServer
from openai_talk import WORDS
from service_talk import NAMES, access_to, reports, train_at

from datasette_ftclassify.jobs.agreements import key_of
from datasette_ftclassify.ledger import JobKey, default_path
from datasette_ftclassify.sql import connect
from datasette_ftclassify.store.jobs import list_jobs

KILLS = int(os.environ.get("FTCLASSIFY_KILLS", "8"))
IN_FLIGHT = 8
ROWS = 1_500
CHAT = "POST /chat/completions"


@pytest.fixture
def server() -> Iterator[OpenAIServer]:
    with OpenAIServer(latency=0.02) as server:
        yield server


def environment(server: OpenAIServer) -> dict[str, str]:
    return {
        "OPENAI_API_KEY": server.api_key,
        "OPENAI_BASE_URL": server.base_url,
        "FTCLASSIFY_OFFLINE": "1",
    }


class Moments:
    """Random moments to kill at: now and then while the process starts, mostly a little after the
    service has been asked for something more, wherever the work then is."""

    def __init__(self, server: OpenAIServer, seed: int, questions: int) -> None:
        self._server = server
        self._chance = random.Random(seed)
        self._questions = questions

    def wait(self, run: Run) -> None:
        if self._chance.random() < 0.15:
            threading.Event().wait(self._chance.uniform(0, 0.3))
            return
        asked = self._server.app.requests + self._chance.randint(1, self._questions)
        while self._server.app.requests < asked and not run.ended:
            threading.Event().wait(0.001)
        threading.Event().wait(self._chance.uniform(0, 0.03))


def killed_often(
    nursery: Nursery,
    argv: list[object],
    kills: int,
    moments: Moments,
    killed: Callable[[], object] = lambda: None,
) -> int:
    """Runs the command, kills it at random moments, and lets it end at last. How many kills hit.

    killed: called after each
    """
    hits = 0
    while True:
        run = nursery.start(*argv)
        if hits < kills:
            moments.wait(run)
            run.kill()
        code = run.wait()
        if code == 0:
            return hits
        assert code == -9, run.output
        hits += 1
        killed()


def fill(conn: sqlite3.Connection, rows: int) -> None:
    """Rows to classify, each with a text of its own."""
    words = [(word, NAMES[code]) for code in NAMES for word in WORDS[code].split()]
    with conn:
        conn.execute("delete from fresh")
        conn.executemany(
            "insert into fresh (text, label) values (?, ?)",
            [(f"row {i}: a {words[i % len(words)][0]}", words[i % len(words)][1])
             for i in range(rows)],
        )  # fmt: skip


def watch_writes(conn: sqlite3.Connection) -> None:
    """Has SQLite itself count how often each row gets an answer."""
    with conn:
        conn.execute("create table written (id integer)")
        conn.execute("alter table fresh add column ai_label")
        conn.execute(
            "create trigger count_writes after update of ai_label on fresh"
            " begin insert into written values (new.id); end"
        )


@pytest.fixture
def predicting(server: OpenAIServer, tmp_path: Path) -> Path:
    """A trained classifier, and rows that SQLite watches."""
    path = tmp_path / "town.db"
    with closing(reports(path)) as conn:
        train_at(conn, access_to(server.base_url))
        fill(conn, ROWS)
        watch_writes(conn)
    server.log.clear()
    return path


def predict_command(path: Path) -> list[object]:
    return ["predict", path, "fresh", "--columns-prefix", "ai", "--overwrite",
            "--concurrency", IN_FLIGHT, "--yes"]  # fmt: skip


def check_books(server: OpenAIServer, key: JobKey) -> int:
    """Every question at the service is in the ledger, spent or under way; gives how many repeats
    it counted. Call when no process is at it."""
    with closing(sqlite3.connect(default_path())) as db:
        booked, repeats, usd = db.execute(
            "select sum(requests), sum(repeats), sum(usd) from spending where nonce = ?",
            [key.nonce],
        ).fetchone()
        (under_way,) = db.execute("select coalesce(sum(requests), 0) from under_way").fetchone()
    assert server.count(CHAT) <= (booked or 0) + under_way
    assert booked is None or usd > 0
    return repeats or 0


def predict_key(path: Path) -> JobKey:
    with closing(connect(path)) as conn:
        (job,) = (job for job in list_jobs(conn) if job.kind == "predict")
        return key_of(conn, job)


def check_rows(path: Path) -> None:
    with closing(connect(path)) as conn:
        wrong = conn.execute("select count(*) from fresh where ai_label is not label").fetchone()[0]
        twice = conn.execute("select id from written group by id having count(*) > 1").fetchall()
        assert wrong <= ROWS * 0.05
        assert conn.execute("select count(*) from fresh where ai_label is null").fetchone()[0] == 0
        assert twice == []
        assert conn.execute("select count(*) from written").fetchone()[0] == ROWS
        assert [job.state for job in list_jobs(conn) if job.kind == "predict"] == ["finished"]


def test_a_prediction_killed_again_and_again(server, predicting, tmp_path):
    def check() -> None:
        if server.count(CHAT):
            check_books(server, predict_key(predicting))

    with Nursery(tmp_path, environment(server)) as nursery:
        moments = Moments(server, 1, 80)
        hits = killed_often(nursery, predict_command(predicting), KILLS, moments, check)
    check_rows(predicting)
    counted = check_books(server, predict_key(predicting))
    asked = Counter(request.body for request in server.log if request.path == "/chat/completions")
    repeated = sum(asked.values()) - len(asked)
    assert len(asked) == ROWS
    print(f"{hits} kills, {repeated} of {ROWS} questions asked again, {counted} booked as such")
    assert 0 < repeated <= counted <= hits * IN_FLIGHT
    assert hits >= min(KILLS, 4)


def test_two_workers_on_one_file_killed_in_turn(server, predicting, tmp_path):
    command = predict_command(predicting)
    results: list[int] = []

    def work(seed: int) -> None:
        """Starts the command until it is done; while the other runs the job it has to wait."""
        folder = tmp_path / f"worker-{seed}"
        folder.mkdir()
        moments, hits = Moments(server, seed, 80), 0
        with Nursery(folder, environment(server)) as nursery:
            while True:
                run = nursery.start(*command)
                if hits < KILLS // 2:
                    moments.wait(run)
                    run.kill()
                code = run.wait()
                hits += code == -9
                if code == 0:
                    break
                if code == 1:
                    assert "running in another process" in run.output, run.output
                    threading.Event().wait(0.05)
        results.append(hits)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert len(results) == 2
    check_written_once_each(predicting)
    asked = Counter(request.body for request in server.log if request.path == "/chat/completions")
    assert sum(asked.values()) - len(asked) <= sum(results) * IN_FLIGHT


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
    with Nursery(tmp_path, environment(server)) as nursery:
        hits = killed_often(nursery, command, KILLS, Moments(server, 2, 6))
    assert server.jobs_created == 1
    print(f"{hits} kills, {server.count('POST /fine_tuning/jobs')} requests to create")
    with closing(connect(path)) as conn:
        jobs = list_jobs(conn)
        assert [(job.kind, job.state) for job in jobs] == [("train", "finished")]
        assert conn.execute("select count(*) from _ftclassify_classifiers").fetchone()[0] == 1
    asked = Counter(request.body for request in server.log if request.path == "/chat/completions")
    assert sum(asked.values()) - len(asked) <= hits * 32
    assert hits >= min(KILLS, 4)
