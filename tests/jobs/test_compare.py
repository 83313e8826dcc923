"""Classifiers beside each other on the same rows: figures, intervals, pairs, labels, rows."""

from __future__ import annotations

import json
import math
import re
import sqlite3
from collections import Counter
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from commands import run, run_json
from compared import clone, none, right
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import f1_score, roc_auc_score

from datasette_ftclassify.cli import ftclassify
from datasette_ftclassify.core.database import connect
from datasette_ftclassify.core.errors import EvaluationError
from datasette_ftclassify.core.labels import LabelSet
from datasette_ftclassify.jobs.compare import MOST_COMPARED, compare
from datasette_ftclassify.metrics.answers import SingleAnswers
from datasette_ftclassify.metrics.comparison import compare_answers, holm
from datasette_ftclassify.metrics.registry import METRICS, metric
from datasette_ftclassify.store.classifiers import Classifier, find_classifier
from datasette_ftclassify.store.evaluations import (
    RowResult,
    evaluation_text,
    judged_rows,
    metrics_of,
)


def stored(conn: sqlite3.Connection, classifier: Classifier) -> dict[str, Any]:
    return dict(metrics_of(classifier, str(evaluation_text(conn, classifier))))


@pytest.mark.parametrize("name", ["topics", "urgent", "subjects"])
def test_each_kind_has_the_figures_of_its_evaluation_with_intervals(
    conn: sqlite3.Connection, name: str
) -> None:
    first = find_classifier(conn, name)
    second = clone(conn, first, "perfect", right)
    found = compare(conn, first, second)
    expected = stored(conn, first)
    assert found.rows == expected["n_test"]
    assert found.texts == expected["n_distinct"]
    one, other = found.compared
    for each in found.metrics:
        mine = one.figures[each.key]
        assert mine.value == pytest.approx(expected[each.key])
        assert mine.low is not None
        assert mine.low <= mine.value <= mine.high  # type: ignore[operator]
        if each.key in ("accuracy", "subset_accuracy", "micro_f1"):
            assert other.figures[each.key].value == each.best
    if name == "urgent":
        assert [each.key for each in found.metrics] == ["accuracy", "macro_f1", "auroc"]
    share = one.figures[found.metrics[0].key]
    if found.metrics[0].interval:
        ends = (expected["accuracy_low"], expected["accuracy_high"])
        assert (share.low, share.high) == pytest.approx(ends)


def test_area_under_the_curve_is_that_of_the_stored_scores(conn: sqlite3.Connection) -> None:
    first = find_classifier(conn, "urgent")
    found = compare(conn, first, clone(conn, first, "other", right))
    rows = judged_rows(conn, first)
    positive = first.labels.positive
    scores = [row.score if row.chosen == (positive,) else 1 - (row.score or 0) for row in rows]
    expected = roc_auc_score([row.truth == (positive,) for row in rows], scores)
    assert found.compared[0].figures["auroc"].value == pytest.approx(expected)


def test_the_majority_is_always_in_it_and_one_without_answers_is_below(
    conn: sqlite3.Connection,
) -> None:
    first = find_classifier(conn, "topics")
    silent = clone(conn, first, "silent", none)
    found = compare(conn, first, silent)
    assert found.baseline["accuracy"].value == stored(conn, first)["majority_accuracy"]
    assert found.compared[1].figures["accuracy"].value == 0
    (difference,) = found.differences
    assert difference.significant
    assert difference.pairs["only_second"] == 0
    gain = difference.figures["accuracy"]
    assert gain.value is not None
    assert gain.low is not None
    assert gain.low <= gain.value <= gain.high < 0  # type: ignore[operator]
    assert (
        "topics@1 is better (counting copies of a text once, 45 and 0: p < 0.001)"
        in found.sentence(difference)
    )
    several = find_classifier(conn, "subjects")
    found = compare(conn, several, clone(conn, several, "quiet", none))
    assert found.baseline["subset_accuracy"].value == pytest.approx(
        stored(conn, several)["majority_subset_accuracy"]
    )


def test_what_is_gained_and_lost_is_told_label_by_label(conn: sqlite3.Connection) -> None:
    first = find_classifier(conn, "topics")
    rows = judged_rows(conn, first)
    wrong = [place for place, row in enumerate(rows) if not row.right]
    good = [place for place, row in enumerate(rows) if row.right][:2]

    def other(place: int, row: RowResult) -> RowResult:
        return right(place, row) if place in wrong else none(place, row) if place in good else row

    found = compare(conn, first, clone(conn, first, "other", other))
    (difference,) = found.differences
    assert sum(change.gained for change in difference.labels) == len(wrong)
    assert sum(change.lost for change in difference.labels) == 2
    assert difference.pairs["only_second"] == len(wrong)
    for change in difference.labels:
        of_label = [row for row in rows if first.labels.names[row.truth[0]] == change.label]
        assert change.rows == len(of_label)
        assert change.first == sum(row.right for row in of_label)
        assert change.second == change.first + change.gained - change.lost
    assert found.disagreed == len(wrong) + 2
    places = {row.key for row in found.disagreements}
    assert places == {rows[place].key for place in (*wrong, *good)}


def test_labels_are_called_by_the_label_set_that_counts_them(conn: sqlite3.Connection) -> None:
    """The second of three has one more label, before the others'."""
    first = find_classifier(conn, "topics")

    def later(place: int, row: RowResult) -> RowResult:
        return replace(row, truth=(row.truth[0] + 1,), chosen=None)

    silent = clone(conn, first, "silent", later)
    names = ("A", *first.labels.names)
    more = replace(silent, labels=LabelSet(names, first.labels.kind))
    found = compare(conn, first, more, clone(conn, first, "perfect", right)).to_dict()
    pair = next(each for each in found["pairs"] if each["first"] == "silent@1")
    counts = Counter(first.labels.names[row.truth[0]] for row in judged_rows(conn, first))
    assert {change["label"]: change["gained"] for change in pair["labels"]} == counts


def test_the_newest_local_one_is_added_where_it_was_tested_on_these_rows(
    conn: sqlite3.Connection,
) -> None:
    first = find_classifier(conn, "topics")
    paid = [clone(conn, first, name, right, "openai") for name in ("one", "two")]
    found = compare(conn, *paid)
    assert [each.classifier.title for each in found.compared] == ["topics@1", "one@1", "two@1"]
    assert [each.added for each in found.compared] == [True, False, False]
    assert [each.local for each in found.compared] == [True, False, False]
    assert found.compared[0].bytes
    assert found.compared[0].usd_per_1000 == 0
    assert len(found.differences) == 3
    with conn:  # the local one no longer has all of these rows
        conn.execute(
            "delete from _ftclassify_evaluation_rows where row_key = (select min(row_key) from"
            " _ftclassify_evaluation_rows where evaluation_id = (select max(id) from"
            " _ftclassify_evaluations where classifier_id = ?1 and split = 'test')) and"
            " evaluation_id in (select id from _ftclassify_evaluations where classifier_id = ?1)",
            [first.id],
        )
    found = compare(conn, *paid)
    assert [each.classifier.title for each in found.compared] == ["one@1", "two@1"]
    assert found.left_out == "topics@1, which runs on this machine, was tested on other rows."
    assert compare(conn, *paid, may=lambda classifier: False).left_out == ""


def test_gains_are_those_of_the_newer_one_in_whatever_order_they_are_named(
    conn: sqlite3.Connection,
) -> None:
    first = find_classifier(conn, "topics")
    second = clone(conn, first, "perfect", right)
    found = compare(conn, second, first)
    assert found == compare(conn, first, second)
    (pair,) = found.to_dict()["pairs"]
    assert (pair["first"], pair["second"]) == ("topics@1", "perfect@1")
    assert pair["differences"]["accuracy"] > 0


def test_beside_one_that_runs_here_nobody_is_added(conn: sqlite3.Connection) -> None:
    first = find_classifier(conn, "topics")
    second, _ = (clone(conn, first, name, right) for name in ("second", "newest"))
    found = compare(conn, first, second)
    assert found.titles == ("topics@1", "second@1")
    assert found.left_out == ""


def test_two_that_are_right_on_the_same_rows_are_said_to_be(conn: sqlite3.Connection) -> None:
    first = find_classifier(conn, "topics")
    found = compare(conn, first, clone(conn, first, "same", lambda place, row: row))
    assert found.sentence(found.differences[0]) == "topics@1 and same@1 are right on the same rows."


def test_those_without_answers_out_of_fold_are_named(conn: sqlite3.Connection) -> None:
    first = find_classifier(conn, "topics")
    paid, copied = (clone(conn, first, name, right, name) for name in ("openai", "local"))
    found = compare(conn, first, paid)
    assert (found.out_of_fold, found.to_dict()["out_of_fold"]) == (None, None)
    assert found.titles == ("topics@1", "openai@1")
    assert "openai@1 has no answers out of fold: its model is at a service." in str(
        found.no_out_of_fold
    )
    both = compare(conn, paid, copied).no_out_of_fold
    assert "local@1 has no answers out of fold: no row could be held out" in str(both)
    other = clone(conn, first, "other", right, out_of_fold=True)
    held = compare(conn, other, paid, first).out_of_fold
    assert held is not None
    assert (held.titles, len(held.left_out)) == (("topics@1", "other@1"), 1)
    assert held.figures[1]["accuracy"].value == 1.0


def test_without_test_rows_those_of_the_training_are_compared_alone(trained: Path) -> None:
    with closing(connect(trained)) as conn:
        first = find_classifier(conn, "topics")
        second = clone(conn, first, "sure", right, out_of_fold=True)
        held = compare(conn, first, second).out_of_fold
        with conn:
            for table in ("evaluations", "split_rows"):
                conn.execute(f"delete from _ftclassify_{table} where split = 'test'")
        found = compare(conn, first, second)
        with pytest.raises(EvaluationError, match="No rows were held back"):
            compare(conn, first, find_classifier(conn, "urgent"))
    assert held is not None
    assert found.out_of_fold == held
    words = ["classifiers", "compare", str(trained), "topics", "sure"]
    data, told = run_json(*words), run(*words).stdout
    assert data == found.to_dict()
    assert [each["title"] for each in data["classifiers"]] == ["topics@1", "sure@1"]
    assert (data["rows"], data["pairs"], data["disagreed"]) == (0, [], 0)
    for said in (found.no_test_rows, held.about, held.sentence(held.differences[0])):
        assert str(said) in told
    assert str(found.no_test_rows).endswith("on rows of the training alone.")


def test_rows_of_which_two_read_other_columns_are_not_called_edited(
    conn: sqlite3.Connection,
) -> None:
    first = find_classifier(conn, "topics")
    second = clone(conn, first, "sure", right, out_of_fold=True)
    with conn:
        for table, columns in (
            ("splits", "99, task_id, plan, 'other', created_at"),
            ("split_rows", "99, row_key, text_hash + 1, split"),
        ):
            which = "id" if table == "splits" else "split_id"
            conn.execute(
                f"insert into _ftclassify_{table} select {columns} from _ftclassify_{table}"
                f" where {which} = ?",
                [first.split_id],
            )
    edited = replace(second, split_id=99)
    assert "same text and label for all" in str(compare(conn, first, edited).no_out_of_fold)
    held = compare(conn, first, replace(edited, task=replace(first.task, text=("ward",))))
    assert held.out_of_fold is not None
    assert held.out_of_fold.edited == 0


@pytest.mark.parametrize("count", [1, MOST_COMPARED + 1])
def test_too_few_or_too_many_are_refused(conn: sqlite3.Connection, count: int) -> None:
    first = find_classifier(conn, "topics")
    with pytest.raises(EvaluationError, match=r"at least two|At most 10"):
        compare(conn, *(replace(first, id=first.id + n) for n in range(count)))
    with pytest.raises(EvaluationError, match="at least two different"):
        compare(conn, first, first)


def test_rows_whose_label_was_changed_since_are_no_base_for_a_comparison(
    conn: sqlite3.Connection,
) -> None:
    first = find_classifier(conn, "topics")
    moved = clone(conn, first, "moved", lambda place, row: replace(row, truth=(place % 3,)))
    with pytest.raises(EvaluationError, match=r"other labels.*evaluate both again"):
        compare(conn, first, moved)


@pytest.mark.parametrize(
    ("column", "cell"),
    [("truth", "[999]"), ("truth", "[]"), ("chosen", "[0, 1]"), ("chosen", "[-1]"),
     ("chosen", "x"), ("score", 7), ("truth", b"\0"), ("row_key", "{"), ("text_group", "x"),
     ("score", "1e999")],
)  # fmt: skip
def test_rows_of_a_strangers_file_are_left_out_or_refused(
    conn: sqlite3.Connection, column: str, cell: object
) -> None:
    first = find_classifier(conn, "topics")
    second = clone(conn, first, "other", right)
    some = "where row_key = (select min(row_key) from _ftclassify_evaluation_rows)"
    change = f"update or ignore _ftclassify_evaluation_rows set [{column}] = ?"
    with conn:
        conn.execute(f"{change} {some}", [cell])
    assert compare(conn, first, second).rows in (47, 48)
    with conn:
        conn.execute(change, [cell])
    with suppress(EvaluationError):
        compare(conn, first, second)


def test_a_figure_that_is_declared_is_compared_as_well(conn: sqlite3.Connection) -> None:
    @metric("answered", "Answered", {"single": None}, "the share of rows answered", compared=True)
    def _answered(answers: SingleAnswers) -> float:
        return float((answers.chosen >= 0).mean())

    try:
        first = find_classifier(conn, "topics")
        found = compare(conn, first, clone(conn, first, "silent", none))
        assert [each.key for each in found.metrics] == ["accuracy", "macro_f1", "answered"]
        assert [each.figures["answered"].value for each in found.compared] == [1.0, 0.0]
    finally:
        del METRICS["answered"]


def answers(truth: Any, chosen: Any, labels: int) -> SingleAnswers:
    truth = np.asarray(truth)
    return SingleAnswers(
        labels=[str(i) for i in range(labels)],
        logprobs=np.broadcast_to(np.nan, (len(truth), labels)),
        scored=np.zeros(len(truth), dtype=bool),
        sizes=np.ones(len(truth), dtype=np.int64),
        truth=truth,
        chosen=np.asarray(chosen),
        majority=None,
        positive=1,
    )


SHOWN = [METRICS[key] for key in ("accuracy", "macro_f1")]


def test_intervals_of_differences_hold_what_they_promise() -> None:
    """Of many pairs of classifiers with a known difference, 95% of the intervals hold it."""
    random = np.random.default_rng(5)
    held = 0
    for _ in range(30):
        truth = random.integers(0, 3, 250)
        noise = random.random((2, 250))
        other = (truth + 1) % 3
        one = answers(truth, np.where(noise[0] < 0.7, truth, other), 3)
        two = answers(truth, np.where(noise[1] < 0.8, truth, other), 3)
        _, (difference,) = compare_answers([one, two], SHOWN[1:], np.arange(250), 2)
        ends = difference.figures["macro_f1"]  # of labels that are alike: as the accuracy
        assert ends.low is not None
        held += ends.low <= 0.1 <= ends.high  # type: ignore[operator]
    assert held >= 25  # by chance fewer in one of 250 runs; the seed is fixed


@settings(max_examples=15)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(-1, 2)), min_size=6, max_size=40))
def test_the_same_answers_differ_in_nothing(rows: list[tuple[int, int]]) -> None:
    truth, chosen = (np.array(each) for each in zip(*rows, strict=True))
    same = answers(truth, chosen, 3)
    figures, (difference,) = compare_answers([same, same], SHOWN, np.arange(len(rows)), 2)
    f1, accuracy = difference.figures["macro_f1"], difference.figures["accuracy"]
    assert (f1.value, f1.low, f1.high) == (0, 0, 0)
    # Not nothing, even where no row differs: other rows might.
    assert (accuracy.value, accuracy.low) == (0, -(accuracy.high or 0))
    assert (difference.p_adjusted, difference.significant) == (1.0, False)
    known = sorted({*truth.tolist(), *chosen.tolist()} - {-1})
    expected = f1_score(truth, chosen, labels=known, average="macro", zero_division=0)
    assert figures[0]["macro_f1"].value == pytest.approx(expected)


def test_an_interval_of_few_rows_does_not_say_more_than_its_p_value() -> None:
    """Four rows gained and none lost of 48: percentiles of a bootstrap would leave out 0."""
    truth = np.arange(48) % 2
    one, two = answers(truth, np.where(np.arange(48) < 4, -1, truth), 2), answers(truth, truth, 2)
    _, (difference,) = compare_answers([one, two], SHOWN, np.arange(48), 2)
    ends = difference.figures["accuracy"]
    assert difference.p_adjusted == pytest.approx(0.125)
    assert ends.low is not None
    assert ends.low < 0 < ends.high  # type: ignore[operator]


def test_copies_of_a_text_make_intervals_wider() -> None:
    truth = np.arange(80) % 2
    one, two = answers(truth, truth, 2), answers(truth, np.where(np.arange(80) >= 10, truth, -1), 2)
    _, (alone,) = compare_answers([one, two], SHOWN, np.arange(80), 2)
    _, (copied,) = compare_answers([one, two], SHOWN, np.arange(80) // 8, 2)

    def width(difference: Any) -> float:
        each = difference.figures["macro_f1"]
        return float(each.high - each.low)

    assert alone.figures["macro_f1"].value == copied.figures["macro_f1"].value
    assert copied.pairs["texts"] == 10
    assert copied.p_adjusted > alone.p_adjusted
    _, (none_known,) = compare_answers([one, two], SHOWN, np.arange(80) // 20, 2)
    assert none_known.figures["macro_f1"].low is None  # four texts are too few to draw from
    assert width(copied) > width(alone)


@given(st.lists(st.floats(0, 1), max_size=8))
def test_p_values_are_corrected_as_holm_says(values: list[float]) -> None:
    found = holm(values)
    ranked = sorted(range(len(values)), key=values.__getitem__)
    for rank, place in enumerate(ranked):
        worst = max((len(values) - i) * values[ranked[i]] for i in range(rank + 1))
        assert found[place] == pytest.approx(min(1.0, worst))
    assert all(a >= v or math.isclose(a, v) for a, v in zip(found, values, strict=True))


def test_a_key_that_is_a_blob_is_shown_as_in_sql(conn: sqlite3.Connection) -> None:
    first = find_classifier(conn, "topics")
    found = compare(conn, first, clone(conn, first, "silent", none))
    odd = replace(found.disagreements[0], key=(b"\x00\xff",))
    data = replace(found, disagreements=(odd,)).to_dict()
    assert json.loads(json.dumps(data))["disagreements"][0]["key"] == ["x'00ff'"]


def test_three_are_told_on_the_command_line_and_as_json(trained: Path) -> None:
    with closing(connect(trained)) as conn:
        first = find_classifier(conn, "topics")
        clone(conn, first, "perfect", right)
        clone(conn, first, "silent", none)
    words = ["classifiers", "compare", str(trained), "topics", "perfect", "silent"]
    told = run(*words).stdout
    data = run_json(*words)
    assert [c["title"] for c in data["classifiers"]] == ["topics@1", "perfect@1", "silent@1"]
    couples = [("perfect@1", "silent@1"), ("topics@1", "silent@1"), ("topics@1", "perfect@1")]
    assert [(pair["first"], pair["second"]) for pair in data["pairs"]] == couples
    for pair in data["pairs"]:
        assert pair["p_adjusted"] >= pair["p_value"]
        assert pair["sentence"] in told
    assert "On the same 48 test rows" in told
    assert "perfect@1 against topics@1: Accuracy +" in told
    assert "free for 1,000 answers, on this machine, " in told
    assert re.search(r"Different answers to 48 rows: (\d+, ){10}…", told)
    alone = CliRunner().invoke(ftclassify, words[:4])
    assert (alone.exit_code, alone.stderr) == (
        1, "Error: Name at least two different classifiers to compare.\n",
    )  # fmt: skip
