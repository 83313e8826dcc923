"""A class for what is none of the labels: previewed, then trained, and nobody's labels changed."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace

import pytest
from commands import run, run_json
from sample_databases import rows, value
from sports import FOOTBALLERS, INSERT, ROWS, football, sports

from datasette_ftclassify.core.database import connect, relation
from datasette_ftclassify.core.errors import SourceError, TaskError, TrainingError
from datasette_ftclassify.core.examples import read_records
from datasette_ftclassify.core.other_class import keys_condition, other_keys, with_other
from datasette_ftclassify.core.task import Task, define
from datasette_ftclassify.core.typed_json import as_json
from datasette_ftclassify.jobs.other_rows import least_known, new_version, other_task, preview_other
from datasette_ftclassify.jobs.train import train_classifier
from datasette_ftclassify.jobs.train_request import TrainRequest
from datasette_ftclassify.jobs.train_version import version_request
from datasette_ftclassify.sql.functions import register
from datasette_ftclassify.store.classifiers import find_classifier

FOOTBALL = 40
MARK = "text like '%offside%'"


@pytest.fixture
def conn(sports_db) -> Iterator[sqlite3.Connection]:
    """Two sports with labels; hockey, baseball and football without."""
    with closing(connect(sports_db)) as conn:
        with conn:
            more = sports(60, seed=8)[0] + football(FOOTBALL)
            conn.executemany(INSERT, [(text, None) for text in more])
        yield conn


def task_of(conn: sqlite3.Connection, **given) -> Task:
    given = {"where": MARK, "params": {}, "label": "other", **given}
    return other_task(conn, find_classifier(conn, "sports"), **given)


def test_the_preview_says_what_it_would_catch_and_misplace(conn):
    found = preview_other(conn, task_of(conn))
    assert (found.label, found.rows, found.labelled) == ("other", FOOTBALL, ROWS)
    assert found.caught > 0.9 * FOOTBALL
    assert sum(found.misplaced.values()) < 0.1 * ROWS
    assert found.now > found.before - 0.05
    assert found.unlabelled == 60
    assert found.also <= 3
    json.dumps(as_json(found))
    mixed = preview_other(conn, task_of(conn, where="sport is null"))
    assert sum(mixed.misplaced.values()) > sum(found.misplaced.values())
    assert mixed.wrong[0].answer == "other"
    assert mixed.wrong[0].label in ("hockey", "baseball")
    assert (mixed.unlabelled, mixed.also) == (0, 0)


def test_the_preview_says_which_other_rows_would_get_the_class(conn):
    marked = f"id between {ROWS + 61} and {ROWS + 80}"
    found = preview_other(conn, task_of(conn, where=marked))
    assert (found.rows, found.unlabelled) == (20, 60 + FOOTBALL - 20)
    assert found.also >= 18  # the football that nobody marked, and little else
    assert found.also <= 23
    assert all("offside" in row.text for row in found.others[:5])


def test_the_new_version_answers_football_with_it_and_writes_no_label(conn, sports_db):
    before = rows(conn, "select id, sport from texts order by id")
    ran = run("classifiers", "other", sports_db, "sports", "--where", MARK, "--yes")
    assert f"The class other of {FOOTBALL} rows" in ran.output
    assert rows(conn, "select id, sport from texts order by id") == before
    classifier = find_classifier(conn, "sports")
    assert classifier.version == 2
    assert classifier.labels.names == ("baseball", "hockey", "other")
    assert classifier.task.other is not None
    assert classifier.task.other.where == MARK
    assert Task.from_dict(classifier.task.to_dict()) == classifier.task
    register(conn)
    for text in FOOTBALLERS[:2]:
        assert value(conn, "select ft_classify(?)", [text]) == "other"
    right = value(conn, "select avg(ft_classify(text) = sport) from texts where sport is not null")
    assert right > 0.9


def test_a_version_after_that_keeps_the_class(conn):
    """A correction of labels must not lose it without a word."""
    request = new_version(conn, find_classifier(conn, "sports"))
    second = train_classifier(conn, task_of(conn), request).classifier
    third = train_classifier(conn, *version_request(conn, second)).classifier
    assert third.task.other == second.task.other
    assert third.labels.names == ("baseball", "hockey", "other")


def test_unlabelled_rows_that_are_least_known_are_proposed(conn, sports_db):
    found = least_known(conn, find_classifier(conn, "sports"), most=30, below=0.05)
    assert len(found) == 30
    assert sum("offside" in row.text for row in found) >= 27
    assert [row.known for row in found] == sorted(row.known for row in found)
    assert {row.answer for row in found} <= {"hockey", "baseball"}
    command = ["classifiers", "other", str(sports_db), "sports", "--least-known", "30"]
    ran = run(*command, "--preview")
    assert "Rows that are least like the training rows" in ran.output
    assert "caught" in ran.output
    assert find_classifier(conn, "sports").version == 1
    data = run_json(*command, "--preview")
    assert data["rows"] == 30
    refused = run(*command, code=1)
    assert "add --yes" in refused.output
    run(*command, "--where", "1", code=2)


@pytest.mark.parametrize("code", ["'c' || id", "10000 - id"])
def test_proposed_rows_have_the_key_that_marks_them(conn, code):
    """Where it is not the number that SQLite gives a row, which would mark other rows or none."""
    kind = "text" if "||" in code else "int"
    with conn:
        conn.execute(f"create table coded (code {kind} primary key, text text, sport text)")
        conn.execute(f"insert into coded select {code}, text, sport from texts")
    task = define(conn, "coded", text=["text"], labels=["sport"])
    classifier = train_classifier(conn, task, TrainRequest(name="coded")).classifier
    found = least_known(conn, classifier, most=30, below=0.05)
    assert len(found) == 30
    source = relation(conn, "coded")
    for row in found:
        marked = f"select text from coded where {keys_condition(source, [row.key])}"
        assert conn.execute(marked).fetchall() == [(row.text,)]


def test_labels_that_somebody_gave_are_kept(conn):
    """The condition is met by all rows; only those without a label are of the class."""
    task = task_of(conn, where="1")
    labels = [record.labels.values for record in read_records(conn, task)]
    assert labels.count(("other",)) == 60 + FOOTBALL
    assert len(other_keys(conn, task)) == 60 + FOOTBALL
    given = {key[0] for key in other_keys(conn, task)}
    assert given == {i for (i,) in rows(conn, "select id from texts where sport is null")}


def test_the_settings_of_the_training_are_kept(conn):
    classifier = find_classifier(conn, "sports")
    assert new_version(conn, classifier).plan.test == 0.4
    with conn:
        conn.execute("delete from _ftclassify_jobs")
    without_job = new_version(conn, classifier)
    assert (without_job.plan.test, without_job.name) == (0.4, "sports")


def test_rows_may_be_marked_one_by_one(conn):
    source = relation(conn, "texts")
    task = task_of(conn, where=keys_condition(source, [(ROWS + 61,), (ROWS + 62,)]))
    assert other_keys(conn, task) == {(ROWS + 61,), (ROWS + 62,)}
    with conn:
        conn.execute("create table pairs (a text, b real, text, label, primary key (a, b))")
        conn.execute("insert into pairs values ('it''s', 1.5, 'x', null), ('b', 2, 'y', null)")
    pairs = define(conn, "pairs", text=["text"], labels=["label"], kind="multiclass")
    where = keys_condition(relation(conn, "pairs"), [("it's", 1.5)])
    assert other_keys(conn, with_other(conn, pairs, where)) == {("it's", 1.5)}


@pytest.mark.parametrize("key", ["a\0b", float("inf"), 1e-9 / 3])
def test_a_key_that_sql_might_read_as_another_marks_no_row(conn, key):
    with conn:
        conn.execute("create table if not exists odd (id primary key, text, sport)")
    with pytest.raises(TaskError, match="mark the rows by a condition"):
        keys_condition(relation(conn, "odd"), [(key,)])


@pytest.mark.parametrize(
    ("given", "error", "said"),
    [
        ({"where": "nope = 1"}, SourceError, "no such column"),
        ({"where": "1) or (1=1"}, SourceError, "condition"),
        ({"label": "hockey"}, TaskError, "has a label hockey already"),
        ({"label": " "}, TaskError, "1 to 200 characters"),
        ({"label": "a\nb"}, TaskError, "1 to 200 characters"),
    ],
)
def test_what_makes_no_class_is_refused(conn, given, error, said):
    with pytest.raises(error, match=said):
        task_of(conn, **given)


def test_too_few_rows_are_refused(conn):
    with pytest.raises(TrainingError, match="10 are needed"):
        preview_other(conn, task_of(conn, where=f"id > {ROWS + 96}"))


def test_tables_without_a_key_views_and_several_labels_are_told_why(conn):
    with conn:
        conn.execute("create table plain as select text, sport from texts")
        conn.execute("create view seen as select text, sport from texts")
    with pytest.raises(TaskError, match="no primary key"):
        keys_condition(relation(conn, "plain"), [(1,)])
    view = define(conn, "seen", text=["text"], labels=["sport"])
    with pytest.raises(TaskError, match="is a view"):
        with_other(conn, view, "sport is null")
    several = replace(view, source="texts", kind="multilabel")
    with pytest.raises(TaskError, match="empty list"):
        with_other(conn, several, "1")


def test_a_damaged_class_in_a_file_is_refused(conn):
    stored = task_of(conn).to_dict()
    for bad in ("x", {"label": 7, "where": "1"}, {"label": "a"}, {"label": "a", "where": None}):
        with pytest.raises(TaskError, match="damaged"):
            Task.from_dict({**stored, "other": bad})
    assert "other" not in find_classifier(conn, "sports").task.to_dict()
