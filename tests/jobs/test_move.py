"""Moving a classifier to another trainer, and telling which of the two is better."""

from __future__ import annotations

import shutil
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sample_databases import rows, value
from scipy.stats import binomtest
from service_training import access_to, request, topics, town
from service_workflow import reports

from datasette_ftclassify.core.database import connect
from datasette_ftclassify.core.errors import EvaluationError, TrainingError
from datasette_ftclassify.core.task import define, with_variants_merged
from datasette_ftclassify.jobs.compare import compare, move_request
from datasette_ftclassify.jobs.plan import PredictRequest
from datasette_ftclassify.jobs.predict import predict_rows
from datasette_ftclassify.jobs.train import train_classifier
from datasette_ftclassify.jobs.train_request import TrainRequest
from datasette_ftclassify.metrics.comparison import compare_pairs
from datasette_ftclassify.store.classifiers import find_classifier
from datasette_ftclassify.store.evaluations import evaluation_text, metrics_of, paired_counts
from datasette_ftclassify.store.splits import Membership
from datasette_ftclassify.web import headline_figures

pytestmark = pytest.mark.usefixtures("quick")


@pytest.fixture(scope="module")
def trained_here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The town with a local classifier of its topics; read it, never write it."""
    path = tmp_path_factory.mktemp("here") / "town.db"
    with closing(town(path)) as conn:
        train_classifier(conn, topics(conn), TrainRequest(name="here", curve=False))
    return path


@pytest.fixture
def conn(trained_here: Path, tmp_path: Path):
    with closing(connect(Path(shutil.copy(trained_here, tmp_path)))) as conn:
        yield conn


@pytest.fixture
def local(conn):
    return find_classifier(conn, "here")


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
    (pairs,) = told["pairs"]
    assert pairs["both"] + pairs["only_first"] + pairs["only_second"] + pairs["neither"] == 48
    assert [c["trainer"] for c in told["classifiers"]] == ["local", "openai"]
    assert [c["added"] for c in told["classifiers"]] == [False, False]
    first = told["classifiers"][0]
    assert first["accuracy"] == (pairs["both"] + pairs["only_first"]) / 48
    assert first["accuracy_low"] < first["accuracy"] < first["accuracy_high"]
    assert 0 < told["baseline"]["accuracy"] < 0.5
    # The same trainer, the same rows: the same answers.
    (same,) = compare(conn, local, back).differences
    assert (same.pairs["p_value"], same.p_adjusted, same.figures["accuracy"].value) == (1, 1, 0)


def test_classifiers_of_other_labels_are_not_compared(trained):
    with closing(connect(trained)) as conn:
        topics, urgent = (find_classifier(conn, name) for name in ("topics", "urgent"))
        with pytest.raises(EvaluationError, match=r"from 'topic'\) than .* \(from 'urgent'\)"):
            compare(conn, topics, urgent)


def test_ways_of_writing_that_one_of_them_counts_as_one_are_the_same_label(tmp_path):
    with closing(reports(tmp_path / "reports.db")) as conn:
        with conn:
            conn.execute("update reports set label = upper(label) where id % 4 = 0")
        each = define(conn, "reports", text=["text"], labels=["label"])
        one = with_variants_merged(conn, each)
        plain, merged = (
            train_classifier(conn, task, TrainRequest(name=name, curve=False)).classifier
            for name, task in (("plain", each), ("merged", one))
        )
        assert compare(conn, plain, merged).rows > 0


def test_the_baseline_of_a_comparison_is_that_of_the_evaluation(trained):
    """The commonest label of the training need not be that of the test rows."""
    with closing(connect(trained)) as conn:
        topics = find_classifier(conn, "topics")
        metrics = metrics_of(topics, str(evaluation_text(conn, topics)))
        asked = move_request(topics, TrainRequest(curve=False))
        second = train_classifier(conn, topics.task, asked).classifier
        baseline = compare(conn, topics, second).baseline["accuracy"].value
        assert baseline == metrics["majority_accuracy"]
        support = {name: figures["support"] for name, figures in metrics["labels"].items()}
        rare = min(support, key=lambda name: support[name])
        assert support[rare] / metrics["n_test"] < metrics["majority_accuracy"]
        report = {**topics.report, "majority": topics.labels.names.index(rare)}
        other = replace(topics, report=report)
        baseline = compare(conn, other, second).baseline["accuracy"].value
        assert baseline == support[rare] / metrics["n_test"]


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
    with pytest.raises(TrainingError, match="classify the rows without a label first"):
        train_classifier(conn, local.task, asked)
    predict_rows(conn, local, "messages", PredictRequest(unlabelled=True))
    unlabelled = value(conn, "select count(*) from messages where topic is null")
    second = train_classifier(conn, local.task, asked).classifier
    assert 0 < second.report["predicted_labels"] <= unlabelled
    assert second.training_rows == local.training_rows + second.report["predicted_labels"]
    assert second.labels == local.labels
    assert Membership(conn, second.split_id).count("test") == 48
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
    with pytest.raises(EvaluationError, match="evaluate both"):
        compare(conn, local, there)


def test_pairs_are_counted_and_weighed():
    # scipy.stats.binomtest(3, 13).pvalue
    first = [True] * 10 + [False] * 3 + [True] * 5 + [False] * 2
    second = [False] * 10 + [True] * 3 + [True] * 5 + [False] * 2
    pairs = compare_pairs(first, second)
    assert pairs["p_value"] == pytest.approx(0.09228515625)
    counts = (pairs["only_first"], pairs["only_second"], pairs["both"], pairs["neither"])
    assert counts == (10, 3, 5, 2)
    assert (pairs["texts"], pairs["texts_first"], pairs["texts_second"]) == (20, 10, 3)
    assert compare_pairs([True], [True])["p_value"] == 1.0
    assert compare_pairs([], [])["p_value"] == 1.0
    assert compare_pairs([True] * 20_000, [False] * 20_000)["p_value"] == 0.0


def test_copies_of_a_letter_are_one_vote():
    """The first is right on one letter that came 100 times, the second on nine others."""
    letters = [0] * 100 + list(range(1, 21))
    first = [True] * 100 + [False] * 9 + [True] * 11
    second = [False] * 100 + [True] * 20
    pairs = compare_pairs(first, second, np.array(letters))
    assert (pairs["rows"], pairs["texts"]) == (120, 21)
    assert (pairs["only_first"], pairs["only_second"]) == (100, 9)
    assert (pairs["texts_first"], pairs["texts_second"]) == (1, 9)
    assert pairs["p_value"] == pytest.approx(0.021484375)  # scipy.stats.binomtest(1, 10).pvalue
    assert compare_pairs(first, second)["p_value"] < 1e-15


@given(st.lists(st.tuples(st.booleans(), st.booleans()), max_size=60), st.integers(1, 5))
def test_rows_of_a_text_each_are_compared_by_mcnemar_and_copies_change_nothing(rows, copies):
    first, second = [a for a, _ in rows], [b for _, b in rows]
    alone = compare_pairs(first, second)
    more, less = alone["only_first"], alone["only_second"]
    expected = binomtest(more, more + less).pvalue if more + less else 1.0
    assert alone["p_value"] == pytest.approx(expected)
    groups = np.repeat(np.arange(len(rows)), copies)
    copied = compare_pairs(first * copies, second * copies, np.tile(np.arange(len(rows)), copies))
    assert copied["p_value"] == alone["p_value"]
    assert copied["rows"] == len(groups)


def test_page_and_command_line_count_copies_alike(conn, local):
    """Rows that are copies of a test row are tested with it, and neither doubt counts them."""
    with conn:  # few enough to be quick to train on
        conn.execute("delete from messages where id > 140")
        conn.execute(
            "insert into messages (id, message, topic) select id + 20000 * c.n, upper(message),"
            " topic from messages, (select 1 as n union select 2 union select 3) as c"
            " where topic is not null and id < 60"
        )
    asked = TrainRequest(name="copied", curve=False)
    first = train_classifier(conn, local.task, asked).classifier
    second = train_classifier(conn, local.task, move_request(first, asked)).classifier
    with conn:  # the second errs in all copies of one message
        text = conn.execute(
            "select lower(m.message) from _ftclassify_evaluation_rows r join messages m"
            " on m.id = json_extract(r.row_key, '$[0]') where m.id > 20000 and r.chosen = r.truth"
            " and r.evaluation_id = (select max(id) from _ftclassify_evaluations)"
        ).fetchone()[0]
        conn.execute(
            "update _ftclassify_evaluation_rows set chosen = null where row_key in (select"
            " json_array(id) from messages where lower(message) = ?) and evaluation_id ="
            " (select max(id) from _ftclassify_evaluations)",
            [text],
        )
    stored = paired_counts(conn, first, second)
    (difference,) = compare(conn, first, second).differences
    compared = difference.pairs
    assert stored["texts"] == compared["texts"] < compared["rows"]
    assert (stored["only_first"], stored["texts_first"]) == (4, 1)
    told = headline_figures.comparison(conn, first, second)
    assert told is not None
    assert told["p_value"] == 1.0
    assert "counting copies of a text once, 0 and 1: p = 1.000" in told["sentence"]
