"""Intervals, the line for people, and what is said of arrays that cannot be evaluated."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasette_ftclassify.core.errors import FtclassifyError
from datasette_ftclassify.core.label_kinds import MULTICLASS, MULTILABEL, LabelKind
from datasette_ftclassify.metrics import EvaluationError, evaluate, headline, wilson_interval
from datasette_ftclassify.metrics.intervals import independent_rows, ratio_interval

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
