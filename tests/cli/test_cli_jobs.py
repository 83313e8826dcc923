"""`jobs` and `work`: what people see of jobs, and what a signal does to them."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import commands
import pytest
from programs import Program
from running_jobs import agreed_job, in_the_middle, job_of, make_slow, queue_predict, wait_for

from datasette_ftclassify.cli import ftclassify
from datasette_ftclassify.core.job_events import FIGURES
from datasette_ftclassify.present.jobs import describe, describe_all
from datasette_ftclassify.store.jobs.leases import new_owner
from datasette_ftclassify.store.jobs.state import (
    add_event,
    add_job,
    ask_job,
    claim_job,
    end_job,
    get_job,
    save_progress,
)
from datasette_ftclassify.store.schema import transaction
from datasette_ftclassify.store.spending import Spent, add_spending

ELSEWHERE = "another-machine:1:token"


def test_what_all_jobs_spent_is_added_up_once(conn: sqlite3.Connection) -> None:
    jobs = [add_job(conn, "evaluate", {"n": n}) for n in range(5)]
    with transaction(conn):
        for job in jobs[1:]:
            add_spending(conn, job.id, Spent(usd=job.id / 8, requests=1))
    looks: list[str] = []
    conn.set_trace_callback(lambda sql: looks.append(sql) if "_spending" in sql else None)
    told = list(describe_all(conn, jobs))
    assert [facts.usd for facts in told] == [0, *(job.id / 8 for job in jobs[1:])]
    assert len([sql for sql in looks if "sqlite_master" not in sql]) == 1
    assert told[2] == describe(conn, jobs[2])


def run(*arguments: object, code: int = 0, **environ: str) -> str:
    return commands.run(*arguments, code=code, **environ).stdout


def impatient(*arguments: str) -> None:
    sys.modules["datasette_ftclassify.cli.jobs"]._WORKER_SECONDS = 0.1  # type: ignore[attr-defined]
    ftclassify(arguments)


def start(*arguments: object) -> Program:
    """The command in a process of its own, which loses patience early."""
    return Program(impatient, *arguments, apart=True)


def running(conn: sqlite3.Connection, **progress: int) -> int:
    """A paid job that another machine runs, three minutes after it began."""
    estimate = {"usd": 0.5, "limit_usd": 1.0}
    job = add_job(conn, "predict", {"table": "t", "classifier": "c@1"}, estimate=estimate)
    job = claim_job(conn, job.id, ELSEWHERE)
    job.total, job.step = 1000, "asking"
    for name, value in progress.items():
        setattr(job, name, value)
    with transaction(conn):
        save_progress(conn, job)
        add_spending(conn, job.id, Spent(usd=0.125, requests=300))
        conn.execute(
            "update _ftclassify_job_events set created_at ="
            " strftime('%Y-%m-%dT%H:%M:%SZ', created_at, '-100 seconds')"
        )
    return job.id


def test_a_running_job_says_how_far_how_fast_and_how_dear(town: Path, conn):
    job_id = running(conn, done=290, failed=10)
    for listed in (run("jobs", "list", town), run("jobs", "show", town, job_id)):
        assert "300 of 1,000 rows" in listed
        assert "10 without an answer" in listed
        assert "3 rows/s, about 4 min left" in listed
        assert "$0.125 spent of about $0.50" in listed
        assert "asking" in listed
    told = json.loads(run("jobs", "list", town, "--json"))["jobs"][0]
    assert (told["usd"], told["failed"]) == (0.125, 10)
    assert told["rows_per_second"] == pytest.approx(3, rel=0.05)
    assert told["seconds_left"] == pytest.approx(233, rel=0.05)


def test_a_resumed_job_is_as_fast_as_its_last_attempt(town: Path, conn):
    job_id = running(conn, done=500)
    with conn:
        conn.execute("update _ftclassify_jobs set lease_until = 0")
    claim_job(conn, job_id, ELSEWHERE)
    assert "rows/s" not in run("jobs", "list", town)


def test_events_are_shown_with_their_figures(town: Path, conn):
    job = claim_job(conn, add_job(conn, "train", {}).id, new_owner())
    add_event(conn, job, FIGURES, "step 10 of 90", data={"step": 10, "train_loss": 0.31234})
    shown = run("jobs", "show", town, job.id)
    assert "step 10 of 90  train_loss 0.3123" in shown
    events = json.loads(run("jobs", "show", town, job.id, "--json"))["events"]
    assert events[-1]["data"] == {"step": 10, "train_loss": 0.31234}


def test_to_follow_a_failed_job_is_an_error(town: Path, conn):
    job = claim_job(conn, add_job(conn, "evaluate", {}).id, new_owner())
    end_job(conn, job, "failed", error="It could not.")
    assert "It could not." in run("jobs", "follow", town, job.id, code=1)
    assert json.loads(run("jobs", "follow", town, job.id, "--json", code=1))["state"] == "failed"


def test_there_is_nothing_to_follow_in_a_file_without_jobs(tmp_path: Path):
    sqlite3.connect(tmp_path / "new.db").close()
    told = commands.run("jobs", "follow", tmp_path / "new.db", 1, code=1).stderr
    assert told == "Error: There is no job 1 in this database.\n"


def test_following_waits_for_a_worker_and_for_the_end(town: Path):
    job_id = queue_predict(town)
    follower = start("jobs", "follow", town, job_id)
    wait_for(lambda: "\n" in follower.errors, "what it says")
    assert f"Nobody runs job {job_id} yet" in follower.errors
    assert "datasette ftclassify work" in follower.errors
    run("work", town)
    assert follower.wait() == 0
    assert "finished" in follower.output
    assert "started" in follower.errors


def test_ctrl_c_ends_the_following_alone(town: Path):
    job_id = queue_predict(town)
    follower = start("jobs", "follow", town, job_id)
    wait_for(lambda: "\n" in follower.errors, "what it says")
    follower.send(signal.SIGINT)
    assert follower.wait() == 130
    assert "no longer followed" in follower.errors
    assert "Traceback" not in follower.errors
    assert job_of(town, job_id).state == "queued"


def test_work_leaves_what_costs_money_unless_there_is_a_limit(town: Path, conn):
    paid = agreed_job(conn, "train", {"trainer": "openai"}).id
    free = queue_predict(town)
    told = json.loads(run("work", town, "--json"))
    assert [job["id"] for job in told["jobs"]] == [free]
    assert [job["id"] for job in told["left"]] == [paid]
    assert "no limit is set" in told["left"][0]["why"]
    assert "Left 1 job" in run("work", town)
    assert "Ran 1 job." in run("work", town, "--limit-usd", "0.5", code=1)
    assert get_job(conn, paid).state == "failed"  # it says no more than who trains
    ask_job(conn, paid, "retry")
    assert "Ran 1 job." in run("work", town, code=1, FTCLASSIFY_USD_PER_DAY="0.5")


def test_no_ctrl_c_is_lost_in_the_collector_of_garbage():
    """What is raised in one of its callbacks is dropped, and so is a KeyboardInterrupt."""
    code = (
        "import contextlib, gc, importlib, pkgutil, datasette_ftclassify as ours\n"
        "for module in pkgutil.walk_packages(ours.__path__, ours.__name__ + '.'):\n"
        "    with contextlib.suppress(ImportError):  # of what is optional\n"
        "        importlib.import_module(module.name)\n"
        "print([c for c in gc.callbacks if str(c.__module__).startswith(ours.__name__)])"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout == "[]\n"


@pytest.mark.parametrize(
    ("how", "state"), [(signal.SIGINT, "paused"), (signal.SIGTERM, "interrupted")]
)
def test_a_signal_while_at_work_keeps_the_place(town: Path, conn, how, state):
    make_slow(town)
    job_id = queue_predict(town)
    worker = start("work", town)
    with in_the_middle(town, job_id):
        worker.send(how)
    assert worker.wait() == (130 if how == signal.SIGINT else -signal.SIGTERM)
    assert "Traceback" not in worker.errors
    assert get_job(conn, job_id).to_dict()["state"] == state
    if state == "paused":
        assert "is paused and keeps its place" in worker.errors
        ask_job(conn, job_id, "resume")
    run("work", town)
    job = get_job(conn, job_id)
    assert job.state == "finished"
    assert job.result["resumed_at"] > 0
