"""A running training says how far it is and how long it will take, to everybody who asks."""

from __future__ import annotations

import json
import sqlite3
import time
from pathlib import Path

import pytest
from commands import run
from hypothesis import given, settings
from hypothesis import strategies as st
from visiting import ROOT, get, serve

from datasette_ftclassify.cli.run_job import now_line
from datasette_ftclassify.core.task import Task
from datasette_ftclassify.jobs.lease import Lease
from datasette_ftclassify.jobs.runner import run_job
from datasette_ftclassify.jobs.step_progress import recorded
from datasette_ftclassify.jobs.train import submit_train
from datasette_ftclassify.jobs.train_request import TrainRequest
from datasette_ftclassify.store.jobs.state import add_job, claim_job, get_job
from datasette_ftclassify.trainers.local.expected_time import ExpectedTime

ELSEWHERE = "another-machine:1:token"
TASK = {"source": "messages", "text": ["message"], "labels": ["topic"], "kind": "multiclass"}


class Clock:
    """Seconds that pass when the test says so."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def training(conn: sqlite3.Connection) -> Lease:
    job = add_job(conn, "train", {"task": TASK, "name": "topics"})
    return Lease(conn, claim_job(conn, job.id, ELSEWHERE))


async def test_a_training_shows_the_time_left_on_its_page_and_on_the_command_line(
    town: Path, conn: sqlite3.Connection
) -> None:
    clock = Clock()
    lease = training(conn)
    report_progress = recorded(lease, clock=clock)
    report_progress("reading rows", 0.0)
    clock.now = 100.0
    report_progress("comparing", 0.25)
    data = (await get(serve(town), f"/town/-/ftclassify/jobs/{lease.job.id}.json", ROOT)).json()
    assert data["share"] == 0.25
    assert data["seconds_left"] == pytest.approx(300, abs=5)
    assert data["rows_text"] == "About 5 min left"
    listed = run("jobs", "list", town).output
    assert "about 5 min left" in listed
    assert "about 5 min left" in now_line(conn, get_job(conn, lease.job.id))
    told = run("jobs", "list", town, "--json").output
    assert json.loads(told)["jobs"][0]["seconds_left"] == pytest.approx(300, abs=5)


def test_the_time_left_is_that_of_the_attempt_that_runs(conn: sqlite3.Connection) -> None:
    clock = Clock()
    lease = training(conn)
    first = recorded(lease, clock=clock)
    clock.now = 100.0
    first("comparing", 0.5)
    assert get_job(conn, lease.job.id).ends_at == pytest.approx(time.time() + 100, abs=5)
    with conn:
        conn.execute("update _ftclassify_jobs set lease_until = 0, lease_clock = null")
    again = Lease(conn, claim_job(conn, lease.job.id, ELSEWHERE))
    assert again.job.ends_at is None, "nobody knows how fast the next process is"
    second = recorded(again, clock=clock)
    second("reading rows", 0.0)
    clock.now = 110.0
    second("comparing", 0.1)
    job = get_job(conn, lease.job.id)
    assert job.step == "comparing 50%", "the share never decreases"
    assert job.ends_at == pytest.approx(time.time() + 90, abs=5)


@given(st.lists(st.tuples(st.floats(0, 30), st.floats(0, 1)), max_size=30))
@settings(max_examples=25, deadline=None)
def test_the_share_of_a_job_never_decreases(reports: list[tuple[float, float]]) -> None:
    from datasette_ftclassify.store.schema import ensure_schema

    conn = sqlite3.connect(":memory:", isolation_level=None)
    ensure_schema(conn)
    lease, clock, shown = training(conn), Clock(), [0]
    report_progress = recorded(lease, clock=clock)
    for seconds, share in reports:
        clock.now += seconds
        report_progress("comparing", share)
        step, ends_at = conn.execute("select step, ends_at from _ftclassify_jobs").fetchone()
        shown.append(int(step.split()[1][:-1]) if " " in step else 0)
        assert ends_at is None or ends_at >= time.time() - 5
    assert shown == sorted(shown)


def test_a_worker_writes_the_steps_of_a_training_whichever_process_it_is(
    town: Path, conn: sqlite3.Connection
) -> None:
    """Not the server's worker alone: others look at the job, too, while a command runs it."""
    task = Task.from_dict({**TASK, "where": "id < 60"})
    job = submit_train(conn, task, TrainRequest(name="topics"))
    steps: list[str] = []
    conn.set_trace_callback(lambda sql: steps.append(sql) if "set step" in sql else None)
    run_job(conn, job.id)
    assert any("reading rows" in sql and "ends_at" in sql for sql in steps)


@given(st.lists(st.sampled_from(["slow", "quick"]), min_size=1, max_size=8))
def test_the_share_of_a_training_is_that_of_its_time(fits: list[str]) -> None:
    """A fit of ten seconds counts for ten of one second, once both were seen."""
    clock, seen = Clock(), []
    seconds = {"slow": 10.0, "quick": 1.0}
    expected = ExpectedTime(lambda step, share: seen.append((clock.now, share)), clock)
    expected.report("reading")
    order = ["slow", "quick", *fits]
    expected.plan({name: order.count(name) for name in seconds})
    whole = sum(seconds[name] for name in order)
    for name in order:
        clock.now += seconds[name]
        expected.fitted(name, "comparing")
    for now, share in seen[2:]:
        assert share == pytest.approx(min(now / whole, 0.99), abs=0.001)
    shares = [share for _, share in seen]
    assert shares == sorted(shares)
