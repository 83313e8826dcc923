"""Two people label the same rows, each for themselves: neither sees the other's answer, the column
is as it was until somebody decides, and every answer and decision is recorded and can be undone."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from checking import clean_rows

from datasette_ftclassify.core.database import connect
from datasette_ftclassify.core.errors import ReviewError, RowChanged
from datasette_ftclassify.core.task import define
from datasette_ftclassify.jobs.review.agreement import accept_agreed, agreement, next_decision
from datasette_ftclassify.jobs.review.batches import undo_batch
from datasette_ftclassify.jobs.review.build import submit_review
from datasette_ftclassify.jobs.review.changes import change_row, start, undo
from datasette_ftclassify.jobs.review.shown import changes_shown, queue_now, show_row
from datasette_ftclassify.jobs.runner import run_job
from datasette_ftclassify.jobs.settings import ReviewSettings
from datasette_ftclassify.store.change_batches import last_of_queue
from datasette_ftclassify.store.jobs.job import Job
from datasette_ftclassify.store.label_changes import list_changes

ROWS = 6


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("shared") / "letters.db"
    with closing(connect(path, must_exist=False)) as conn:
        with conn:
            conn.execute("create table letters (id integer primary key, text, label)")
            conn.executemany("insert into letters (text, label) values (?, ?)", clean_rows(10))
        task = define(conn, "letters", text=["text"], labels=["label"])
        run_job(conn, submit_review(conn, ReviewSettings(task, "audit", rows=ROWS, people=2)).id)
    return path


@pytest.fixture
def conn(made: Path, tmp_path: Path) -> Iterator[sqlite3.Connection]:
    copy = tmp_path / "letters.db"
    copy.write_bytes(made.read_bytes())
    with closing(connect(copy)) as conn:
        yield conn


@pytest.fixture
def job(conn: sqlite3.Connection) -> Job:
    from datasette_ftclassify.store.jobs.state import get_job

    return get_job(conn, 1)


def table(conn: sqlite3.Connection) -> dict[int, Any]:
    return dict(conn.execute("select id, label from letters"))


def answer(conn: sqlite3.Connection, job: Job, who: str, *labels: str | None) -> None:
    """Answers the next rows of this person; None passes."""
    place = start(conn, job, who)
    for label in labels:
        assert place is not None
        row = show_row(conn, job, place, who)
        assert row is not None
        chosen = None if label is None else [label]
        place = change_row(conn, job, place, chosen, seen=row.seen, who=who).next


def test_neither_sees_what_the_other_or_a_model_or_the_row_says(
    conn: sqlite3.Connection, job: Job
) -> None:
    answer(conn, job, "ann", "garden", "house")
    for person, mine in (("ann", ["garden"]), ("bob", None)):
        row = show_row(conn, job, 1, person)
        assert row is not None
        assert (row.blind, row.mine, row.answers) == (True, mine, None)
        assert (row.labels, row.suggested, row.likely, row.words, row.why) == (
            None, None, [], [], ""
        )  # fmt: skip
    assert changes_shown(conn, job, who="bob") == []
    assert len(changes_shown(conn, job, who="ann")) == 2
    assert (queue_now(conn, job, "ann").left, queue_now(conn, job, "bob").left) == (4, 6)
    assert start(conn, job, "bob") == 1  # the same row, although somebody has answered it
    assert agreement(conn, job).rows == 0
    answer(conn, job, "bob", "port")
    after = show_row(conn, job, 1, "bob")
    assert after is not None
    assert after.answers == [("ann", ["garden"]), ("bob", ["port"])]
    assert after.labels is not None  # now somebody is to decide


def test_the_column_is_as_it_was_until_somebody_decides(conn: sqlite3.Connection, job: Job) -> None:
    before = table(conn)
    answer(conn, job, "ann", "garden", "house", "port", None, "port", "port")
    answer(conn, job, "bob", "garden", "port", "port", "port", "garden", "port")
    assert table(conn) == before
    found = agreement(conn, job)
    assert found.people == ["ann", "bob"]
    assert (found.rows, found.agreed, found.to_accept, found.to_decide) == (5, 3, 3, 2)
    assert found.share == pytest.approx(0.6)
    (pair,) = found.pairs
    # p_o = 3/5; p_e = (1*2 + 1*0 + 3*3) / 25
    assert pair.kappa == pytest.approx((0.6 - 0.44) / (1 - 0.44))
    assert found.alpha is not None
    assert [d.place for d in found.disagreements] == [2, 5]
    assert found.disagreements[0].answers == {"ann": ["house"], "bob": ["port"]}

    place = next_decision(conn, job, "eve")
    assert place == 2
    assert next_decision(conn, job, "fay") == 5  # the first is in front of eve
    row = show_row(conn, job, place, "eve")
    assert row is not None
    key = row.key[0]
    other = next(name for name in ("house", "garden") if name != before[key])
    change_row(conn, job, place, [other], seen=row.seen, who="eve", note="read it twice")
    assert table(conn) == {**before, key: other}
    (decision,) = [c for c in list_changes(conn, job.id) if c.action == "label"]
    assert (decision.who, decision.note) == ("eve", "read it twice")
    assert agreement(conn, job).to_decide == 1
    assert queue_now(conn, job).audit is None  # disputed rows alone say nothing of all
    with pytest.raises(ReviewError, match="decided since"):
        undo(conn, job, "ann", next(c.id for c in list_changes(conn, job.id, place=2)
                                    if c.who == "ann"))  # fmt: skip
    undo(conn, job, "eve")
    assert table(conn) == before
    assert agreement(conn, job).to_decide == 2


def test_what_all_say_is_written_and_undone_as_one(conn: sqlite3.Connection, job: Job) -> None:
    before = table(conn)
    for who in ("ann", "bob"):
        answer(conn, job, who, *["garden"] * ROWS)
    first = show_row(conn, job, 1)
    assert first is not None
    with conn:  # somebody has changed one meanwhile
        conn.execute("update letters set text = text || ' tulips' where id = ?", first.key)
    done = accept_agreed(conn, job, "eve")
    assert done.left == 1
    assert done.reason is not None
    assert "changed since" in done.reason
    changed = {i for i, label in table(conn).items() if label != before[i]}
    assert changed == {key[0] for key in done.written}
    assert len(done.written) + done.kept == ROWS - 1
    batch = last_of_queue(conn, job.id)
    assert batch is not None
    (kept_one, *others) = done.written
    with conn:
        conn.execute("update letters set label = 'ship' where id = ?", kept_one)
    back = undo_batch(conn, batch.id, "eve", job)
    assert back.kept == 1
    assert table(conn) == {**before, kept_one[0]: "ship"}
    assert agreement(conn, job).to_accept == ROWS
    with pytest.raises(ReviewError, match="eve has undone"):
        undo_batch(conn, batch.id, "eve", job)
    assert others


def test_a_late_answer_is_never_the_decision(conn: sqlite3.Connection, job: Job) -> None:
    """A third person had the row in front of them when the two were done."""
    before = table(conn)
    late = show_row(conn, job, 1, "cy")
    assert late is not None
    answer(conn, job, "ann", "garden")
    answer(conn, job, "bob", "port")
    with pytest.raises(RowChanged):
        change_row(conn, job, 1, ["house"], seen=late.seen, who="cy")
    assert table(conn) == before


def test_an_answer_is_taken_back_by_its_author_alone_or_given_anew(
    conn: sqlite3.Connection, job: Job
) -> None:
    answer(conn, job, "ann", "garden")
    (own,) = list_changes(conn, job.id)
    with pytest.raises(ReviewError, match="answer of ann"):
        undo(conn, job, "bob", own.id)
    row = show_row(conn, job, 1, "ann")
    assert row is not None
    change_row(conn, job, 1, ["port"], seen=row.seen, who="ann")
    answer(conn, job, "bob", "port")
    assert agreement(conn, job).agreed == 1
    undo(conn, job, "bob")
    assert agreement(conn, job).rows == 0  # the row is open again
    assert show_row(conn, job, 1, "ann").mine == ["port"]  # type: ignore[union-attr]


def test_an_ordinary_queue_has_no_agreement(conn: sqlite3.Connection, job: Job) -> None:
    task = define(conn, "letters", text=["text"], labels=["label"])
    other = run_job(conn, submit_review(conn, ReviewSettings(task, "audit", rows=2)).id)
    with pytest.raises(ReviewError, match="one person each"):
        agreement(conn, other)
    with pytest.raises(ReviewError, match="From 1 to 10"):
        submit_review(conn, ReviewSettings(task, "audit", people=11))


@pytest.mark.parametrize(("column", "value"), [("source", "others"), ("columns", '["text"]')])
def test_nothing_is_undone_in_a_table_that_is_not_the_queue_s(
    conn: sqlite3.Connection, job: Job, column: str, value: str
) -> None:
    """Whoever may change labels of the queue's table, may do so there alone, whatever the record of
    a change says."""
    answer(conn, job, "ann", "garden")
    answer(conn, job, "bob", "garden")
    accept_agreed(conn, job, "eve")
    batch = last_of_queue(conn, job.id)
    assert batch is not None
    with conn:
        conn.execute("create table others as select * from letters")
        conn.execute(f"update _ftclassify_change_batches set {column} = ?", [value])
        conn.execute("update _ftclassify_label_changes set cells_before = '[\"mine\"]'")
    with pytest.raises(ReviewError, match="This queue has no change"):
        undo_batch(conn, batch.id, "eve", job)
    assert "mine" not in {label for (label,) in conn.execute("select label from others")}
