"""What pages and commands say of a job: its settings in words, and what became of the rows."""

from __future__ import annotations

import html
import re
import sqlite3
from pathlib import Path

from commands import run
from visiting import ROOT, get, serve

from datasette_ftclassify.core.splits import SplitPlan
from datasette_ftclassify.jobs.check import submit_check
from datasette_ftclassify.jobs.plan import PredictRequest
from datasette_ftclassify.jobs.predict import submit_predict
from datasette_ftclassify.jobs.runner import run_job
from datasette_ftclassify.jobs.train_request import TrainRequest
from datasette_ftclassify.present.settings import settings_list
from datasette_ftclassify.present.usage_sql import split_sql
from datasette_ftclassify.store.classifiers import find_classifier
from datasette_ftclassify.trainers.options import TrainerOptions

JOBS = "/town/-/ftclassify/jobs"
RAW = re.compile(r"\w_\w|[.]")


def test_settings_of_every_kind_of_job_have_words(trained: Path, conn: sqlite3.Connection) -> None:
    topics = find_classifier(conn, "topics")
    options = TrainerOptions(
        model="m", epochs=3, batch_size=2, learning_rate=1.5, suffix="s", wandb="w"
    )
    training = TrainRequest(trainer="openai", options=options).settings(topics.task)
    predict = PredictRequest(where="id > :n", params={"n": 3}, threshold=0.5, overwrite=True)
    fields = {"split_column": "part", "label_names": "a"}
    check = submit_check(conn, topics.task, SplitPlan(), model="m", fields=fields)
    more = {"continue_from": "x", "on_predictions": True, "like": "y", "host": "here"}
    predicting = predict.settings(conn, topics, "messages").to_dict()
    for settings in ({**training, **more}, predicting, check.settings):
        names = [name for name, _ in settings_list(settings)]
        assert [name for name in names if RAW.search(name)] == []
        assert not {"uid", "like", "text form"} & {*names}
        assert not any(name.startswith("fields") for name in names)
    shown = run("jobs", "show", trained, check.id).stdout
    assert "share for the test 0.1" in shown
    assert "uid" not in shown
    assert "fields" not in shown


def test_the_column_of_one_label_is_told_by_its_name() -> None:
    columns = {"label": "l", "label_scores": {"a.b": "l_score_a"}}
    told = settings_list({"columns": columns})
    assert told == [
        ("column for the label", "l"),
        ("column for the probability of a.b", "l_score_a"),
    ]


def test_a_score_is_told_with_the_digits_that_somebody_reads() -> None:
    settings = {"threshold": 0.20626036034283693, "limit_usd": 2.5, "plan": {"test": 0.1}}
    told = [text for _, text in settings_list(settings)]
    assert told == ["0.2063", "2.5", "0.1"]


async def test_a_job_that_waits_has_no_empty_list_of_events(
    trained: Path, conn: sqlite3.Connection
) -> None:
    topics = find_classifier(conn, "topics")
    waiting = submit_check(conn, topics.task, SplitPlan())
    page = (await get(serve(trained), f"{JOBS}/{waiting.id}", ROOT)).text
    assert re.search(r'<section[^>]* id="events" hidden>', page)
    run_job(conn, waiting.id)
    page = (await get(serve(trained), f"{JOBS}/{waiting.id}", ROOT)).text
    assert re.search(r'<section[^>]* id="events">', page)


async def test_rows_that_were_passed_over_are_not_called_new(
    trained: Path, conn: sqlite3.Connection
) -> None:
    topics = find_classifier(conn, "topics")
    with conn:
        (before,) = conn.execute("select count(*) from messages where topic is null").fetchone()
        rows = [(None,), ("",), ("  ",), ("the street lamp flickers",)]
        conn.executemany("insert into messages (message) values (?)", rows)
    listed = split_sql(conn, topics, "messages", ["message"])
    assert listed is not None
    found = [row["split"] for row in map(dict, _rows(conn, listed))][-4:]
    assert found == ["passed over"] * 3 + ["new"]
    job = submit_predict(conn, topics, "messages", PredictRequest())
    assert run_job(conn, job.id).state == "finished"
    answer = await get(serve(trained), f"{JOBS}/{job.id}.json", ROOT)
    splits = answer.json()["splits"]
    assert splits["passed over"] == answer.json()["skipped"] >= 3
    assert splits["new"] >= 1 + before - splits["passed over"]
    page = html.unescape((await get(serve(trained), f"{JOBS}/{job.id}", ROOT)).text)
    passed_over = f"{splits['passed over']} more have no label from it: no text, no answer, or one"
    assert f"{passed_over} below a minimum." in page
    for shown in (page, run("jobs", "show", trained, job.id).stdout):
        assert f"rows, {splits['passed over']} without a text" in shown


def _rows(conn: sqlite3.Connection, sql: str) -> list[sqlite3.Row]:
    cursor = conn.cursor()
    cursor.row_factory = sqlite3.Row
    return cursor.execute(sql).fetchall()
