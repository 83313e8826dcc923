"""A stored classifier that somebody has changed: a clear error, no code run, no crash. Of texts of
megabytes in our tables no more is read than a page can show."""

from __future__ import annotations

import json
import pickle
from contextlib import closing

import pytest
from commands import run
from sample_databases import answer, rows, value

from datasette_ftclassify.core.database import connect, relation
from datasette_ftclassify.core.errors import ArtifactError, JobError
from datasette_ftclassify.core.task import define
from datasette_ftclassify.jobs.review.build import submit_review
from datasette_ftclassify.jobs.review.changes import change_row
from datasette_ftclassify.jobs.review.shown import show_row
from datasette_ftclassify.jobs.runner import run_job
from datasette_ftclassify.jobs.settings import ReviewSettings
from datasette_ftclassify.sql.functions import register
from datasette_ftclassify.store.aliases import aliases_of, resolve_alias
from datasette_ftclassify.store.classifiers import default_name, find_classifier, not_found
from datasette_ftclassify.store.columns import (
    column_owners,
    label_columns_of,
    our_columns,
    predicted_columns,
)
from datasette_ftclassify.store.damaged import damaged_classifiers
from datasette_ftclassify.store.jobs.state import get_job
from datasette_ftclassify.store.label_changes import list_changes
from datasette_ftclassify.store.published import SOURCE, versions
from datasette_ftclassify.store.reviews import list_rows


class Bomb:
    """Makes a file when it is unpickled."""

    def __init__(self, witness):
        self.witness = witness

    def __reduce__(self):
        return (open, (str(self.witness), "w"))


def parts(conn):
    return [name for (name,) in rows(conn, "select part from _ftclassify_artifacts order by 1")]


def set_parts(conn, data):
    conn.execute("update _ftclassify_artifacts set data = ?", [data])


def edit_json(conn, column, change):
    for id_, text in rows(conn, f"select id, {column} from _ftclassify_classifiers"):
        data = json.loads(text)
        change(data)
        conn.execute(
            f"update _ftclassify_classifiers set {column} = ? where id = ?", [json.dumps(data), id_]
        )


def header_numbers(factor):
    def change(data):
        for key, old in data.items():
            if isinstance(old, int) and not isinstance(old, bool):
                data[key] = old * factor

    return change


TAMPERING = {
    "truncated": lambda c: c.execute(
        "update _ftclassify_artifacts set data = substr(data, 1, length(data) - 3)"
    ),
    "emptied": lambda c: set_parts(c, b""),
    "too long": lambda c: c.execute("update _ftclassify_artifacts set data = data || x'0000'"),
    "not a number": lambda c: c.execute(
        "update _ftclassify_artifacts set data = cast(replace(hex(data), '0', 'F') as blob)"
    ),
    "all ones": lambda c: [
        c.execute("update _ftclassify_artifacts set data = ? where id = ?", [b"\xff" * size, id_])
        for id_, size in rows(c, "select id, length(data) from _ftclassify_artifacts")
    ],
    "a pickle": lambda c: set_parts(c, pickle.dumps(Bomb("was-run"))),
    "text for a BLOB": lambda c: set_parts(c, "text"),
    "NULLed number": lambda c: c.execute("update _ftclassify_artifacts set data = 7"),
    "parts missing": lambda c: c.execute("delete from _ftclassify_artifacts"),
    "parts swapped": lambda c: c.execute("update _ftclassify_artifacts set part = part || 'x'"),
    "huge sizes declared": lambda c: edit_json(c, "header", header_numbers(10**12)),
    "negative sizes declared": lambda c: edit_json(c, "header", header_numbers(-1)),
    "header emptied": lambda c: edit_json(c, "header", lambda d: d.clear()),
    "header no JSON": lambda c: c.execute("update _ftclassify_classifiers set header = 'x'"),
    "header too deep": lambda c: c.execute(
        "update _ftclassify_classifiers set header = ?", ["[" * 100_000]
    ),
    "a label too few": lambda c: edit_json(c, "labels", lambda d: d["values"].pop()),
    "labels of odd types": lambda c: edit_json(c, "labels", lambda d: d.update(values=[{}, []])),
    "another kind": lambda c: edit_json(c, "labels", lambda d: d.update(kind="magic")),
    "a number that is SQL": lambda c: c.execute(
        "update _ftclassify_classifiers set split_id = '0 or (select max(message) from messages)'"
    ),
    "an unknown trainer": lambda c: c.execute(
        "update _ftclassify_classifiers set trainer = 'os.system'"
    ),
    "a task that is no task": lambda c: c.execute(
        "update _ftclassify_tasks set definition = '{\"n\": ' || id || '}'"
    ),
    "artifacts dropped": lambda c: c.execute("drop table _ftclassify_artifacts"),
    "columns of another table": lambda c: (
        c.execute("drop table _ftclassify_classifiers"),
        c.execute("create table _ftclassify_classifiers (x)"),
    ),
}


@pytest.mark.parametrize("how", TAMPERING)
def test_queries_go_on_and_say_what_is_wrong(trained, how, tmp_path):
    with closing(connect(trained)) as conn, conn:
        conn.execute("pragma foreign_keys = off")
        TAMPERING[how](conn)
    with closing(connect(trained)) as conn:
        register(conn)
        assert value(conn, "select ft_classify('a drain', 'urgent')") is None
        assert value(conn, "select ft_score('a drain', 'urgent')") is None
        assert answer(conn, "select ft_classify_json('a drain', 'urgent')")["error"]
        assert value(conn, "select count(*) from messages") == 557


@pytest.mark.parametrize("how", TAMPERING)
def test_the_command_line_says_it_in_one_line(trained, how):
    with closing(connect(trained)) as conn, conn:
        TAMPERING[how](conn)
    result = run("evaluate", trained, "urgent", code=1)
    assert result.stderr.startswith("Error: ")
    assert result.stderr.count("\n") == 1


def test_a_pickle_is_never_opened(trained, tmp_path):
    witness = tmp_path / "was-run"
    with closing(connect(trained)) as conn, conn:
        set_parts(conn, pickle.dumps(Bomb(witness)))
    with closing(connect(trained)) as conn:
        register(conn)
        assert value(conn, "select ft_classify('a drain')") is None
    assert not witness.exists()
    pickle.loads(pickle.dumps(Bomb(witness)))  # the bomb itself does work
    assert witness.exists()


def test_a_default_that_cannot_be_read_is_said_as_well(trained):
    with closing(connect(trained)) as conn, conn:
        conn.execute("drop table _ftclassify_settings")
    with closing(connect(trained)) as conn:
        register(conn)
        assert "cannot be read" in answer(conn, "select ft_classify_json('a drain')")["error"]


def test_metrics_that_make_no_sense_are_said_to_be_damaged(trained):
    with closing(connect(trained)) as conn, conn:
        conn.execute("update _ftclassify_evaluations set metrics = '{\"labels\": 7}'")
    for command in (["classifiers", "list"], ["classifiers", "show"]):
        result = run(*command, trained)
    assert "evaluate it again" in result.stdout


@pytest.mark.parametrize("long", ["x" * 3_000_000, "a\0" + "x" * 3_000_000], ids=["", "after NUL"])
def test_names_of_any_length_are_not_read(trained, long):
    """Each name would be in messages and pages, many times over."""
    with closing(connect(trained)) as conn:
        with conn:
            conn.execute(
                "insert or replace into _ftclassify_settings values ('default', ?)", [long]
            )
            conn.execute("insert into _ftclassify_settings values ('alias:old', ?)", [long])
            conn.execute("insert into _ftclassify_settings values (?, 'topics')", [f"alias:{long}"])
            conn.execute(
                "insert into _ftclassify_columns (source, column_name, classifier, role)"
                " values ('messages', ?, 'topics', 'label'), ('messages', 'a', ?, 'label'),"
                " ('messages', 'b', 'topics', ?), (?, 'c', 'topics', 'label')",
                [long] * 4,
            )
            conn.execute(
                "update _ftclassify_classifiers set name = ? where name = 'subjects'", [long]
            )
        found = {
            "default": default_name(conn),
            "alias": resolve_alias(conn, "old"),
            "aliases": aliases_of(conn, "topics"),
            "damaged": damaged_classifiers(conn),
            "owners": column_owners(conn, "messages"),
            "columns": sorted(predicted_columns(conn, relation(conn, "messages"))),
            "ours": our_columns(conn),
            "labels": label_columns_of(conn, "topics"),
            "unknown": str(not_found(conn, "no such", "main")),
        }
        conn.execute(f"attach ? as {SOURCE}", [str(trained)])
        found["versions"] = versions(conn)
    assert {name: len(str(what)) for name, what in found.items() if len(str(what)) > 1_000} == {}


LONG = "x" * 5_000_000
MOST = 200_000
"""Characters of one record, each of whose texts may be on a page several times."""


@pytest.fixture(scope="module")
def reviewed(trained_file, tmp_path_factory):
    """A file with a queue, of which one row was skipped with a note; and the queue's job."""
    path = tmp_path_factory.mktemp("reviewed") / "town.db"
    path.write_bytes(trained_file.read_bytes())
    with closing(connect(path)) as conn:
        task = define(conn, "messages", text=["message"], labels=["topic"])
        job = run_job(conn, submit_review(conn, ReviewSettings(task, "audit", rows=5)).id)
        row = show_row(conn, job, 1)
        change_row(conn, job, 1, None, seen=row.seen, who="ann", note="unclear")
    return path, job.id


@pytest.mark.parametrize(
    ("table", "column"),
    [
        *(("review_rows", name) for name in (
            "row_key", "suggested", "likely", "why", "words", "neighbours", "state", "claimed_by",
        )),
        *(("label_changes", name) for name in (
            "source", "action", "cells_before", "cells_after", "why", "note", "who", "created_at",
            "undone_by", "undone_at",
        )),
    ],
)  # fmt: skip
def test_a_record_of_a_review_is_short_or_damaged(reviewed, table, column):
    path, job_id = reviewed
    with closing(connect(path)) as conn:
        conn.execute(f"update _ftclassify_{table} set {column} = ?", [LONG])
        try:
            read = [*list_rows(conn, job_id), *list_changes(conn, job_id)]
        except ArtifactError as error:
            read = [error]
        conn.rollback()
    assert max(len(repr(record)) for record in read) < MOST


@pytest.mark.parametrize("field", ["source", "template", "where", "delimiter", "split_column"])
def test_no_task_and_no_settings_have_a_text_that_is_longer_than_a_page(reviewed, field):
    path, job_id = reviewed
    with closing(connect(path)) as conn:
        for table, column in (("tasks", "definition"), ("jobs", "settings")):
            where = "$.task." if table == "jobs" else "$."
            sql = f"update _ftclassify_{table} set {column} = json_set({column}, ?, ?)"
            conn.execute(sql, [where + field, LONG[:900_000]])
        with pytest.raises(ArtifactError, match="damaged"):
            find_classifier(conn, "topics")
        with pytest.raises(JobError, match="damaged"):
            get_job(conn, job_id)
        conn.rollback()
