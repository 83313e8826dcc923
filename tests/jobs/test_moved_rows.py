"""Review in a table without a primary key, whose rows VACUUM has given other rowids: no row gets a
label that was meant for another one, or that another one had."""

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
from datasette_ftclassify.jobs.review.agreement import accept_agreed
from datasette_ftclassify.jobs.review.batches import undo_batch
from datasette_ftclassify.jobs.review.build import submit_review
from datasette_ftclassify.jobs.review.changes import change_row, start, undo
from datasette_ftclassify.jobs.review.merges import merge_labels, plan_merge
from datasette_ftclassify.jobs.review.shown import list_shown, queue_now, show_row
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


@pytest.mark.parametrize("people", [1, 2])
def test_a_queue_shows_and_writes_no_row_that_it_did_not_choose(
    conn: sqlite3.Connection, people: int
) -> None:
    task = define(conn, "letters", text=["text"], labels=["label"])
    settings = ReviewSettings(task, "audit", rows=12, people=people)
    job = run_job(conn, submit_review(conn, settings).id)
    chosen = {row.place: row.text for row in list_shown(conn, job)}
    place = start(conn, job, "ann")
    assert place is not None
    seen = show_row(conn, job, place, "ann")
    assert seen is not None
    move_rows(conn)
    before = labels(conn)
    shown = list_shown(conn, job)
    assert len(shown) < 12
    assert all(row.text == chosen[row.place] for row in shown)
    with pytest.raises(RowChanged, match="may be another one"):
        change_row(conn, job, place, ["b"], seen=seen.seen, who="ann")
    while (place := start(conn, job, "ann")) is not None:
        row = show_row(conn, job, place, "ann")
        assert row is not None
        assert row.text == chosen[place]
        change_row(conn, job, place, ["b"], seen=row.seen, who="ann")
    assert queue_now(conn, job, "ann").left == 0
    if people > 1:
        with pytest.raises(ReviewError, match="No row waits"):
            accept_agreed(conn, job, "ann")
        assert labels(conn) == before
        return
    assert {text for text, label in labels(conn) if label == "b"} <= {*chosen.values(), "a boat"}


@pytest.mark.parametrize("key", ["", "id integer primary key, "])
def test_nobody_is_held_up_by_rows_that_were_deleted(tmp_path: Path, key: str) -> None:
    with closing(connect(tmp_path / "gone.db", must_exist=False)) as conn:
        with conn:
            conn.execute(f"create table letters ({key}text, label)")
            conn.executemany("insert into letters (text, label) values (?, ?)", clean_rows(10))
        task = define(conn, "letters", text=["text"], labels=["label"])
        job = run_job(conn, submit_review(conn, ReviewSettings(task, "audit", rows=9)).id)
        with conn:
            conn.execute("delete from letters where rowid % 2")
        left = len(list_shown(conn, job))
        places = []
        while (place := start(conn, job, "ann")) is not None:
            row = show_row(conn, job, place, "ann")
            assert row is not None
            change_row(conn, job, place, None, seen=row.seen, who="ann")
            places.append(place)
        assert 0 < len(places) == left < 9
        assert queue_now(conn, job).progress.skipped == 9
