"""Rows that have a label because a queue chose them for what a model said of them are trained on,
and nothing is measured or calibrated with them."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from checking import clean_rows
from commands import run
from training_sets import fit, training_set

from datasette_ftclassify.core.database import connect
from datasette_ftclassify.core.splits import SplitPlan
from datasette_ftclassify.core.task import define
from datasette_ftclassify.core.training_report import chosen_text
from datasette_ftclassify.jobs.evaluate import read_test_rows
from datasette_ftclassify.jobs.review.build import submit_review
from datasette_ftclassify.jobs.review.changes import change_row
from datasette_ftclassify.jobs.review.shown import list_shown
from datasette_ftclassify.jobs.runner import run_job
from datasette_ftclassify.jobs.settings import ReviewSettings
from datasette_ftclassify.jobs.train import train_classifier
from datasette_ftclassify.jobs.train_request import TrainRequest
from datasette_ftclassify.jobs.train_rows import read_split
from datasette_ftclassify.jobs.train_version import version_request
from datasette_ftclassify.jobs.version_rows import version_changes
from datasette_ftclassify.store.classifiers import find_classifier
from datasette_ftclassify.store.out_of_fold import read_out_of_fold
from datasette_ftclassify.trainers.local import training
from datasette_ftclassify.trainers.local.learning_curves import learning_curve

LABELLED, CHOSEN = 150, 20


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """150 rows with a label, a classifier of them, and a queue of 40 others, all of them labelled
    since; version 2 is trained on both."""
    path = tmp_path_factory.mktemp("chosen") / "letters.db"
    with closing(connect(path, must_exist=False)) as conn:
        with conn:
            conn.execute("create table letters (id integer primary key, text, label)")
            conn.executemany("insert into letters (text, label) values (?, ?)", clean_rows(70))
        truth = dict(conn.execute("select id, label from letters"))
        with conn:
            conn.execute("update letters set label = null where id > ?", [LABELLED])
        task = define(conn, "letters", text=["text"], labels=["label"])
        first = train_classifier(conn, task, TrainRequest(name="letters", curve=False)).classifier
        settings = ReviewSettings(task, "label", first.uid, rows=2 * CHOSEN)
        job = run_job(conn, submit_review(conn, settings).id)
        for row in list_shown(conn, job):
            (key,) = row.key
            change_row(conn, job, row.place, [truth[key]], seen=row.seen, who="ann")
        again, request = version_request(conn, first)
        train_classifier(conn, again, request)
    return path


@pytest.fixture
def conn(path: Path, tmp_path: Path) -> Iterator[sqlite3.Connection]:
    copy = tmp_path / "letters.db"
    copy.write_bytes(path.read_bytes())
    with closing(connect(copy)) as conn:
        yield conn


def in_queue(conn: sqlite3.Connection, *, at_random: bool) -> set[str]:
    sql = "select row_key from _ftclassify_review_rows where at_random = ?"
    return {key for (key,) in conn.execute(sql, [at_random])}


def keyed(keys: object) -> set[str]:
    return {f"[{key}]" for (key,) in keys}  # type: ignore[attr-defined]


def test_no_answer_of_a_chosen_row_is_kept_or_calibrates(conn: sqlite3.Connection) -> None:
    second = find_classifier(conn, "letters@2")
    kept = read_out_of_fold(conn, second)
    assert kept is not None
    held_out = keyed(kept.keys)
    assert not held_out & in_queue(conn, at_random=False)
    assert in_queue(conn, at_random=True) <= held_out  # chance has drawn them
    assert second.training_rows - len(held_out) == CHOSEN
    assert second.report["calibration"]["rows"] == len(held_out)
    minimum = run("classifiers", "minimum", conn_path(conn), "letters").output
    assert f"{CHOSEN} training rows have their label because a review queue chose them" in minimum


def conn_path(conn: sqlite3.Connection) -> str:
    return str(conn.execute("pragma database_list").fetchone()[2])


def test_what_was_left_out_is_said_with_the_reason(conn: sqlite3.Connection) -> None:
    assert chosen_text(find_classifier(conn, "letters@1").report) is None
    said = chosen_text(find_classifier(conn, "letters@2").report)
    assert said is not None
    assert said.startswith(f"{CHOSEN} training rows have their label because a review queue")
    assert said in run("classifiers", "show", conn_path(conn), "letters").output


def test_a_row_that_lost_its_label_and_was_chosen_is_tested_with_no_more(
    conn: sqlite3.Connection,
) -> None:
    first = find_classifier(conn, "letters@1")
    before, counts = read_test_rows(conn, first)
    (key,) = before[0].key
    with conn:
        conn.execute("update letters set label = null where id = ?", [key])
    settings = ReviewSettings(first.task, "unsure", first.uid, rows=100)
    job = run_job(conn, submit_review(conn, settings).id)
    row = next(row for row in list_shown(conn, job, most=100) if tuple(row.key) == (key,))
    change_row(conn, job, row.place, ["garden"], seen=row.seen, who="ann")
    after, left = read_test_rows(conn, first)
    assert {r.key for r in after} == {r.key for r in before} - {(key,)}
    assert left["missing"] == counts["missing"] + 1
    assert version_changes(conn, first).test_rows == len(after)


def test_a_split_column_cannot_make_a_chosen_row_one_to_test_with(conn: sqlite3.Connection) -> None:
    with conn:
        conn.execute("alter table letters add column part")
        conn.execute("update letters set part = iif(id % 2, 'train', 'test')")
    task = define(conn, "letters", text=["text"], labels=["label"], split_column="part")
    found = read_split(conn, task, SplitPlan())
    chosen = in_queue(conn, at_random=False)
    assert not chosen & keyed(e.key for e in found.of("test", "validation"))
    odd = {key for key in chosen if int(key[1:-1]) % 2}
    assert chosen & keyed(e.key for e in found.of("train")) == odd
    assert found.notes["chosen_left_out"] == len(chosen) - len(odd)


# --- the trainer ---------------------------------------------------------------------------------


def hard_rows() -> tuple[list[str], np.ndarray, np.ndarray]:
    """Rows that are easy, and rows whose label nobody can tell; which are the latter."""
    rng = np.random.default_rng(1)
    easy, hard = clean_rows(50), clean_rows(30)
    names = sorted({label for _, label in easy})
    targets = [names.index(label) for _, label in easy]
    targets += rng.integers(0, len(names), len(hard)).tolist()
    chosen = np.arange(len(targets)) >= len(easy)
    return [text for text, _ in (*easy, *hard)], np.array(targets), chosen


def test_the_learning_curve_is_measured_on_the_other_rows() -> None:
    texts, targets, chosen = hard_rows()
    *_, last = learning_curve(training_set(texts, targets, 3, chosen=chosen))
    assert last["score"] > 0.9
    assert learning_curve(training_set(texts, targets, 3))[-1]["score"] < 0.8
    assert last["baseline"] == pytest.approx(1 / 3)


def test_with_chosen_rows_alone_nothing_is_measured_and_the_classifier_answers() -> None:
    texts, targets, chosen = hard_rows()
    every = np.ones_like(chosen)
    model, report, held_out = training.fit(training_set(texts, targets, 3, chosen=every))
    assert held_out is None
    assert "chosen by review queues" in report["why"]
    assert not report["calibration"]["applied"]
    assert model.log_probabilities(texts[:2]).shape == (2, 3)
    assert learning_curve(training_set(texts, targets, 3, chosen=every)) == []


def test_a_label_that_only_chosen_rows_have_is_given() -> None:
    rows = clean_rows(60)
    texts = [text for text, _ in rows]
    names = sorted({label for _, label in rows})
    targets = np.array([[int(label == name) for name in names] for _, label in rows])
    rare = targets[:, 2] == 1
    model, _, held_out = training.fit(training_set(texts, targets, 3, exclusive=False, chosen=rare))
    assert held_out is not None
    assert not rare[held_out.rows].any()
    chances = np.exp(model.log_probabilities(texts))[:, 2]
    assert chances[rare].min() > chances[~rare].max()
    assert (chances >= model.thresholds[2])[rare].all()
    assert not (chances >= model.thresholds[2])[~rare].any()


def test_without_chosen_rows_nothing_is_another_one() -> None:
    texts, targets, _ = hard_rows()
    none = np.zeros(len(texts), dtype=bool)
    one, _ = fit(texts, targets, 3, exclusive=True)
    other, _ = fit(texts, targets, 3, exclusive=True, chosen=none)
    assert (one.log_probabilities(texts) == other.log_probabilities(texts)).all()


def test_rows_of_a_view_are_known_by_their_text(conn: sqlite3.Connection) -> None:
    """They have no key of their own, and were counted as drawn at random."""
    with conn:
        conn.execute("create view seen as select upper(label) as subject, text from letters")
    task = define(conn, "seen", text=["text"], labels=["subject"])
    trained = train_classifier(conn, task, TrainRequest(name="seen", curve=False)).classifier
    assert trained.report["chosen_rows"] == CHOSEN
    kept = read_out_of_fold(conn, trained)
    assert kept is not None
    chosen = "select text from letters where '[' || id || ']' in ({})"
    keys = ", ".join(repr(key) for key in in_queue(conn, at_random=False))
    texts = {text for (text,) in conn.execute(chosen.format(keys))}
    assert len(texts) == CHOSEN
    tested = {row.text for row in read_test_rows(conn, trained)[0]}
    assert tested
    assert not tested & texts
    assert len(kept) + CHOSEN == trained.training_rows
