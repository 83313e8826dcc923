"""Copies of a text are one text: never on both sides of a division, and one vote in a statistic."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from training_sets import fit, training_set

from datasette_ftclassify.metrics.intervals import gain_interval, independent_rows, mean_error
from datasette_ftclassify.trainers.local.candidates import candidates
from datasette_ftclassify.trainers.local.cross_val_predict import out_of_fold
from datasette_ftclassify.trainers.local.group_folds import deal, splits
from datasette_ftclassify.trainers.local.large_tables import SAMPLE_VALUES, sample_rows
from datasette_ftclassify.trainers.local.learning_curves import (
    _part,
    curve_sentence,
    learning_curve,
)
from datasette_ftclassify.trainers.local.linear_svm import linear_svm
from datasette_ftclassify.trainers.local.selection import _choose
from datasette_ftclassify.trainers.local.serialization import from_parts, to_parts
from datasette_ftclassify.trainers.local.thresholds import across_halves

# Groups as (label, rows): of any sizes, the rows shuffled by the seed.
TABLES = st.lists(st.tuples(st.integers(0, 4), st.integers(1, 30)), min_size=1, max_size=25)


def table(sizes: list[tuple[int, int]], seed: int) -> tuple[np.ndarray, np.ndarray]:
    labels = np.repeat([label for label, _ in sizes], [rows for _, rows in sizes])
    groups = np.repeat(np.arange(len(sizes)), [rows for _, rows in sizes])
    order = np.random.default_rng(seed).permutation(len(labels))
    return labels[order], groups[order]


def sides(groups: np.ndarray, *parts: np.ndarray) -> list[set[int]]:
    return [set(groups[part].tolist()) for part in parts]


@given(TABLES, st.integers(2, 10), st.integers(0, 9))
@example([(0, 100), (0, 1), (1, 100), (1, 1)], 5, 0)
def test_a_group_is_never_on_both_sides_of_a_fold(sizes, n_folds, seed):
    labels, groups = table(sizes, seed)
    fold = deal(np.eye(5, dtype=int)[labels], groups, n_folds, seed)
    assert fold.min() >= -1
    assert fold.max() < n_folds
    for group in range(len(sizes)):
        assert len(set(fold[groups == group])) == 1


@given(TABLES, st.integers(0, 9), st.sampled_from([1.0, 1e9]))
@example([(0, 100), (0, 1), (1, 100), (1, 1)], 0, 1.0)
def test_whoever_is_held_out_shares_no_text_with_what_is_learnt(sizes, seed, cost):
    labels, groups = table(sizes, seed)
    if len(labels) < 2:
        return
    for folds in splits(np.eye(5, dtype=int)[labels], groups, seed, cost):
        for training, unseen in folds:
            learnt, judged = sides(groups, training, unseen)
            assert learnt
            assert judged
            assert not learnt & judged
            assert sorted([*training, *unseen]) == list(range(len(labels)))


def test_recipes_for_a_huge_table_are_compared_by_a_sample_of_its_rows():
    """1,000,000 rows of 190 values and 5 labels."""
    targets = np.eye(5, dtype=np.int8)[np.arange(1_000_000) % 5]
    rows = sample_rows(targets, 190, 0)
    assert 190 * len(rows) == pytest.approx(SAMPLE_VALUES, rel=0.01)
    np.testing.assert_allclose(targets[rows].mean(axis=0), 0.2, atol=0.01)
    [(training, unseen)] = splits(targets[rows], np.arange(len(rows)), 0, 1e10)[0]
    assert len(unseen) == pytest.approx(len(training) / 9, rel=0.01)
    recipes = candidates(1_000_000, 5, math.inf, exclusive=True, embedding=False)
    assert linear_svm not in {base.solve for recipe in recipes for base, _ in recipe.mixture}


@given(TABLES, st.integers(2, 10), st.integers(0, 9))
def test_a_label_of_two_texts_or_more_is_judged_while_it_is_learnt(sizes, n_folds, seed):
    labels, groups = table(sizes, seed)
    fold = deal(np.eye(5, dtype=int)[labels], groups, n_folds, seed)
    for label in set(labels):
        if len(set(groups[labels == label])) > 1:
            judged = fold[(labels == label) & (fold >= 0)]
            assert len(judged)
            assert all((fold[labels == label] != number).any() for number in judged)


@given(
    st.lists(st.tuples(st.integers(0, 7), st.sets(st.integers(0, 4))), min_size=2, max_size=60),
    st.integers(0, 9),
)
def test_groups_of_many_labels_are_judged_too(rows, seed):
    """Several labels a row, and groups whose rows differ in them."""
    groups = np.array([group for group, _ in rows])
    targets = np.array([[label in labels for label in range(5)] for _, labels in rows], dtype=int)
    fold = deal(targets, groups, 5, seed)
    for group in set(groups):
        assert len(set(fold[groups == group])) == 1
    for label in range(5):
        if len(set(groups[targets[:, label] == 1])) > 1:
            assert (fold[targets[:, label] == 1] >= 0).any()


def test_most_of_a_label_stays_to_be_learnt_from():
    labels, groups = table([(0, 60), *[(0, 1)] * 20, *[(1, 2)] * 30, (2, 50)], 0)
    fold = deal(np.eye(3, dtype=int)[labels], groups, 5, seed=0)
    assert set(fold[groups == 0]) == {-1}, "60 of 80 rows"
    assert set(fold[groups == 51]) == {-1}, "the label has no other text"
    assert (fold[(groups > 0) & (groups < 51)] >= 0).all()


@given(TABLES, st.integers(0, 9), st.floats(0.1, 1), st.floats(0.1, 1))
def test_a_shorter_part_of_the_curve_is_in_every_longer_one(sizes, seed, one, other):
    _, groups = table(sizes, seed)
    training = np.flatnonzero(groups % 3 != 0)
    short, long = (_part(training, groups, share, [seed]) for share in sorted([one, other]))
    assert set(short) <= set(long) <= set(training)
    whole = set(groups[[row for row in range(len(groups)) if row not in set(short)]])
    cut = set(groups[short]) & whole
    assert len(cut) <= 1, "copies are learnt from together, as far as there is room"


@given(TABLES, st.integers(0, 9))
def test_a_threshold_is_not_judged_on_copies_of_what_it_was_chosen_on(sizes, seed):
    labels, groups = table(sizes, seed)
    targets = np.eye(5, dtype=int)[labels]
    halves = []

    def choose(half):
        halves.append(half)
        return np.full(5, 0.5)

    across_halves(targets * 1.0, targets, choose, groups)
    if not np.array_equal(halves[0], halves[1]):
        first, second = sides(groups, *halves)
        assert not first & second


def test_copies_do_not_make_another_recipe_clearly_better():
    """Better on one letter in 30 rows, worse on twelve: a lead of 18 rows, and of no text."""
    recipes = candidates(100, 2, 1e5, exclusive=True, embedding=False)
    groups = np.array([0] * 30 + list(range(1, 71)))
    usual = np.where(groups == 0, 0.0, 1.0)
    other = np.where(groups == 0, 1.0, np.where(groups <= 12, 0.0, 1.0))
    outcomes = np.array([usual, other, usual, usual])
    assert _choose(recipes, outcomes, "accuracy", groups)[0] == 0
    assert _choose(recipes, outcomes, "accuracy", np.arange(100))[0] == 1


LETTER = "dear sir or madam my card was charged twice at the station please send the money back"
OTHER = "hello there the parcel has been waiting at your office for a week and nobody answers me"


@pytest.mark.parametrize("multilabel", [False, True])
@pytest.mark.parametrize(
    ("texts", "labels"),
    [
        ([LETTER] * 30, [0, 1] * 15),
        ([LETTER] * 30 + [OTHER] * 30, [0] * 30 + [1] * 30),
        ([LETTER, OTHER], [0, 1]),
        ([LETTER, LETTER], [0, 1]),
    ],
    ids=["one text", "one text a label", "two rows", "two rows of one text"],
)
def test_texts_of_which_none_can_be_held_out_make_a_classifier_all_the_same(
    texts, labels, multilabel
):
    targets = np.eye(2, dtype=int)[labels] if multilabel else np.array(labels)
    model, report = fit(texts, targets, 2, exclusive=not multilabel)
    assert np.isfinite(model.log_probabilities(texts[:1])).all()
    if len(set(texts)) > 1 and len(texts) > 2:
        assert model.log_probabilities_one(LETTER).argmax() == 0
        assert model.log_probabilities_one(OTHER).argmax() == 1
    if len(texts) > 2:
        assert report["recipes"][0]["score"] is None
        assert "no row could be held out" in report["why"]
        assert any("copies of a text" in said for said in report["warnings"])
        assert not report["calibration"]["applied"]
    header, parts = to_parts(model)
    assert from_parts(header, parts).log_probabilities(texts[:1]).shape == (1, 2)


@settings(max_examples=15, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(1, 4)), min_size=2, max_size=6), st.booleans()
)
def test_few_texts_in_any_number_of_copies_train_without_a_warning_of_numpy(sizes, multilabel):
    labels, groups = table(sizes, 0)
    if len(set(labels)) < 2:
        return
    words = np.array(["apple", "river", "stone", "cloud", "tiger", "lamp", "chair", "paper"])
    texts = [" ".join(np.roll(words, group)[:3]) + f" {words[group]}{group}" for group in groups]
    targets = np.eye(3, dtype=int)[labels] if multilabel else labels
    model, report = fit(texts, targets, 3, exclusive=not multilabel)
    assert np.isfinite(model.log_probabilities(texts)).all()
    assert all(row["score"] is None or 0 <= row["score"] <= 1 for row in report["recipes"])
    answers, rows = out_of_fold(texts, targets, 3, exclusive=not multilabel)
    assert len(answers) == len(rows) <= len(texts)
    assert np.isfinite(answers).all()


def newcomers_table() -> tuple[list[str], list[int]]:
    """Four topics by one telling word in three texts of four, a third of the texts in copies."""
    chooser = random.Random(8)
    telling = ["river", "castle", "engine", "garden"]
    texts, labels = [], []
    for number in range(220):
        label = chooser.randrange(4)
        said = [telling[label]] if chooser.random() < 0.75 else []
        words = [*said, *chooser.choices(SYLLABLES, k=9)]
        chooser.shuffle(words)
        copies = 8 if number % 6 == 0 else 1
        texts += [" ".join(words) + "!" * copy for copy in range(copies)]
        labels += [label] * copies
    return texts, labels


SYLLABLES = [f"{a}{b}{c}" for a in "bdfgklmn" for b in "aeiou" for c in ("ra", "st", "nk", "lo")]


def test_the_curve_ends_at_the_accuracy_that_the_training_reports():
    """Of the same recipe in the same folds, so that the two can stand beside each other."""
    texts, labels = newcomers_table()
    _, report = fit(texts, np.array(labels), 4, exclusive=True)
    accuracy = next(r["score"] for r in report["recipes"] if r["recipe"] == report["recipe"])
    points = learning_curve(training_set(texts, np.array(labels), 4), recipe=report["recipe"])
    assert points[-1]["recipe"] == report["recipe"]
    assert points[-1]["score"] == pytest.approx(accuracy, abs=1e-4)
    last = points[-1]
    gain = last["score"] - points[-2]["score"]
    assert last["gain_low"] < gain < last["gain_high"]
    sentence = curve_sentence(points)
    if last["gain_low"] <= 0 <= last["gain_high"] and last["gain_high"] > 0.01:
        assert "cannot show whether more labels would help" in sentence


@given(st.integers(5, 400), st.integers(1, 9), st.floats(0, 0.5), st.floats(0, 0.5))
def test_a_gain_of_copies_is_as_doubtful_as_that_of_one_row_each(groups, copies, gained, lost):
    alone = gain_interval(gained, lost, independent_rows(np.ones(groups)))
    copied = gain_interval(gained, lost, independent_rows(np.full(groups, copies)))
    assert copied == pytest.approx(alone)
    assert -1 <= alone[0] < gained - lost + 1 / groups
    assert gained - lost - 1 / groups < alone[1] <= 1


def test_the_interval_of_a_gain_is_that_of_its_source():
    """Bonett and Price (2012) as the R package DescTools and others have it: (25 + 1) / (100 + 2)
    and (10 + 1) / (100 + 2) by hand."""
    more, less = 26 / 102, 11 / 102
    half = 1.959964 * np.sqrt((more + less - (more - less) ** 2) / 102)
    assert gain_interval(0.25, 0.1, 100) == pytest.approx((more - less - half, more - less + half))
    low, high = gain_interval(0.0, 0.0, 50)
    assert -high == low < 0, "where no row differs nothing is certain"


@settings(max_examples=30)
@given(st.lists(st.tuples(st.integers(1, 20), st.floats(0, 1)), min_size=2, max_size=30))
def test_an_error_of_a_mean_counts_groups(rows):
    values = np.array([value for _, value in rows])
    copies = np.array([1 + len(rows) // 3] * len(rows))
    alone = mean_error(values)
    assert alone == pytest.approx(values.std() / np.sqrt(len(values)))
    assert mean_error(values, np.arange(len(values))) == pytest.approx(alone)
    groups = np.repeat(np.arange(len(values)), copies)
    assert mean_error(np.repeat(values, copies), groups) == pytest.approx(alone)
