"""Jobs of which something goes on at a service: what ends them, and who begins them again."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner
from killing import Killed, die_at
from openai_server import OpenAIServer
from running_jobs import agreed_job
from sample_databases import value
from service_training import access_to, environment, quick_to_ask, request, topics, town

from datasette_ftclassify.cli import ftclassify
from datasette_ftclassify.core.errors import JobStopped, TrainingError
from datasette_ftclassify.jobs.evaluate import submit_evaluate
from datasette_ftclassify.jobs.runner import work
from datasette_ftclassify.jobs.train import run_submitted, submit_train, train_classifier
from datasette_ftclassify.store.deletion import delete_classifier
from datasette_ftclassify.store.jobs.events import job_events
from datasette_ftclassify.store.jobs.job import Job
from datasette_ftclassify.store.jobs.queue import put_in_queue
from datasette_ftclassify.store.jobs.state import add_job, ask_job, get_job
from datasette_ftclassify.store.spending import Spent, add_spending, spent_by_job
from datasette_ftclassify.trainers.access import Access


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "town.db"


@pytest.fixture
def conn(path: Path) -> Iterator[sqlite3.Connection]:
    with quick_to_ask(), closing(town(path)) as conn:
        yield conn


def die(conn: sqlite3.Connection, job: Job, access: Access, words: str) -> None:
    """A process takes the job, and is killed when it says the words."""
    with pytest.raises(Killed):
        run_submitted(conn, job, access=access, progress=die_at(words))
    forget_the_owner(conn)


def forget_the_owner(conn: sqlite3.Connection) -> None:
    """As a lease that has run out."""
    with conn:
        conn.execute("update _ftclassify_jobs set owner = null, lease_until = null")


def state_of(conn: sqlite3.Connection, job: Job) -> str:
    return get_job(conn, job.id).state


def leave_training(server: OpenAIServer, conn: sqlite3.Connection) -> Job:
    """A training that goes on at the service, with nobody at its job."""
    server.hold("running")
    job = submit_train(conn, topics(conn), request())
    die(conn, job, access_to(server), "training at")
    return job


def status(server: OpenAIServer) -> str:
    (remote,) = server.jobs.values()
    return str(remote.record["status"])


def test_a_take_over_after_the_end_does_not_train_again(conn, openai_server):
    """Killed after it noted that the training had failed, and before it could say so."""
    openai_server.faults.add("POST /fine_tuning/jobs", "job_fails", message="It hiccuped.")
    access = access_to(openai_server)
    job = submit_train(conn, topics(conn), request())
    with pytest.raises(TrainingError, match="hiccuped"):
        run_submitted(conn, job, access=access)
    with conn:
        conn.execute("update _ftclassify_jobs set state = 'running', error = null")
    forget_the_owner(conn)
    assert work(conn, access=access_to(openai_server, usd_per_job=9.0)) == 1
    assert state_of(conn, job) == "failed"
    assert "hiccuped" in str(get_job(conn, job.id).error)
    assert openai_server.jobs_created == 1
    # Nor is it bought by a pause and its end: only whoever asks to try again does that.
    with conn:
        conn.execute("update _ftclassify_jobs set state = 'running', error = null")
    ask_job(conn, job.id, "pause")
    ask_job(conn, job.id, "resume")
    work(conn, access=access_to(openai_server, usd_per_job=9.0))
    assert (state_of(conn, job), openai_server.jobs_created) == ("failed", 1)
    ask_job(conn, job.id, "retry")
    work(conn, access=access_to(openai_server, usd_per_job=9.0))
    assert (state_of(conn, job), openai_server.jobs_created) == ("finished", 2)


@pytest.mark.parametrize(("wish", "ends"), [("pause", "paused"), ("cancel", "cancelled")])
def test_a_wish_outlives_the_process_that_did_not_hear_it(conn, openai_server, wish, ends):
    job = leave_training(openai_server, conn)
    with conn:
        conn.execute("update _ftclassify_jobs set wanted = ?", [wish])
    with pytest.raises(JobStopped):
        run_submitted(conn, job, access=access_to(openai_server))
    assert (state_of(conn, job), status(openai_server)) == (ends, ends)


def test_a_local_job_obeys_too(conn):
    words = request("local", model=None, epochs=None).settings(topics(conn))
    job = agreed_job(conn, "train", words)
    with conn:
        conn.execute("update _ftclassify_jobs set state = 'running', wanted = 'cancel'")
    work(conn, access=Access())
    assert state_of(conn, job) == "cancelled"


def test_cancelling_what_nobody_runs_reaches_the_service(conn, path, openai_server):
    job = leave_training(openai_server, conn)
    ran = CliRunner().invoke(
        ftclassify, ["jobs", "cancel", str(path), str(job.id)], env=environment(openai_server)
    )
    assert ran.exit_code == 0, ran.output
    assert "cancelled" in ran.output
    assert (state_of(conn, job), status(openai_server)) == ("cancelled", "cancelled")


def test_cancelling_without_a_key_says_that_it_goes_on(conn, path, openai_server):
    job = leave_training(openai_server, conn)
    env = {**environment(openai_server), "OPENAI_API_KEY": ""}
    ran = CliRunner().invoke(ftclassify, ["jobs", "cancel", str(path), str(job.id)], env=env)
    assert ran.exit_code == 1
    assert "may continue and cost money" in ran.output
    assert "no key" in str(get_job(conn, job.id).error)
    assert status(openai_server) == "running"


def test_a_worker_cancels_without_a_limit(conn, openai_server):
    """Ending something costs nothing, so nobody need have allowed it."""
    job = leave_training(openai_server, conn)
    waiting = ask_job(conn, job.id, "cancel")
    assert (waiting.state, "to be cancelled at the service" in waiting.step) == ("queued", True)
    assert work(conn, access=access_to(openai_server)) == 1
    assert (state_of(conn, job), status(openai_server)) == ("cancelled", "cancelled")


def test_asked_a_second_time_it_is_cancelled_here_alone(conn, openai_server):
    job = leave_training(openai_server, conn)
    ask_job(conn, job.id, "cancel")
    ask_job(conn, job.id, "cancel")
    assert (state_of(conn, job), status(openai_server)) == ("cancelled", "running")
    assert "the service was not told" in job_events(conn, job.id)[-1].message


def test_what_a_deleted_job_spent_is_not_another_ones(conn, openai_server):
    access = access_to(openai_server)
    made = train_classifier(conn, topics(conn), request(), access=access).classifier
    paid = spent_by_job(conn, 1).usd
    assert paid > 0
    delete_classifier(conn, made.name)
    assert value(conn, "select count(*) from _ftclassify_jobs") == 0
    again = train_classifier(conn, topics(conn), request("local", model=None, epochs=None))
    assert again.usd == 0
    assert submit_evaluate(conn, again.classifier.id).id == 3


def test_an_id_without_a_next_one_is_passed_over(conn):
    add_job(conn, "check", {"n": 1})
    with conn:
        add_spending(conn, 2**63 - 1, Spent(usd=1.0))
    assert add_job(conn, "check", {"n": 2}).id == 2


def test_queueing_what_failed_or_rests_has_it_wait(conn):
    job = add_job(conn, "check", {"n": 1})
    for state in ("failed", "paused"):
        with conn:
            conn.execute("update _ftclassify_jobs set state = ?", [state])
        assert put_in_queue(conn, get_job(conn, job.id)).state == "queued"
