"""A new version learns corrected labels, and is judged by the rows that judged the one before."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest
from checking import clean_rows, sentence
from click.testing import CliRunner

from datasette_ftclassify.cli import ftclassify
from datasette_ftclassify.core.database import connect, path_of
from datasette_ftclassify.core.task import define
from datasette_ftclassify.jobs.compare import compare
from datasette_ftclassify.jobs.out_of_fold import why_not_used
from datasette_ftclassify.jobs.review.build import submit_review
from datasette_ftclassify.jobs.review.changes import change_row, undo
from datasette_ftclassify.jobs.review.shown import show_row
from datasette_ftclassify.jobs.runner import run_job
from datasette_ftclassify.jobs.settings import ReviewSettings
from datasette_ftclassify.jobs.train import submit_train, train_classifier
from datasette_ftclassify.jobs.train_request import TrainRequest
from datasette_ftclassify.jobs.train_version import has_new_labels, only_if_better, version_request
from datasette_ftclassify.jobs.version_rows import corrections, version_changes
from datasette_ftclassify.store.classifiers import Classifier, find_classifier, find_for_table
from datasette_ftclassify.store.evaluations import OUT_OF_FOLD, judged_rows
from datasette_ftclassify.store.jobs.events import job_events
from datasette_ftclassify.store.jobs.state import get_job
from datasette_ftclassify.store.used_version import use_version


@dataclass(frozen=True)
class Before:
    """A classifier whose rows have been reviewed since, with rows of its splits."""

    path: Path
    test: list[int]
    train: list[int]


def splits(conn: sqlite3.Connection, classifier: Classifier) -> dict[str, str]:
    sql = "select row_key, split from _ftclassify_split_rows where split_id = ?"
    return dict(conn.execute(sql, [classifier.split_id]))


def keys(found: dict[str, str], *wanted: str) -> list[int]:
    return sorted(int(key[1:-1]) for key, split in found.items() if split in wanted)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Before:
    path = tmp_path_factory.mktemp("versions") / "letters.db"
    with closing(connect(path, must_exist=False)) as conn:
        with conn:
            conn.execute("create table letters (id integer primary key, text, label)")
            conn.executemany("insert into letters (text, label) values (?, ?)", clean_rows(60))
            conn.execute("update letters set label = 'port' where id % 30 = 1")  # some are wrong
        task = define(conn, "letters", text=["text"], labels=["label"])
        request = TrainRequest(name="letters", curve=False)
        first = train_classifier(conn, task, request).classifier
        found = splits(conn, first)
        with conn:  # times are kept to the second
            conn.execute("update _ftclassify_classifiers set created_at = '2001-01-01T00:00:00Z'")
        run_job(conn, submit_review(conn, ReviewSettings(task, "audit", rows=180)).id)
    return Before(path, keys(found, "test"), keys(found, "train", "validation"))


@pytest.fixture
def before(made: Before, tmp_path: Path) -> Before:
    copy = tmp_path / "letters.db"
    copy.write_bytes(made.path.read_bytes())
    return Before(copy, made.test, made.train)


@pytest.fixture
def conn(before: Before) -> Iterator[sqlite3.Connection]:
    with closing(connect(before.path)) as conn:
        yield conn


def correct(conn: sqlite3.Connection, rows: list[int], label: str, new: str = "") -> None:
    job = get_job(conn, 2)
    places = {
        key: place
        for place, key in conn.execute("select place, row_key from _ftclassify_review_rows")
    }
    for row in rows:
        place = places[f"[{row}]"]
        shown = show_row(conn, job, place)
        assert shown is not None
        chosen = [] if new else [label]
        change_row(conn, job, place, chosen, seen=shown.seen, who="ann", new_label=new)


def other(conn: sqlite3.Connection, row: int) -> str:
    (label,) = conn.execute("select label from letters where id = ?", [row]).fetchone()
    return "house" if label != "house" else "garden"


def test_it_learns_corrections_and_new_rows_and_both_are_judged_by_the_same_rows(conn, before):
    first = find_classifier(conn, "letters@1")
    for row in (*before.train[:3], before.test[0]):
        correct(conn, [row], other(conn, row))
    undo(conn, get_job(conn, 2), "ann")  # the last one, and once more
    correct(conn, before.test[:1], other(conn, before.test[0]))
    copied = conn.execute("select text from letters where id = ?", before.test[1:2]).fetchone()[0]
    with conn:
        conn.execute("insert into letters values (900, ?, 'port')", [sentence("port", 900)])
        conn.execute("insert into letters values (901, ?, 'port')", [copied.upper()])
        conn.execute("update letters set label = null where id = ?", before.train[5:6])
        conn.execute("update letters set text = text || ' again' where id = ?", before.train[6:7])
    assert corrections(conn, first) == 4
    changes = version_changes(conn, first)
    assert (changes.corrections, changes.new_rows, changes.left_out) == (4, 1, 1)
    assert (changes.removed, changes.test_changed, changes.test_rows) == (1, 1, len(before.test))
    said = " ".join(changes.sentences("letters@1"))
    assert "4 labels were corrected" in said
    assert "1 test row has another label now" in said

    task, request = version_request(conn, first)
    assert (request.name, request.curve) == ("letters", False)
    job = run_job(conn, submit_train(conn, task, request).id)
    second = find_classifier(conn, "letters")
    assert second.title == "letters@2"
    assert job.classifier_id == second.id
    found = splits(conn, second)
    assert keys(found, "test") == before.test
    assert set(keys(found, "train", "validation")) == {*before.train, 900} - {before.train[5]}
    assert second.report["version_changes"]["corrections"] == 4
    assert any("letters@1 was evaluated on the same rows again" in e.message
               for e in job_events(conn, job.id))  # fmt: skip
    compared = compare(conn, first, second)
    assert compared.rows == len(before.test)
    assert corrections(conn, second) == 0
    assert_training_rows_are_compared(conn, first, second, before.train[:3], before.train[6])


def assert_training_rows_are_compared(
    conn: sqlite3.Connection,
    first: Classifier,
    second: Classifier,
    corrected: list[int],
    edited: int,
) -> None:
    """The rows with the same label and text for both, and those that were corrected apart from
    them."""
    found = compare(conn, second, first)
    held = found.out_of_fold
    assert held is not None
    rows = [
        {row.key[0]: row for row in judged_rows(conn, each, OUT_OF_FOLD)}
        for each in (first, second)
    ]
    same = rows[0].keys() & rows[1].keys() - {*corrected, edited}
    assert held.edited == held.to_dict()["edited"] == 1
    assert held.rows == len(same) > 100
    assert [figures["accuracy"].value for figures in held.figures] == pytest.approx(
        [sum(of[key].right for key in same) / len(same) for of in rows]
    )
    (pair,) = held.to_dict()["pairs"]
    assert (pair["first"], pair["second"]) == ("letters@1", "letters@2")
    assert pair["differences"]["accuracy_low"] <= pair["differences"]["accuracy"]
    assert held.relabelled == 3
    truth = {key: rows[1][key].truth for key in corrected}
    assert list(held.right) == [
        sum(of[key].chosen == truth[key] for key in corrected) for of in rows
    ]
    assert str(held.relabelled_said).startswith("3 more rows have other labels since letters@1")
    told = CliRunner().invoke(
        ftclassify, ["classifiers", "compare", path_of(conn), "letters@2", "letters@1"]
    )
    for said in (held.about, *held.notes, held.sentence(held.differences[0])):
        assert said in told.stdout
    assert "letters@2 against letters@1" in told.stdout
    assert "1 more row was edited between the trainings, and left out." in told.stdout


def test_how_its_rows_were_read_is_said_as_of_the_first_one(conn, before):
    with conn:
        conn.execute("update letters set text = '<p>' || text || '</p><br>' where id = ?",
                     before.train[:1])  # fmt: skip
        conn.execute("update letters set label = upper(label) where id = ?", before.train[1:2])
        conn.execute("update letters set label = x'ff' where id = ?", before.train[2:3])
    task, request = version_request(conn, find_classifier(conn, "letters@1"))
    again = train_classifier(conn, task, request).classifier.report
    anew = train_classifier(conn, task, TrainRequest(name="anew", curve=False)).classifier.report
    for key in ("labels_said", "label_variants", "texts_said"):
        assert again[key] == anew[key]
    assert again["texts_said"] == ["1 text is in HTML, whose tags were read as words"]
    assert len(again["label_variants"]) == 1


def test_a_label_that_was_added_is_learnt(conn, before):
    first = find_classifier(conn, "letters@1")
    correct(conn, before.train[:1], "", new="ship")
    correct(conn, before.train[1:8], "ship")
    assert version_changes(conn, first).new_labels == ("ship",)
    task, request = version_request(conn, first)
    run_job(conn, submit_train(conn, task, request).id)
    second = find_classifier(conn, "letters")
    assert second.labels.names == ("garden", "house", "port", "ship")
    assert "does not know: ship" in " ".join(second.report["version_said"])


def test_other_peoples_columns_and_earlier_changes_are_no_corrections(conn, before):
    first = find_classifier(conn, "letters@1")
    correct(conn, before.train[:2], "house")
    with conn:
        conn.execute("update _ftclassify_label_changes set created_at = '2000-01-01T00:00:00Z'")
    assert corrections(conn, first) == 0
    correct(conn, before.train[2:3], other(conn, before.train[2]))
    with conn:
        conn.execute("update _ftclassify_jobs set settings = '{\"task\": 1}' where id = 2")
    assert corrections(conn, first) == 0


def again(conn: sqlite3.Connection) -> Classifier:
    """A new version that is to be used only if it is as good."""
    task, request = version_request(conn, find_classifier(conn, "letters"))
    return train_classifier(conn, task, only_if_better(request)).classifier


def test_a_version_that_is_worse_out_of_fold_is_kept_and_not_used(
    before: Before, conn: sqlite3.Connection
):
    labels = [label for _, label in clean_rows(60)]
    others = sorted(set(labels))
    with conn:  # somebody has mixed up half of the labels
        for key in before.train[::2]:
            wrong = others[(others.index(labels[key - 1]) + 1 + key % 2) % len(others)]
            conn.execute("update letters set label = ? where id = ?", [wrong, key])
        conn.execute("insert into letters (text, label) select 'another ' || text, label from"
                     " letters where id = ?", [before.train[0]])  # fmt: skip
    assert has_new_labels(conn, find_classifier(conn, "letters"))
    second = again(conn)
    assert second.title == "letters@2"
    why = second.report["not_used"]
    assert "letters@1 stays in use" in why
    (told,) = [e.message for e in job_events(conn, 3) if "stays in use" in e.message]
    assert told == why
    assert find_classifier(conn, "letters").title == "letters@1"
    assert find_classifier(conn).title == "letters@1"
    assert find_for_table(conn, "letters").title == "letters@1"
    assert find_classifier(conn, "letters@2").report["version_said"][-1] == why
    assert not has_new_labels(conn, second)  # the same labels are not trained on every night
    use_version(conn, second)  # a person knows better
    second = find_classifier(conn, "letters")
    assert (second.title, "not_used" in second.report) == ("letters@2", False)
    assert why not in second.report["version_said"]
    use_version(conn, find_classifier(conn, "letters@1"))
    assert find_classifier(conn, "letters").title == "letters@1"
    assert "letters@1 is used" in find_classifier(conn, "letters@2").report["not_used"]


def test_a_version_that_is_as_good_out_of_fold_is_used(before: Before, conn: sqlite3.Connection):
    labels = [label for _, label in clean_rows(60)]
    with conn:
        conn.executemany(
            "update letters set label = ? where id = ?",
            [(labels[key - 1], key) for key in before.train],
        )
    second = again(conn)
    assert "not_used" not in second.report
    assert find_classifier(conn, "letters").title == "letters@2"


def test_without_rows_that_both_answered_the_former_version_stays(conn: sqlite3.Connection):
    first = find_classifier(conn, "letters")
    said = why_not_used(conn, first.uid, first.labels, [])
    assert said is not None
    assert "nothing says which is better" in said
    assert why_not_used(conn, "of no classifier", first.labels, []) is None
