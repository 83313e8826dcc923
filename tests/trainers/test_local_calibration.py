"""Probabilities that mean what they say, thresholds, and folds."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score

from datasette_ftclassify.core.near_duplicates import near_groups
from datasette_ftclassify.metrics import evaluate
from datasette_ftclassify.trainers.local import beta
from datasette_ftclassify.trainers.local.calibrate_model import calibrate_model
from datasette_ftclassify.trainers.local.calibration import (
    calibrate,
    expected_calibration_error,
    matching_temperature,
    platt,
    temperature,
)
from datasette_ftclassify.trainers.local.features import Vectorizer
from datasette_ftclassify.trainers.local.group_folds import deal, splits
from datasette_ftclassify.trainers.local.linear import (
    log_sigmoid,
    log_sigmoid_pair,
    log_softmax,
    log_softmax_one,
    recalibrated,
)
from datasette_ftclassify.trainers.local.model import LocalModel
from datasette_ftclassify.trainers.local.thresholds import (
    best_threshold,
    choose_thresholds,
    f1_scores,
)


def sharpened(rows: int = 2_000, factor: float = 4.0) -> tuple[np.ndarray, np.ndarray]:
    """Logits that are `factor` times too sure, and labels drawn from the true ones."""
    chooser = np.random.default_rng(0)
    logits = chooser.normal(size=(rows, 3))
    chances = np.exp(log_softmax(logits))
    return logits * factor, np.array([chooser.choice(3, p=chance) for chance in chances])


def test_the_temperature_undoes_what_made_logits_too_sure():
    logits, labels = sharpened()
    assert temperature(logits, labels) == pytest.approx(4.0, rel=0.15)


def test_wrong_labels_do_not_make_a_good_model_modest():
    logits, _ = sharpened()
    labels = logits.argmax(axis=1)
    labels[::10] = (labels[::10] + 1) % 3
    found, report = calibrate(logits, labels, np.ones(len(labels), dtype=bool))
    assert found < temperature(logits, labels)
    assert found == matching_temperature(logits, labels)
    confidence = np.exp(log_softmax(logits / found).max(axis=1)).mean()
    assert confidence == pytest.approx(0.9, abs=0.001)
    assert report["ece_after"] < 0.15


@pytest.mark.parametrize("rows", [20, 240])
@pytest.mark.parametrize("way", [temperature, matching_temperature])
def test_rows_without_an_error_do_not_promise_certainty(rows, way):
    labels = np.arange(rows) % 5
    logits = np.eye(5)[labels] * 3
    confidence = np.exp(log_softmax(logits / way(logits, labels)).max(axis=1)).mean()
    assert confidence == pytest.approx((rows + 1) / (rows + 2), abs=1e-3)


@pytest.mark.parametrize("rows", [20, 50, 100, 200, 400, 1_000, 2_000])
def test_confidence_never_exceeds_what_the_rows_show(rows):
    logits, labels = sharpened(rows)
    found, _ = calibrate(logits, labels, np.ones(rows, dtype=bool))
    correct = int((logits.argmax(axis=1) == labels).sum())
    confidence = np.exp(log_softmax(logits / found).max(axis=1)).mean()
    assert confidence <= (correct + 1) / (rows + 2) + 1e-6


def test_calibration_reports_the_error_before_and_after():
    logits, labels = sharpened()
    found, report = calibrate(logits, labels, np.ones(len(labels), dtype=bool))
    assert report["applied"]
    assert report["temperature"] == found
    assert report["ece_before"] > 0.2
    assert report["ece_after"] < 0.05


def test_rows_that_could_not_be_known_do_not_count():
    logits, labels = sharpened(200)
    unknown = np.vstack([logits, -logits])
    usable = np.arange(400) < 200
    assert (
        calibrate(unknown, np.tile(labels, 2), usable)[0]
        == calibrate(logits, labels, np.ones(200, dtype=bool))[0]
    )


def test_too_few_rows_are_not_calibrated_on():
    logits, labels = sharpened(19)
    found, report = calibrate(logits, labels, np.ones(19, dtype=bool))
    assert found == 1.0
    assert not report["applied"]
    assert report["rows"] == 19


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=30)
def test_training_and_evaluation_measure_calibration_alike(seed: int):
    chooser = np.random.default_rng(seed)
    # Fifteenths stand on the edges of bins.
    sure = chooser.integers(8, 15, size=40) / 15
    logs = np.log(np.stack([sure, 1 - sure], axis=1))
    labels = chooser.integers(0, 2, size=40)
    measured = evaluate(["a", "b"], labels, logs)["ece"]
    assert expected_calibration_error(logs, labels) == pytest.approx(measured)


def test_expected_calibration_error_by_hand():
    sure = np.log([[0.95, 0.05], [0.95, 0.05], [0.55, 0.45]])
    # One bin of two rows, half of them right: |1.9 - 1|; one bin of one row: |0.55 - 1|.
    assert expected_calibration_error(sure, np.array([0, 1, 0])) == pytest.approx((0.9 + 0.45) / 3)


def test_platt_scaling_finds_the_log_odds():
    chooser = np.random.default_rng(0)
    scores = chooser.normal(5, 3, size=3_000)
    positive = chooser.random(3_000) < np.exp(log_sigmoid(0.8 * scores - 6))
    slope, intercept = platt(scores, positive)
    theirs = LogisticRegression(C=1e6).fit(scores[:, None], positive)
    assert slope == pytest.approx(theirs.coef_[0, 0], rel=0.02)
    assert intercept == pytest.approx(theirs.intercept_[0], rel=0.02)


@pytest.mark.parametrize(
    ("scores", "positive"),
    [
        (np.zeros(10), np.arange(10) < 2),
        (np.arange(10.0), np.arange(10) < 2),
        (np.arange(10.0), np.zeros(10, dtype=bool)),
    ],
)
def test_scores_that_say_nothing_leave_the_share_of_the_label(scores, positive):
    slope, intercept = platt(scores, positive)
    assert slope == 0
    share = (positive.sum() + 1) / 12
    assert np.exp(log_sigmoid(np.array([intercept])))[0] == pytest.approx(share)


@settings(max_examples=50)
@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=1, max_size=20))
def test_no_other_threshold_has_a_higher_f1(rows):
    scores = np.array([score for score, _ in rows]) / 10
    positive = np.array([int(truth) for _, truth in rows])
    threshold, reached = best_threshold(scores, positive, clip=False)
    if not positive.any():
        return
    assert f1_score(positive, scores >= threshold) == pytest.approx(reached)
    best = max(f1_score(positive, scores >= limit) for limit in np.unique(scores))
    assert reached == pytest.approx(best)


def test_the_threshold_of_a_rare_label_stays_near_the_common_one():
    chooser = np.random.default_rng(0)
    targets = (chooser.random((3_000, 3)) < (0.3, 0.3, 0.0)).astype(int)
    targets[:3, 2] = 1
    chances = np.where(targets == 1, (0.3, 0.7, 0.9), (0.1, 0.6, 0.05))
    common, _ = best_threshold(chances.ravel(), targets.ravel())
    first, second, rare = choose_thresholds(chances, targets)
    assert first == pytest.approx(0.2, abs=0.02)
    assert second == pytest.approx(0.65, abs=0.02)
    assert rare == pytest.approx(common, abs=0.05)
    assert rare != common


def test_micro_and_macro_f1_are_those_of_scikit_learn():
    chooser = np.random.default_rng(0)
    targets = (chooser.random((100, 5)) < 0.3).astype(int)
    given_labels = chooser.random((100, 5)) < 0.4
    micro, macro = f1_scores(given_labels, targets)
    assert micro == pytest.approx(f1_score(targets, given_labels, average="micro"))
    assert macro == pytest.approx(f1_score(targets, given_labels, average="macro"))


@settings(max_examples=100)
@given(
    names=st.lists(st.integers(0, 6), min_size=2, max_size=60),
    n_folds=st.integers(2, 5),
    seed=st.integers(0, 5),
)
def test_every_label_is_spread_over_the_folds(names, n_folds, seed):
    targets = np.eye(7, dtype=int)[names]
    fold = deal(targets, np.arange(len(names)), n_folds, seed)
    for label in set(names):
        sizes = np.bincount(fold[np.array(names) == label], minlength=n_folds)
        assert sizes.max() - sizes.min() <= 1
    sizes = np.bincount(fold, minlength=n_folds)
    assert sizes.max() - sizes.min() <= 1


def letters(count: int) -> list[str]:
    """Letters that differ in a name, and short texts that do not resemble each other."""
    middle = " ".join(f"filler{n}" for n in range(30))
    form = [f"{'dear bank ' * 5} {middle} I am {n} {'yours truly ' * 5}" for n in range(4)]
    return [*form, *(f"{chr(97 + n % 26) * 3}{n}" for n in range(count)), "AAA0"]


def test_copies_of_a_text_share_a_fold():
    texts = letters(40)
    groups = near_groups(texts)
    assert len(set(groups[:4])) == 1
    assert groups[-1] == groups[4]
    assert len(set(groups)) == 41
    fold = deal(np.ones((45, 1), dtype=int), groups, 5, seed=0)
    assert len(set(fold[:4])) == 1
    assert set(fold) == set(range(5))


def test_folds_never_show_a_row_that_is_held_out():
    targets = np.eye(2, dtype=int)[np.arange(50) % 2]
    for folds in splits(targets, np.arange(50), 0, 1.0):
        assert sorted(np.concatenate([unseen for _, unseen in folds])) == list(range(50))
        for training, unseen in folds:
            assert not set(training) & set(unseen)


@given(st.lists(st.floats(-700, 700), min_size=2, max_size=5))
def test_the_quick_arithmetic_of_one_row_is_the_same(logits):
    values = np.array(logits)
    np.testing.assert_allclose(log_softmax_one(values.copy()), log_softmax(values), atol=1e-9)
    pair = log_softmax(np.array([0.0, logits[0]]))
    np.testing.assert_allclose(log_sigmoid_pair(logits[0]), pair, atol=1e-9)


def bent(rows: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Logits of three labels, of which the last is far too sure of itself and the first too modest,
    and 0/1 targets drawn from the true probabilities. No temperature mends both."""
    chooser = np.random.default_rng(seed)
    true = log_softmax(chooser.normal(size=(rows, 3)) * 2)
    labels = np.array([chooser.choice(3, p=chance) for chance in np.exp(true)])
    said = np.log(np.exp(true) ** [0.4, 1.0, 1.8] + [0.05, 0.0, 0.0])
    return said - said.mean(axis=1, keepdims=True), np.eye(3, dtype=np.int8)[labels]


def by_temperature(logits: np.ndarray, targets: np.ndarray) -> beta.Base:
    found = temperature(logits, targets.argmax(axis=1))
    return lambda scores: log_softmax(scores / found)


def test_beta_calibration_mends_what_no_temperature_does():
    logits, targets = bent(3_000)
    unseen, wanted = bent(3_000, seed=1)
    everything = np.ones(3_000, dtype=bool)
    found, parameters = beta.out_of_fold(
        logits, targets, everything, np.arange(3_000),
        lambda rows: by_temperature(logits[rows], targets[rows]), True,
    )  # fmt: skip
    assert parameters is not None
    plain = by_temperature(logits, targets)(unseen)
    better = recalibrated(plain, parameters, True)
    np.testing.assert_allclose(np.exp(better).sum(axis=1), 1)
    assert beta.losses(better, wanted, True).mean() < beta.losses(plain, wanted, True).mean() - 0.01
    errors = [expected_calibration_error(p, wanted.argmax(axis=1)) for p in (plain, better)]
    assert errors[1] < 0.6 * errors[0]
    # What was kept of the rows promises as much as holds for later ones, and no more.
    kept = beta.losses(found, targets, True).mean()
    assert kept == pytest.approx(beta.losses(better, wanted, True).mean(), abs=0.03)


@pytest.mark.parametrize("rows", [499, 600])
def test_beta_calibration_is_left_out_where_it_does_not_help(rows):
    """Few rows, or logits that are right as they are."""
    logits, targets = bent(rows)
    if rows >= beta.MIN_ROWS:
        logits, labels = sharpened(rows)
        targets = np.eye(3, dtype=np.int8)[labels]
    found, parameters = beta.out_of_fold(
        logits, targets, np.ones(rows, dtype=bool), np.arange(rows),
        lambda part: by_temperature(logits[part], targets[part]), True,
    )  # fmt: skip
    assert parameters is None
    np.testing.assert_allclose(np.exp(found).sum(axis=1), 1, atol=1e-5)


def test_no_row_is_calibrated_by_its_own_answer_or_by_that_of_a_copy():
    logits, targets = bent(498)
    groups = np.arange(498) // 3
    asked = []

    def base(rows: np.ndarray) -> beta.Base:
        asked.append(rows)
        return lambda scores: log_softmax(scores.astype(np.float64))

    plain, _ = beta.out_of_fold(logits, targets, np.ones(498, dtype=bool), groups, base, True)
    parts = asked[:5]
    assert np.all(np.sum([~part for part in parts], axis=0) == 1)
    for part in parts:
        assert not set(groups[part]) & set(groups[~part])
    np.testing.assert_allclose(plain, log_softmax(logits), atol=1e-6)


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.tuples(st.floats(0, 50), st.floats(0, 50), st.floats(-50, 50)), min_size=1,
             max_size=4),
    st.floats(1e-12, 1 - 1e-12),
    st.floats(0, 0.5),
)  # fmt: skip
def test_a_higher_probability_stays_the_higher_one(parameters, low, more):
    high = min(low + more, 1.0)
    rows = np.log(np.array([[low] * len(parameters), [high] * len(parameters)]))
    lower, higher = recalibrated(rows, np.array(parameters), False)
    assert np.isfinite([lower, higher]).all()
    assert (higher >= lower - 1e-9).all()


def test_a_label_that_never_occurs_is_calibrated_to_hardly_ever():
    logits, targets = bent(600)
    wide = np.hstack([logits, np.full((600, 1), -3.0)])
    more = np.hstack([targets, np.zeros((600, 1), dtype=np.int8)])
    parameters = beta.fit_beta(log_softmax(wide), more)
    found = np.exp(recalibrated(log_softmax(wide), parameters, True))
    assert found[:, 3].max() < 0.02
    assert (parameters[:, :2] >= 0).all()


def test_thresholds_are_found_in_the_scale_in_which_the_model_answers():
    """Those found on probabilities that other rows gave lost a third of a point of F1."""
    chooser = np.random.default_rng(0)
    true = chooser.normal(-1, 2, size=(900, 3))
    targets = (chooser.random((900, 3)) < np.exp(log_sigmoid(true))).astype(np.int8)
    logits = np.where(true > 0, 6 * true, true).astype(np.float32)  # far too sure at the top
    rows = np.arange(900)
    model = LocalModel(
        Vectorizer({"a": 0, "b": 1, "c": 2}, {}, np.ones(3, dtype=np.float32)),
        np.eye(3, dtype=np.float32), np.zeros(3, dtype=np.float32), n_labels=3, exclusive=False,
    )  # fmt: skip
    data: Any = SimpleNamespace(targets=targets, groups=rows, exclusive=False)
    trial: Any = SimpleNamespace(rows=rows, logits=logits, usable=np.ones(900, dtype=bool))
    report, held_out = calibrate_model(model, data, trial)
    assert model.beta is not None
    assert report["method"] == "beta"
    slopes = model.weights.diagonal()
    answered = recalibrated(log_sigmoid(logits * slopes + model.bias), model.beta, False)
    wanted = choose_thresholds(np.exp(answered), targets)
    np.testing.assert_allclose(model.thresholds, wanted, atol=0.002)
    gap = np.abs(np.exp(held_out.logprobs) - np.exp(answered)).max()
    assert 0 < gap < 0.2, "each row was calibrated by others"
    assert "calibrated label by label on 900 rows" in report["said"]
