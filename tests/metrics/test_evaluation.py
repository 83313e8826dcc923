"""The figures agree with scikit-learn where it has them, and with arithmetic on paper elsewhere;
intervals, the line for people, and what is said of arrays that cannot be evaluated."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn import metrics

from datasette_ftclassify.core.errors import ArtifactError, FtclassifyError
from datasette_ftclassify.core.label_kinds import MULTICLASS, MULTILABEL, LabelKind
from datasette_ftclassify.metrics import (
    EvaluationError,
    easier_test_rows,
    evaluate,
    headline,
    wilson_interval,
)
from datasette_ftclassify.metrics.intervals import independent_rows, ratio_interval
from datasette_ftclassify.store.reports import read_report

Array = NDArray[Any]
NAN, INF = float("nan"), float("inf")


def logs(rows: list[list[float]]) -> Array:
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(np.array(rows)))


def names(size: int) -> list[str]:
    return [f"label {i}" for i in range(size)]


def is_json(result: dict[str, Any]) -> bool:
    return bool(json.loads(json.dumps(result, allow_nan=False)) == result)


# Small sizes with few distinct values, so that missing classes and ties are common.
seeds = st.integers(0, 2**32 - 1)


@st.composite
def single_label(draw: st.DrawFn, sizes: st.SearchStrategy[int]) -> tuple[Array, Array]:
    """Truth (n,) and log-probabilities (n, K) that lean towards the truth."""
    size = draw(sizes)
    n = draw(st.integers(1, 40))
    random = np.random.default_rng(draw(seeds))
    used = random.choice(size, size=draw(st.integers(1, size)), replace=False)
    truth = random.choice(used, size=n)
    weight = random.integers(1, 4, size=(n, size)) + 2.0 * (np.arange(size) == truth[:, None])
    weight *= random.random((n, size)).round(1) + 0.1
    return truth, np.log(weight / weight.sum(axis=1, keepdims=True))


@st.composite
def multi_label(draw: st.DrawFn) -> tuple[Array, Array]:
    """Truth 0/1 (n, K) and the log-probability of each label (n, K)."""
    shape = draw(st.integers(1, 40)), draw(st.integers(2, 6))
    random = np.random.default_rng(draw(seeds))
    truth = random.random(shape) < draw(st.sampled_from([0.0, 0.1, 0.4, 1.0]))
    return truth.astype(int), np.log(random.integers(1, 10, size=shape) / 10)


# --- one label a row ---------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:A single label was found")
@given(single_label(st.integers(1, 6)))
@settings(max_examples=150)
def test_single_label_figures_agree_with_scikit_learn(case: tuple[Array, Array]) -> None:
    truth, logprobs = case
    size = logprobs.shape[1]
    result = evaluate(names(size), truth, logprobs)
    chosen = logprobs.argmax(axis=1)

    assert result["accuracy"] == pytest.approx(metrics.accuracy_score(truth, chosen))
    for average in ("macro", "weighted"):
        expected = metrics.f1_score(truth, chosen, average=average)
        assert result[f"{average}_f1"] == pytest.approx(expected)
    everything = list(range(size))
    by_label = metrics.precision_recall_fscore_support(
        truth, chosen, labels=everything, zero_division=0
    )
    for i, name in enumerate(names(size)):
        figures = result["labels"][name]
        got = [figures[key] for key in ("precision", "recall", "f1", "support")]
        assert got == pytest.approx([column[i] for column in by_label])
        assert figures["predicted"] == (chosen == i).sum()
    matrix = metrics.confusion_matrix(truth, chosen, labels=everything)
    assert result["confusion"] == {"labels": names(size), "matrix": matrix.tolist()}
    if size > 1:
        loss = metrics.log_loss(truth, np.exp(logprobs), labels=everything)
        assert result["log_loss"] == pytest.approx(loss)
    assert is_json(result)


@given(single_label(st.just(2)), st.sampled_from([0, 1]))
@settings(max_examples=150)
def test_binary_ranking_agrees_with_scikit_learn(case: tuple[Array, Array], positive: int) -> None:
    truth, logprobs = case
    result = evaluate(["ham", "spam"], truth, logprobs, positive=positive)
    true, score = truth == positive, logprobs[:, positive]
    assert result["positive_label"] == ["ham", "spam"][positive]
    assert result["f1"] == result["labels"][result["positive_label"]]["f1"]
    if true.all() or not true.any():
        assert result["auroc"] is None
        assert result["average_precision"] is None
    else:
        assert result["auroc"] == pytest.approx(metrics.roc_auc_score(true, score))
        expected = metrics.average_precision_score(true, score)
        assert result["average_precision"] == pytest.approx(expected)


def test_the_second_of_two_labels_is_the_positive_one_unless_said() -> None:
    result = evaluate(
        ["no", "yes"], np.array([0, 1, 1]), logs([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]])
    )
    assert result["positive_label"] == "yes"
    assert (result["precision"], result["recall"]) == (1.0, 0.5)
    assert result["f1"] == pytest.approx(2 / 3)
    assert (result["auroc"], result["average_precision"]) == (1.0, 1.0)


def test_three_labels_have_no_positive_one() -> None:
    result = evaluate(names(3), np.array([0, 1]), logs([[0.5, 0.3, 0.2]] * 2))
    assert not {"positive_label", "precision", "auroc", "average_precision"} & set(result)


def test_calibration_by_hand() -> None:
    # Two rows say 0.9 and one of them is right; two say 0.7 and both are.
    truth = np.array([0, 1, 0, 1])
    logprobs = logs([[0.9, 0.1], [0.9, 0.1], [0.7, 0.3], [0.3, 0.7]])
    result = evaluate(["a", "b"], truth, logprobs)
    assert result["ece"] == pytest.approx((2 * abs(0.9 - 0.5) + 2 * abs(0.7 - 1)) / 4)
    assert result["log_loss"] == pytest.approx(
        -(math.log(0.9) + math.log(0.1) + 2 * math.log(0.7)) / 4
    )
    filled = [bin for bin in result["reliability"] if bin["count"]]
    assert len(result["reliability"]) == 15
    assert [bin["count"] for bin in filled] == [2, 2]
    assert [bin["accuracy"] for bin in filled] == [1.0, 0.5]
    assert [bin["confidence"] for bin in filled] == pytest.approx([0.7, 0.9])
    for bin in filled:
        assert bin["low"] < bin["confidence"] <= bin["high"]
    empty = result["reliability"][0]
    assert (empty["count"], empty["confidence"], empty["accuracy"]) == (0, None, None)


@pytest.mark.parametrize("precision", [np.float64, np.float32])
@pytest.mark.parametrize("bin_above", range(1, 16))
def test_a_confidence_on_an_edge_belongs_to_the_bin_below(precision: Any, bin_above: int) -> None:
    edge = bin_above / 15
    others = np.full((1, 20), (1 - edge) / 20)
    logprobs = logs(np.hstack([[[edge]], others]).tolist()).astype(precision)
    result = evaluate(names(21), np.array([0]), logprobs)
    (filled,) = (i for i, bin in enumerate(result["reliability"]) if bin["count"])
    assert filled == bin_above - 1


def test_calibration_is_of_the_scores_and_not_of_the_decision() -> None:
    logprobs = logs([[0.8, 0.2]])
    plain = evaluate(["a", "b"], np.array([0]), logprobs)
    overruled = evaluate(["a", "b"], np.array([0]), logprobs, chosen=np.array([1]))
    assert overruled["accuracy"] == 0
    assert overruled["ece"] == plain["ece"] == pytest.approx(0.2)


def test_the_baseline_is_the_training_majority_when_it_is_known() -> None:
    truth = np.array([0, 1, 1, 2])
    logprobs = logs([[0.5, 0.3, 0.2]] * 4)
    result = evaluate(["a", "b", "c"], truth, logprobs)
    assert (result["majority_label"], result["majority_accuracy"]) == ("b", 0.5)
    result = evaluate(["a", "b", "c"], truth, logprobs, majority=2)
    assert (result["majority_label"], result["majority_accuracy"]) == ("c", 0.25)


def test_an_abstention_is_wrong_and_has_a_column_of_its_own() -> None:
    truth, chosen = np.array([0, 0, 1, 1]), np.array([0, -1, 1, -1])
    result = evaluate(["a", "b"], truth, logs([[0.9, 0.1]] * 2 + [[0.1, 0.9]] * 2), chosen=chosen)
    assert (result["accuracy"], result["abstained"]) == (0.5, 2)
    assert result["confusion"] == {"labels": ["a", "b"], "matrix": [[1, 0, 1], [0, 1, 1]]}
    assert result["labels"]["b"] == {
        "precision": 1.0,
        "recall": 0.5,
        "f1": pytest.approx(2 / 3),
        "support": 2,
        "predicted": 1,
    }
    assert result["macro_f1"] == pytest.approx(2 / 3)
    assert result["log_loss"] == pytest.approx(-math.log(0.9))
    assert "2 rows got no answer and count as wrong" in headline(result)


def test_nothing_but_abstentions() -> None:
    result = evaluate(["a", "b"], np.array([0, 1]), np.full((2, 2), NAN))
    assert (result["accuracy"], result["macro_f1"], result["abstained"]) == (0, 0, 2)
    assert is_json(result)


def test_rows_without_scores_count_in_the_accuracy_alone() -> None:
    truth, chosen = np.array([0, 1, 1]), np.array([0, 1, 1])
    logprobs = np.vstack([logs([[0.8, 0.2]]), np.full((1, 2), NAN), logs([[0.4, 0.6]])])
    result = evaluate(["a", "b"], truth, logprobs, chosen=chosen)
    assert (result["accuracy"], result["n_test"], result["n_scored"]) == (1.0, 3, 2)
    assert result["log_loss"] == pytest.approx(-(math.log(0.8) + math.log(0.6)) / 2)
    assert result["ece"] == pytest.approx((0.2 + 0.4) / 2)
    assert result["auroc"] == 1.0
    assert "0.300 on 2 rows with probabilities" in headline(result)


def test_no_scores_at_all() -> None:
    truth, nothing = np.array([0, 1]), np.full((2, 2), NAN)
    result = evaluate(["a", "b"], truth, nothing, chosen=np.array([0, 1]))
    assert (result["accuracy"], result["abstained"], result["n_scored"]) == (1.0, 0, 0)
    for key in ("log_loss", "ece", "auroc", "average_precision"):
        assert result[key] is None
    assert result["reliability"] == []
    assert headline(result).endswith("no probabilities to check")
    assert is_json(result)


@pytest.mark.parametrize("precision", [np.float64, np.float32, np.float16])
def test_an_impossible_answer_that_came_true_costs_a_finite_loss(precision: Any) -> None:
    logprobs = np.array([[0.0, -INF], [-INF, 0.0]], dtype=precision)
    result = evaluate(["a", "b"], np.array([1, 0]), logprobs)
    assert result["log_loss"] == pytest.approx(52 * math.log(2))
    assert (result["ece"], result["auroc"]) == (1.0, 0.0)
    assert is_json(result)


def test_the_order_below_the_clip_still_ranks() -> None:
    truth = np.array([0, 1, 0])
    logprobs = np.array([[0.0, -INF], [0.0, -400.0], [0.0, -500.0]])
    assert evaluate(["a", "b"], truth, logprobs)["auroc"] == 1.0


def test_one_class_and_one_label() -> None:
    result = evaluate(["a"], np.array([0, 0]), np.zeros((2, 1)))
    assert (result["accuracy"], result["macro_f1"], result["majority_accuracy"]) == (1, 1, 1)
    assert (result["log_loss"], result["ece"]) == (0, 0)
    assert is_json(result)


@pytest.mark.parametrize("precision", [np.float16, np.float32])
def test_narrow_floats_are_taken_as_they_are(precision: Any) -> None:
    logprobs = logs([[0.75, 0.25], [0.25, 0.75]]).astype(precision)
    result = evaluate(["a", "b"], np.array([0, 1], dtype=np.int8), logprobs)
    assert result["log_loss"] == pytest.approx(-math.log(0.75), rel=1e-3)
    assert is_json(result)


# --- any number of labels a row ----------------------------------------------------------------


@given(multi_label())
@settings(max_examples=150)
def test_multilabel_figures_agree_with_scikit_learn(case: tuple[Array, Array]) -> None:
    truth, logprobs = case
    size = truth.shape[1]
    chosen = np.exp(logprobs) > 0.49
    result = evaluate(names(size), truth, logprobs, kind=MULTILABEL)

    for average in ("micro", "macro"):
        expected = metrics.f1_score(truth, chosen, average=average, zero_division=0)
        assert result[f"{average}_f1"] == pytest.approx(expected)
    assert result["micro_precision"] == pytest.approx(
        metrics.precision_score(truth, chosen, average="micro", zero_division=0)
    )
    assert result["micro_recall"] == pytest.approx(
        metrics.recall_score(truth, chosen, average="micro", zero_division=0)
    )
    assert result["subset_accuracy"] == pytest.approx(metrics.accuracy_score(truth, chosen))
    assert result["hamming_loss"] == pytest.approx(metrics.hamming_loss(truth, chosen))
    losses = [
        metrics.log_loss(truth[:, i], np.exp(logprobs[:, i]), labels=[0, 1]) for i in range(size)
    ]
    assert result["log_loss"] == pytest.approx(np.mean(losses))
    by_label = metrics.precision_recall_fscore_support(truth, chosen, zero_division=0)
    for i, name in enumerate(names(size)):
        figures = result["labels"][name]
        got = [figures[key] for key in ("precision", "recall", "f1", "support")]
        assert got == pytest.approx([column[i] for column in by_label])
        assert figures["predicted"] == chosen[:, i].sum()
    assert not {"accuracy", "confusion"} & set(result)
    assert is_json(result)


def test_test_rows_that_are_easier_than_the_others_are_said_to_be() -> None:
    truth = np.zeros(40, dtype=int)
    result = evaluate(["a", "b"], truth, logs(np.tile([0.9, 0.1], (40, 1))))
    assert result["accuracy_low"] == wilson_interval(40, 40)[0] > 0.9
    report = {"metric": "accuracy", "recipe": "two"}

    def said_of(recipes: object) -> str | None:
        return easier_test_rows(result, read_report(json.dumps({**report, "recipes": recipes})))

    def said(score: object) -> str | None:
        return said_of([{"recipe": "one", "score": 0.1}, {"recipe": "two", "score": score}])

    assert "accuracy was 0.681" in str(said(0.681))
    assert said(0.95) is None
    assert said(None) is None
    assert said(-1) is None
    for nonsense in ("0.1", float("nan"), [], True):
        with pytest.raises(ArtifactError, match="The report is damaged"):
            said(nonsense)
    for tried in (3, [None, []], [{"score": 0.1}]):
        with pytest.raises(ArtifactError, match="The report is damaged"):
            said_of(tried)
    assert said_of(None) is None
    assert said_of([{"recipe": "one", "score": 0.1}]) is None
    assert easier_test_rows(None, {}) is None


def test_the_multilabel_baseline_is_the_commonest_set() -> None:
    truth = np.array([[1, 0, 1], [0, 1, 0], [1, 0, 1], [0, 0, 0]])
    logprobs = logs([[0.9, 0.1, 0.9], [0.1, 0.9, 0.1], [0.1, 0.9, 0.9], [0.1, 0.1, 0.1]])
    result = evaluate(["a", "b", "c"], truth, logprobs, kind=MULTILABEL)
    assert (result["majority_labels"], result["majority_subset_accuracy"]) == (["a", "c"], 0.5)
    assert result["subset_accuracy"] == 0.75
    assert (result["subset_accuracy_low"], result["subset_accuracy_high"]) == wilson_interval(3, 4)
    assert result["hamming_loss"] == pytest.approx(2 / 12)
    assert headline(result) == (
        "micro F1 0.800, macro F1 0.778 on 4 test rows; all labels of a row right 0.750 "
        "(95% interval 0.301–0.954); always answering “a” + “c” would score 0.500; "
        "expected calibration error 0.100"
    )


def test_multilabel_calibration_is_of_the_labels_that_were_given() -> None:
    # Of four labels given at 0.9 three are right; 96 that are rightly not given hide nothing.
    truth = np.zeros((4, 25), dtype=int)
    truth[:3, 0] = 1
    result = evaluate(names(25), truth, logs([[0.9] + [0.01] * 24] * 4), kind=MULTILABEL)
    assert result["ece"] == pytest.approx(0.9 - 0.75)
    assert [bin["count"] for bin in result["reliability"] if bin["count"]] == [4]
    whole = [bin for bin in result["row_reliability"] if bin["count"]]
    assert [(bin["count"], bin["accuracy"]) for bin in whole] == [(4, 0.75)]
    assert whole[0]["confidence"] == pytest.approx(0.9 * 0.99**24)


def test_a_label_given_below_one_half_is_judged_at_its_own_probability() -> None:
    truth, chosen = np.array([[1, 0], [0, 1]]), np.array([[1, 0], [1, 0]])
    result = evaluate(["a", "b"], truth, logs([[0.3, 0.1]] * 2), kind=MULTILABEL, chosen=chosen)
    assert result["ece"] == pytest.approx(abs(0.3 - 0.5))
    none = evaluate(["a", "b"], truth, logs([[0.3, 0.1]] * 2), kind=MULTILABEL)
    assert (none["ece"], none["reliability"]) == (None, [])
    assert none["row_reliability"]


def test_multilabel_blocks_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(7)
    truth = random.random((50, 7)) < 0.3
    logprobs = np.log(random.random((50, 7)))
    logprobs[3] = NAN
    whole = evaluate(names(7), truth, logprobs, kind=MULTILABEL)
    monkeypatch.setattr("datasette_ftclassify.metrics.scores.BLOCK_CELLS", 20)
    parts = evaluate(names(7), truth, logprobs, kind=MULTILABEL)
    assert parts["n_scored"] == 49
    assert parts["log_loss"] == pytest.approx(whole["log_loss"])
    assert parts["ece"] == pytest.approx(whole["ece"])


def test_multilabel_choices_may_use_other_thresholds() -> None:
    truth, chosen = np.array([[1, 0]]), np.array([[True, False]])
    result = evaluate(["a", "b"], truth, logs([[0.3, 0.1]]), kind=MULTILABEL, chosen=chosen)
    assert result["subset_accuracy"] == 1.0
    assert evaluate(["a", "b"], truth, logs([[0.5, 0.1]]), kind=MULTILABEL)["micro_f1"] == 1.0


@pytest.mark.parametrize("chosen", [None, np.array([[0, 1], [-1, -1]])])
def test_a_multilabel_abstention_is_wrong_even_where_no_label_was_right(chosen: Any) -> None:
    truth = np.array([[0, 1], [0, 0]])
    logprobs = np.array([[math.log(0.1), math.log(0.9)], [NAN, NAN]])
    result = evaluate(["a", "b"], truth, logprobs, kind=MULTILABEL, chosen=chosen)
    assert (result["subset_accuracy"], result["abstained"], result["n_scored"]) == (0.5, 1, 1)
    assert result["hamming_loss"] == 0.5
    assert "1 row got no answer and count" in headline(result)
    assert is_json(result)


@pytest.mark.parametrize("kind", [MULTICLASS, MULTILABEL])
def test_scores_for_some_labels_only_are_no_answer(kind: LabelKind) -> None:
    truth = np.array([0]) if kind.exclusive else np.array([[1, 0]])
    logprobs = np.array([[math.log(0.9), NAN]])
    result = evaluate(["a", "b"], truth, logprobs, kind=kind)
    assert (result["abstained"], result["n_scored"]) == (1, 0)
    assert result["labels"]["a"]["predicted"] == 0


def test_multilabel_certainties_that_are_wrong_cost_a_finite_loss() -> None:
    truth = np.array([[0, 1], [0, 0]])
    result = evaluate(["a", "b"], truth, np.array([[0.0, -INF], [NAN, NAN]]), kind=MULTILABEL)
    assert result["log_loss"] == pytest.approx(52 * math.log(2))
    assert (result["ece"], result["micro_f1"]) == (1.0, 0.0)
    assert is_json(result)


def test_multilabel_without_any_scores_or_labels() -> None:
    result = evaluate(
        ["a", "b"],
        np.zeros((2, 2), dtype=int),
        np.full((2, 2), NAN),
        kind=MULTILABEL,
        chosen=np.zeros((2, 2), dtype=bool),
    )
    assert (result["subset_accuracy"], result["macro_f1"], result["log_loss"]) == (1.0, 0.0, None)
    assert "always answering no label would score 1.000" in headline(result)
    assert is_json(result)


def test_a_confusion_matrix_of_many_labels_keeps_its_cells_alone():
    from datasette_ftclassify.metrics.counts import WHOLE_MATRIX, confusion_cells
    from datasette_ftclassify.metrics.stored import read_metrics

    size = WHOLE_MATRIX + 1
    chooser = np.random.default_rng(0)
    truth = chooser.integers(0, size, 1_000)
    chosen = np.where(chooser.random(1_000) < 0.1, -1, chooser.integers(0, size, 1_000))
    labels = names(size)
    result = evaluate(labels, truth, np.full((1_000, size), np.nan), chosen=chosen)
    assert "matrix" not in result["confusion"]
    assert result["confusion"]["left_out"] == 0
    found = np.zeros((size, size + 1), dtype=int)
    for i, j, count in confusion_cells(result["confusion"]):
        found[i, j] = count
    expected = np.zeros_like(found)
    np.add.at(expected, (truth, np.where(chosen < 0, size, chosen)), 1)
    np.testing.assert_array_equal(found, expected)
    assert read_metrics(json.dumps(result)) == result


# --- intervals ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [
        (8, 10, 0.4901625, 0.9433178),
        (0, 10, 0.0, 0.2775328),
        (10, 10, 0.7224672, 1.0),
        (1, 1, 0.2065493, 1.0),
    ],
)
def test_wilson_intervals_that_are_known(successes: int, n: int, low: float, high: float) -> None:
    assert wilson_interval(successes, n) == pytest.approx((low, high), abs=1e-6)


@given(st.integers(1, 10_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_a_wilson_interval_holds_its_share_and_solves_its_equation(case: tuple[int, int]) -> None:
    successes, n = case
    share = successes / n
    for end in wilson_interval(successes, n, z=1.7):
        # Wilson: the true shares p at which the one seen is just z standard errors away.
        assert (share - end) ** 2 == pytest.approx(1.7**2 * end * (1 - end) / n, abs=1e-9) or (
            end == share
        )
    low, high = wilson_interval(successes, n, z=1.7)
    assert 0 <= low <= share <= high <= 1


@pytest.mark.parametrize(("successes", "n"), [(0, 0), (3, 2), (-1, 2)])
def test_no_interval_of_what_is_not_a_share(successes: int, n: int) -> None:
    with pytest.raises(EvaluationError, match=f"{successes} of {n} is not a share"):
        wilson_interval(successes, n)


# --- the line for people -----------------------------------------------------------------------


def test_headline_of_a_single_label_classifier() -> None:
    truth = np.repeat([0, 1], [1000, 540])
    chosen = truth.copy()
    chosen[:77] = 1
    result = evaluate(
        ["card_arrival", "other"], truth, np.full((1540, 2), math.log(0.5)), chosen=chosen
    )
    assert headline(result) == (
        "accuracy 0.950 (95% interval 0.938–0.960) on 1,540 test rows; "
        "always answering “card_arrival” would score 0.649; macro F1 0.947; "
        "expected calibration error 0.149"
    )


def test_headline_of_one_row() -> None:
    result = evaluate(["a", "b"], np.array([0]), np.log([[0.8, 0.2]]))
    assert " on 1 test row; " in headline(result)


# --- mistakes ----------------------------------------------------------------------------------

ONE, HALF = np.array([0]), np.full((1, 2), math.log(0.5))


@pytest.mark.parametrize("kind", [MULTICLASS, MULTILABEL])
def test_no_test_rows(kind: LabelKind) -> None:
    with pytest.raises(EvaluationError, match="There are no test rows") as caught:
        evaluate(["a", "b"], np.array([]), np.zeros((0, 2)), kind=kind)
    assert isinstance(caught.value, FtclassifyError)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"labels": []}, "no labels"),
        ({"truth": np.array([2])}, "truth names a label that does not exist in 1 places, first 2"),
        ({"truth": np.array([-1])}, "truth names a label"),
        ({"truth": np.array([0.0])}, "truth holds float64"),
        ({"truth": np.array([[0, 1]])}, "truth has the shape"),
        ({"logprobs": np.zeros((1, 3))}, "logprobs has the shape"),
        ({"logprobs": np.array([[0.9, 0.1]])}, "logprobs holds 0.9, .* take the logarithm"),
        ({"logprobs": np.array([[math.nan, 0.1]])}, "logprobs holds 0.1"),
        ({"chosen": np.array([-2])}, "chosen names a label"),
        ({"chosen": np.array([0, 1])}, "chosen has the shape"),
        ({"majority": 2}, "majority names a label"),
        ({"positive": -1}, "positive names a label"),
        ({"kind": MULTILABEL}, "truth has the shape"),
        ({"kind": MULTILABEL, "truth": np.array([[0, 2]])}, "truth must hold 0 or 1"),
        (
            {"kind": MULTILABEL, "truth": np.array([[0, 1]]), "chosen": np.array([[3, 1]])},
            "chosen must hold 0 or 1",
        ),
        (
            {"kind": MULTILABEL, "truth": np.array([[0, 1]]), "chosen": np.array([0])},
            "chosen has the shape",
        ),
    ],
)
def test_arrays_that_do_not_fit(arguments: dict[str, Any], message: str) -> None:
    whole: dict[str, Any] = {"labels": ["a", "b"], "truth": ONE, "logprobs": HALF} | arguments
    with pytest.raises(EvaluationError, match=message):
        evaluate(**whole)


def test_rounding_a_little_above_certainty_is_forgiven() -> None:
    result = evaluate(["a", "b"], ONE, np.array([[1e-6, -20.0]]))
    assert json.dumps(result["log_loss"]) == "0.0"  # not -0.0
    assert result["ece"] == 0.0


def test_copies_count_as_one_in_the_interval() -> None:
    """Fifteen letters in four copies each are fifteen, whatever number of rows they fill."""
    right = np.repeat(np.arange(15) < 12, 4)
    truth = np.zeros(60, dtype=int)
    logprobs = np.log(np.where(right[:, None], [0.9, 0.1], [0.1, 0.9]))
    single = evaluate(["a", "b"], truth, logprobs, groups=np.repeat(np.arange(15), 4))
    assert single["n_distinct"] == 15
    assert single["accuracy"] == 0.8
    low, high = single["accuracy_low"], single["accuracy_high"]
    assert (low, high) == pytest.approx(wilson_interval(12, 15))
    assert "on 60 test rows (15 different texts)" in headline(single)
    alone = evaluate(["a", "b"], truth, logprobs)
    assert alone["n_distinct"] == 60
    assert (alone["accuracy_low"], alone["accuracy_high"]) == wilson_interval(48, 60)
    flags = np.stack([truth == 0, truth == 1], axis=1)
    several = evaluate(["a", "b"], flags, logprobs, kind=MULTILABEL, groups=truth)
    assert several["n_distinct"] == 1
    assert several["subset_accuracy_high"] - several["subset_accuracy_low"] > 0.6


@given(st.lists(st.integers(1, 50), min_size=1, max_size=30))
def test_independent_rows_lie_between_one_and_the_groups(sizes: list[int]) -> None:
    counted = independent_rows(np.array(sizes))
    assert 1 - 1e-9 <= counted <= len(sizes) + 1e-9
    assert independent_rows(np.ones(len(sizes))) == pytest.approx(len(sizes))


def test_an_interval_of_f1_holds_the_true_one() -> None:
    """Of 60 groups whose rows are right together: about 95% of the intervals hold the mean."""
    chooser, held = np.random.default_rng(0), 0
    for seed in range(200):
        wholes = 2.0 * chooser.integers(1, 5, 60)
        parts = wholes * (chooser.random(60) < 0.7)
        low, high = ratio_interval(parts, wholes, seed)
        assert 0 <= low <= high <= 1
        held += low <= 0.7 <= high
    assert held >= 176
    assert ratio_interval(np.ones(3), np.ones(3)) == (0.0, 1.0)
