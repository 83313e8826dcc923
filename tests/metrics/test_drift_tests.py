"""The tests of drift: what they say of batches that are alike, and of batches that are not."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from datasette_ftclassify.metrics.drift import (
    Answered,
    _chi_squared,
    drift_tests,
    grown,
    lower,
    other_mix,
)

SHARES = st.lists(st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.9, 1.0]), min_size=2, max_size=40)


@given(SHARES, SHARES)
@settings(max_examples=40, deadline=None)
def test_the_rank_test_is_that_of_scipy(before, now):
    if len({*before, *now}) == 1:
        assert lower(np.array(before), np.array(now)) == 1.0
        return
    expected = stats.mannwhitneyu(
        now, before, alternative="less", use_continuity=False, method="asymptotic"
    )
    assert lower(np.array(before), np.array(now)) == pytest.approx(expected.pvalue, abs=1e-9)


@given(st.lists(st.tuples(st.integers(20, 90), st.integers(20, 90)), min_size=2, max_size=6))
@settings(max_examples=30, deadline=None)
def test_the_test_of_the_answers_is_that_of_scipy(counts):
    before, now = np.array(counts).T
    expected = stats.chi2_contingency([before, now], correction=False)
    assert other_mix(before, now) == pytest.approx(expected.pvalue)


@given(st.integers(1, 5_000), st.floats(0, 3))
@settings(max_examples=200, deadline=None)
def test_its_p_value_is_that_of_scipy_for_as_many_labels_as_there_may_be(freedom, share):
    expected = stats.chi2.sf(share * freedom, freedom)
    assert _chi_squared(share * freedom, freedom) == pytest.approx(expected, rel=1e-9, abs=1e-300)


def test_labels_that_few_rows_have_are_counted_as_one():
    assert other_mix(np.array([100, 1, 0, 0]), np.array([100, 0, 1, 0])) == pytest.approx(1)
    assert other_mix(np.array([50, 0]), np.array([50, 0])) == 1.0
    many = np.array([100, *[1] * 30])
    assert other_mix(many, np.array([100, *[0] * 30])) < 1e-4


def batch(draw: np.random.Generator, rows: int, shift: float = 0.0) -> Answered:
    return Answered(
        np.clip(draw.beta(5, 2, rows) - shift, 0, 1),
        draw.integers(0, 4, rows),
        np.clip(draw.random(rows) - shift, 0, 1),
    )


def test_of_unchanged_rows_one_batch_in_twenty_at_most_is_said_to_be_changed():
    draw = np.random.default_rng(1)
    alarms = [
        any(test.changed for test in drift_tests(batch(draw, 500), batch(draw, 200), 4))
        for _ in range(600)
    ]
    assert np.mean(alarms) < 0.05 + 3 * (0.05 * 0.95 / 600) ** 0.5


def test_what_is_lower_or_other_is_said():
    draw = np.random.default_rng(2)
    before, lower_now = batch(draw, 500), batch(draw, 200, shift=0.1)
    said = {test.what: test for test in drift_tests(before, lower_now, 4)}
    assert said["score"].changed
    assert said["known"].changed
    assert not said["answers"].changed
    assert said["score"].now < said["score"].before
    higher = Answered(before.scores + 1, before.labels, before.known)
    assert not any(test.changed for test in drift_tests(before, higher, 4))
    other = Answered(before.scores, np.zeros(500, dtype=np.intp), None)
    assert [test.what for test in drift_tests(before, other, 4) if test.changed] == ["answers"]


def test_what_grew_comes_first_where_it_grew_most():
    assert grown([5, 10, 50, 0, 100], [50, 20, 48, 40, 100], 3.0) == [0, 3]
