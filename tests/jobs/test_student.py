"""A plain local classifier that learns from another one's answers for rows without a label."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from commands import run
from sports import BASEBALL, HOCKEY, sports
from training_sets import fit

from datasette_ftclassify.core.database import connect
from datasette_ftclassify.core.errors import TrainingError
from datasette_ftclassify.core.task import define
from datasette_ftclassify.jobs import teaching
from datasette_ftclassify.jobs.compare import compare, student_request
from datasette_ftclassify.jobs.teaching import taught_by
from datasette_ftclassify.jobs.train import train_classifier
from datasette_ftclassify.jobs.train_request import TrainRequest
from datasette_ftclassify.jobs.train_version import version_request
from datasette_ftclassify.store.answers import CachedAnswer, input_key, keep_answers
from datasette_ftclassify.store.classifiers import find_classifier
from datasette_ftclassify.trainers.base import Taught
from datasette_ftclassify.trainers.local.candidates import candidates
from datasette_ftclassify.trainers.local.training_data import Data

LABELLED, UNLABELLED = 60, 100


@pytest.fixture(scope="module")
def taught_table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Few rows with a label, many without, and a classifier."""
    path = tmp_path_factory.mktemp("student") / "games.db"
    texts, labels = sports(LABELLED + UNLABELLED, 0)
    names = ["hockey" if label == 0 else "baseball" for label in labels]
    names[LABELLED:] = [None] * UNLABELLED
    with closing(connect(path, must_exist=False)) as conn:
        conn.execute("create table games (id integer primary key, body text, sport text)")
        conn.executemany(
            "insert into games (body, sport) values (?, ?)", zip(texts, names, strict=True)
        )
        conn.execute("insert into games (body) select body from games where sport is not null")
        conn.commit()
        task = define(conn, "games", text=["body"], labels=["sport"])
        train_classifier(conn, task, TrainRequest(name="teacher", curve=False))
    return path


@pytest.fixture
def conn(taught_table: Path, tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with closing(connect(Path(shutil.copy(taught_table, tmp_path)))) as conn:
        yield conn


def test_a_student_is_tested_on_the_rows_of_its_teacher_and_says_what_it_learnt(conn):
    teacher = find_classifier(conn, "teacher")
    made = train_classifier(conn, teacher.task, student_request(teacher, TrainRequest()))
    student = made.classifier
    assert student.name == "teacher-student"
    assert student.trainer == "local"
    assert student.training_rows == teacher.training_rows
    about = student.report["teacher"]
    assert about["name"] == "teacher@1"
    assert about["used"] == ("teacher's answers" in student.report["recipe"])
    # Copies of rows that the teacher is tested with teach nothing, although they have no label.
    texts = LABELLED + UNLABELLED - teacher.report["rows"]["test"]
    assert about["rows"] == texts
    found = compare(conn, teacher, student)
    assert found.rows == teacher.report["rows"]["test"]
    # A new version has the same teacher.
    assert version_request(conn, student)[1].teacher == teacher.uid


def test_the_command_says_what_the_student_costs_in_accuracy(taught_table, tmp_path):
    path = shutil.copy(taught_table, tmp_path)
    done = run("student", path, "teacher", "--json")
    found = json.loads(done.output)
    assert found["classifier"] == "teacher-student"
    assert found["comparison"]["rows"] == found["metrics"]["n_test"]


def test_more_texts_than_are_learnt_from_are_drawn_and_where_there_are_none_it_is_said(
    conn, monkeypatch
):
    teacher = find_classifier(conn, "teacher")
    monkeypatch.setattr(teaching, "MOST_TAUGHT", 20)
    found = taught_by(conn, teacher, 0)
    assert len(set(found.texts)) == 20
    assert found.chances.shape == (20, 2)
    np.testing.assert_allclose(found.chances.sum(axis=1), 1, atol=1e-6)
    conn.execute("delete from games where sport is null")
    with pytest.raises(TrainingError, match="no row without a label"):
        taught_by(conn, teacher, 0)


def test_of_a_teacher_at_a_service_only_stored_answers_are_taken(conn, monkeypatch):
    teacher = find_classifier(conn, "teacher")
    monkeypatch.setattr(teaching, "service_of", lambda classifier: object())
    with pytest.raises(TrainingError, match="Classify such rows first"):
        taught_by(conn, teacher, 0)
    texts = [text for (text,) in conn.execute("select body from games where sport is null limit 5")]
    answers = [
        CachedAnswer(("hockey",), logprobs=(float(np.log(0.2)), float(np.log(0.6)))),
        CachedAnswer(("baseball",)),
        CachedAnswer(None, reason="no label"),
        CachedAnswer(("a stranger's",)),
    ]
    keys = [input_key(text) for text in texts]
    keep_answers(conn, teacher.id, dict(zip(keys, answers, strict=False)))
    taught = taught_by(conn, teacher, 0)
    found = dict(zip(taught.texts, taught.chances.tolist(), strict=True))
    assert set(found) == set(texts[:2])
    assert teacher.labels.names == ("baseball", "hockey")
    assert found[texts[0]] == pytest.approx([0.25, 0.75], abs=1e-5)
    assert found[texts[1]] == [1, 0]


def test_a_student_learns_words_that_only_its_teacher_knows():
    """Each row has a word of its sport that no other has, so that they tell nothing alone."""
    words = [word for pair in zip(HOCKEY.split(), BASEBALL.split(), strict=True) for word in pair]
    labels = np.arange(18) % 2
    few = [f"{word} is what was said" for word in words[:18]]
    texts, truth = sports(150, 1)
    chances = np.where(np.eye(2)[truth] == 1, 0.9, 0.1)
    asked = [f"what of a {word}" for word in words[18:]]

    def right(taught):
        model, report = fit(few, labels, 2, exclusive=True, taught=taught)
        answers = model.log_probabilities(asked).argmax(axis=1)
        return (answers == labels).mean(), report

    alone, report = right(None)
    assert "teacher" not in report
    taught, report = right(Taught(texts, chances, "encoder@1"))
    assert report["teacher"] == {"name": "encoder@1", "rows": 150, "used": True}
    assert taught > alone + 0.2


def test_several_labels_a_row_are_learnt_from_a_teacher():
    texts, truth = sports(160, 1)
    targets = np.eye(2, dtype=int)[truth]
    chances = np.where(targets == 1, 0.8, 0.1)[40:]
    data = Data.read(
        texts[:40], targets[:40], exclusive=False, taught=Taught(texts[40:], chances, "encoder@1")
    )
    whole = data.whole(False, True)
    assert whole.targets.shape == (160, 2)
    (recipe,) = [r for r in candidates(40, 2, 1e4, exclusive=False, embedding=False, taught=120)
                 if r.taught]  # fmt: skip
    ((base, _),) = recipe.mixture
    answers = base.fit(whole.features, whole.targets, 0).decide(whole.features.words)
    assert (answers[40:].argmax(axis=1) == truth[40:]).mean() > 0.9


def test_what_a_teacher_answers_is_left_out_where_it_does_not_help():
    texts, labels = sports(60, 0)
    others, truth = sports(100, 1)
    wrong = Taught(others, np.eye(2)[1 - np.array(truth)], "encoder@1")
    model, report = fit(texts, np.array(labels), 2, exclusive=True, taught=wrong)
    assert not report["teacher"]["used"]
    assert "The answers of encoder@1 are not trained on" in " ".join(report["warnings"])
    assert (model.log_probabilities(others).argmax(axis=1) == truth).mean() > 0.8
