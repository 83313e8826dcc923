"""Answers that are older than their text or their classifier are found, and made again alone."""

from __future__ import annotations

import json
import sqlite3

import pytest
from commands import run, run_json
from sample_databases import rows, value

from datasette_ftclassify.core.errors import PredictError
from datasette_ftclassify.jobs.columns import Columns
from datasette_ftclassify.jobs.new_rows import EditSearch, queue_new_rows, submit_follow
from datasette_ftclassify.jobs.plan import Plan, PredictRequest
from datasette_ftclassify.jobs.predict import predict_rows
from datasette_ftclassify.jobs.runner import run_job
from datasette_ftclassify.jobs.stale import (
    answers_in,
    count_ages,
    find_answers_in,
    stale_rows,
    submit_stale,
)
from datasette_ftclassify.store.classifiers import find_classifier
from datasette_ftclassify.store.jobs.state import get_job
from datasette_ftclassify.store.minimum_scores import MinimumScore, set_minimum
from datasette_ftclassify.trainers.access import Access

TABLES = {
    "a rowid": "create table notes (message)",
    "a text key": "create table notes (id text primary key, message)",
    "a compound key": "create table notes (a integer, b text, message, primary key (b, a))",
    "no rowid": (
        "create table notes (a integer, b blob, message, primary key (a, b)) without rowid"
    ),
}


def new_version(conn: sqlite3.Connection) -> None:
    """The same model, as another training would have stored it."""
    columns = [row[1] for row in conn.execute("pragma table_info(_ftclassify_classifiers)")]
    same = ", ".join(c for c in columns if c not in ("id", "uid", "version"))
    with conn:
        made = conn.execute(
            f"insert into _ftclassify_classifiers (uid, version, {same})"
            f" select 'another', 2, {same} from _ftclassify_classifiers where name = 'topics'"
        ).lastrowid
        conn.execute(
            "insert into _ftclassify_artifacts (classifier_id, part, data) select ?, part, data"
            " from _ftclassify_artifacts where classifier_id ="
            " (select id from _ftclassify_classifiers where name = 'topics' and version = 1)",
            [made],
        )


def ages(conn: sqlite3.Connection, table: str = "notes") -> dict[str, int]:
    (answers,) = answers_in(conn, table)
    return {k: n for k, n in count_ages(conn, answers.plan(conn)).counts.items() if n}


def redo(conn: sqlite3.Connection, table: str = "notes"):
    (answers,) = answers_in(conn, table)
    request = answers.request()
    plan = Plan.of(conn, answers.classifier, table, request)
    job = submit_stale(conn, answers, plan, request)
    return run_job(conn, job.id, access=Access()).result


def fill(conn: sqlite3.Connection, kind: str) -> None:
    conn.execute(TABLES[kind])
    keys = {"a rowid": "", "a text key": "'k' || n,", "a compound key": "n, 'b',",
            "no rowid": "n, x'ff00',"}[kind]  # fmt: skip
    with conn:
        conn.execute(
            "with recursive c(n) as (select 1 union all select n + 1 from c where n < 9)"
            f" insert into notes select {keys} case n when 3 then null when 4 then x'ff'"
            " when 5 then '' else 'The drain floods, ' || n end from c"
        )


@pytest.mark.parametrize("kind", TABLES)
def test_an_edited_text_is_answered_again_and_no_other(conn, topics, kind):
    fill(conn, kind)
    predict_rows(conn, topics, "notes")
    assert ages(conn) == {"current": 9}
    with conn:
        conn.execute("update notes set topics_label = 'seen'")
        conn.execute(
            "update notes set message = 'The bins were not emptied' where message like '%8'"
        )
        conn.execute("update notes set message = 'A new text' where message is null")
        conn.execute("update notes set message = null where message like '%9'")
    assert ages(conn) == {"current": 6, "text": 3}
    result = redo(conn)
    assert (result["rows"], result["predicted"], result["skipped"]) == (3, 2, 1)
    assert ages(conn) == {"current": 9}
    assert value(conn, "select count(*) from notes where topics_label = 'seen'") == 6
    assert rows(conn, "select topics_label from notes where message is null") == [(None,)]


def test_vacuum_makes_nothing_stale(conn, topics):
    fill(conn, "a text key")
    predict_rows(conn, topics, "notes")
    with conn:
        conn.execute("delete from notes where id = 'k2'")
    conn.execute("vacuum")
    assert ages(conn) == {"current": 8}


def test_a_replaced_row_has_no_answer_and_one_of_an_older_file_is_of_unknown_age(conn, topics):
    fill(conn, "a text key")
    predict_rows(conn, topics, "notes")
    with conn:
        conn.execute("replace into notes (id, message) values ('k1', 'The drain floods, 1')")
        conn.execute("update notes set topics_fingerprint = null where id = 'k2'")
        conn.execute("update notes set topics_fingerprint = 'odd' where id = 'k6'")
    assert ages(conn) == {"current": 6, "none": 1, "unknown": 2}
    assert redo(conn)["rows"] == 2
    assert ages(conn) == {"current": 8, "none": 1}


def test_a_newer_version_makes_all_answers_stale(conn, topics):
    fill(conn, "a rowid")
    predict_rows(conn, topics, "notes", PredictRequest(where="rowid < 8"))
    new_version(conn)
    with conn:
        conn.execute("update notes set message = 'Another' where rowid = 2")
    assert ages(conn) == {"classifier": 7, "none": 2}
    assert redo(conn)["rows"] == 7
    assert ages(conn) == {"current": 7, "none": 2}


def test_a_changed_minimum_score_counts_where_it_was_the_classifiers(conn, topics):
    fill(conn, "a rowid")
    own, fixed = Columns.named("own", ["label", "fingerprint"]), 0.5
    predict_rows(conn, topics, "notes", PredictRequest(columns=own))
    asked = Columns.named("fixed", ["label", "fingerprint"])
    predict_rows(conn, topics, "notes", PredictRequest(columns=asked, threshold=fixed))
    set_minimum(conn, topics, MinimumScore("fixed", 1.0))
    stale = {
        one.column: count_ages(conn, one.plan(conn)).stale for one in answers_in(conn, "notes")
    }
    assert stale == {"own_fingerprint": 9, "fixed_fingerprint": 0}
    own_answers = find_answers_in(conn, "notes", topics, "own_fingerprint")
    predict_rows(conn, topics, "notes", own_answers.request())
    assert value(conn, "select count(own_label) from notes") == 0
    with pytest.raises(PredictError, match="several columns"):
        find_answers_in(conn, "notes", topics)


def test_thresholds_of_several_labels_count(conn):
    fill(conn, "a rowid")
    subjects = find_classifier(conn, "subjects")
    predict_rows(conn, subjects, "notes")
    n = len(subjects.labels)
    set_minimum(conn, subjects, MinimumScore("likely", thresholds=(0.1,) * n, figure="recall"))
    assert ages(conn) == {"classifier": 9}
    redo(conn)
    assert ages(conn) == {"current": 9}


def test_stale_rows_are_listed_page_by_page(conn, topics):
    fill(conn, "no rowid")
    predict_rows(conn, topics, "notes")
    with conn:
        conn.execute("update notes set message = message || '!' where message like 'The%'")
    (answers,) = answers_in(conn, "notes")
    plan = answers.plan(conn)
    first, after = stale_rows(conn, plan, 4)
    rest, end = stale_rows(conn, plan, 4, after=after)
    assert [row.key[0] for row in (*first, *rest)] == [1, 2, 6, 7, 8, 9]
    assert end is None
    assert {row.age for row in first} == {"text"}
    assert stale_rows(conn, plan, 4, age="classifier") == ([], None)


def test_a_column_that_is_gone_holds_no_answers(conn, topics):
    fill(conn, "a rowid")
    predict_rows(conn, topics, "notes")
    (answers,) = answers_in(conn, "notes")
    with conn:
        conn.execute(f"alter table notes rename column {answers.column} to was")
    assert answers_in(conn, "notes") == []


def test_without_the_column_nothing_is_told(conn, topics):
    fill(conn, "a rowid")
    predict_rows(conn, topics, "notes", PredictRequest(columns=Columns.named("x")))
    assert answers_in(conn, "notes") == []
    request = PredictRequest(columns=Columns.named("x"), stale=True)
    with pytest.raises(PredictError, match="column fingerprint"):
        predict_rows(conn, topics, "notes", request)


def test_numbers_in_a_column_for_texts_tell_it_as_well(conn, topics):
    fill(conn, "a rowid")
    conn.execute("alter table notes add column topics_fingerprint text")
    predict_rows(conn, topics, "notes", PredictRequest(overwrite=True))
    (answers,) = answers_in(conn, "notes")
    assert count_ages(conn, answers.plan(conn)).stale == 0


def test_the_command_makes_stale_answers_again(trained, conn, topics):
    fill(conn, "a compound key")
    predict_rows(conn, topics, "notes", PredictRequest(threshold=0.2))
    with conn:
        conn.execute("update notes set message = 'A pothole' where a = 2")
    command = ["predict", str(trained), "notes", "--classifier", "topics", "--stale"]
    told = run(*command)
    assert "1 row of notes is stale: 1 the text was changed." in told.output
    assert "classified 1 of 1 row" in told.output
    said = run_json(*command)
    assert (said["rows"], said["stale"]["stale"], said["stale"]["current"]) == (0, 0, 9)
    refused = run(*command, "--min-score", "0.3", code=2)
    assert "leave out --min-score" in refused.output


def test_stale_answers_are_made_again_by_who_wrote_them(trained, conn, topics):
    """Not by a newer classifier of the table, which has answered nothing."""
    fill(conn, "a rowid")
    conn.execute("alter table notes add column topic")
    predict_rows(conn, topics, "notes")
    task = json.dumps({**topics.task.to_dict(), "source": "notes"})
    with conn:
        conn.execute(
            "update _ftclassify_tasks set definition = ? where id ="
            " (select task_id from _ftclassify_classifiers where name = 'topics')",
            [task],
        )
        new_version(conn)
        conn.execute("update _ftclassify_classifiers set name = 'student' where uid = 'another'")
        conn.execute("update _ftclassify_settings set value = 'gone' where key = 'default'")
        conn.execute("update notes set message = 'A pothole' where rowid = 2")
    command = ["predict", str(trained), "notes", "--stale"]
    assert "topics@1 classified 1 of 1 row" in run(*command).output
    predict_rows(conn, find_classifier(conn, "student"), "notes")
    refused = run(*command, code=2).output
    assert "choose one of student, topics (--classifier)." in refused
    assert run_json(*command, "--columns-prefix", "student")["classifier"] == "student"


# Following


def follow(conn: sqlite3.Connection, topics):
    request = PredictRequest()
    job = submit_follow(conn, Plan.of(conn, topics, "notes", request), request)
    run_job(conn, job.id, access=Access())
    return job.id


@pytest.mark.parametrize("kind", TABLES)
def test_edits_are_followed(conn, topics, kind):
    fill(conn, kind)
    job = follow(conn, topics)
    assert queue_new_rows(conn) == []
    with conn:
        conn.execute("update notes set topics_label = 'seen'")
        conn.execute("update notes set message = 'The bins' where message like '%8'")
    assert queue_new_rows(conn) == [job]
    run_job(conn, job, access=Access())
    assert value(conn, "select count(*) from notes where topics_label = 'seen'") == 8
    assert queue_new_rows(conn) == []
    with conn:
        names = {"a rowid": "", "a text key": "'a0',", "a compound key": "0, 'a',",
                 "no rowid": "0, x'00',"}[kind]  # fmt: skip
        columns = ", ".join(c for _, c, *_ in conn.execute("pragma table_info(notes)")
                            if not c.startswith("topics_"))  # fmt: skip
        conn.execute(
            f"insert into notes ({columns}) values ({names} 'A new row, before the others')"
        )
    assert queue_new_rows(conn) == [job]
    run_job(conn, job, access=Access())
    assert ages(conn) == {"current": 10}
    assert queue_new_rows(conn) == []


def test_a_row_that_a_trigger_keeps_is_tried_once(conn, topics):
    fill(conn, "no rowid")
    job = follow(conn, topics)
    with conn:
        conn.execute("update notes set message = 'A pothole' where a = 2")
        conn.execute(
            "create trigger kept before update on notes when old.a = 2"
            " begin select raise(ignore); end"
        )
    search = EditSearch()
    assert queue_new_rows(conn, search=search) == [job]
    run_job(conn, job, access=Access())
    assert get_job(conn, job).state == "finished"
    assert queue_new_rows(conn, search=search) == []


def test_texts_are_read_again_only_when_the_file_has_changed(conn, topics):
    fill(conn, "a rowid")
    job = follow(conn, topics)
    search = EditSearch()
    assert queue_new_rows(conn, search=search) == []
    read: list[str] = []
    conn.set_trace_callback(read.append)
    assert queue_new_rows(conn, search=search) == []
    assert not [sql for sql in read if "topics_fingerprint" in sql and "limit 1000" in sql]
    conn.set_trace_callback(None)
    with conn:
        conn.execute("update notes set message = 'A pothole' where rowid = 2")
    assert queue_new_rows(conn, search=search) == [job]


def test_a_search_goes_on_where_its_time_was_over(conn, topics):
    conn.execute("create table notes (message)")
    with conn:
        conn.execute(
            "with recursive c(n) as (select 1 union all select n + 1 from c where n < 2500)"
            " insert into notes select 'drain ' || n from c"
        )
    job = follow(conn, topics)
    with conn:
        conn.execute("update notes set message = 'A pothole' where rowid = 2400")
    search = EditSearch(seconds=-1)
    assert [queue_new_rows(conn, search=search) for _ in range(3)] == [[], [], [job]]


def test_a_newer_version_takes_the_following_over(conn, topics):
    fill(conn, "a rowid")
    first = follow(conn, topics)
    new_version(conn)
    assert redo(conn)["rows"] == 9
    with conn:
        conn.execute("update notes set message = 'A pothole' where rowid = 2")
    (second,) = queue_new_rows(conn)
    assert second != first
    run_job(conn, second, access=Access())
    assert ages(conn) == {"current": 9}


def test_answers_that_another_job_made_are_not_undone(conn, topics):
    """Two jobs with other minimum scores would take turns for ever."""
    fill(conn, "a rowid")
    follow(conn, topics)
    predict_rows(conn, topics, "notes", PredictRequest(threshold=0.99))
    assert queue_new_rows(conn) == []
