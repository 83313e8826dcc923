"""Deleting a classifier: what is running is never thrown away, no number is given twice, and what
is damaged can go."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from commands import run, run_json
from running_jobs import job_of, queue_predict, wait_for
from sample_databases import value
from stored import add, list_jobs
from visiting import ROOT, get, send, serve, submit

from datasette_ftclassify.cli import ftclassify
from datasette_ftclassify.core.database import connect
from datasette_ftclassify.core.errors import (
    ClassifierInUse,
    ClassifierNotFound,
    JobError,
    JobStopped,
)
from datasette_ftclassify.jobs.deletion import end_jobs
from datasette_ftclassify.jobs.runner import run_job
from datasette_ftclassify.store.classifiers import (
    default_name,
    find_classifier,
    rename_classifier,
    set_default,
)
from datasette_ftclassify.store.damaged import damaged_classifiers
from datasette_ftclassify.store.deletion import delete_classifier, plan_deletion
from datasette_ftclassify.store.jobs.state import (
    ask_job,
    claim_job,
    end_job,
    get_job,
    save_progress,
)

ELSEWHERE = "another-machine:1:token"
PAGE = "/town/-/ftclassify/classifiers/topics"


@pytest.fixture
def memory() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(":memory:")) as conn:
        yield conn


def damage(conn: sqlite3.Connection, name: str = "topics") -> None:
    with conn:
        sql = "update _ftclassify_classifiers set labels = '{', task_id = 99 where name = ?"
        conn.execute(sql, [name])


# Numbers and the default


def test_the_number_of_a_deleted_version_is_not_given_again(memory: sqlite3.Connection) -> None:
    conn = memory
    for _ in range(3):
        add(conn)
    delete_classifier(conn, "topics@3")
    assert add(conn).version == 4
    delete_classifier(conn, "topics")
    assert add(conn).version == 5
    rename_classifier(conn, "topics", "subjects")
    assert add(conn, "subjects").version == 6
    assert add(conn, "topics").version == 6
    delete_classifier(conn, "subjects")
    assert add(conn, "subjects").version == 7


@pytest.mark.parametrize("noted", ["x", "", "-5", "9" * 40, "1e300"])
def test_a_number_that_a_stranger_noted_leaves_a_next_one(
    memory: sqlite3.Connection, noted: str
) -> None:
    add(memory)
    memory.execute("insert into _ftclassify_settings values ('versions:topics', ?)", [noted])
    memory.execute("update _ftclassify_classifiers set version = 9223372036854775807")
    memory.commit()
    assert 1 <= add(memory).version < 10**9
    assert delete_classifier(memory, "topics").titles


def test_deleting_says_who_answers_then(memory: sqlite3.Connection) -> None:
    conn = memory
    add(conn, "older")
    add(conn)
    add(conn)
    set_default(conn, "topics")
    assert plan_deletion(conn, "topics@1").consequence == ""
    assert plan_deletion(conn, "topics").consequence == "older becomes the default."
    done = delete_classifier(conn, "topics@2").done
    assert done == "Deleted topics@2. topics@1 answers for that name now."
    assert default_name(conn) == "topics"
    add(conn, "damaged")
    damage(conn, "damaged")
    assert delete_classifier(conn, "topics@1").done.endswith("older is the default now.")
    assert delete_classifier(conn, "older").done.endswith("There is no default now.")


# What is running


def test_a_running_prediction_is_cancelled_and_waited_for(town: Path, conn: sqlite3.Connection):
    job_id = queue_predict(town)
    begun, go_on, raised = threading.Event(), threading.Event(), []

    def predict() -> None:
        with closing(connect(town)) as other:
            try:
                run_job(other, job_id, rows=lambda done, total: (begun.set(), go_on.wait(60)))
            except JobStopped as stopped:
                raised.append(stopped)

    thread = threading.Thread(target=predict)
    thread.start()
    try:
        assert begun.wait(60)
        with pytest.raises(ClassifierInUse, match=rf"job {job_id} \(predict\) is running") as found:
            delete_classifier(conn, "topics")
        assert found.value.jobs == (job_id,)
        end_jobs(conn, "topics", seconds=0)
        with pytest.raises(ClassifierInUse, match="is being cancelled"):
            delete_classifier(conn, "topics")
        go_on.set()
        end_jobs(conn, "topics")
        assert delete_classifier(conn, "topics").titles == ("topics@1",)
    finally:
        go_on.set()
        thread.join()
    assert raised or list_jobs(conn) == []
    with pytest.raises(ClassifierNotFound):
        find_classifier(conn, "topics")


def test_what_only_waits_goes_with_it_and_is_counted(town: Path, conn: sqlite3.Connection):
    queue_predict(town)
    assert plan_deletion(conn, "topics").busy == ()
    assert "1 unfinished job went with it" in delete_classifier(conn, "topics").done


def test_a_process_that_died_before_it_heard_is_not_waited_for(
    town: Path, conn: sqlite3.Connection
):
    job = claim_job(conn, queue_predict(town), ELSEWHERE)
    ask_job(conn, job.id, "cancel")
    assert plan_deletion(conn, "topics").busy
    with conn:
        conn.execute("update _ftclassify_jobs set lease_until = 0, lease_clock = null")
    end_jobs(conn, "topics", seconds=60)
    assert delete_classifier(conn, "topics").titles == ("topics@1",)


def test_a_process_whose_job_was_deleted_or_stopped_is_told_so(
    town: Path, conn: sqlite3.Connection
):
    first, second = (claim_job(conn, queue_predict(town, f"id > {n}"), ELSEWHERE) for n in (1, 2))
    with conn:
        conn.execute("update _ftclassify_jobs set lease_until = 0, lease_clock = null")
    ask_job(conn, second.id, "cancel")
    with pytest.raises(JobError, match=r"was stopped meanwhile.*it is cancelled"):
        save_progress(conn, second)
    delete_classifier(conn, "topics")
    with pytest.raises(JobError, match="was deleted meanwhile, and its classifier with it"):
        end_job(conn, first, "finished")


# Damaged ones


def test_a_damaged_classifier_is_listed_and_deleted(town: Path, conn: sqlite3.Connection):
    damage(conn)
    (found,) = damaged_classifiers(conn)
    assert (found.title, "damaged in this file" in found.why) == ("topics@1", True)
    assert "! topics@1  Classifier topics is damaged" in run("classifiers", "list", town).stdout
    listed = run_json("classifiers", "list", town)
    assert [one["title"] for one in listed["damaged"]] == ["topics@1"]
    assert "topics" not in [one["classifier"] for one in listed["classifiers"]]
    told = run_json("classifiers", "delete", town, "topics", "--yes")
    assert (told["deleted"], told["default"]) == (["topics@1"], "subjects")
    assert damaged_classifiers(conn) == []
    assert value(conn, "select count(*) from _ftclassify_artifacts where classifier_id = 1") == 0


async def test_a_damaged_classifier_is_deleted_on_its_page_by_root_alone(
    town: Path, conn: sqlite3.Connection
):
    damage(conn)
    datasette = serve(town, grants={"ftclassify-delete": {"id": ["ann", ROOT]}})
    listing = "/town/-/ftclassify"
    for who in (None, "ann"):
        assert "Damaged" not in (await get(datasette, listing, who)).text
        assert (await get(datasette, PAGE, who)).status_code == 404
        assert (await submit(datasette, PAGE, who, action="delete")).status_code in (403, 404)
    assert "Damaged classifiers" in (await get(datasette, listing, ROOT)).text
    page = await get(datasette, PAGE, ROOT)
    assert page.status_code == 200
    assert "is damaged in this file" in page.text
    assert "subjects becomes the default" in page.text
    for path in ("/rows", "/try"):
        assert (await get(datasette, PAGE + path, ROOT)).status_code == 400
    refused = await send(datasette, PAGE + ".json", {"action": "default"}, ROOT)
    assert "damaged" in refused.json()["error"]
    assert (await submit(datasette, PAGE, ROOT, action="delete")).status_code == 302
    assert damaged_classifiers(conn) == []


# On the page


async def test_the_page_names_what_is_running_and_cancels_it(town: Path, conn: sqlite3.Connection):
    job_id = queue_predict(town)
    job = claim_job(conn, job_id, ELSEWHERE)
    datasette = serve(town)
    assert "Cancel that job and delete" in (await get(datasette, PAGE, ROOT)).text
    refused = await send(datasette, PAGE + ".json", {"action": "delete"}, ROOT)
    assert refused.status_code == 409
    assert "is running" in refused.json()["error"]
    assert "Send cancel_jobs" in refused.json()["error"]

    def obey() -> None:
        with closing(connect(town)) as other:
            wait_for(lambda: get_job(other, job_id).wanted == "cancel", "the wish")
            end_job(other, job, "cancelled")

    thread = threading.Thread(target=obey)
    thread.start()
    done = await send(datasette, PAGE + ".json", {"action": "delete", "cancel_jobs": True}, ROOT)
    thread.join()
    assert done.status_code == 200, done.text
    body = done.json()
    assert (body["deleted"], body["default"]) == (["topics@1"], "subjects")
    assert body["cancelled_jobs"] == [job_id]
    assert "subjects is the default now" in body["message"]


async def test_jobs_that_do_not_end_soon_are_said_to_go_on(
    town: Path, conn: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("datasette_ftclassify.web.pages.deletion.CANCEL_SECONDS", 0.0)
    job = claim_job(conn, queue_predict(town), ELSEWHERE)
    datasette = serve(town)
    sent = await submit(datasette, PAGE, ROOT, action="delete", cancel_jobs="1")
    assert sent.status_code == 302
    assert sent.headers["location"].endswith("/classifiers/topics~401")
    said = await get(datasette, PAGE, ROOT)
    assert f"Job {job.id} (predict) is being cancelled" in said.text
    body = {"action": "delete", "cancel_jobs": True}
    refused = await send(datasette, PAGE + ".json", body, ROOT)
    assert refused.status_code == 409
    assert "Delete it when that has ended." in refused.json()["error"]
    assert find_classifier(conn, "topics")


async def test_who_may_not_cancel_the_job_deletes_nothing(town: Path, conn: sqlite3.Connection):
    job = claim_job(conn, queue_predict(town), ELSEWHERE)
    datasette = serve(town, grants={"ftclassify-delete": {"id": "ann"}})
    body: dict[str, Any] = {"action": "delete", "cancel_jobs": True}
    refused = await send(datasette, PAGE + ".json", body, "ann")
    assert refused.status_code == 403
    assert (job_of(town, job.id).wanted, bool(find_classifier(conn, "topics"))) == (None, True)


def test_the_command_says_what_is_running_and_how_to_cancel_it(
    town: Path, conn: sqlite3.Connection
):
    job = claim_job(conn, queue_predict(town), ELSEWHERE)
    told = run("classifiers", "delete", town, "topics", "--yes", code=1).stderr
    assert f"job {job.id} (predict) is running" in told
    assert "--cancel-jobs" in told

    def obey() -> None:
        with closing(connect(town)) as other, suppress(JobError):
            wait_for(lambda: get_job(other, job.id).wanted == "cancel", "the wish")
            end_job(other, job, "cancelled")

    thread = threading.Thread(target=obey)
    thread.start()
    done = CliRunner().invoke(
        ftclassify, ["classifiers", "delete", str(town), "topics", "--yes", "--cancel-jobs"]
    )
    thread.join()
    assert (done.exit_code, "Deleted topics@1" in done.stdout) == (0, True), done.output
