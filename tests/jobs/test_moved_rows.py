"""Undoing in a table without a primary key, whose rows VACUUM has given other rowids: no row gets a
label that another one had."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from checking import clean_rows

from datasette_ftclassify.core.database import connect
from datasette_ftclassify.core.errors import ReviewError, RowChanged
from datasette_ftclassify.core.task import define
from datasette_ftclassify.jobs.review.batches import undo_batch
from datasette_ftclassify.jobs.review.build import submit_review
from datasette_ftclassify.jobs.review.changes import change_row, start, undo
from datasette_ftclassify.jobs.review.merges import merge_labels, plan_merge
from datasette_ftclassify.jobs.review.shown import show_row
from datasette_ftclassify.jobs.runner import run_job
from datasette_ftclassify.jobs.settings import ReviewSettings


@pytest.fixture
def conn(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """Labels `a` and `A`, of which the latter is merged into the former."""
    with closing(connect(tmp_path / "letters.db", must_exist=False)) as conn:
        with conn:
            conn.execute("create table letters (text, label)")
            conn.executemany("insert into letters values (?, ?)", clean_rows(10))
            conn.execute("update letters set label = case when rowid % 5 then 'a' else 'A' end")
            conn.execute("insert into letters values ('a boat', 'b')")
        yield conn


def labels(conn: sqlite3.Connection) -> list[tuple[str, str]]:
    return conn.execute("select text, label from letters order by text").fetchall()


def move_rows(conn: sqlite3.Connection) -> None:
    with conn:
        conn.execute("delete from letters where rowid < 4")
    conn.execute("vacuum")


def test_a_merge_is_undone_as_long_as_the_rows_are_where_they_were(
    conn: sqlite3.Connection,
) -> None:
    task = define(conn, "letters", text=["text"], labels=["label"])
    before = labels(conn)
    for moved in (False, True):
        seen = plan_merge(conn, task, ["A"], "a").seen
        batch = merge_labels(conn, task, ["A"], "a", seen=seen, who="ann").batch
        after = labels(conn)
        if moved:
            move_rows(conn)
            after = labels(conn)
            with pytest.raises(ReviewError, match="has no primary key"):
                undo_batch(conn, batch, "ann", "letters")
            assert labels(conn) == after
        else:
            undo_batch(conn, batch, "ann", "letters")
            assert labels(conn) == before != after


@pytest.mark.parametrize("moved", [False, True])
def test_so_is_the_change_of_one_row(conn: sqlite3.Connection, moved: bool) -> None:
    task = define(conn, "letters", text=["text"], labels=["label"])
    job = run_job(conn, submit_review(conn, ReviewSettings(task, "audit", rows=3)).id)
    place = start(conn, job, "ann")
    assert place is not None
    row = show_row(conn, job, place, "ann")
    assert row is not None
    change_row(conn, job, place, ["b"], seen=row.seen, who="ann")
    if not moved:
        undo(conn, job, "ann")
        assert [label for _, label in labels(conn)].count("b") == 1
        return
    with conn:  # so that whatever row stands there now holds what the other one was given
        conn.execute("update letters set label = 'b', text = text || ' again'")
    before = labels(conn)
    with pytest.raises(RowChanged, match="may be another one"):
        undo(conn, job, "ann")
    assert labels(conn) == before
