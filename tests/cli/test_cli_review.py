"""Queues and corrections in a terminal: every kind of queue, by keys and by scripts."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from checking import clean_rows
from commands import run, run_json

from datasette_ftclassify.cli.review import Session
from datasette_ftclassify.core.database import connect
from datasette_ftclassify.core.task import define
from datasette_ftclassify.jobs.train import train_classifier
from datasette_ftclassify.jobs.train_request import TrainRequest
from datasette_ftclassify.store.jobs.state import get_job
from datasette_ftclassify.store.label_changes import chosen_rows, list_changes

LABELLED = 150


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """150 labelled rows, one of them wrongly (31), and 60 without a label; two classifiers, of
    which the second learnt that gardens are ports."""
    path = tmp_path_factory.mktemp("desk") / "desk.db"
    with closing(connect(path, must_exist=False)) as conn:
        with conn:
            conn.execute("create table letters (id integer primary key, text, label)")
            conn.executemany("insert into letters (text, label) values (?, ?)", clean_rows(70))
            conn.execute("update letters set label = null where id > ?", [LABELLED])
            conn.execute("update letters set label = 'port' where id = 31")
        task = define(conn, "letters", text=["text"], labels=["label"])
        train_classifier(conn, task, TrainRequest(name="one", curve=False))
        with conn:
            conn.execute("update letters set label = 'port' where label = 'garden'")
        train_classifier(conn, task, TrainRequest(name="two", curve=False))
        with conn:
            # Times are kept to the second.
            conn.execute("update _ftclassify_classifiers set created_at = '2001-01-01T00:00:00Z'")
            conn.executemany(
                "update letters set label = ? where id = ? and id <= 150 and id <> 31",
                [(label, n) for n, (_, label) in enumerate(clean_rows(70), 1)],
            )
    return path


@pytest.fixture
def path(made: Path, tmp_path: Path) -> Path:
    copy = tmp_path / "desk.db"
    copy.write_bytes(made.read_bytes())
    return copy


def label(conn: sqlite3.Connection, key: int) -> Any:
    return conn.execute("select label from letters where id = ?", [key]).fetchone()[0]


def queue(path: Path, kind: str, *more: object) -> dict[str, Any]:
    return run_json(
        "review", path, "letters", "--queue", kind, "--classifier", "one", "--list", *more
    )


def test_a_script_lists_sets_and_undoes(path: Path, conn: sqlite3.Connection) -> None:
    listed = queue(path, "mislabelled")
    first = listed["rows"][0]
    assert (first["key"], first["labels"], first["suggested"]) == ([31], ["port"], ["garden"])
    told = run("review", path, "letters", "--classifier", "one", "--list").output
    assert "1  31  port -> garden" in told
    base = ("review", path, "letters", "--classifier", "one")
    done = run_json(*base, "--set", 1, "garden", "--note", "by hand")
    assert [(c["key"], c["action"]) for c in done["changes"]] == [([31], "label")]
    assert done["job"] == listed["job"]  # which is not done, and so goes on
    assert label(conn, 31) == "garden"
    assert list_changes(conn, done["job"])[0].note == "by hand"
    run(*base, "--undo")
    assert label(conn, 31) == "port"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--classifier", "one"), "use --list, --json or --set"),
        (("--classifier", "one", "--set", 1, "ship"), "There is no label ship"),
        (("--classifier", "one", "--set", 999, "port"), "no row 999"),
        (("--list", "--queue", "label"), "asks a classifier (--classifier)"),
        (("--list",), "the text and the label column"),
        (("--list", "--label", "label"), "the text and the label column"),
        (("--list", "--classifier", "one", "--merge-variants"), "leave out what else says it"),
        (("--list", "--queue", "best", "--classifier", "one"), "not best"),
        (("--classifier", "one", "--undo"), "nothing to undo"),
        (("--classifier", "none", "--list"), "none"),
    ],
)
def test_what_cannot_be_done_is_one_line(path: Path, arguments: tuple[Any, ...], said: str) -> None:
    told = run("review", path, "letters", *arguments, code=1).output
    assert said in told
    assert len(told.strip().splitlines()) == 1


def test_without_a_classifier_rows_are_read_as_a_training_would_read_them(
    path: Path, conn: sqlite3.Connection
) -> None:
    with conn:
        conn.execute("update letters set label = 'PORT ' where id in (3, 6, 9)")
        conn.execute("update letters set text = '<b>' || text || '</b>' where id = 31")
    base = ("review", path, "letters", "--text", "text", "--label", "label", "--list")
    assert "PORT " in run_json(*base)["labels"]
    task = ("--merge-variants", "--markup", "html")
    read = run_json(*base, *task)
    assert "PORT " not in read["labels"]
    assert (read["rows"][0]["key"], "<b>" in read["rows"][0]["text"]) == ([31], False)
    merge = ("merge-labels", path, "letters")
    assert "leave out" in run(*merge, "--classifier", "one", "--label", "label", code=1).output
    assert run_json(*merge, "--label", "label")["labels"]["PORT "] == 3


def test_rows_that_a_classifier_is_least_sure_of_come_without_a_label_first(path: Path) -> None:
    listed = queue(path, "unsure", "--rows", 10)
    assert len(listed["rows"]) == 10
    assert all(row["key"][0] > LABELLED and row["labels"] is None for row in listed["rows"])
    best = [row["likely"][0][1] for row in listed["rows"]]
    assert best == sorted(best)
    assert "one@1 is not sure" in listed["rows"][0]["why"]
    assert listed["rows"][-1]["words"]


def test_rows_to_label_next_are_hard_ones_and_random_ones_in_turns(
    path: Path, conn: sqlite3.Connection
) -> None:
    listed = queue(path, "label", "--rows", 20)
    keys = [row["key"][0] for row in listed["rows"]]
    assert len(set(keys)) == 20
    assert min(keys) > LABELLED
    by_chance = ["at random" in row["why"] for row in listed["rows"]]
    assert by_chance == [False, True] * 10
    margins = [row["likely"][0][1] - row["likely"][1][1] for row in listed["rows"][::2]]
    assert margins == sorted(margins)
    base = ("review", path, "letters", "--queue", "label", "--classifier", "one")
    run(*base, "--set", 1, "port", "--set", 2, "port")
    # The hard one is never tested on; the one that chance has drawn may be.
    assert chosen_rows(conn, "letters").keys == {f"[{keys[0]}]"}
    task = define(conn, "letters", text=["text"], labels=["label"])
    for seed in range(3):
        from datasette_ftclassify.core.splits import SplitPlan
        from datasette_ftclassify.jobs.train_rows import read_split

        found = read_split(conn, task, SplitPlan(seed, test=0.45, validation=0.45))
        assert {e.split for e in found.examples if e.key == (keys[0],)} <= {"train"}


def test_rows_on_which_two_classifiers_disagree_say_what_each_says(path: Path) -> None:
    listed = queue(path, "disagree", "--other", "two")
    assert len(listed["rows"]) > 50
    assert all("one@1 says garden" in row["why"] for row in listed["rows"][:20])
    assert all("two@1 port" in row["why"] for row in listed["rows"][:20])


def test_a_session_of_keys(path: Path, conn: sqlite3.Connection, capsys: Any) -> None:
    """Keep, correct with a note, undo, skip, look back and forth, a key that is none, the end."""
    job = get_job(conn, queue(path, "unsure", "--rows", 4)["job"])
    keys = iter("n1uz2s\x1b[D/q".replace("\x1b[D", "<"))
    typed = iter(["a note", "gar"])

    def read_key() -> str:
        key = next(keys)
        return "\x1b[D" if key == "<" else key

    Session(conn, job, "ann", read_key, lambda *_, **__: next(typed)).run()
    told = capsys.readouterr().out
    assert "No label has that key" in told
    done = [(c.place, c.action, c.after, c.note) for c in reversed(list_changes(conn, job.id))]
    assert done == [
        (1, "label", ("garden",), "a note"),
        (1, "label", ("house",), ""),
        (2, "skip", (None,), ""),
        (2, "label", ("garden",), ""),
    ]
    assert next(keys, None) is None


def test_a_new_version_is_trained_and_compared(path: Path, conn: sqlite3.Connection) -> None:
    base = ("review", path, "letters", "--classifier", "one@1")
    run(*base, "--set", 1, "garden")
    told = run("retrain", path, "one").output
    assert "1 label was corrected in reviews since one@1 was trained" in told
    assert "one@2" in told
    assert "right on the same rows" in told
