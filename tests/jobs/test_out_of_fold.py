"""What training answered out of fold is kept: for rows it had not seen, within bounds, and found
again as it was."""

from __future__ import annotations

import json
import math
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sample_databases import rows, value

from datasette_ftclassify.core.database import connect
from datasette_ftclassify.core.errors import ArtifactError
from datasette_ftclassify.core.examples import Example, read_records
from datasette_ftclassify.core.labels import LabelSet
from datasette_ftclassify.jobs.evaluate import evaluate_classifier
from datasette_ftclassify.jobs.out_of_fold import judge_held_out
from datasette_ftclassify.jobs.publish import publish_copy
from datasette_ftclassify.store.classifiers import find_classifier
from datasette_ftclassify.store.deletion import delete_classifier
from datasette_ftclassify.store.evaluations import OUT_OF_FOLD, evaluation_text, row_results
from datasette_ftclassify.store.out_of_fold import read_out_of_fold
from datasette_ftclassify.store.splits import splits_of_rows
from datasette_ftclassify.trainers.base import HeldOut


@pytest.mark.parametrize("name", ["topics", "urgent", "subjects"])
def test_each_row_that_was_trained_on_has_an_answer_of_a_model_that_had_not_seen_it(conn, name):
    classifier = find_classifier(conn, name)
    found = read_out_of_fold(conn, classifier)
    splits = splits_of_rows(conn, classifier.split_id, found.keys)
    assert set(splits.values()) <= {"train", "validation"}
    assert len(set(found.keys)) == len(found) == found.rows_answered
    assert len(found) > 0.9 * classifier.training_rows
    given = {r.key: r.labels.values for r in read_records(conn, classifier.task)}
    for key, truth in zip(found.keys, found.truth, strict=True):
        assert truth == tuple(classifier.labels.positions(given[key]))
    figures = json.loads(evaluation_text(conn, classifier, OUT_OF_FOLD))
    accuracy = figures["subset_accuracy" if name == "subjects" else "accuracy"]
    assert found.right.mean() == pytest.approx(accuracy)
    assert found.sampled.all()
    # It is about as good as on the test rows, and worse than on rows that were trained on.
    assert 0.5 < accuracy < 1


@pytest.mark.parametrize("name", ["topics", "subjects"])
def test_probabilities_are_those_of_the_answer_and_of_the_rows_own_labels(conn, name):
    classifier = find_classifier(conn, name)
    found = read_out_of_fold(conn, classifier)
    for i in range(len(found)):
        listed = dict(found.probabilities[i])
        assert {*found.truth[i], *found.chosen[i]} <= set(listed)
        assert list(listed.values()) == sorted(listed.values(), reverse=True)
        if name == "topics":
            (chosen,), (truth,) = found.chosen[i], found.truth[i]
            assert found.score[i] == pytest.approx(listed[chosen], rel=1e-5)
            if not math.isnan(found.truth_score[i]):  # else its label is in no other row
                assert found.truth_score[i] == pytest.approx(listed[truth], rel=1e-5)
                assert found.truth_score[i] <= found.score[i] + 1e-9
    probability, has = found.of_label(0)
    assert has.sum() == sum(0 in truth for truth in found.truth)
    assert probability[has].mean() > probability[~has].mean() + 0.2


def test_evaluations_stay_about_the_test_rows_alone(conn):
    """They come before and after it, whatever the order of the two is."""
    classifier = find_classifier(conn, "topics")
    kept = len(read_out_of_fold(conn, classifier))
    tested, _ = row_results(conn, classifier, limit=1_000)
    metrics = evaluate_classifier(conn, classifier)
    again, total = row_results(conn, classifier, limit=1_000)
    assert again == tested
    assert total == metrics["n_test"] == json.loads(evaluation_text(conn, classifier))["n_test"]
    assert len(read_out_of_fold(conn, classifier)) == kept
    splits = splits_of_rows(conn, classifier.split_id, [row.key for row in again])
    assert set(splits.values()) == {"test"}
    assert row_results(conn, classifier, split=OUT_OF_FOLD, limit=1)[1] == kept


def test_it_goes_with_the_classifier_and_not_into_a_published_copy(trained: Path, tmp_path: Path):
    publish_copy(trained, tmp_path / "out.db")
    with closing(sqlite3.connect(tmp_path / "out.db")) as copy:
        splits = rows(copy, "select distinct split from _ftclassify_evaluations")
        assert splits == [("test",)]
        assert read_out_of_fold(copy, find_classifier(copy, "topics")) is None
        held_back = "select count(*) from _ftclassify_split_rows where split <> 'test'"
        assert value(copy, held_back) == 0
    with closing(connect(trained)) as conn:
        for name in ("topics", "urgent", "subjects"):
            delete_classifier(conn, name)
        assert value(conn, "select count(*) from _ftclassify_evaluation_rows") == 0
        assert value(conn, "select count(*) from _ftclassify_evaluations") == 0


@pytest.mark.parametrize(
    ("column", "cell"),
    [("row_key", "[[1]]"), ("truth", "[0, 99]"), ("truth", "0"), ("chosen", "[0],[1]"),
     ("chosen", b"\xff"), ("score", 1.5), ("score", "high"), ("truth_score", -1),
     ("truth_score", math.inf), ("probabilities", "[0, 2]"), ("probabilities", "[0]"),
     ("probabilities", "[true, 0.5]"), ("probabilities", "[" * 40_000), ("text_group", "x"),
     ("text_group", 1e300), ("score", None)],
)  # fmt: skip
def test_what_somebody_else_wrote_into_it_is_refused(conn, column, cell):
    classifier = find_classifier(conn, "topics")
    evaluation = value(
        conn, "select id from _ftclassify_evaluations where classifier_id = ? and split = ?",
        [classifier.id, OUT_OF_FOLD],
    )  # fmt: skip
    with conn:
        conn.execute(
            f"update _ftclassify_evaluation_rows set {column} = ? where evaluation_id = ? and"
            " row_key = (select max(row_key) from _ftclassify_evaluation_rows where"
            " evaluation_id = ?)",
            [cell, evaluation, evaluation],
        )
    with pytest.raises(ArtifactError, match="train it again"):
        read_out_of_fold(conn, classifier)


def test_a_file_that_nobody_wrote_to_since_an_earlier_version_has_none(conn):
    with conn:
        for column in ("truth_score", "probabilities", "sampled"):
            conn.execute(f"alter table _ftclassify_evaluation_rows drop column {column}")
    assert read_out_of_fold(conn, find_classifier(conn, "topics")) is None


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 60), st.integers(0, 20), st.integers(0, 20), st.booleans())
def test_of_many_rows_a_sample_is_kept_and_the_most_doubted(n, sampled, doubted, multilabel):
    dice = np.random.default_rng(n)
    labels = LabelSet(("a", "b", "c"), "multilabel" if multilabel else "multiclass")
    own = dice.dirichlet([1, 1, 1], n)
    chosen = own > 0.5 if multilabel else None
    held_out = HeldOut(np.arange(n) * 2, np.log(own), chosen, np.arange(n), np.ones(n, dtype=bool))
    training = [Example((i,), "text", (labels.values[i % 3],), "train") for i in range(2 * n)]
    judged = judge_held_out(training, labels, held_out, 0, 1, sampled=sampled, doubted=doubted)
    assert judged.figures["n_test"] == n
    assert sum(row.sampled for row in judged.rows) == min(n, sampled)
    others = [row for row in judged.rows if not row.sampled]
    assert len(others) == (min(doubted, n - sampled) if n > sampled else 0)
    if others and not multilabel:
        kept = {row.key for row in judged.rows}
        left = [own[i, 2 * i % 3] for i in range(n) if (2 * i,) not in kept]
        assert max(row.truth_score for row in others) <= min([*left, 1])
