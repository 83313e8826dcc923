"""Labels are merged: what the preview says is what the UPDATE does, in every notation, and one undo
puts all of it back; what cannot be undone or written is refused before anything is changed."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from typing import Any

import pytest
from checking import clean_rows
from hypothesis import given, settings
from hypothesis import strategies as st

from datasette_ftclassify.core.database import connect
from datasette_ftclassify.core.errors import ReviewError, RowChanged
from datasette_ftclassify.core.task import Task, define
from datasette_ftclassify.jobs.review.batches import undo_batch
from datasette_ftclassify.jobs.review.merges import (
    labels_now,
    merge_labels,
    plan_merge,
    suggest_merges,
)
from datasette_ftclassify.jobs.train import train_classifier
from datasette_ftclassify.jobs.train_request import TrainRequest
from datasette_ftclassify.jobs.version_rows import corrections
from datasette_ftclassify.store.change_batches import list_batches

Table = list[tuple[Any, ...]]


def table(rows: Sequence[Any], columns: str = "label") -> sqlite3.Connection:
    conn = sqlite3.connect(":memory:")
    conn.execute(f"create table t (id integer primary key, text, {columns})")
    marks = ", ".join("?" * (columns.count(",") + 1))
    cells = [row if isinstance(row, tuple) else (row,) for row in rows]
    conn.executemany(f"insert into t values (null, 'text', {marks})", cells)
    conn.commit()
    return conn


def task(conn: sqlite3.Connection, *labels: str, **more: Any) -> Task:
    return define(conn, "t", text=["text"], labels=labels or ("label",), **more)


def content(conn: sqlite3.Connection) -> Table:
    return conn.execute("select * from t order by 1").fetchall()


def merge(conn: sqlite3.Connection, wanted: Task, old: Sequence[str], into: str) -> int:
    plan = plan_merge(conn, wanted, old, into)
    before = content(conn)
    done = merge_labels(conn, wanted, old, into, seen=plan.seen, who="ann")
    changed = sum(a != b for a, b in zip(before, content(conn), strict=True))
    assert changed == plan.changed == len(done.keys) == sum(n for *_, n in plan.updates)
    return done.batch


@pytest.mark.parametrize("old", ["2", "3"])
def test_a_number_with_a_nought_is_the_number_where_labels_are_numbers(old: str) -> None:
    with closing(table([2, 2, 3])) as conn:
        with pytest.raises(ReviewError, match="of which 02 is 2: choose that"):
            plan_merge(conn, task(conn), [old], "02")
        assert plan_merge(conn, task(conn), [old], "007").said == f"{old} became 7"


LABELS = st.sampled_from(["spam", "Spam ", "ham", "Ham", None, "", "other", 7])


@given(st.lists(LABELS, min_size=3, max_size=30), st.sampled_from(["spam", "junk"]))
@settings(deadline=None, max_examples=30)
def test_the_preview_is_what_the_update_does_and_one_undo_puts_it_back(
    cells: list[Any], into: str
) -> None:
    rows = [*cells, "spam", "Spam ", "ham", "Ham"]
    with closing(table(rows, "label collate nocase")) as conn:
        before, wanted = content(conn), task(conn, kind="multiclass")
        plan = plan_merge(conn, wanted, ["Spam ", "Ham"], into)
        counts = Counter(rows)
        expected = {name: counts[name] for name in ("Spam ", "Ham") if counts[name]}
        assert {name: n for name, n in plan.rows.items() if n} == expected
        assert plan.new == (into == "junk")
        batch = merge(conn, wanted, ["Spam ", "Ham"], into)
        after = [into if c in ("Spam ", "Ham") else c for c in rows]
        assert [row[2] for row in content(conn)] == after
        assert undo_batch(conn, batch, "bob", "t").kept == 0
        assert content(conn) == before
        (record,) = list_batches(conn, "t")
        assert (record.who, record.undone_by) == ("ann", "bob")


@given(st.lists(LABELS, min_size=1, max_size=3))
def test_labels_that_there_are_not_are_refused_without_a_change(cells: list[Any]) -> None:
    with closing(table([*cells, "a", "b"])) as conn:
        with pytest.raises(ReviewError, match="no label nothing"):
            plan_merge(conn, task(conn, kind="multiclass"), ["nothing"], "a")
        with pytest.raises(ReviewError, match="Choose the labels"):
            plan_merge(conn, task(conn, kind="multiclass"), ["a"], "a")


def test_several_labels_in_a_cell_become_one_where_both_stood() -> None:
    rows = ["rent, heat", "heating, rent", "heat, heating", "rent", None]
    with closing(table(rows)) as conn:
        wanted = task(conn, kind="multilabel", delimiter=",")
        batch = merge(conn, wanted, ["heating"], "heat")
        assert [row[2] for row in content(conn)] == [
            "rent, heat", "rent, heat", "heat", "rent", None
        ]  # fmt: skip
        undo_batch(conn, batch, "ann", "t")
        assert [row[2] for row in content(conn)] == rows
        merge(conn, wanted, ["heat", "heating"], "heat, hot water")
        assert [row[2] for row in content(conn)] == [
            'rent, "heat, hot water"', 'rent, "heat, hot water"', '"heat, hot water"', "rent", None
        ]  # fmt: skip
        assert sorted(labels_now(conn, wanted)) == ["heat, hot water", "rent"]


def test_a_column_of_flags_is_emptied_into_the_other() -> None:
    rows = [(1, 0, 0), (0, 1, 0), (1, 1, 1), (0, 0, 1), (None, None, None)]
    with closing(table(rows, "heat, heating, rent")) as conn:
        wanted = task(conn, "heat", "heating", "rent")
        plan = plan_merge(conn, wanted, ["heating"], "heat")
        assert (plan.empty, plan.changed, plan.rows) == (["heating"], 2, {"heating": 2})
        batch = merge(conn, wanted, ["heating"], "heat")
        assert [row[2:] for row in content(conn)] == [
            (1, 0, 0), (1, 0, 0), (1, 0, 1), (0, 0, 1), (None, None, None)
        ]  # fmt: skip
        undo_batch(conn, batch, "ann", "t")
        assert [row[2:] for row in content(conn)] == rows
        with pytest.raises(ReviewError, match="columns of their own"):
            plan_merge(conn, wanted, ["heating"], "warmth")


def test_a_number_and_a_text_of_the_same_name_become_one() -> None:
    with closing(table([1, 1, "1", 2])) as conn:
        merge(conn, task(conn, kind="multiclass"), ["1"], "1")
        assert [row[2] for row in content(conn)] == [1, 1, 1, 2]


def test_equal_numbers_of_two_types_become_one_and_are_two_again() -> None:
    rows = [1, 1.0, 2, 1]
    with closing(table(rows)) as conn:
        batch = merge(conn, task(conn, kind="multiclass"), ["1"], "2")
        assert [row[2] for row in content(conn)] == [2, 2, 2, 2]
        undo_batch(conn, batch, "ann", "t")
        assert list(map(repr, (row[2] for row in content(conn)))) == list(map(repr, rows))


def test_keys_of_another_table_go_by_their_names_and_are_renamed_there() -> None:
    with closing(table([1, 2, 2, 3], "label references topics(id)")) as conn:
        conn.execute("create table topics (id integer primary key, name)")
        conn.executemany("insert into topics values (?, ?)", [(1, "spam"), (2, "junk"), (3, "ham")])
        conn.commit()
        assert labels_now(conn, task(conn)) == {"junk": 2, "spam": 1, "ham": 1}
        merge(conn, task(conn), ["spam"], "junk")
        assert [row[2] for row in content(conn)] == [2, 2, 2, 3]
        with pytest.raises(ReviewError, match="add one there"):
            plan_merge(conn, task(conn), ["junk"], "rubbish")


def test_what_was_changed_after_the_preview_or_the_merge_is_not_overwritten() -> None:
    with closing(table(["a", "a", "b", "c"])) as conn:
        wanted = task(conn, kind="multiclass")
        plan = plan_merge(conn, wanted, ["a"], "b")
        conn.execute("insert into t (label) values ('a')")
        conn.commit()
        with pytest.raises(RowChanged, match="3 rows would get b now"):
            merge_labels(conn, wanted, ["a"], "b", seen=plan.seen, who="ann")
        batch = merge(conn, wanted, ["a"], "b")
        conn.execute("update t set label = 'mine' where id = 1")
        conn.commit()
        assert undo_batch(conn, batch, "ann", "t").kept == 1
        assert [row[2] for row in content(conn)] == ["mine", "a", "b", "c", "a"]


def test_what_the_table_refuses_changes_nothing() -> None:
    with closing(table(["a", "a", "b", "c"], "label check (label <> 'no')")) as conn:
        wanted, before = task(conn, kind="multiclass"), content(conn)
        plan = plan_merge(conn, wanted, ["a", "c"], "no")
        with pytest.raises(ReviewError, match="refuses this label"):
            merge_labels(conn, wanted, ["a", "c"], "no", seen=plan.seen, who="ann")
        conn.execute(
            "create trigger keep before update on t when old.id = 2 begin select raise(ignore); end"
        )
        plan = plan_merge(conn, wanted, ["a", "c"], "b")
        with pytest.raises(ReviewError, match="trigger"):
            merge_labels(conn, wanted, ["a", "c"], "b", seen=plan.seen, who="ann")
        assert content(conn) == before
        assert list_batches(conn, "t") == []


def test_classifiers_that_know_the_old_label_are_said_and_told_of_it(tmp_path: Any) -> None:
    """Every second `port` is called `quay`, which nobody can tell from the texts."""
    with closing(connect(tmp_path / "t.db", must_exist=False)) as conn:
        conn.execute("create table t (id integer primary key, text, label)")
        conn.executemany("insert into t (text, label) values (?, ?)", clean_rows(60))
        conn.execute("update t set label = 'quay' where label = 'port' and id * 7919 % 101 % 2")
        conn.execute("update t set label = 'House' where label = 'house' and id % 9 = 2")
        conn.commit()
        request = TrainRequest(name="one", curve=False)
        first = train_classifier(conn, task(conn), request).classifier
        with conn:  # times are kept to the second
            conn.execute("update _ftclassify_classifiers set created_at = '2001-01-01T00:00:00Z'")
        found = {(*s.old, s.into) for s in suggest_merges(conn, task(conn))}
        assert ("House", "house") in found
        assert found & {("quay", "port"), ("port", "quay")}
        plan = plan_merge(conn, task(conn), ["quay"], "port")
        assert [(s.title, s.labels, s.minimum) for s in plan.stale] == [("one@1", ["quay"], False)]
        merge(conn, task(conn), ["quay"], "port")
        from datasette_ftclassify.store.classifiers import find_classifier

        again = find_classifier(conn, "one")
        assert again.id == first.id
        assert corrections(conn, again) == plan.changed
