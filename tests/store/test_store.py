"""Our tables: what is put in comes out, whole or not at all, and nothing in them is trusted."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlite_utils import Database
from sqlite_utils.migrations import Migrations
from stored import LABELS, TASK, add

from datasette_ftclassify.core.database import relation
from datasette_ftclassify.core.errors import ArtifactError, ClassifierNotFound, FtclassifyError
from datasette_ftclassify.core.examples import SPLITS
from datasette_ftclassify.core.task import Task
from datasette_ftclassify.metrics import evaluate
from datasette_ftclassify.store import schema
from datasette_ftclassify.store.aliases import aliases_of, remove_alias
from datasette_ftclassify.store.artifacts import load_parts
from datasette_ftclassify.store.batches import add_batch, new_tag
from datasette_ftclassify.store.classifiers import (
    add_task,
    check_name,
    default_name,
    find_classifier,
    has_store,
    list_classifiers,
    rename_classifier,
    set_default,
)
from datasette_ftclassify.store.deletion import delete_classifier
from datasette_ftclassify.store.evaluations import add_evaluation, evaluation_text, metrics_of
from datasette_ftclassify.store.jobs.state import add_job
from datasette_ftclassify.store.schema import TABLES, ensure_schema
from datasette_ftclassify.store.splits import Membership, add_split


@pytest.fixture
def conn() -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(":memory:")
    yield connection
    connection.close()


def counts(conn: sqlite3.Connection) -> dict[str, int]:
    """Rows of each of our tables."""
    names = [r[0] for r in conn.execute("select name from sqlite_master where type = 'table'")]
    ours = [n for n in names if n in TABLES]
    return {n: conn.execute(f"select count(*) from {n}").fetchone()[0] for n in ours}


def test_what_is_put_in_comes_out(conn: sqlite3.Connection) -> None:
    added = add(conn)
    assert find_classifier(conn, "topics") == added
    assert (added.name, added.version, added.title) == ("topics", 1, "topics@1")
    assert (added.labels, added.task, added.seed, added.training_rows) == (LABELS, TASK, 3, 7)
    assert list(map(type, added.labels.values)) == [int, float, str]
    assert added.header == {"format": 1, "é": "🦉"}
    assert load_parts(conn, added) == {"weights": b"\x00\xff", "words": "ü".encode()}


def test_a_name_stands_for_its_newest_version(conn: sqlite3.Connection) -> None:
    first, second, other = add(conn), add(conn), add(conn, "other")
    assert (first.version, second.version, other.version) == (1, 2, 1)
    assert len({first.uid, second.uid, other.uid}) == 3
    assert find_classifier(conn, "topics") == second
    assert find_classifier(conn, "topics@1") == first
    assert [c.title for c in list_classifiers(conn)] == ["other@1", "topics@2", "topics@1"]


@pytest.mark.parametrize("name", ["topic", "topics@3", "topics@0", "topics@", "topics@x"])
def test_names_that_are_not_there(conn: sqlite3.Connection, name: str) -> None:
    add(conn)
    with pytest.raises(ClassifierNotFound, match="did you mean topics"):
        find_classifier(conn, name)


def test_versions_in_other_digits(conn: sqlite3.Connection) -> None:
    add(conn)
    for version in ("²", "１²", "9" * 30, "-1", "1.0"):
        with pytest.raises(ClassifierNotFound):
            find_classifier(conn, f"topics@{version}")


def test_the_first_is_the_default_until_another_is_set(conn: sqlite3.Connection) -> None:
    first = add(conn)
    add(conn, "other")
    assert find_classifier(conn) == first
    set_default(conn, "other")
    assert find_classifier(conn).name == default_name(conn) == "other"
    with pytest.raises(ClassifierNotFound):
        set_default(conn, "nothing")
    assert default_name(conn) == "other"


def test_renaming_takes_along_all_that_bears_the_name(conn: sqlite3.Connection) -> None:
    add(conn)
    add(conn)
    add(conn, "other")
    conn.execute("insert into _ftclassify_columns values ('t', 'c', 'topics', 'label')")
    conn.commit()
    rename_classifier(conn, "topics", "subjects")
    assert [c.title for c in list_classifiers(conn)] == ["other@1", "subjects@2", "subjects@1"]
    assert default_name(conn) == "subjects"
    assert conn.execute("select classifier from _ftclassify_columns").fetchall() == [("subjects",)]
    with pytest.raises(FtclassifyError, match="already a classifier called other"):
        rename_classifier(conn, "subjects", "other")
    with pytest.raises(FtclassifyError, match="1 to 100 printable"):
        rename_classifier(conn, "subjects", "a@1")
    with pytest.raises(ClassifierNotFound):
        rename_classifier(conn, "tropics", "x")


def test_a_renamed_classifier_answers_to_its_old_names(conn: sqlite3.Connection) -> None:
    add(conn)
    add(conn)
    rename_classifier(conn, "topics", "subjects")
    rename_classifier(conn, "topics", "themes")
    assert aliases_of(conn, "themes") == ["subjects", "topics"]
    for name in ("topics", "subjects", "themes"):
        assert find_classifier(conn, name).title == "themes@2"
        assert find_classifier(conn, f"{name}@1").title == "themes@1"
    with pytest.raises(ClassifierNotFound):
        find_classifier(conn, "topics@3")
    set_default(conn, "topics")
    assert default_name(conn) == "themes"
    rename_classifier(conn, "themes", "topics")  # back again
    assert aliases_of(conn, "topics") == ["subjects", "themes"]
    remove_alias(conn, "themes")
    with pytest.raises(ClassifierNotFound, match="No classifier called themes"):
        find_classifier(conn, "themes")
    with pytest.raises(ClassifierNotFound, match="has the alias themes"):
        remove_alias(conn, "themes")


def test_a_new_classifier_takes_a_name_from_an_alias(conn: sqlite3.Connection) -> None:
    add(conn)
    rename_classifier(conn, "topics", "subjects")
    assert add(conn).title == "topics@2"  # topics@1 was the other one
    assert aliases_of(conn, "subjects") == []
    delete_classifier(conn, "topics")
    with pytest.raises(ClassifierNotFound):  # not of another one all at once
        find_classifier(conn, "topics")


def test_aliases_go_with_the_classifier(conn: sqlite3.Connection) -> None:
    add(conn)
    add(conn)
    rename_classifier(conn, "topics", "subjects")
    assert delete_classifier(conn, "topics@1").titles == ("subjects@1",)
    assert aliases_of(conn, "subjects") == ["topics"]
    add(conn, "topic")
    assert delete_classifier(conn, "topics").titles == ("subjects@2",)
    add(conn, "subjects")
    with pytest.raises(ClassifierNotFound, match="did you mean topic"):
        find_classifier(conn, "topics")


@pytest.mark.parametrize("name", ["", "  ", "a@2", "x" * 101, "a\nb", "a\x00b"])
def test_names_that_are_none(name: str) -> None:
    with pytest.raises(FtclassifyError):
        check_name(name)


def test_names() -> None:
    assert check_name(" Größe 🦉 ") == "Größe 🦉"


def test_deleting_a_version(conn: sqlite3.Connection) -> None:
    add(conn)
    second = add(conn)
    assert delete_classifier(conn, "topics@1").titles == ("topics@1",)
    assert list_classifiers(conn) == [second]
    assert default_name(conn) == "topics"
    assert load_parts(conn, second)
    assert len(Membership(conn, second.split_id)) == 2


def test_deleting_the_last_one_leaves_nothing_of_it(conn: sqlite3.Connection) -> None:
    other_split = add_split(conn, TASK, {"seed": 1}, [((1,), 11, "test")])
    older = add(conn, "older", split_id=other_split)
    add(conn)
    newest = add(conn)
    set_default(conn, "topics")
    add_evaluation(conn, newest, "test", {"accuracy": 1})
    add_job(conn, "predict", {}, classifier_id=newest.id)
    assert delete_classifier(conn, "topics").titles == ("topics@2", "topics@1")
    assert default_name(conn) == "older"
    left = counts(conn)
    assert left["_ftclassify_classifiers"] == left["_ftclassify_splits"] == 1
    assert left["_ftclassify_split_rows"] == 1
    assert left["_ftclassify_artifacts"] == 2
    assert left["_ftclassify_evaluations"] == left["_ftclassify_jobs"] == 0
    delete_classifier(conn, older.name)
    assert default_name(conn) is None
    with pytest.raises(ClassifierNotFound, match="There is no classifier in this database"):
        find_classifier(conn)


def test_deleting_leaves_the_split_of_a_training_that_is_at_a_service(
    conn: sqlite3.Connection,
) -> None:
    noted = add_split(conn, TASK, {"seed": 1}, [((1,), 11, "test")])
    job = add_job(conn, "train", {})
    remote = json.dumps({"preparation": {"split_id": noted}})
    conn.execute("update _ftclassify_jobs set remote = ? where id = ?", [remote, job.id])
    add(conn)
    delete_classifier(conn, "topics")
    assert counts(conn)["_ftclassify_splits"] == counts(conn)["_ftclassify_split_rows"] == 1


def test_deleting_takes_the_questions_of_batches_along(conn: sqlite3.Connection) -> None:
    job = add_job(conn, "predict", {}, classifier_id=add(conn).id)
    add_batch(conn, job.id, [b"k" * 16], None, new_tag())
    # Cancelled here alone: what is at the service nobody waits for any more.
    conn.execute("update _ftclassify_jobs set state = 'cancelled'")
    delete_classifier(conn, "topics")
    assert counts(conn)["_ftclassify_batches"] == counts(conn)["_ftclassify_batch_keys"] == 0


class Killed(BaseException):
    """Ends a write in its middle, as the end of the process would."""


def fail_at(conn: sqlite3.Connection, table: str) -> None:
    """Every write to the table fails."""
    conn.execute(
        f"create temp trigger fail_{table} before insert on {table}"
        " begin select raise(abort, 'no space left'); end"
    )


def test_a_classifier_is_stored_whole_or_not_at_all(conn: sqlite3.Connection) -> None:
    add(conn)
    before = counts(conn)
    fail_at(conn, "_ftclassify_artifacts")
    task = Task("other", ("text",), ("label",), "multiclass")
    with pytest.raises(sqlite3.IntegrityError, match="no space left"):
        add(conn, "second", task=task)
    assert not conn.in_transaction
    assert counts(conn) == before


def test_the_end_of_the_process_leaves_nothing_half_written(tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    conn = sqlite3.connect(path)
    add(conn)
    before = counts(conn)

    def members() -> Iterator[Any]:
        yield (1,), 1, "train"
        raise Killed

    with pytest.raises(Killed):
        add_split(conn, TASK, {"seed": 9}, members())
    # Not committed, as when the process ends in the middle.
    conn.execute("delete from _ftclassify_classifiers")
    add_task(conn, Task("x", ("y",), ("z",), "binary"))
    conn.close()
    reopened = sqlite3.connect(path)
    assert counts(reopened) == before
    assert find_classifier(reopened).title == "topics@1"
    reopened.close()


def test_a_split_is_stored_whole_or_not_at_all(conn: sqlite3.Connection) -> None:
    ensure_schema(conn)
    before = counts(conn)
    fail_at(conn, "_ftclassify_split_rows")
    with pytest.raises(sqlite3.IntegrityError):
        add_split(conn, TASK, {"seed": 0}, [((1,), 11, "train")])
    assert counts(conn) == before


def test_deleting_is_whole_or_not_at_all(conn: sqlite3.Connection) -> None:
    add(conn)
    before = counts(conn)
    conn.execute(
        "create temp trigger stop before delete on _ftclassify_split_rows"
        " begin select raise(abort, 'stop'); end"
    )
    with pytest.raises(sqlite3.IntegrityError):
        delete_classifier(conn, "topics")
    assert counts(conn) == before


def test_the_schema_is_made_once(conn: sqlite3.Connection) -> None:
    ensure_schema(conn)
    made = conn.execute("select sql from sqlite_master order by name").fetchall()
    changes = conn.total_changes
    ensure_schema(conn)
    assert conn.total_changes == changes
    assert conn.execute("select sql from sqlite_master order by name").fetchall() == made
    assert not conn.in_transaction


def test_the_schema_is_made_whole_or_not_at_all(
    conn: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = (*schema._MAIN_JOB[:4], "create table oops (", *schema._MAIN_JOB[4:])
    with monkeypatch.context() as patch:
        patch.setitem(schema._MIGRATIONS, "m001_main_job", broken)
        with pytest.raises(sqlite3.OperationalError):
            ensure_schema(conn)
    assert counts(conn) == {}
    ensure_schema(conn)
    assert set(counts(conn)) == set(schema.TABLES)


def test_migrations_of_others_are_left_alone(conn: sqlite3.Connection) -> None:
    others = Migrations("somebody-else")

    @others()
    def m001_main_job(db: Any) -> None:
        db["theirs"].insert({"a": 1})

    others.apply(Database(conn))
    add(conn)
    assert [m.name for m in others.applied(Database(conn))] == ["m001_main_job"]
    assert not others.pending(Database(conn))
    assert conn.execute("select a from theirs").fetchall() == [(1,)]


def test_a_database_without_our_tables(conn: sqlite3.Connection) -> None:
    assert not has_store(conn)
    assert list_classifiers(conn) == []
    for name in (None, "x", "x@1"):
        with pytest.raises(ClassifierNotFound, match="There is no classifier in this database"):
            find_classifier(conn, name)
    assert conn.execute("select count(*) from sqlite_master").fetchone() == (0,)


def test_an_attached_database_is_read(tmp_path: Path) -> None:
    path = tmp_path / "models.db"
    first = sqlite3.connect(path)
    added = add(first)
    first.close()
    conn = sqlite3.connect(":memory:")
    conn.execute("attach ? as 'other \"files\"'", [f"{path}"])
    name = 'other "files"'
    assert has_store(conn, name)
    assert not has_store(conn)
    found = find_classifier(conn, "topics@1", name)
    assert found == find_classifier(conn, None, name) == added
    assert list_classifiers(conn, name) == [added]
    assert load_parts(conn, found, name)["weights"] == b"\x00\xff"
    assert default_name(conn, name) == "topics"
    conn.close()


DAMAGE = [
    ("labels", "x"),
    ("labels", "[]"),
    ("labels", '{"values": [null], "kind": "binary"}'),
    ("labels", "[" * 100_000),
    ("labels", b"{}"),
    ("header", "[1]"),
    ("header", '{"a": '),
    ("report", "null"),
    ("version", "newest"),
    ("seed", "seed"),
    ("training_rows", b"\xff"),
]


@pytest.mark.parametrize(("column", "value"), DAMAGE, ids=str)
def test_damaged_rows(conn: sqlite3.Connection, column: str, value: Any) -> None:
    add(conn)
    conn.execute(f"update _ftclassify_classifiers set {column} = ?", [value])
    with pytest.raises(ArtifactError, match="Classifier topics is damaged in this file"):
        find_classifier(conn, "topics")


@pytest.mark.parametrize("definition", ["{}", "1", '{"source": 5}', "\x00", "[" * 100_000])
def test_damaged_tasks(conn: sqlite3.Connection, definition: str) -> None:
    add(conn)
    conn.execute("update _ftclassify_tasks set definition = ?", [definition])
    with pytest.raises(ArtifactError, match="is damaged in this file"):
        find_classifier(conn)


@pytest.mark.parametrize(("column", "value"), [("data", "text"), ("data", 5), ("part", b"x")])
def test_damaged_parts(conn: sqlite3.Connection, column: str, value: Any) -> None:
    added = add(conn, parts={"weights": b"x"})
    conn.execute(f"update _ftclassify_artifacts set {column} = ?", [value])
    with pytest.raises(ArtifactError, match="a part is no BLOB"):
        load_parts(conn, added)


def test_evaluations(conn: sqlite3.Connection) -> None:
    added = add(conn)
    assert evaluation_text(conn, added) is None
    figures = evaluate(["ham", "spam"], np.array([0, 1]), np.log([[0.7, 0.3], [0.6, 0.4]]))
    add_evaluation(conn, added, "test", {})
    add_evaluation(conn, added, "test", {**figures, "é": None})
    newest = metrics_of(added, str(evaluation_text(conn, added)))
    assert newest == {**figures, "é": None}


def test_equal_splits_are_stored_once(conn: sqlite3.Connection) -> None:
    members: list[Any] = [((1,), 11, "train"), (("x", b"\xff"), 22, "test")]
    first = add_split(conn, TASK, {"seed": 0}, members)
    assert add_split(conn, TASK, {"seed": 0}, reversed(members)) == first
    others = [
        add_split(conn, TASK, {"seed": 1}, members),
        add_split(conn, Task("u", ("text",), ("label",), "multiclass"), {"seed": 0}, members),
        add_split(conn, TASK, {"seed": 0}, [((1,), 12, "train"), members[1]]),
        add_split(conn, TASK, {"seed": 0}, [((1,), 11, "test"), members[1]]),
        add_split(conn, TASK, {"seed": 0}, members[:1]),
    ]
    assert len({first, *others}) == 6
    assert counts(conn)["_ftclassify_tasks"] == 2


def test_keys_that_look_alike(conn: sqlite3.Connection) -> None:
    keys = [(1,), ("1",), (b"1",), ("31",), (1.5,), (None, 1), (None, 2), ("a", "b"), ('a", "b',)]
    split_id = add_split(conn, TASK, {}, [(key, n, "test") for n, key in enumerate(keys)])
    membership = Membership(conn, split_id)
    assert len(membership) == len(keys)
    assert all(membership.is_test(key, n) for n, key in enumerate(keys))


MEMBERS = st.lists(
    st.tuples(
        st.tuples(st.integers(0, 99)), st.integers(-(2**63), 2**63 - 1), st.sampled_from(SPLITS)
    ),
    max_size=20,
    unique_by=lambda member: member[0],
)


@given(MEMBERS)
def test_members_are_remembered(members: list[Any]) -> None:
    conn = sqlite3.connect(":memory:")
    membership = Membership(conn, add_split(conn, TASK, {}, members))
    for key, text, split in members:
        assert membership.is_test(key, text) == (split == "test")
    assert not membership.is_test((100,), 5)
    conn.close()


def test_a_row_that_was_edited_is_a_test_row_unless_its_text_was_learnt(
    conn: sqlite3.Connection,
) -> None:
    members: list[Any] = [
        ((1,), 11, "train"), ((2,), 22, "test"), ((3,), 33, "validation"), ((4,), 44, "test"),
    ]  # fmt: skip
    membership = Membership(conn, add_split(conn, TASK, {}, members))
    assert membership.is_test((2,), 99)
    assert membership.is_test((2,), 44)
    assert not membership.is_test((2,), 11)
    assert not membership.is_test((2,), 33)
    assert not membership.is_test((1,), 22)
    assert not membership.is_test((5,), 22)
    # Of a row that reads as one of the test nobody can say that it was learnt.
    assert membership.split_of((1,), 22) is None


def test_rows_of_a_view_are_known_by_their_text(conn: sqlite3.Connection) -> None:
    members: list[Any] = [((1,), 11, "train"), ((2,), 22, "test")]
    membership = of_a_view(conn, members)
    assert membership.is_test((2,), 22)
    assert membership.is_test((1,), 22)
    assert not membership.is_test((2,), 11)
    assert not membership.is_test((2,), 99)


def of_a_view(conn: sqlite3.Connection, members: list[Any]) -> Membership:
    conn.execute("create view v as select 'a' as text")
    return Membership(conn, add_split(conn, TASK, {}, members), relation(conn, "v"))


def test_what_is_stored_is_json(conn: sqlite3.Connection) -> None:
    add(conn)
    row = conn.execute("select labels, header, report from _ftclassify_classifiers").fetchone()
    assert [json.loads(text) for text in row] == [
        {"values": [1, 2.5, "a"], "kind": "multiclass"},
        {"format": 1, "é": "🦉"},
        {"majority": 0},
    ]


def test_space_around_a_new_name_is_not_kept(conn: sqlite3.Connection) -> None:
    add(conn)
    rename_classifier(conn, "topics", " subjects ")
    assert find_classifier(conn, "subjects").title == "subjects@1"


def test_a_damaged_classifier_can_be_deleted_and_hides_no_other(conn: sqlite3.Connection) -> None:
    add(conn)
    other = add(conn, "other")
    conn.execute("update _ftclassify_classifiers set labels = 'x' where name = 'topics'")
    conn.commit()
    assert list_classifiers(conn) == [other]
    delete_classifier(conn, "topics")
    assert counts(conn)["_ftclassify_classifiers"] == 1


@pytest.mark.parametrize("column", ["version", "seed", "training_rows"])
def test_numbers_beyond_all_bounds(conn: sqlite3.Connection, column: str) -> None:
    add(conn)
    conn.execute(f"update _ftclassify_classifiers set {column} = 9e999")
    with pytest.raises(ArtifactError):
        find_classifier(conn)


@pytest.mark.parametrize(
    "statement",
    [
        "drop table _ftclassify_settings",
        "drop table _ftclassify_tasks",
        "alter table _ftclassify_classifiers rename column header to other",
    ],
)
def test_tables_that_are_not_as_we_made_them(conn: sqlite3.Connection, statement: str) -> None:
    add(conn)
    conn.execute(statement)
    with pytest.raises(FtclassifyError):
        find_classifier(conn)


@pytest.mark.parametrize("metrics", ["x", "[1]", "5", "[" * 100_000])
def test_damaged_evaluations(conn: sqlite3.Connection, metrics: Any) -> None:
    added = add(conn)
    add_evaluation(conn, added, "test", {})
    conn.execute("update _ftclassify_evaluations set metrics = ?", [metrics])
    with pytest.raises(ArtifactError):
        metrics_of(added, str(evaluation_text(conn, added)))


def test_a_text_of_a_view_that_was_also_learnt_is_no_test_row(conn: sqlite3.Connection) -> None:
    members: list[Any] = [((1,), 11, "test"), ((2,), 11, "train")]
    assert not of_a_view(conn, members).is_test((1,), 11)


def test_another_process_may_make_the_tables_meanwhile(tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    with closing(sqlite3.connect(path)) as one, closing(sqlite3.connect(path)) as other:

        def before_the_first_write(sql: str) -> None:
            if not sql.lower().startswith(("select", "pragma", "--")):
                one.set_trace_callback(None)
                ensure_schema(other)

        one.set_trace_callback(before_the_first_write)
        ensure_schema(one)
        assert find_classifier(one, add(other).name).title == "topics@1"


def test_sizes_are_added_up_before_anything_is_read(
    conn: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    from datasette_ftclassify.store import artifacts

    added = add(conn, parts={"a": b"x" * 60, "b": b"y" * 60})
    assert set(load_parts(conn, added)) == {"a", "b"}
    monkeypatch.setattr(artifacts, "MAX_ARTIFACT", 100)
    statements: list[str] = []
    conn.set_trace_callback(statements.append)
    with pytest.raises(ArtifactError, match="2 parts and 120 bytes"):
        load_parts(conn, added)
    assert len(statements) == 1
    assert "length(data)" in statements[0]


def test_more_than_can_be_listed_is_refused_and_not_cut_off(
    conn: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    from datasette_ftclassify.store import classifiers

    add(conn)
    assert len(list_classifiers(conn)) == 1
    monkeypatch.setattr(classifiers, "LISTED_BYTES", 100)
    with pytest.raises(ArtifactError, match="too many to list"):
        list_classifiers(conn)
    monkeypatch.setattr(classifiers, "MOST_VERSIONS", 0)
    with pytest.raises(ArtifactError, match="more than 0 classifiers"):
        list_classifiers(conn)
