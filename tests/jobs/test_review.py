"""Labels are reviewed: no change is lost, overwritten, or made without a record."""

from __future__ import annotations

import json
import random
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from checking import clean_rows
from hypothesis import given, settings
from hypothesis import strategies as st

from datasette_ftclassify.checks import run_checks
from datasette_ftclassify.core.database import connect, decode
from datasette_ftclassify.core.errors import ArtifactError, FtclassifyError, ReviewError, RowChanged
from datasette_ftclassify.core.task import Task, define
from datasette_ftclassify.jobs.review.build import submit_review
from datasette_ftclassify.jobs.review.changes import change_row, start, undo
from datasette_ftclassify.jobs.review.shown import ShownRow, list_shown, queue_now, show_row
from datasette_ftclassify.jobs.runner import run_job
from datasette_ftclassify.jobs.settings import ReviewSettings
from datasette_ftclassify.store import label_changes, published, reviews, splits
from datasette_ftclassify.store.jobs.job import Job
from datasette_ftclassify.store.jobs.state import get_job
from datasette_ftclassify.store.label_changes import list_changes
from datasette_ftclassify.store.reviews import QueuedRow, cells_text, progress_of, read_cells

WRONG = {31: "port", 92: "garden", 201: "house"}
"""Rows of `letters` whose label is changed, with what is there then."""


@pytest.fixture(scope="module")
def letters(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three subjects, 300 rows, some with a wrong label, and the queue of those: job 1."""
    path = tmp_path_factory.mktemp("letters") / "letters.db"
    with closing(sqlite3.connect(path)) as conn, conn:
        conn.execute("create table letters (id integer primary key, text, label)")
        conn.executemany("insert into letters (text, label) values (?, ?)", clean_rows(100))
        right = dict(conn.execute("select id, label from letters"))
        for number, label in WRONG.items():
            assert right[number] != label
            conn.execute("update letters set label = ? where id = ?", (label, number))
    with closing(connect(path)) as conn:
        make(conn, define(conn, "letters", text=["text"], labels=["label"]))
    return path


@pytest.fixture
def conn(letters: Path, tmp_path: Path) -> Iterator[sqlite3.Connection]:
    copy = tmp_path / "letters.db"
    copy.write_bytes(letters.read_bytes())
    with closing(connect(copy)) as conn:
        yield conn


def make(conn: sqlite3.Connection, task: Task, queue: str = "mislabelled", **more: Any) -> Job:
    return run_job(conn, submit_review(conn, ReviewSettings(task, queue, **more)).id)


@pytest.fixture
def job(conn: sqlite3.Connection) -> Job:
    return get_job(conn, 1)


def row(conn: sqlite3.Connection, job: Job, place: int = 1) -> ShownRow:
    shown = show_row(conn, job, place)
    assert shown is not None
    return shown


def label_of(conn: sqlite3.Connection, shown: ShownRow) -> Any:
    return conn.execute("select label from letters where id = ?", shown.key).fetchone()[0]


# --- the queue -----------------------------------------------------------------------------------


def test_the_most_suspicious_rows_come_first_with_what_is_suggested_and_why(conn, job):
    rows = list_shown(conn, job)
    assert {shown.key[0] for shown in rows[:3]} == set(WRONG)
    right = dict(enumerate((label for _, label in clean_rows(100)), 1))
    for shown in rows[:3]:
        assert shown.labels == [WRONG[shown.key[0]]]
        assert shown.suggested == [right[shown.key[0]]]
        assert shown.suggested[0] in shown.why
        assert shown.words
        near = row(conn, job, shown.place).neighbours
        assert near
        assert near[0].labels == shown.suggested
    assert job.result["probable"] >= 3
    assert queue_now(conn, job).labels == ["garden", "house", "port"]


@pytest.mark.parametrize("several", [False, True])
def test_a_check_and_its_queue_find_the_same_rows(tmp_path: Path, several: bool):
    """Also where a text stands there twice with two labels, which is another finding."""
    rows = clean_rows(100)
    for number in (30, 91, 200):
        rows[number] = (rows[number][0], "port" if rows[number][1] != "port" else "garden")
    copies = [(text, "house" if label != "house" else "port") for text, label in rows[40:44]]
    with closing(connect(tmp_path / "a.db", must_exist=False)) as conn:
        with conn:
            conn.execute("create table letters (id integer primary key, text, label)")
            made = [
                (text, json.dumps([label] if text[-1] < "n" else [label, "long"]))
                if several
                else (text, label)
                for text, label in rows + copies
            ]
            conn.executemany("insert into letters (text, label) values (?, ?)", made)
        task = define(conn, "letters", text=["text"], labels=["label"])
        assert task.exclusive is not several
        finding = run_checks(conn, task, deep=True).finding("likely-mislabelled")
        assert finding is not None
        queue = make(conn, task)
        assert queue.result["probable"] == finding.count
        keys = {tuple(one["key"]) for one in finding.details["rows"]}
        assert len(keys) == finding.count
        listed = {tuple(row.key) for row in list_shown(conn, queue)}
        assert keys <= listed
        if not several:
            assert listed & {(i,) for i in range(301, 305)}


def test_of_a_large_table_a_check_and_its_queue_judge_the_same_rows(tmp_path, monkeypatch):
    """By one model, and both say of how many; labels of a row or two have no say."""
    monkeypatch.setattr("datasette_ftclassify.checks.scan.DEEP_ROWS", 200)
    rows = clean_rows(100)
    for number in random.Random(2).sample(range(300), 20):
        rows[number] = (rows[number][0], "port" if rows[number][1] != "port" else "garden")
    rows[7] = (rows[7][0], "once")
    with closing(connect(tmp_path / "a.db", must_exist=False)) as conn:
        with conn:
            conn.execute("create table letters (id integer primary key, text, label)")
            conn.executemany("insert into letters (text, label) values (?, ?)", rows)
        task = define(conn, "letters", text=["text"], labels=["label"])
        finding = run_checks(conn, task, deep=True).finding("likely-mislabelled")
        assert finding is not None
        queue = make(conn, task)
        assert finding.count == queue.result["probable"] > 5
        assert "among 200 of 300 rows" in finding.message
        assert queue_now(conn, queue).said.startswith(finding.message)
        assert finding.details["rows_looked_at"] == 200
        listed = {tuple(row.key) for row in list_shown(conn, queue)}
        assert {tuple(one["key"]) for one in finding.details["rows"]} <= listed


def test_a_random_sample_says_how_many_labels_are_wrong_with_an_interval(conn):
    task = define(conn, "letters", text=["text"], labels=["label"])
    job = make(conn, task, "audit", rows=40)
    assert queue_now(conn, job).audit is None
    for place in range(1, 41):
        shown = row(conn, job, place)
        assert shown.suggested is None
        wanted = ["port"] if place <= 2 and shown.labels != ["port"] else shown.labels
        change_row(conn, job, place, wanted, seen=shown.seen, who="ann")
    audit = queue_now(conn, job).audit
    assert audit is not None
    assert audit.rows == 40
    assert audit.share == audit.wrong / 40
    assert 0 <= audit.low <= audit.share <= audit.high <= 0.2
    # Rows that chance has drawn may be tested on.
    assert label_changes.chosen_rows(conn, "letters") == label_changes.NO_ROWS


# --- changes -------------------------------------------------------------------------------------


def test_a_label_is_changed_recorded_and_undone(conn, job):
    assert start(conn, job, "ann") == 1
    shown = row(conn, job)
    done = change_row(conn, job, 1, shown.suggested, seen=shown.seen, who="ann", note=" clear ")
    assert done.next == 2
    assert label_of(conn, shown) == shown.suggested[0]
    (change,) = list_changes(conn, job.id)
    assert (change.who, change.note, change.action, change.why) == (
        "ann", "clear", "label", shown.why
    )  # fmt: skip
    assert (change.before, change.after) == (tuple(shown.labels), tuple(shown.suggested))
    assert progress_of(conn, job.id).changed == 1
    # It had a label before, so it is where it was.
    assert label_changes.chosen_rows(conn, "letters") == label_changes.NO_ROWS
    back = undo(conn, job, "ann")
    assert back.next == 1
    assert label_of(conn, shown) == shown.labels[0]
    assert list_changes(conn, job.id)[0].undone_by == "ann"
    assert progress_of(conn, job.id).open == progress_of(conn, job.id).rows
    with pytest.raises(ReviewError, match="nothing to undo"):
        undo(conn, job, "ann")


def test_what_is_kept_or_skipped_is_recorded_and_writes_nothing(conn, job):
    before = conn.execute("select * from letters").fetchall()
    first, second = row(conn, job, 1), row(conn, job, 2)
    assert not change_row(conn, job, 1, first.labels, seen=first.seen, who="ann").wrote
    assert not change_row(conn, job, 2, None, seen=second.seen, who="ann").wrote
    assert [c.action for c in list_changes(conn, job.id)] == ["skip", "keep"]
    assert conn.execute("select * from letters").fetchall() == before
    assert undo(conn, job, "ann").next == 2
    assert undo(conn, job, "ann").next == 1


@pytest.mark.parametrize(
    "meanwhile",
    [
        "update letters set label = 'elsewhere' where id = {}",
        "update letters set label = upper(label) where id = {}",
        "update letters set text = 'another text' where id = {}",
        "delete from letters where id = {}",
    ],
)
def test_a_row_that_was_changed_meanwhile_is_not_overwritten(conn, job, meanwhile):
    shown = row(conn, job)
    with conn:
        conn.execute(meanwhile.format(shown.key[0]))
    before = conn.execute("select * from letters").fetchall()
    with pytest.raises(RowChanged):
        change_row(conn, job, 1, shown.suggested, seen=shown.seen, who="ann")
    assert conn.execute("select * from letters").fetchall() == before
    assert list_changes(conn, job.id) == []


def test_who_keeps_a_label_is_not_overruled_by_who_has_not_seen_that(conn, job):
    shown = row(conn, job)
    change_row(conn, job, 1, shown.labels, seen=shown.seen, who="ann")
    with pytest.raises(RowChanged, match="reviewed this row in the meantime"):
        change_row(conn, job, 1, shown.suggested, seen=shown.seen, who="bob")
    again = row(conn, job)
    assert change_row(conn, job, 1, shown.suggested, seen=again.seen, who="bob").wrote


def test_an_undo_does_not_take_back_what_somebody_wrote_after_it(conn, job):
    shown = row(conn, job)
    change_row(conn, job, 1, shown.suggested, seen=shown.seen, who="ann")
    with conn:
        conn.execute("update letters set label = 'later' where id = ?", shown.key)
    with pytest.raises(RowChanged, match="holds later by now"):
        undo(conn, job, "ann")
    assert label_of(conn, shown) == "later"
    assert list_changes(conn, job.id)[0].undone_at is None


def test_two_people_are_shown_different_rows_until_a_claim_expires(conn, job, monkeypatch):
    assert (start(conn, job, "ann"), start(conn, job, "bob")) == (1, 2)
    assert start(conn, job, "ann") == 1
    assert row(conn, job, 2).claimed_by == "bob"
    shown = row(conn, job, 1)
    assert change_row(conn, job, 1, shown.labels, seen=shown.seen, who="ann").next == 3
    later = reviews.time.time() + reviews.CLAIM_SECONDS + 1
    monkeypatch.setattr(reviews.time, "time", lambda: later)
    assert start(conn, job, "eve") == 2


def test_a_new_label_is_added_on_purpose_and_offered_from_then_on(conn, job):
    shown = row(conn, job)
    with pytest.raises(ReviewError, match="no label ship"):
        change_row(conn, job, 1, ["ship"], seen=shown.seen, who="ann")
    with pytest.raises(ReviewError, match="There is the label port already"):
        change_row(conn, job, 1, [], seen=shown.seen, who="ann", new_label=" Port")
    assert change_row(conn, job, 1, [], seen=shown.seen, who="ann", new_label="ship").wrote
    assert label_of(conn, shown) == "ship"
    assert queue_now(conn, job).labels == ["garden", "house", "port", "ship"]
    second = row(conn, job, 2)
    assert change_row(conn, job, 2, ["ship"], seen=second.seen, who="bob").wrote


# --- what the table says -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("trigger", "said"),
    [
        ("before update of label on letters begin select raise(abort, 'ask Ann'); end", "ask Ann"),
        ("before update of label on letters begin select raise(fail, 'not so'); end", "not so"),
        ("before update of label on letters begin select raise(rollback, 'no'); end", "no"),
        ("before update of label on letters begin select raise(ignore); end", "leaves this row"),
    ],
)
def test_a_trigger_that_refuses_is_told_and_nothing_is_lost(conn, job, trigger, said):
    with conn:
        conn.execute(f"create trigger watch {trigger}")
    shown = row(conn, job)
    with pytest.raises(ReviewError, match=said):
        change_row(conn, job, 1, shown.suggested, seen=shown.seen, who="ann")
    assert not conn.in_transaction
    assert label_of(conn, shown) == shown.labels[0]
    assert list_changes(conn, job.id) == []
    assert progress_of(conn, job.id).done == 0


def test_a_trigger_that_writes_has_the_last_word_and_it_is_recorded(conn, job):
    with conn:
        conn.execute(
            "create trigger watch after update of label on letters begin"
            " update letters set label = new.label || '!' where id = new.id; end"
        )
    shown = row(conn, job)
    change_row(conn, job, 1, shown.suggested, seen=shown.seen, who="ann")
    held = f"{shown.suggested[0]}!"
    assert label_of(conn, shown) == held
    assert list_changes(conn, job.id)[0].after == (held,)


def table(conn: sqlite3.Connection, columns: str, rows: list[tuple[Any, ...]]) -> None:
    with conn:
        conn.execute(f"create table t ({columns}")
        marks = ", ".join("?" * len(rows[0]))
        conn.executemany(f"insert into t values ({marks})", rows)


def audit(conn: sqlite3.Connection, labels: list[str], **more: Any) -> Job:
    return make(conn, define(conn, "t", text=["text"], labels=labels, **more), "audit")


def test_a_constraint_that_refuses_is_told(conn):
    rows = [(n, f"text {n}", "ab"[n % 2]) for n in range(20)]
    table(conn, "id integer primary key, text, label check (label in ('a', 'b')))", rows)
    job = audit(conn, ["label"])
    shown = row(conn, job)
    with pytest.raises(ReviewError, match="CHECK constraint"):
        change_row(conn, job, 1, [], seen=shown.seen, who="ann", new_label="c")
    assert progress_of(conn, job.id).done == 0


def test_keys_of_another_table_are_chosen_by_name_and_written_as_keys(conn):
    with conn:
        conn.execute("create table topics (id integer primary key, name)")
        conn.executemany("insert into topics values (?, ?)", [(1, "Roads"), (2, "Parks"), (3, "X")])
    rows = [(n, f"text {n}", n % 2 + 1) for n in range(20)]
    table(conn, "id integer primary key, text, label references topics(id))", rows)
    job = audit(conn, ["label"])
    shown = row(conn, job)
    assert queue_now(conn, job).labels == ["Roads", "Parks", "X"]
    assert change_row(conn, job, 1, ["X"], seen=shown.seen, who="ann").wrote
    assert conn.execute("select label from t where id = ?", shown.key).fetchone() == (3,)
    assert row(conn, job).labels == ["X"]
    second = row(conn, job, 2)
    with pytest.raises(ReviewError, match="rows of topics: add one there"):
        change_row(conn, job, 2, [], seen=second.seen, who="ann", new_label="Noise")


@pytest.mark.parametrize(
    ("make_table", "column", "said"),
    [
        ("create view t as select * from letters", "label", "is a view"),
        ("create virtual table t using fts5(text, label)", "label", "virtual table"),
        ("create table t (text, a, label as (a))", "label", "computed"),
        ("create table t (text, label primary key)", "label", "primary key"),
        ("create table t (rowid, _rowid_, oid, text, label)", "label", "cannot be told apart"),
    ],
)
def test_labels_that_cannot_be_changed_are_refused_before_a_queue_is_made(
    conn, make_table, column, said
):
    with conn:
        conn.execute(make_table)
    task = Task(source="t", text=("text",), labels=(column,), kind="multiclass")
    with pytest.raises(ReviewError, match=said):
        submit_review(conn, ReviewSettings(task, "audit"))


_STYLES = [
    ("json", None, '["a"]', '["b", "a"]', []),
    ("list", ";", "a; b", "c;a", "[]"),
    ("vector", None, "[1, 0, 0]", "[0, 1, 1]", "[0, 0, 0]"),
    ("vector", None, "1,0,0", "0,1,1", "0,0,0"),
    ("python", None, "['a', 'b']", "['c']", "[]"),
    ("object", None, '{"a": true, "b": false}', '{"c": true, "a": false}', '{"a": false}'),
]


@pytest.mark.parametrize("cells", [s[2:4] for s in _STYLES], ids=[s[2] for s in _STYLES])
@given(chosen=st.sets(st.sampled_from("abc")))
@settings(max_examples=8)
def test_several_labels_are_written_so_that_they_are_read_as_chosen_or_refused(cells, chosen):
    with closing(sqlite3.connect(":memory:")) as conn:
        conn.text_factory = decode
        rows = [(n, f"text {n}", cells[n % 2]) for n in range(20)]
        table(conn, "id integer primary key, text, label)", rows)
        names = ["a", "b", "c"] if cells[0][:1] in "[1" and "0" in cells[0] else []
        kind = {"kind": "multilabel"} if not names else {}
        job = audit(conn, ["label"], label_names=names, **kind)
        wanted = [name for name in queue_now(conn, job).labels if name in chosen]
        shown = row(conn, job)
        try:
            change_row(conn, job, 1, wanted, seen=shown.seen, who="ann")
        except ReviewError:
            assert row(conn, job).labels == shown.labels
            return
        assert sorted(row(conn, job).labels or ()) == sorted(wanted)
        undo(conn, job, "ann")
        now = conn.execute("select label from t where id = ?", shown.key).fetchone()[0]
        assert now in cells


@pytest.mark.parametrize(
    "pair", [(1, 0), ("yes", "no"), ("x", None), ("1", "0"), ("true", "false")]
)
def test_flags_are_written_as_their_column_has_them(conn, pair):
    on, off = pair
    rows = [(n, f"text {n}", on if n % 2 else off, off if n % 2 else on) for n in range(20)]
    table(conn, "id integer primary key, text, a, b)", rows)
    job = audit(conn, ["a", "b"])
    shown = row(conn, job)
    change_row(conn, job, 1, ["a", "b"], seen=shown.seen, who="ann")
    assert conn.execute("select a, b from t where id = ?", shown.key).fetchone() == (on, on)
    second = row(conn, job, 2)
    change_row(conn, job, 2, [], seen=second.seen, who="ann")
    assert row(conn, job, 2).labels == []


ODD_KEYS = [
    ("text primary key", lambda n: f"k/{n}'\""),
    ("blob primary key", lambda n: bytes([n, 255])),
    ("real primary key", lambda n: n + 0.5),
]


@pytest.mark.parametrize(("declared", "key"), ODD_KEYS, ids=[d for d, _ in ODD_KEYS])
@pytest.mark.parametrize("without", ["", " without rowid"])
def test_rows_are_found_again_by_any_key(conn, declared, key, without):
    rows = [(key(n), f"text {n}", "ab"[n % 2]) for n in range(20)]
    table(conn, f"id {declared} not null, text, label){without}", rows)
    job = audit(conn, ["label"])
    for shown in list_shown(conn, job, most=3):
        other = "b" if shown.labels == ["a"] else "a"
        change_row(conn, job, shown.place, [other], seen=shown.seen, who="ann")
        undo(conn, job, "ann")
    assert sorted(conn.execute("select * from t").fetchall()) == sorted(rows)


def test_labels_that_are_no_utf8_go_back_as_the_bytes_that_they_are(conn):
    table(conn, "id integer primary key, text, label)",
          [(n, f"text {n}", "ab"[n % 2]) for n in range(20)])  # fmt: skip
    with conn:
        conn.execute("update t set label = cast(x'50e4' as text) where label = 'b'")
    job = audit(conn, ["label"])
    odd = next(name for name in queue_now(conn, job).labels if name != "a")
    plain = next(s for s in list_shown(conn, job) if s.labels == ["a"])
    change_row(conn, job, plain.place, [odd], seen=plain.seen, who="ann")
    bytes_of = "select hex(cast(label as blob)) from t where id = ?"
    assert conn.execute(bytes_of, plain.key).fetchone() == ("50E4",)
    undo(conn, job, "ann")
    other = next(s for s in list_shown(conn, job) if s.labels == [odd])
    change_row(conn, job, other.place, ["a"], seen=other.seen, who="ann")
    undo(conn, job, "ann")
    assert conn.execute(bytes_of, other.key).fetchone() == ("50E4",)


CELLS = st.one_of(
    st.none(), st.text(max_size=5), st.binary(max_size=5), st.floats(allow_nan=False),
    st.integers(-(2**63), 2**63 - 1), st.binary(max_size=4).map(decode),
)  # fmt: skip


@given(cells=st.lists(CELLS, max_size=3).map(tuple))
def test_cells_come_back_from_a_record_as_they_were(cells):
    back = read_cells(cells_text(cells))
    assert list(map(repr, back)) == list(map(repr, cells))
    assert [getattr(c, "raw", None) for c in back] == [getattr(c, "raw", None) for c in cells]


@pytest.mark.parametrize("text", ['{"1": 2}', '"12"', "[[1]]", '[{"blob": 3}]', "[1", None])
def test_what_is_no_array_of_cells_is_no_key(text):
    with pytest.raises(ArtifactError):
        read_cells(text)
    assert (splits._key(text), published._key(text)) == (None, ())


# --- several at once, and strangers' files --------------------------------------------------------


def test_several_people_at_once_review_each_row_once(conn, tmp_path):
    task = define(conn, "letters", text=["text"], labels=["label"])
    job = make(conn, task, "audit", rows=60)
    seen: list[int] = []
    errors: list[Exception] = []

    def work(who: str) -> None:
        with closing(connect(tmp_path / "letters.db")) as own:
            place = start(own, job, who)
            while place is not None:
                shown = row(own, job, place)
                try:
                    place = change_row(own, job, place, ["garden"], seen=shown.seen, who=who).next
                    seen.append(shown.place)
                except FtclassifyError as error:
                    errors.append(error)
                    return

    people = [threading.Thread(target=work, args=(who,)) for who in ("ann", "bob", "eve")]
    for person in people:
        person.start()
    for person in people:
        person.join()
    assert errors == []
    assert sorted(seen) == list(range(1, 61))
    assert {shown.labels[0] for shown in list_shown(conn, job, most=60)} == {"garden"}


@pytest.mark.parametrize(
    "damage",
    [
        "update _ftclassify_review_rows set likely = '[[1e400, 2]]'",
        "update _ftclassify_review_rows set suggested = '[-1]'",
        "update _ftclassify_review_rows set suggested = '{}'",
        "update _ftclassify_review_rows set row_key = '[[1]]'",
        "update _ftclassify_review_rows set row_key = '[{\"blob\": 3}]'",
        "update _ftclassify_review_rows set why = x'00'",
        "update _ftclassify_review_rows set state = 'lost'",
        "update _ftclassify_review_rows set text_hash = 'a', words = zeroblob(1000)",
        'update _ftclassify_jobs set result = \'{"labels": {"values": [], "kind": 1}}\'',
        "update _ftclassify_jobs set settings = '{\"task\": {}}'",
    ],
)
def test_a_damaged_queue_is_told_and_never_a_traceback(conn, job, damage):
    with conn:
        conn.execute(damage)

    def look() -> None:
        again = get_job(conn, job.id)
        queue_now(conn, again)
        show_row(conn, again, 1)
        list_shown(conn, again)

    with pytest.raises(FtclassifyError):
        look()


def test_a_row_that_lies_about_its_place_is_not_found(conn, job):
    with conn:
        conn.execute("update _ftclassify_review_rows set row_key = '[1, 2, 3]' where place = 1")
    assert show_row(conn, job, 1) is None
    assert show_row(conn, job, 10**9) is None


def test_positions_beyond_the_labels_are_passed_over(conn, job):
    with conn:
        conn.execute("update _ftclassify_review_rows set suggested = '[99]', likely = '[[99, 1]]'")
    shown = row(conn, job)
    assert shown.suggested == []
    assert shown.likely == []


def test_the_record_is_json_that_a_query_can_read(conn, job):
    shown = row(conn, job)
    change_row(conn, job, 1, shown.suggested, seen=shown.seen, who="ann")
    sql = "select row_key, cells_before, cells_after from _ftclassify_label_changes"
    found = [json.loads(text) for text in conn.execute(sql).fetchone()]
    assert found == [list(shown.key), shown.labels, shown.suggested]


def test_a_queued_row_is_equal_whoever_claims_it() -> None:
    plain = QueuedRow(1, (1,), 0, None, (), "")
    assert plain == QueuedRow(1, (1,), 0, None, (), "", claimed_by="ann")
