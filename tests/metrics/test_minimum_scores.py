"""A promise about wrong answers is kept as often as it says, and is not made where it cannot be."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from datasette_ftclassify.core.errors import EvaluationError
from datasette_ftclassify.core.strengths import PROMISES
from datasette_ftclassify.metrics.binomial import at_most
from datasette_ftclassify.metrics.label_thresholds import LabelRows, label_threshold
from datasette_ftclassify.metrics.minimum_scores import (
    JudgedRows,
    curve,
    fixed_score,
    judge,
    least_wrong,
    minimum_score,
)
from datasette_ftclassify.metrics.score_calibration import beta_calibrated

WRONG = 0.05


def draw(seed: int, rows: int = 500) -> JudgedRows:
    """Answers of a classifier that boasts: one of score s is right with a chance of s² only."""
    random = np.random.default_rng(seed)
    scores = 1 - random.beta(0.4, 1.6, rows)
    return JudgedRows(scores, random.random(rows) < scores**2)


_FURTHER = np.sort(1 - np.random.default_rng(0).beta(0.4, 1.6, 200_000))[::-1]
_ERRORS = 1 - np.cumsum(_FURTHER**2) / np.arange(1, len(_FURTHER) + 1)


def true_error(score: float) -> float:
    """Of further answers from that score on."""
    answered = int(np.searchsorted(-_FURTHER, -score, side="right"))
    return float(_ERRORS[answered - 1]) if answered else 0.0


def read_off(rows: JudgedRows) -> float:
    """The lowest score at which the share happens to be kept: what is not to be done."""
    order = np.argsort(-rows.scores)
    errors = np.cumsum(~rows.right[order]) / np.arange(1, len(rows) + 1)
    kept = np.flatnonzero(errors <= WRONG)
    return float(rows.scores[order][kept[-1]]) if len(kept) else 1.0


def share_broken(scores: list[float | None]) -> float:
    return float(np.mean([s is not None and true_error(s) > WRONG for s in scores]))


def test_a_guarantee_is_broken_in_one_draw_of_ten_at_most_and_reading_off_in_far_more() -> None:
    draws = [draw(seed) for seed in range(200)]
    promised = [minimum_score(rows, WRONG, "guaranteed").score for rows in draws]
    assert share_broken(promised) <= 0.1 + 2 * np.sqrt(0.1 * 0.9 / 200)
    assert sum(score is not None for score in promised) > 100  # it does promise something
    assert share_broken([read_off(rows) for rows in draws]) > 0.3


def test_what_is_likely_is_seldom_broken_and_never_by_far() -> None:
    likely = [minimum_score(draw(seed), WRONG, "likely").score for seed in range(100)]
    assert share_broken(likely) < 0.3
    assert max(true_error(score) for score in likely if score is not None) < 2 * WRONG


@pytest.mark.parametrize("strength", PROMISES)
def test_the_outcome_is_that_of_the_score(strength: str) -> None:
    rows = draw(1, 2_000)
    promise = minimum_score(rows, WRONG, strength)
    assert promise.score is not None
    assert promise.outcome is not None
    assert promise.outcome == judge(rows, promise.score)
    found = promise.outcome
    on = rows.scores >= promise.score
    assert (found.answered, found.wrong) == (on.sum(), (on & ~rows.right).sum())
    assert found.error is not None
    assert found.error <= WRONG
    assert found.coverage_low < found.coverage < found.coverage_high


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 300), st.sampled_from(PROMISES), st.booleans())
def test_equal_scores_are_answered_or_not_together(
    seed: int, n: int, strength: str, copies: bool
) -> None:
    random = np.random.default_rng(seed)
    scores = random.integers(0, 4, n) / 4
    groups = random.integers(0, 5, n) if copies else None
    rows = JudgedRows(scores, random.random(n) < scores, groups=groups)
    promise = minimum_score(rows, 0.3, strength)
    assert promise.score in {None, 0.0, *scores.tolist()}
    assert (promise.score is None) == bool(promise.why)
    if promise.outcome is not None:
        assert promise.outcome.wrong <= 0.3 * promise.outcome.answered + 1e-9


@pytest.mark.parametrize("strength", PROMISES)
def test_copies_of_a_text_promise_no_more_than_one_of_them(strength: str) -> None:
    """Five sure answers, each of a text that is there forty times, are not two hundred."""
    scores, right = np.full(200, 0.99), np.ones(200, dtype=bool)
    groups = np.arange(200) % 5
    assert minimum_score(JudgedRows(scores, right), WRONG, strength).score is not None
    assert minimum_score(JudgedRows(scores, right, groups=groups), WRONG, strength).score is None


@pytest.mark.parametrize(("rows", "wrong"), [(60, 0.1), (200, WRONG), (200, 0.02)])
def test_without_enough_rows_it_says_about_how_many_more_could_do(rows: int, wrong: float) -> None:
    refused = [minimum_score(draw(seed, rows), wrong, "guaranteed") for seed in range(12)]
    found = []
    for promise in (p for p in refused if p.more_rows is not None):
        assert promise.score is None
        assert f"about {promise.more_rows:,} more labelled rows" in str(promise.why)
        more = [draw(seed, rows + promise.more_rows) for seed in range(100, 108)]
        found += [minimum_score(each, wrong, "guaranteed").score is not None for each in more]
    assert len(found) > 20
    assert np.mean(found) > 0.4


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(20, 500), st.sampled_from(PROMISES))
def test_a_larger_share_never_takes_more_rows_than_a_smaller_one(
    seed: int, n: int, strength: str
) -> None:
    needed = [
        0 if promise.score is not None else promise.more_rows
        for promise in curve(draw(seed, n), strength)
    ]
    known = [rows for rows in needed if rows is not None]
    assert known == sorted(known, reverse=True)
    assert needed[len(needed) - len(known) :] == known


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(0, 500), st.sampled_from(PROMISES), st.floats(0.001, 0.5))
def test_the_smallest_share_that_can_be_promised_is_named(
    seed: int, n: int, strength: str, wrong: float
) -> None:
    rows = draw(seed, n)
    found = least_wrong(rows, wrong, strength)
    named = 51 if found is None else round(100 * (found.wrong or 0))
    assert found is None or (found.score is not None and wrong < named / 100)
    for percent in range(int(100 * wrong + 1e-9) + 1, named):
        assert minimum_score(rows, percent / 100, strength).score is None


def test_where_sure_answers_are_wrong_no_number_of_rows_is_named() -> None:
    random = np.random.default_rng(0)
    rows = JudgedRows(random.random(400), random.random(400) < 0.5)
    for strength in PROMISES:
        promise = minimum_score(rows, 0.01, strength)
        assert promise.score is None
        assert promise.more_rows is None
        assert "wrong answer" in str(promise.why)
        assert "labels" in str(promise.why)


@pytest.mark.parametrize("strength", PROMISES)
def test_a_classifier_without_a_mistake_may_give_every_answer(strength: str) -> None:
    promise = minimum_score(
        JudgedRows(np.linspace(0.6, 1, 300), np.ones(300, bool)), WRONG, strength
    )
    assert promise.score == 0.0
    assert promise.outcome is not None
    assert promise.outcome.coverage == 1.0


def test_a_curve_promises_more_coverage_for_more_wrong_answers() -> None:
    for strength in PROMISES:
        covered = [
            promise.outcome.coverage if promise.outcome else 0.0
            for promise in curve(draw(5, 2_000), strength)
        ]
        assert covered == sorted(covered)
        assert covered[-1] > covered[0]


def test_a_label_alone_has_a_promise_of_its_own() -> None:
    rows = draw(6, 1_000)
    chosen = np.arange(1_000) % 2
    right = rows.right | (chosen == 1)  # the second label is always right
    both = JudgedRows(rows.scores, right, chosen)
    sure = minimum_score(both.answered_with(1), 0.02, "guaranteed")
    other = minimum_score(both.answered_with(0), 0.02, "guaranteed")
    assert sure.score == 0.0
    assert other.score != 0.0
    with pytest.raises(EvaluationError, match="not known"):
        rows.answered_with(0)


def test_a_fixed_score_promises_nothing_and_says_what_it_does() -> None:
    rows = draw(7)
    promise = fixed_score(rows, 0.8)
    assert (promise.score, promise.wrong, promise.outcome) == (0.8, None, judge(rows, 0.8))
    assert fixed_score(None, 0.8).outcome is None


@pytest.mark.parametrize("wrong", [0, 1, -0.1, float("nan")])
def test_a_share_that_is_none_is_refused(wrong: float) -> None:
    with pytest.raises(EvaluationError, match="share of wrong answers"):
        minimum_score(draw(0), wrong, "likely")


def test_scores_that_are_no_probabilities_are_refused() -> None:
    for bad in (-0.1, 1.1, np.nan):
        with pytest.raises(EvaluationError, match="probability"):
            JudgedRows(np.array([0.5, bad]), np.array([True, True]))
    with pytest.raises(EvaluationError, match="shape"):
        JudgedRows(np.array([0.5, 0.5]), np.array([True]))


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 3_000), st.floats(0, 1), st.floats(0.001, 0.999))
def test_binomial_chances_are_those_of_scipy(n: int, part: float, share: float) -> None:
    successes = int(part * n)
    assert at_most(successes, n, share) == pytest.approx(
        float(binom.cdf(successes, n, share)), rel=1e-9, abs=1e-12
    )


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=60))
def test_calibrated_scores_keep_their_order_and_their_mean(pairs: list[tuple[float, bool]]) -> None:
    scores = np.array([score for score, _ in pairs])
    right = np.array([good for _, good in pairs])
    chances = beta_calibrated(scores, right)
    assert ((chances >= 0) & (chances <= 1)).all()
    assert (np.diff(chances[np.argsort(scores)]) >= -1e-9).all()
    assert abs(chances.mean() - right.mean()) <= 1 / (len(pairs) + 2) + 1e-3


def labels_drawn(seed: int, rows: int = 600) -> LabelRows:
    random = np.random.default_rng(seed)
    chances = random.beta(0.3, 1.0, (rows, 2))
    return LabelRows(chances, random.random((rows, 2)) < chances)


_CHANCES = np.sort(np.random.default_rng(0).beta(0.3, 1.0, 200_000))


def true_recall(threshold: float) -> float:
    return float(_CHANCES[np.searchsorted(_CHANCES, threshold) :].sum() / _CHANCES.sum())


def test_a_guaranteed_recall_is_missed_in_one_draw_of_ten_at_most() -> None:
    found = [label_threshold(labels_drawn(s), 0, "recall", 0.8, "guaranteed") for s in range(200)]
    limits = [one.threshold for one in found if one.threshold is not None]
    assert len(limits) == 200
    missed = np.mean([true_recall(limit) < 0.8 for limit in limits])
    assert missed <= 0.1 + 2 * np.sqrt(0.1 * 0.9 / 200)
    # It gives up no more than it must: half of what is read off would be missed.
    assert np.mean([true_recall(limit) for limit in limits]) < 0.88


def test_a_precision_is_a_share_of_wrong_answers() -> None:
    rows = labels_drawn(1, 3_000)
    found = label_threshold(rows, 1, "precision", 0.8, "guaranteed")
    assert found.threshold == minimum_score(rows.of_label(1), 1 - 0.8, "guaranteed").score
    assert found.precision is not None
    assert found.precision[0] >= 0.8
    assert found.recall is not None
    assert 0 < found.recall[0] < 1


def test_a_label_with_few_rows_gets_no_threshold_and_the_reason() -> None:
    rows = LabelRows(np.full((40, 1), 0.2), np.arange(40)[:, None] < 2)
    for figure in ("precision", "recall"):
        found = label_threshold(rows, 0, figure, 0.9, "guaranteed")
        assert found.threshold is None
        assert found.why
        assert found.support == 2
