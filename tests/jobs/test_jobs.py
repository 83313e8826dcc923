"""Jobs: asked for, run by whoever comes, never twice, never lost."""

from __future__ import annotations

import json
import random
import re
import sqlite3
import subprocess
import sys
import time
from contextlib import closing, suppress
from dataclasses import fields
from pathlib import Path

import pytest
from commands import says
from programs import Program
from running_jobs import PATIENCE, agreed_job, forget_jobs, wait_for
from sample_databases import rows, town_database, value
from stored import list_jobs
from working import READY, work_in_small_batches

from datasette_ftclassify.core.database import connect
from datasette_ftclassify.core.errors import (
    JobError,
    JobNotFound,
    JobPaused,
    JobStopped,
    SourceError,
)
from datasette_ftclassify.core.task import define
from datasette_ftclassify.jobs import lease as lease_module
from datasette_ftclassify.jobs import predict as predict_module
from datasette_ftclassify.jobs.evaluate import submit_evaluate
from datasette_ftclassify.jobs.lease import leased
from datasette_ftclassify.jobs.plan import PredictRequest
from datasette_ftclassify.jobs.predict import predict_rows, submit_predict
from datasette_ftclassify.jobs.runner import run_job, work
from datasette_ftclassify.jobs.train import run_submitted, submit_train
from datasette_ftclassify.jobs.train_request import TrainRequest
from datasette_ftclassify.store.classifiers import find_classifier
from datasette_ftclassify.store.deletion import delete_classifier, delete_job
from datasette_ftclassify.store.jobs import leases
from datasette_ftclassify.store.jobs.events import job_events
from datasette_ftclassify.store.jobs.job import Job
from datasette_ftclassify.store.jobs.leases import LEASE_SECONDS, new_owner
from datasette_ftclassify.store.jobs.state import (
    add_job,
    ask_job,
    claim_job,
    end_job,
    get_job,
    next_job,
    save_progress,
)
from datasette_ftclassify.store.schema import transaction
from datasette_ftclassify.store.spending import Spent, add_spending

ELSEWHERE = "another-machine:1:token"


def state(conn, job_id=1):
    return get_job(conn, job_id).state


def messages_of(conn, job_id=1):
    return [event.message for event in job_events(conn, job_id)]


def test_a_queued_job_is_run_by_whoever_works(conn, topics):
    job = submit_predict(conn, topics, "messages")
    assert (job.state, job.total) == ("queued", None)
    assert value(conn, "select count(*) from pragma_table_info('messages')") == 8
    assert work(conn) == 1
    job = get_job(conn, job.id)
    assert (job.state, job.done, job.total) == ("finished", 557, 557)
    assert job.result["predicted"] == 557
    assert messages_of(conn) == ["started", "finished"]
    assert work(conn) == 0


def test_jobs_run_in_the_order_they_were_asked_for(conn, topics):
    task = define(conn, "messages", text=["message"], labels=["ward"])
    submit_train(conn, task, TrainRequest(name="wards", curve=False))
    submit_evaluate(conn, topics.id)
    ran = []
    assert work(conn, ended=lambda job: ran.append((job.kind, job.state))) == 2
    assert ran == [("train", "finished"), ("evaluate", "finished")]
    assert get_job(conn, 1).result["classifier"] == "wards"
    assert get_job(conn, 2).result["accuracy"] > 0.5


def test_the_same_words_mean_the_same_unfinished_job(conn, topics):
    first = submit_predict(conn, topics, "messages")
    assert submit_predict(conn, topics, "messages").id == first.id
    assert submit_predict(conn, topics, "messages", PredictRequest(where="id < 9")).id != first.id
    work(conn)
    assert submit_predict(conn, topics, "messages").id not in (first.id, first.id + 1)


def test_what_cannot_work_is_refused_before_it_is_queued(conn, topics):
    with pytest.raises(SourceError):
        submit_predict(conn, topics, "mesages")
    assert list_jobs(conn) == []


def test_a_failed_job_says_why_and_can_be_tried_again(conn, topics):
    job = submit_predict(conn, topics, "messages")
    conn.execute("alter table messages rename column message to body")
    assert work(conn) == 1
    assert state(conn) == "failed"
    assert "message" in get_job(conn, job.id).error
    assert next_job(conn) is None  # it is not tried for ever
    conn.execute("alter table messages rename column body to message")
    ask_job(conn, job.id, "retry")
    assert work(conn) == 1
    assert state(conn) == "finished"
    assert get_job(conn, job.id).error is None


def test_a_job_whose_classifier_is_deleted_goes_with_it(conn, topics):
    submit_predict(conn, topics, "messages")
    delete_classifier(conn, "topics")
    assert list_jobs(conn) == []
    assert value(conn, "select count(*) from _ftclassify_job_events") == 0


def test_pause_and_resume_keep_the_place(conn, topics, monkeypatch, trained):
    monkeypatch.setattr(predict_module, "BATCH", 100)
    job = submit_predict(conn, topics, "messages")

    def pause(done, total):
        if done == 200:
            with closing(connect(trained)) as other:
                assert ask_job(other, job.id, "pause").wanted == "pause"

    with pytest.raises(JobStopped, match="asked to pause"):
        run_job(conn, job.id, rows=pause)
    # What is wanted is learnt with the next batch, which is still committed.
    assert (state(conn), get_job(conn, job.id).done) == ("paused", 300)
    assert work(conn) == 0
    ask_job(conn, job.id, "resume")
    assert work(conn) == 1
    assert get_job(conn, job.id).result["resumed_at"] == 300
    assert value(conn, "select count(*) from messages where topics_label is null") == 0


def test_cancel_stops_a_training_and_stores_nothing(conn, trained, monkeypatch):
    monkeypatch.setattr(lease_module, "RENEW_EVERY", 0.01)
    task = define(conn, "messages", text=["message"], labels=["ward"])
    job = submit_train(conn, task, TrainRequest(name="wards"))
    asked = []

    def cancel(step, share):
        if not asked:
            with closing(connect(trained)) as other:
                ask_job(other, job.id, "cancel")
            asked.append(step)
        # The renewing thread brings the wish: give it the time that a real step takes.
        wait_for(lambda: wished(trained, job.id), "the wish")

    with pytest.raises(JobStopped, match="asked to cancel"):
        run_submitted(conn, job, progress=cancel)
    assert state(conn) == "cancelled"
    assert "wards" not in [
        name for (name,) in rows(conn, "select name from _ftclassify_classifiers")
    ]


def wished(path: Path, job_id: int) -> bool:
    """Whether the lease was renewed after the wish was written."""
    with closing(connect(path)) as other:
        job = get_job(other, job_id)
        return job.wanted == "cancel" and (job.lease_until or 0) > time.time() + 29.9


ALLOWED = {
    "queued": {"pause": "paused", "cancel": "cancelled"},
    "paused": {"resume": "queued", "cancel": "cancelled"},
    "failed": {"retry": "queued", "cancel": "cancelled"},
    "cancelled": {"retry": "queued"},
    "finished": {},
}


@pytest.mark.parametrize("before", ALLOWED)
@pytest.mark.parametrize("wish", ["pause", "resume", "cancel", "retry"])
def test_what_may_be_asked_of_a_job_that_nobody_runs(conn, before, wish):
    job = agreed_job(conn, "evaluate", {})
    with conn:
        conn.execute("update _ftclassify_jobs set state = ?", [before])
    if wish in ALLOWED[before]:
        assert ask_job(conn, job.id, wish).state == ALLOWED[before][wish]
    else:
        with pytest.raises(JobError, match=f"is {before}: there is nothing to {wish}"):
            ask_job(conn, job.id, wish)


def test_a_job_under_a_living_lease_is_left_alone(conn):
    job = agreed_job(conn, "evaluate", {})
    claim_job(conn, job.id, ELSEWHERE)
    assert next_job(conn) is None
    with pytest.raises(JobError, match="running in another process"):
        claim_job(conn, job.id, new_owner())


def test_a_lease_that_has_run_out_is_taken_over(conn):
    job = agreed_job(conn, "evaluate", {})
    claim_job(conn, job.id, ELSEWHERE)
    with conn:
        conn.execute("update _ftclassify_jobs set lease_until = ?", [time.time() - 1])
    assert get_job(conn, job.id).to_dict()["state"] == "interrupted"
    assert next_job(conn) == job.id
    claim_job(conn, job.id, new_owner())
    assert messages_of(conn)[-1] == "goes on"


def test_nobody_has_agreed_to_a_job_that_was_changed_since(conn):
    job = agreed_job(conn, "evaluate", {"classifier": "topics"})
    with conn:
        conn.execute("update _ftclassify_jobs set settings = ?", ['{"classifier": "urgent"}'])
    with pytest.raises(JobPaused, match="changed since"), leased(conn, job.id):
        pass


def test_an_end_that_a_dead_process_did_not_see_is_still_wanted(conn):
    job = agreed_job(conn, "evaluate", {})
    claim_job(conn, job.id, ELSEWHERE)
    ask_job(conn, job.id, "cancel")
    with conn:
        conn.execute("update _ftclassify_jobs set lease_until = 0")
    assert claim_job(conn, job.id, new_owner()).wanted == "cancel"


def test_the_number_of_a_job_that_spent_is_not_given_again(conn):
    first = agreed_job(conn, "evaluate", {})
    with conn:
        add_spending(conn, first.id, Spent(1.0, 1))
    delete_job(conn, first.id)
    assert agreed_job(conn, "evaluate", {}).id == first.id + 1


def test_a_single_text_is_left_to_whoever_waits_for_its_answer(conn):
    agreed_job(conn, "ask", {})
    assert next_job(conn) is None
    other = agreed_job(conn, "evaluate", {})
    assert next_job(conn) == other.id


def test_a_dead_process_of_this_machine_need_not_be_waited_for(conn):
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    job = agreed_job(conn, "evaluate", {})
    host = new_owner().partition(":")[0]
    claim_job(conn, job.id, f"{host}:{process.pid}:token")
    assert next_job(conn) == job.id


def test_a_laptop_that_slept_has_lost_no_job(conn, monkeypatch):
    job = claim_job(conn, agreed_job(conn, "evaluate", {}).id, new_owner())
    by_day, by_clock = time.time(), time.monotonic()
    monkeypatch.setattr(leases.time, "time", lambda: by_day + 9 * 3600)
    assert not get_job(conn, job.id).interrupted
    with pytest.raises(JobError, match="running in another process"):
        claim_job(conn, job.id, new_owner())
    monkeypatch.setattr(leases.time, "monotonic", lambda: by_clock + LEASE_SECONDS + 1)
    assert get_job(conn, job.id).interrupted


@pytest.mark.parametrize("state", ["finished", "cancelled"])
def test_a_job_that_has_ended_is_claimed_by_nobody(conn, state):
    job = claim_job(conn, agreed_job(conn, "evaluate", {}).id, new_owner())
    end_job(conn, job, state)
    with pytest.raises(JobError, match=f"is {state}: there is nothing left to run"):
        claim_job(conn, job.id, new_owner())
    assert get_job(conn, job.id).state == state


def test_another_container_of_the_same_name_is_no_dead_process(conn):
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    host = new_owner().partition("+")[0]
    job = agreed_job(conn, "evaluate", {})
    claim_job(conn, job.id, f"{host}+another-boot.1:{process.pid}:token")
    assert not get_job(conn, job.id).interrupted


@pytest.mark.parametrize("column", ["kind", "state", "wanted", "step", "error", "owner", "remote"])
def test_a_cell_of_any_length_is_not_read(conn, column):
    """It would be in each page and each message that tells of the job."""
    job = agreed_job(conn, "evaluate", {})
    with conn:
        sql = f"update _ftclassify_jobs set {column} = ? where id = ?"
        conn.execute(sql, ["x" * 5_000_000, job.id])
        conn.execute("update _ftclassify_job_events set message = ?, kind = ?", ["x" * 9**7] * 2)
    with pytest.raises(JobError, match="damaged"):
        get_job(conn, job.id)
    assert all(len(str(event)) < 20_000 for event in job_events(conn, job.id))


@pytest.mark.parametrize("column", [f.name for f in fields(Job)][2:-1])
def test_a_damaged_job_holds_up_no_other(conn, column):
    for state in ("queued", "running"):
        for cell in (b"\xff", "x", "[]", 1.5, -1, 10**18):
            with conn:
                conn.execute("delete from _ftclassify_jobs")
            first, second = (agreed_job(conn, "evaluate", {"n": n}).id for n in range(2))
            with conn:
                conn.execute(
                    "update _ftclassify_jobs set state = ?, owner = 'x:1:y', lease_until = 9e15"
                    " where id = ?",
                    [state, first],
                )
                sql = f"update _ftclassify_jobs set {column} = ? where id = ?"
                conn.execute(sql, [cell, first])
            assert second in [job.id for job in json_of(list_jobs(conn))]
            assert next_job(conn, {first}) == second
            with suppress(JobError):
                claim_job(conn, first, new_owner())


def test_jobs_of_an_older_version_can_be_read(conn):
    agreed_job(conn, "evaluate", {})
    with conn:
        conn.execute("alter table _ftclassify_jobs drop column lease_clock")
    assert [job.lease_clock for job in list_jobs(conn)] == [None]


def json_of(jobs: list[Job]) -> list[Job]:
    """The same, when each can be told as JSON."""
    assert json.dumps([job.to_dict() for job in jobs])
    return jobs


def test_who_was_replaced_can_no_longer_write(conn, trained):
    job = agreed_job(conn, "evaluate", {})
    slow = claim_job(conn, job.id, ELSEWHERE)
    with conn:
        conn.execute("update _ftclassify_jobs set lease_until = 0")
    with closing(connect(trained)) as other:
        claim_job(other, job.id, new_owner())

    def write() -> None:
        with transaction(conn):
            conn.execute("update messages set topic = 'spoilt'")
            save_progress(conn, slow)

    with pytest.raises(JobError, match="taken over"):
        write()
    assert value(conn, "select count(*) from messages where topic = 'spoilt'") == 0


def test_a_job_that_others_kept_from_writing_has_not_failed(conn):
    job = agreed_job(conn, "evaluate", {})
    with pytest.raises(sqlite3.OperationalError), leased(conn, job.id):
        raise sqlite3.OperationalError("database is locked")
    assert state(conn) == "running"  # until the lease is over


def test_a_long_step_keeps_its_lease(conn, trained, monkeypatch):
    monkeypatch.setattr(lease_module, "RENEW_EVERY", 0.01)
    job = agreed_job(conn, "evaluate", {})
    with leased(conn, job.id), closing(connect(trained)) as other:
        first = get_job(other, job.id).lease_until
        wait_for(lambda: get_job(other, job.id).lease_until != first, "a longer lease")


def test_ctrl_c_pauses(conn, topics, monkeypatch):
    monkeypatch.setattr(predict_module, "BATCH", 100)

    def interrupt(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        predict_rows(conn, topics, "messages", progress=interrupt)
    assert (state(conn), get_job(conn, 1).done) == ("paused", 100)
    assert predict_rows(conn, topics, "messages").resumed_at == 100


@pytest.mark.parametrize("why", [KeyboardInterrupt(), JobPaused("a limit")])
def test_a_job_that_is_to_be_cancelled_does_not_rest_instead(conn, topics, monkeypatch, why):
    monkeypatch.setattr(lease_module, "RENEW_EVERY", 0.01)
    job = submit_predict(conn, topics, "messages")

    def run_and_stop():
        with leased(conn, job.id) as lease:
            ask_job(conn, job.id, "cancel")
            wait_for(lambda: lease.job.wanted == "cancel", "the wish")
            raise why

    with pytest.raises(type(why)):
        run_and_stop()
    assert state(conn) == "cancelled"


def test_a_damaged_job_is_an_error_and_not_a_crash(conn):
    agreed_job(conn, "evaluate", {})
    for settings in ("{", "[]", "7"):
        with conn:
            conn.execute("update _ftclassify_jobs set settings = ?", [settings])
        with pytest.raises(JobError, match="damaged"):
            get_job(conn, 1)
        assert list_jobs(conn) == []


@pytest.mark.parametrize("kind", ["train", "predict", "evaluate"])
def test_a_job_with_settings_missing_is_listed(conn, trained, kind):
    agreed_job(conn, kind, {})
    assert kind in says("jobs", "list", trained)


@pytest.mark.parametrize("cell", [None, "x", [1]])
def test_a_prediction_with_settings_of_somebody_else_fails_in_plain_words(conn, topics, cell):
    settings = PredictRequest(where="id < 3").settings(conn, topics, "messages").to_dict()
    for name in settings:
        with conn:
            conn.execute("delete from _ftclassify_jobs")
        agreed_job(conn, "predict", {**settings, name: cell})
        assert work(conn) == 1
        job = list_jobs(conn)[0]
        assert job.state in ("failed", "finished")
        assert not re.match(r"\w+(Error|Warning)\b", job.error or ""), (name, job.error)


def test_an_unknown_kind_of_job_fails_in_plain_words(conn):
    agreed_job(conn, "fly", {})
    assert work(conn) == 1
    assert "cannot run" in get_job(conn, 1).error


def test_an_unknown_job_is_not_found(conn, tmp_path):
    with pytest.raises(JobNotFound):
        get_job(conn, 99)
    with closing(sqlite3.connect(tmp_path / "empty.db")) as empty:
        assert list_jobs(empty) == []
        with pytest.raises(JobNotFound):
            get_job(empty, 1)


def note_every_write(conn):
    with conn:
        conn.execute("create table written (id integer)")
        conn.execute(
            "create trigger noted after update on messages begin"
            " insert into written values (new.id); end"
        )


def start_worker(path: Path) -> Program:
    worker = Program(work_in_small_batches, path, 7)
    wait_for(lambda: READY in worker.output, "a worker")
    return worker


def test_two_workers_share_the_jobs_and_run_none_twice(conn, topics, trained):
    note_every_write(conn)
    for first in range(0, 560, 40):
        submit_predict(
            conn, topics, "messages", PredictRequest(where=f"id between {first} and {first + 39}")
        )
    workers = [start_worker(trained), start_worker(trained)]
    for worker in workers:
        assert worker.wait() == 0
    assert {job.state for job in list_jobs(conn)} == {"finished"}
    for job in list_jobs(conn):
        assert messages_of(conn, job.id) == ["started", "finished"]
    assert value(conn, "select count(*) from written") == 557
    assert rows(conn, "select id from written group by id having count(*) > 1") == []


def test_kill_9_at_random_moments_of_training_and_prediction(tmp_path, trained):
    """No row lost, none written twice, one classifier from one training job."""
    path = tmp_path / "killed.db"
    path.write_bytes(trained.read_bytes())
    chooser = random.Random(5)
    with closing(connect(path)) as conn:
        forget_jobs(conn)
        note_every_write(conn)
        task = define(conn, "messages", text=["message"], labels=["channel"])
        train = submit_train(conn, task, TrainRequest(name="channels", curve=False))
        predict = submit_predict(conn, find_classifier(conn, "topics"), "messages")
        kills = 0
        while not all(get_job(conn, j.id).state == "finished" for j in (train, predict)):
            worker = start_worker(path)
            # At first sooner than any machine can be done, then at later and later moments.
            moment = chooser.uniform(0.5, 1) * 0.03 * 1.7**kills
            try:
                worker.wait(moment if kills < 8 else PATIENCE)
            except TimeoutError:  # it is killed then
                kills += 1
        assert kills >= 5
        versions = "select count(*) from _ftclassify_classifiers where name = 'channels'"
        assert value(conn, versions) == 1
        assert value(conn, "select count(*) from messages where topics_label is null") == 0
        assert rows(conn, "select id from written group by id having count(*) > 1") == []
        assert value(conn, "select count(*) from written") == 557
        assert value(conn, "pragma integrity_check") == "ok"


def test_the_command_line_queues_lists_works_and_shows(tmp_path: Path):
    town = tmp_path / "town.db"
    town_database(town).close()
    assert "no job yet" in says("jobs", "list", town)
    task = ["--text", "message", "--label", "topic", "--no-curve"]
    assert "ftclassify work" in says("train", town, "messages", *task, "--queue")
    listed = says("jobs", "list", town)
    assert "queued" in listed
    assert "messages from messages" in listed
    assert "paused" in says("jobs", "pause", town, 1)
    assert "No job waits" in says("work", town)
    assert "nothing to pause" in says("jobs", "pause", town, 1, code=1)
    says("jobs", "resume", town, 1)
    assert "Ran 1 job" in says("work", town)
    assert "finished" in says("jobs", "follow", town, 1)
    shown = says("jobs", "show", town, 1)
    assert "asked to pause" in shown
    assert "started" in shown
    says("predict", town, "messages", "--queue")
    says("work", town)
    with closing(connect(town)) as conn:
        assert value(conn, "select count(*) from messages where messages_label is null") == 0
    assert "There is no job 7" in says("jobs", "show", town, 7, code=1)


def test_a_lease_outlives_a_file_that_is_locked_when_it_is_opened(conn, topics, monkeypatch):
    job = submit_predict(conn, topics, "messages")
    monkeypatch.setattr(lease_module, "RENEW_EVERY", 0.01)
    opened = []
    really_open = lease_module.open_database

    def open_locked(path):
        opened.append(path)
        if len(opened) < 4:
            raise SourceError(f"Cannot open {path} as a SQLite database: database is locked.")
        return really_open(path)

    monkeypatch.setattr(lease_module, "open_database", open_locked)
    with leased(conn, job.id) as lease:
        with conn:
            conn.execute("update _ftclassify_jobs set wanted = 'pause'")
        wait_for(lambda: lease.job.wanted == "pause", "the wish")
        assert len(opened) >= 4


def test_a_job_that_is_being_cancelled_is_not_the_one_that_is_asked_for(conn):
    first = add_job(conn, "check", {"n": 1})
    claim_job(conn, first.id, ELSEWHERE)
    ask_job(conn, first.id, "cancel")
    assert add_job(conn, "check", {"n": 1}).id != first.id
