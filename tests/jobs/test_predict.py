"""Prediction into columns: every row once, on every kind of table."""

from __future__ import annotations

import json
import math
import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing

import pytest
from sample_databases import messages, rows, value
from stored import list_jobs

from datasette_ftclassify.core.errors import PredictError, SourceError
from datasette_ftclassify.core.task import define
from datasette_ftclassify.jobs import plan as plan_module
from datasette_ftclassify.jobs import predict as predict_module
from datasette_ftclassify.jobs.columns import Columns
from datasette_ftclassify.jobs.plan import PredictRequest
from datasette_ftclassify.jobs.predict import predict_rows
from datasette_ftclassify.jobs.train import train_classifier
from datasette_ftclassify.jobs.train_request import TrainRequest
from datasette_ftclassify.store.classifiers import find_classifier
from datasette_ftclassify.store.jobs.events import job_events

ALL_COLUMNS = ["topics_label", "topics_score", "topics_logprob", "topics_logprobs"]


def test_all_rows_get_a_label_a_score_and_all_logprobs(conn, topics):
    result = predict_rows(conn, topics, "messages")
    assert (result.written, result.skipped, result.total) == (557, 0, 557)
    for label, score, logprob, logprobs in rows(
        conn, f"select {', '.join(ALL_COLUMNS)} from messages"
    ):
        by_label = json.loads(logprobs)
        assert label in topics.labels.names
        assert 0 < score <= 1
        assert logprob == pytest.approx(math.log(score))
        assert max(by_label, key=by_label.get) == label
        assert list(by_label) == list(topics.labels.names)
    assert value(conn, "select avg(topics_label = topic) from messages") > 0.9


def test_columns_have_the_type_of_the_labels(conn):
    predict_rows(conn, find_classifier(conn, "urgent"), "messages")
    assert rows(
        conn, "select distinct typeof(urgent_label), typeof(urgent_score) from messages"
    ) == [("integer", "real")]


def test_multilabel_writes_arrays(conn):
    subjects = find_classifier(conn, "subjects")
    predict_rows(conn, subjects, "messages")
    for labels, score in rows(conn, "select subjects_label, subjects_score from messages"):
        assert set(json.loads(labels)) <= set(subjects.labels.names)
        assert 0 < score <= 1
    facet = "select count(distinct value) from messages, json_each(subjects_label)"
    assert value(conn, facet) >= 7


def test_the_column_of_the_split_is_not_overwritten(conn):
    with conn:
        conn.execute("alter table messages add column half text")
        conn.execute("update messages set half = iif(id % 5, 'train', 'test')")
    task = define(
        conn, "messages", text=["message"], labels=["topic"], split_column="half", where="id < 200"
    )
    classifier = train_classifier(conn, task, TrainRequest(name="halved", curve=False)).classifier
    request = PredictRequest(columns=Columns("half", None, None, None), overwrite=True)
    with pytest.raises(PredictError, match="half is what the classifier reads"):
        predict_rows(conn, classifier, "messages", request)


def test_only_unlabelled_rows(conn, topics):
    conn.execute("update messages set topic = '  ' where id = 1")
    conn.commit()
    unlabelled = value(conn, "select count(*) from messages where trim(coalesce(topic, '')) = ''")
    assert (
        predict_rows(conn, topics, "messages", PredictRequest(unlabelled=True)).written
        == unlabelled
    )
    written = "select count(*) from messages where topics_label is not null"
    assert value(conn, written) == unlabelled


def test_only_rows_that_meet_a_condition(conn, topics):
    result = predict_rows(
        conn,
        topics,
        "messages",
        PredictRequest(where="ward = :ward -- really", params={"ward": "Abbey"}),
    )
    assert result.written == value(conn, "select count(*) from messages where ward = 'Abbey'")
    written = "select distinct ward from messages where topics_label is not null"
    assert rows(conn, written) == [("Abbey",)]


def test_a_condition_on_the_very_columns_that_are_written(conn, topics):
    """Rows that stop meeting it as they are written must not shift the rows behind them."""
    predict_rows(conn, topics, "messages", PredictRequest(where="id = 1"))
    conn.execute("update messages set topics_label = null")
    conn.commit()
    result = predict_rows(conn, topics, "messages", PredictRequest(where="topics_label is null"))
    assert result.written == 557


def test_a_bad_condition_is_refused_before_anything_is_written(conn, topics):
    with pytest.raises(SourceError, match="does not run"):
        predict_rows(conn, topics, "messages", PredictRequest(where="nonsense = 1"))
    assert "topics_label" not in [r[1] for r in rows(conn, "pragma table_info(messages)")]


def test_rows_without_a_text_get_null_and_are_counted(conn, topics):
    predict_rows(conn, topics, "messages")
    conn.execute("update messages set message = null where id = 3")
    conn.execute("update messages set message = x'00' where id = 4")
    conn.execute("update messages set message = ' ' where id = 5")
    conn.commit()
    result = predict_rows(conn, topics, "messages")
    assert result.skipped == 3
    assert rows(conn, "select id from messages where topics_label is null") == [(3,), (4,), (5,)]


def test_a_users_column_is_never_overwritten_unless_asked(conn, topics):
    conn.execute("alter table messages add column Topics_Score text")
    conn.execute("update messages set topics_score = 'precious'")
    conn.commit()
    with pytest.raises(PredictError, match="already has a column Topics_Score"):
        predict_rows(conn, topics, "messages")
    assert value(conn, "select distinct topics_score from messages") == "precious"
    assert "topics_label" not in [r[1] for r in rows(conn, "pragma table_info(messages)")]
    predict_rows(conn, topics, "messages", PredictRequest(overwrite=True))
    assert value(conn, "select count(*) from messages where topics_score = 'precious'") == 0
    predict_rows(conn, topics, "messages")  # its own now, however its name is written


def test_columns_of_another_classifier_are_not_taken_over(conn, topics):
    columns = Columns.named("guess")
    predict_rows(conn, topics, "messages", PredictRequest(columns=columns))
    with pytest.raises(PredictError, match="guess_label"):
        predict_rows(
            conn, find_classifier(conn, "urgent"), "messages", PredictRequest(columns=columns)
        )
    predict_rows(conn, topics, "messages", PredictRequest(columns=columns))  # its own: no question


@pytest.mark.parametrize("name", ["message", "topic", "id"])
def test_what_the_classifier_reads_is_never_written(conn, topics, name):
    columns = Columns(name, None, None, None)
    with pytest.raises(PredictError, match="choose another name"):
        predict_rows(conn, topics, "messages", PredictRequest(columns=columns, overwrite=True))


def test_names_can_be_chosen_and_left_out(conn, topics):
    columns = Columns.named("x").renamed({"label": 'odd "name]', "logprobs": ""})
    predict_rows(conn, topics, "messages", PredictRequest(columns=columns))
    names = [r[1] for r in rows(conn, "pragma table_info(messages)")]
    assert 'odd "name]' in names
    assert "x_logprobs" not in names
    assert value(conn, 'select count(*) from messages where "odd ""name]" is not null') == 557


SHAPES = {
    "integer key": "create table [t] (id integer primary key, message text)",
    "text key": "create table [t] (id text primary key, message text)",
    "compound key": "create table [t] (id text, n integer, message text, primary key (n, id))",
    "no key": "create table [t] (id text, message text)",
    "without rowid": "create table [t] (id text primary key, message text) without rowid",
    "compound without rowid": (
        "create table [t] (id text, n integer, message text, primary key (n, id)) without rowid"
    ),
    "blob key without rowid": (
        "create table [t] (id blob primary key, message text) without rowid"
    ),
    "real key": "create table [t] (id real primary key, message text)",
    "real key without rowid": "create table [t] (id real primary key, message text) without rowid",
    "a column called rowid": "create table [t] (rowid text, id text, message text)",
    "hostile names": 'create table [t] (id text, "me""ss age.[x" text)',
}


def fill(conn, shape):
    """Makes the table `t` of 175 messages: of a shape with two columns."""
    conn.execute(SHAPES[shape])
    texts = [(n, m["message"]) for n, m in enumerate(messages()[:175])]
    conn.executemany("insert into t values (?, ?)", texts)
    conn.commit()


def stop_at(rows_done, conn, classifier, table):
    def stop(done, total):
        if done == rows_done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        predict_rows(conn, classifier, table, progress=stop)


@pytest.mark.parametrize("shape", SHAPES)
def test_every_kind_of_table(conn, topics, shape, monkeypatch):
    monkeypatch.setattr(predict_module, "BATCH", 50)
    conn.execute(SHAPES[shape])
    columns = [r[1] for r in rows(conn, "pragma table_info(t)")]
    for number, message in enumerate(messages()[:175]):
        made = {
            "id": f"k{number % 60}" if "n" in columns else f"k{number:03}",
            "n": number // 60,
            "rowid": "same",
        }
        if shape == "blob key without rowid":
            made["id"] = bytes([number])
        if shape.startswith("real key"):
            made["id"] = {0: -math.inf, 174: math.inf}.get(number, number / 7)
        if shape == "integer key":
            made["id"] = number * 7 - 300
        cells = [made.get(column, message["message"]) for column in columns]
        conn.execute(f"insert into t values ({', '.join('?' * len(cells))})", cells)
    if shape == "text key":
        conn.execute("insert into t values (null, 'a blocked drain'), (null, 'a loud party')")
    conn.commit()
    if shape == "hostile names":
        definition = json.dumps({**topics.task.to_dict(), "text": ['me"ss age.[x']})
        conn.execute("update _ftclassify_tasks set definition = ? where id = 1", [definition])
        conn.commit()
        topics = find_classifier(conn, "topics")
    result = predict_rows(conn, topics, "t")
    assert result.written == result.total == value(conn, "select count(*) from t")
    assert value(conn, "select count(*) from t where topics_label is null") == 0
    assert value(conn, "select count(distinct topics_score) from t") > 150
    assert [job.state for job in list_jobs(conn) if job.kind == "predict"] == ["finished"]


def test_a_key_that_is_no_utf_8_ends_the_job_and_not_never(conn, topics):
    conn.execute(SHAPES["without rowid"])
    conn.execute("insert into t values ('a\ufffd', 'a blocked drain')")
    conn.execute("insert into t values (cast(x'62ff' as text), 'a loud party')")
    conn.commit()
    with pytest.raises(PredictError, match="not valid UTF-8"):
        predict_rows(conn, topics, "t")
    assert predict_rows(conn, topics, "t", PredictRequest(where="id < 'b'")).written == 1


@pytest.mark.parametrize(
    ("made", "error", "why"),
    [
        ("view t as select * from messages", PredictError, "is a view"),
        ("virtual table t using fts5(message)", PredictError, "is a virtual table"),
        ("table t (msg text)", SourceError, "no column message"),
    ],
)
def test_what_cannot_be_written_is_refused_in_plain_words(conn, topics, made, error, why):
    conn.execute(f"create {made}")
    with pytest.raises(error, match=why):
        predict_rows(conn, topics, "t")


def test_an_empty_table_finishes(conn, topics):
    conn.execute("create table none_yet (message text)")
    result = predict_rows(conn, topics, "none_yet")
    assert (result.total, result.written) == (0, 0)
    assert value(conn, "select state from _ftclassify_jobs") == "finished"


def test_rows_that_arrive_during_the_job_are_classified_too(conn, topics, monkeypatch):
    monkeypatch.setattr(predict_module, "BATCH", 100)

    def arrive(done, total):
        if done == 100:
            conn.execute("insert into messages (message) values ('a late message about noise')")
            conn.commit()

    result = predict_rows(conn, topics, "messages", progress=arrive)
    assert (result.written, result.total) == (558, 558)


@pytest.mark.parametrize(
    ("shape", "written"),
    [("integer key", 175), ("text key", 175), ("no key", 103), ("without rowid", 175)],
)
def test_a_vacuum_half_way_loses_no_row_and_mixes_none_up(
    conn, topics, trained, monkeypatch, shape, written
):
    monkeypatch.setattr(predict_module, "BATCH", 50)
    conn.execute(SHAPES[shape])
    for number, message in enumerate(messages()[:175]):
        key = 3 * number if shape == "integer key" else f"k{number:03}"
        conn.execute("insert into t values (?, ?)", [key, message["message"]])
    conn.commit()
    predict_rows(conn, topics, "t", PredictRequest(columns=Columns.named("right")))
    gone = [key for (key,) in rows(conn, "select id from t order by id limit 89")[17:]]
    real, vacuums = predict_module._answers, []

    def answers_after_a_vacuum(*arguments):
        if not vacuums and list_jobs(conn)[0].done == 100:
            with closing(sqlite3.connect(trained)) as other:
                other.executemany("delete from t where id = ?", [[key] for key in gone])
                other.commit()
                other.execute("vacuum")
            vacuums.append(True)
        return real(*arguments)

    monkeypatch.setattr(predict_module, "_answers", answers_after_a_vacuum)
    result = predict_rows(conn, topics, "t")
    assert vacuums == [True]
    assert value(conn, "select count(*) from t where topics_label is null") == 0
    assert value(conn, "select count(*) from t where topics_score is not right_score") == 0
    assert result.written == written
    assert ("starts over" in str(job_events(conn, list_jobs(conn)[0].id))) == (shape == "no key")


def test_a_vacuum_between_two_attempts(conn, topics, monkeypatch):
    monkeypatch.setattr(predict_module, "BATCH", 50)
    fill(conn, "no key")
    stop_at(100, conn, topics, "t")
    conn.execute("delete from t where rowid < 90")
    conn.commit()
    conn.execute("vacuum")
    assert predict_rows(conn, topics, "t").resumed_at == 0
    assert value(conn, "select count(*) from t where topics_label is null") == 0


def test_a_table_that_was_made_anew_is_classified_from_its_first_row(conn, topics, monkeypatch):
    monkeypatch.setattr(predict_module, "BATCH", 50)
    fill(conn, "integer key")
    stop_at(50, conn, topics, "t")
    conn.execute("drop table t")
    fill(conn, "integer key")
    assert predict_rows(conn, topics, "t").written == 175
    assert value(conn, "select count(*) from t where topics_label is null") == 0


@pytest.mark.parametrize(
    "change",
    [
        "alter table messages rename column message to body",
        "alter table messages rename column topics_label to label",
        "alter table messages rename to letters",
    ],
)
def test_a_table_that_is_changed_half_way_fails_the_job_in_plain_words(
    conn, topics, monkeypatch, change
):
    """SQLite takes the quoted name of a column that is gone for a text, and all rows for that."""
    monkeypatch.setattr(predict_module, "BATCH", 100)

    def alter(done, total):
        if done == 200:
            conn.execute(change)

    with pytest.raises(sqlite3.OperationalError, match="no such"):
        predict_rows(conn, topics, "messages", progress=alter)
    job = list_jobs(conn)[0]
    assert (job.state, job.done) == ("failed", 200)
    assert "A table was changed while the job was at it: no such" in job.error


@pytest.mark.parametrize("shape", ["integer key", "no key"])
def test_a_table_that_becomes_a_view_half_way_is_not_said_to_be_done(
    conn, topics, monkeypatch, shape
):
    """The rows of a view come after none: they would all be left out."""
    monkeypatch.setattr(predict_module, "BATCH", 50)
    fill(conn, shape)

    def replace(done, total):
        if done == 100:
            conn.execute("alter table t rename to behind")
            conn.execute("create view t as select * from behind")

    with pytest.raises(PredictError, match="changed while the job was at it"):
        predict_rows(conn, topics, "t", progress=replace)
    assert (list_jobs(conn)[0].state, list_jobs(conn)[0].done) == ("failed", 100)


def test_a_database_that_others_keep_busy_fails_no_job(conn, topics, trained, monkeypatch):
    monkeypatch.setattr(predict_module, "BATCH", 100)
    conn.execute("pragma busy_timeout = 10")
    with closing(sqlite3.connect(trained, isolation_level=None)) as other:

        def lock(done, total):
            if done == 200:
                other.execute("begin immediate")

        with pytest.raises(sqlite3.OperationalError, match="locked"):
            predict_rows(conn, topics, "messages", progress=lock)
    with conn:  # as when the process has ended
        assert value(conn, "select error from _ftclassify_jobs") is None
        conn.execute("update _ftclassify_jobs set owner = null")
    assert list_jobs(conn)[0].interrupted
    assert predict_rows(conn, topics, "messages").resumed_at == 200


def test_a_table_that_is_changed_again_and_again_is_given_up(conn, topics, monkeypatch):
    monkeypatch.setattr(predict_module, "BATCH", 50)
    fill(conn, "no key")

    def change(done, total):
        conn.execute(f"create table if not exists other{time.monotonic_ns()} (x)")

    with pytest.raises(PredictError, match="has no primary key"):
        predict_rows(conn, topics, "t", progress=change)


def test_others_can_write_while_texts_are_classified(conn, topics, trained, monkeypatch):
    """The write lock is held for the writing alone, not for the thinking."""
    monkeypatch.setattr(predict_module, "BATCH", 100)
    real = predict_module._answers
    written = []

    def answers_while_somebody_writes(*arguments):
        with closing(sqlite3.connect(trained, timeout=0)) as other, other:
            other.execute("update messages set ward = 'Abbey' where id = 1")
        written.append(True)
        return real(*arguments)

    monkeypatch.setattr(predict_module, "_answers", answers_while_somebody_writes)
    predict_rows(conn, topics, "messages")
    assert len(written) == 6


@pytest.mark.parametrize("shape", ["integer key", "no key"])
@pytest.mark.parametrize("way", ["edited", "another row in its place"])
@pytest.mark.parametrize("always", [False, True])
def test_no_answer_is_written_beside_a_text_that_it_is_not_about(
    conn, topics, trained, monkeypatch, shape, way, always
):
    monkeypatch.setattr(predict_module, "BATCH", 50)
    fill(conn, shape)
    real, edits = predict_module._answers, []

    def answers_while_somebody_edits(batch, *rest):
        found = real(batch, *rest)
        if batch and batch[0][0][0] > 40 and (always or not edits):
            edits.append(messages()[200 + len(edits)]["message"])
            with closing(sqlite3.connect(trained)) as other, other:
                if way == "edited":
                    other.execute("update t set message = ? where rowid in (60, 160)", edits[-1:])
                else:
                    other.execute("delete from t where rowid in (60, 160)")
                    sql = "insert into t (rowid, message) values (?, ?)"
                    other.executemany(sql, [(n, edits[-1]) for n in (60, 160)])
        return found

    monkeypatch.setattr(predict_module, "_answers", answers_while_somebody_edits)
    result = predict_rows(conn, topics, "t")
    monkeypatch.undo()
    predict_rows(conn, topics, "t", PredictRequest(columns=Columns.named("right")))
    wrong = "topics_label is not null and topics_score is not right_score"
    assert value(conn, f"select count(*) from t where {wrong}") == 0
    left = 2 if always else 0
    assert value(conn, "select count(*) from t where topics_label is null") == left
    assert (result.written, sum(result.reasons.values())) == (175 - left, left)


def test_an_error_half_way_keeps_what_was_written_and_goes_on(conn, topics, monkeypatch):
    monkeypatch.setattr(predict_module, "BATCH", 100)
    stop_at(300, conn, topics, "messages")
    assert value(conn, "select count(*) from messages where topics_label is not null") == 300
    result = predict_rows(conn, topics, "messages")
    assert (result.resumed_at, result.written) == (300, 557)
    assert predict_rows(conn, topics, "messages").resumed_at == 0  # finished: a new run


SLOW = """
import sys
from datasette_ftclassify.jobs import predict
from datasette_ftclassify.core.database import connect
from datasette_ftclassify.store.classifiers import find_classifier
predict.BATCH = 10
conn = connect(sys.argv[1])
conn.execute("create table if not exists seen (id)")
predict.predict_rows(conn, find_classifier(conn, "topics"), "messages",
                     progress=lambda done, total: print(done, flush=True))
"""


def test_kill_9_loses_no_row_and_writes_none_twice(conn, trained):
    conn.execute("create table written (id integer)")
    conn.execute(
        "create trigger noted after update on messages begin"
        " insert into written values (new.id); end"
    )
    conn.commit()
    kills = 0
    while True:
        process = subprocess.Popen(
            [sys.executable, "-c", SLOW, str(trained)], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        for lines, _ in enumerate(process.stdout, 1):
            if kills < 4 and lines == 3 + kills:
                os.kill(process.pid, signal.SIGKILL)
                kills += 1
                break
        process.stdout.close()
        if process.wait() == 0:
            break
    assert kills == 4
    assert value(conn, "select count(*) from messages where topics_label is null") == 0
    assert rows(conn, "select id from written group by id having count(*) > 1") == []
    assert value(conn, "select count(*) from written") == 557


def test_what_fails_before_the_first_row_leaves_no_columns_and_goes_on(conn, topics, monkeypatch):
    """The columns, the note that they are ours and the first rows come into being together."""

    def fail(*_):
        raise sqlite3.OperationalError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr(plan_module, "save_progress", fail)
        with pytest.raises(sqlite3.OperationalError, match="disk full"):
            predict_rows(conn, topics, "messages")
    assert "topics_label" not in [r[1] for r in rows(conn, "pragma table_info(messages)")]
    assert predict_rows(conn, topics, "messages").written == 557


def test_a_table_of_full_text_is_refused_with_what_to_do(conn, topics):
    conn.execute("create virtual table letters using fts5(message)")
    with pytest.raises(PredictError, match=r"create table copied as select \* from \"letters\""):
        predict_rows(conn, topics, "letters")
    conn.execute('create table copied as select * from "letters"')
    assert predict_rows(conn, topics, "copied").total == 0
