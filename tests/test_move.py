"""Moving a classifier to another trainer, and telling which of the two is better."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest
from service_towns import access_to, quick_to_ask, request, topics, town
from towns import rows, value

from datasette_ftclassify.errors import EvaluationError, TrainingError
from datasette_ftclassify.evaluation.paired import compare_pairs
from datasette_ftclassify.jobs.move import compare, move_request
from datasette_ftclassify.jobs.predict import PredictRequest, predict_rows
from datasette_ftclassify.jobs.train import TrainRequest, train_classifier
from datasette_ftclassify.store.splits import Membership


@pytest.fixture(autouse=True)
def quick():
    with quick_to_ask():
        yield


@pytest.fixture
def conn(tmp_path: Path):
    with closing(town(tmp_path / "town.db")) as conn:
        yield conn


@pytest.fixture
def local(conn):
    asked = TrainRequest(name="here", curve=False)
    return train_classifier(conn, topics(conn), asked).classifier


def test_both_learn_from_the_same_rows_and_are_judged_by_the_same(conn, local, openai_server):
    access = access_to(openai_server)
    asked = move_request(local, request())
    there = train_classifier(conn, local.task, asked, access=access).classifier
    assert there.split_id == local.split_id
    back = train_classifier(
        conn, there.task, move_request(there, TrainRequest(curve=False)), access=access
    ).classifier
    assert (back.title, back.split_id) == ("topics-local@1", local.split_id)
    compared = compare(conn, local, there)
    assert (compared.rows, compared.unanswered) == (48, 0)
    told = compared.to_dict()
    pairs = told["pairs"]
    assert pairs["both"] + pairs["only_first"] + pairs["only_second"] + pairs["neither"] == 48
    assert [c["trainer"] for c in told["classifiers"]] == ["local", "openai"]
    first = told["classifiers"][0]
    assert first["accuracy"] == (pairs["both"] + pairs["only_first"]) / 48
    assert first["accuracy_low"] < first["accuracy"] < first["accuracy_high"]
    assert 0 < told["majority_accuracy"] < 0.5
    # The same trainer, the same rows: the same answers.
    assert compare(conn, local, back).pairs["p_value"] == 1.0


def test_rows_that_have_come_since_are_left_out_and_none_changes_sides(conn, local):
    before = dict(rows(conn, "select row_key, split from _ftclassify_split_rows"))
    with conn:
        conn.execute(
            "insert into messages (id, message, topic) select id + 10000, message || ' again',"
            " topic from messages where topic is not null and id < 100"
        )
        conn.execute("update messages set message = message || ' (edited)' where id % 5 = 0")
        conn.execute("delete from messages where id = 3")
    second = train_classifier(conn, local.task, move_request(local, TrainRequest(curve=False)))
    assert second.classifier.report["left_out_new"] > 50
    after = dict(
        rows(
            conn,
            "select row_key, split from _ftclassify_split_rows where split_id = ?",
            [second.classifier.split_id],
        )
    )
    assert set(after.items()) <= set(before.items())
    assert len(before) - len(after) <= 2
    assert compare(conn, local, second.classifier).rows >= 45


def test_on_predictions_only_true_labels_are_tested(conn, local):
    asked = move_request(local, TrainRequest(curve=False), on_predictions=True)
    with pytest.raises(TrainingError, match="predict --unlabelled"):
        train_classifier(conn, local.task, asked)
    predict_rows(conn, local, "messages", PredictRequest(unlabelled=True))
    unlabelled = value(conn, "select count(*) from messages where topic is null")
    second = train_classifier(conn, local.task, asked).classifier
    assert 0 < second.report["predicted_labels"] <= unlabelled
    assert second.training_rows == local.training_rows + second.report["predicted_labels"]
    assert second.labels == local.labels
    assert Membership(conn, second.split_id).held_back == 48
    tested = rows(
        conn,
        "select count(*) from _ftclassify_split_rows s join messages m"
        " on m.id = json_extract(s.row_key, '$[0]') where s.split = 'test' and s.split_id = ?"
        " and m.topic is null",
        [second.split_id],
    )
    assert tested == [(0,)]
    assert compare(conn, local, second).rows == 48


def test_nobody_is_asked_for_a_comparison(conn, local, openai_server):
    openai_server.faults.add("POST /chat/completions", "insufficient_quota", None)
    access = access_to(openai_server)
    asked = move_request(local, request())
    there = train_classifier(conn, local.task, asked, access=access).classifier
    with pytest.raises(EvaluationError, match="ftclassify evaluate"):
        compare(conn, local, there)


def test_pairs_are_counted_and_weighed():
    # scipy.stats.binomtest(3, 13).pvalue
    first = [True] * 10 + [False] * 3 + [True] * 5 + [False] * 2
    second = [False] * 10 + [True] * 3 + [True] * 5 + [False] * 2
    pairs = compare_pairs(first, second)
    assert pairs["p_value"] == pytest.approx(0.09228515625)
    counts = (pairs["only_first"], pairs["only_second"], pairs["both"], pairs["neither"])
    assert counts == (10, 3, 5, 2)
    assert compare_pairs([True], [True])["p_value"] == 1.0
    assert compare_pairs([], [])["p_value"] == 1.0
    assert compare_pairs([True] * 20_000, [False] * 20_000)["p_value"] == 0.0
