"""A minimum of known leaves texts of other kinds without a label, and says why."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import pytest
from commands import run
from sample_databases import rows, value
from sports import FOOTBALLERS, INSERT, ROWS
from stored import list_jobs
from visiting import get, serve

from datasette_ftclassify.core.database import connect
from datasette_ftclassify.core.errors import PredictError
from datasette_ftclassify.jobs.plan import PredictRequest
from datasette_ftclassify.jobs.predict import predict_rows
from datasette_ftclassify.present.jobs import Pace, progress_text
from datasette_ftclassify.store.classifiers import find_classifier

TRAINED = f"select count(*) from texts where id <= {ROWS} and "


@pytest.fixture
def conn(sports_db: Path) -> Iterator[sqlite3.Connection]:
    with closing(connect(sports_db)) as conn:
        with conn:
            conn.executemany(INSERT, [(text, None) for text in (*FOOTBALLERS, None)])
        yield conn


def test_a_footballer_is_no_hockey_player(conn):
    result = predict_rows(
        conn, find_classifier(conn, "sports"), "texts", PredictRequest(min_known=0.05)
    )
    unlike = rows(conn, f"select sports_label, sports_reason from texts where id > {ROWS}")
    assert [label for label, _ in unlike] == [None] * 4
    reasons = [reason for _, reason in unlike]
    assert all("unlike the training rows" in reason for reason in reasons[:3])
    assert reasons[3] is None  # it has no text
    assert value(conn, TRAINED + "sports_label = sport") > 0.85 * ROWS
    left_out = value(conn, TRAINED + "sports_label is null")
    assert left_out < 0.1 * ROWS
    assert result.to_dict()["unlike"] == left_out + 3
    job = max((job for job in list_jobs(conn) if job.kind == "predict"), key=lambda job: job.id)
    assert f"{left_out + 3} unlike the training rows" in progress_text(job, Pace())
    assert value(conn, TRAINED + "(sports_label is null) <> (sports_reason is not null)") == 0


def test_without_a_minimum_they_are(conn):
    result = predict_rows(conn, find_classifier(conn, "sports"), "texts")
    label = f"select sports_label from texts where id = {ROWS + 1}"
    assert value(conn, label) in ("hockey", "baseball")
    assert "unlike" not in result.to_dict()
    columns = {row[1] for row in conn.execute("pragma table_info(texts)")}
    assert not columns & {"sports_known", "sports_reason"}


def test_the_command_writes_known_and_takes_a_minimum(sports_db, conn):
    ran = run("predict", sports_db, "texts", "--known", "--min-known", "0.05")
    assert "less known than --min-known" in ran.output
    assert value(conn, f"select max(sports_known) from texts where id > {ROWS}") < 0.05
    assert value(conn, TRAINED + "sports_known between 0 and 1") == ROWS
    assert value(conn, TRAINED + "(sports_known < 0.05) <> (sports_label is null)") == 0


def test_a_reason_tells_the_score_from_the_text(conn):
    request = PredictRequest(min_known=0.05, threshold=0.9999)
    result = predict_rows(conn, find_classifier(conn, "sports"), "texts", request).to_dict()
    assert result["abstained"] > 0
    assert result["unlike"] >= 3
    sql = "select count(*) from texts where sports_reason like '{}%'"
    assert value(conn, sql.format("score below")) == result["abstained"]
    assert value(conn, sql.format("unlike the")) == result["unlike"]


def test_it_is_refused_where_nothing_was_measured(conn):
    with conn:
        conn.execute("update _ftclassify_classifiers set header = json_remove(header, '$.known')")
    classifier = find_classifier(conn, "sports")
    with pytest.raises(PredictError, match="Train a new version") as refused:
        predict_rows(conn, classifier, "texts", PredictRequest(min_known=0.05))
    assert refused.value.fields == ("min_known",)
    with pytest.raises(PredictError, match="0 to 1"):
        predict_rows(conn, classifier, "texts", PredictRequest(min_known=5))


def test_a_job_of_an_earlier_version_is_the_same_job(conn):
    """Its settings name no column for known, and no minimum."""
    predict_rows(conn, find_classifier(conn, "sports"), "texts")
    (job,) = list_jobs(conn, kind="predict")
    assert not {"min_known", "known"} & (set(job.settings) | set(job.settings["columns"]))


@pytest.mark.parametrize(
    ("older", "said"),
    [
        (False, "is unlike what the classifier was trained on"),
        (True, "train a new version to see it"),
    ],
)
async def test_the_box_and_the_command_say_what_is_known_of_a_text(sports_db, conn, older, said):
    if older:
        with conn:
            conn.execute(
                "update _ftclassify_classifiers set header = json_remove(header, '$.known')"
            )
    address = "/sports/-/ftclassify/classifiers/sports/try"
    page = await get(serve(sports_db), f"{address}?text={quote(FOOTBALLERS[0])}")
    assert said in page.text
    ask = ["ask", str(sports_db), "sports", FOOTBALLERS[0]]
    assert said in run(*ask).output
