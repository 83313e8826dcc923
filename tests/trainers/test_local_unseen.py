"""Out-of-fold predictions and the learning curve."""

from __future__ import annotations

import json
import random

import numpy as np
import pytest
from training_sets import training_set

from datasette_ftclassify.trainers.local.cross_val_predict import out_of_fold, sample
from datasette_ftclassify.trainers.local.learning_curves import curve_sentence, learning_curve

WORDS = ["alpha beta gamma", "delta epsilon zeta", "eta theta iota"]
FILLER = ["one", "two", "three", "four", "five", "six", "seven", "eight"]


def table(rows: int, seed: int = 0) -> tuple[list[str], np.ndarray]:
    chooser = np.random.default_rng(seed)
    names = np.arange(rows) % 3
    return [
        " ".join([*chooser.choice(FILLER, 3), *chooser.choice(WORDS[name].split(), 2)])
        for name in names
    ], names


@pytest.mark.parametrize("rows", [60, 400, 1_200])
def test_a_wrong_label_is_contradicted_by_the_other_rows(rows):
    texts, names = table(rows)
    wrong = names.copy()
    wrong[:5] = (wrong[:5] + 1) % 3
    answers, positions = out_of_fold(texts, wrong, 3)
    np.testing.assert_array_equal(positions, np.arange(rows))
    np.testing.assert_allclose(np.exp(answers).sum(axis=1), 1)
    assert (answers[:5].argmax(axis=1) == names[:5]).all()
    assert (answers.argmax(axis=1) == names).mean() > 0.9


def test_labels_of_one_or_two_rows_are_no_obstacle():
    texts = ["red apple", "red cherry", "blue sea", "green grass", "green leaf"]
    answers, rows = out_of_fold(texts, np.array([0, 0, 1, 2, 2]), 4)
    assert answers.shape == (5, 4)
    assert np.isfinite(answers).all()
    assert len(rows) == 5


def test_several_labels_a_row():
    texts, names = table(300)
    targets = np.eye(3, dtype=int)[names]
    targets[::2, 0] = 1
    answers, _ = out_of_fold(texts, targets, 3, exclusive=False)
    chances = np.exp(answers)
    assert chances[names == 1, 1].mean() > 0.8
    assert chances[names != 1, 1].mean() < 0.2


def test_a_large_table_is_sampled_and_rare_labels_are_kept():
    names = np.zeros(5_000, dtype=int)
    names[::2] = 1
    names[[7, 4_001]] = 2
    rows = sample(np.eye(3, dtype=np.int8)[names], 200, seed=0)
    assert len(rows) == 200
    assert (np.diff(rows) > 0).all()
    assert {7, 4_001} <= set(rows.tolist())
    assert 60 < (names[rows] == 0).sum() < 140
    texts = [f"word{name} {number % 7}" for number, name in enumerate(names)]
    answers, chosen = out_of_fold(texts, names, 3, max_rows=200)
    assert answers.shape == (200, 3)
    assert len(chosen) == 200


def test_long_texts_make_the_sample_smaller():
    texts = [f"{'ab'[n % 2] * 4} " * 3_000 + chr(0x4E00 + n) for n in range(900)]
    answers, _ = out_of_fold(texts, np.arange(900) % 2, 2)
    assert 200 <= len(answers) < 900


def test_the_curve_rises_with_the_rows():
    texts, names = table(300)
    points = learning_curve(training_set(texts, names, 3), fractions=(0.02, 0.2, 1.0))
    json.dumps(points)
    assert [point["rows"] for point in points] == [5, 48, 240]
    assert points[0]["score"] < points[-1]["score"]
    for point in points:
        assert point["metric"] == "accuracy"
        assert 0 <= point["low"] <= point["score"] <= point["high"] <= 1
        assert point["low"] < point["high"]


def test_the_curve_of_several_labels_a_row():
    texts, names = table(300)
    seen: list[float] = []
    data = training_set(texts, np.eye(3, dtype=int)[names], 3, exclusive=False)
    points = learning_curve(data, progress=lambda stage, part: seen.append(part))
    assert points[-1]["metric"] == "micro F1"
    assert points[-1]["score"] > 0.8
    assert seen[-1] == 1.0


def test_too_few_rows_have_no_curve():
    assert learning_curve(training_set(["a", "b", "c"], np.array([0, 1, 0]), 2)) == []
    assert "too few rows" in curve_sentence([])


def point(rows: int, score: float, gain: float = 0.0, doubt: float = 0.02) -> dict[str, object]:
    interval = {"low": score - 0.02, "high": min(score + 0.02, 1.0)}
    about = {"rows": rows, "labels": 3, "metric": "accuracy", "baseline": 0.4, "all_rows": 250}
    return {
        **about,
        "score": score,
        **interval,
        "gain_low": gain - doubt,
        "gain_high": gain + doubt,
    }


@pytest.mark.parametrize(
    ("before", "after", "doubt", "expected"),
    [
        (0.7, 0.8, 0.02, "would probably help"),
        (0.7, 0.8, 0.12, "cannot show whether more labels would help"),
        (0.795, 0.8, 0.02, "where a change between -0.015 and +0.025 is possible"),
        (0.772, 0.763, 0.03, "where a change between -0.039 and +0.021 is possible"),
        (0.8, 0.8, 0.02, "cannot show whether more labels would help"),
        (0.8, 0.8, 0.005, "would probably not help"),
        (0.81, 0.8, 0.025, "where a change between -0.035 and +0.015 is possible"),
        (0.81, 0.8, 0.015, "would probably not help"),
        (
            0.399,
            0.405,
            0.02,
            "would probably not help: from 100 to 200 rows the accuracy went from 0.399 "
            "to 0.405, where always giving the most frequent label has 0.400",
        ),
        (0.96, 0.99, 0.02, "would add less than 0.010"),
        (0.96, 1.0, 0.02, "can hardly help"),
    ],
)
def test_the_sentence_says_what_the_curve_says(before, after, doubt, expected):
    sentence = curve_sentence([point(100, before), point(200, after, after - before, doubt)])
    assert expected in sentence
    assert "from 100 to 200 rows" in sentence


def test_a_few_rows_without_an_error_promise_nothing():
    last = {**point(200, 1.0, 0.04), "low": 0.9}
    assert "cannot show" in curve_sentence([point(100, 0.96), last])
    assert "0.900 is possible" in curve_sentence([point(100, 0.96), last])


def test_a_flat_curve_of_labels_with_few_rows_says_nothing_against_more():
    texts = [f"{chr(97 + n % 26) * 4} number{n}" for n in range(60)]
    points = learning_curve(training_set(texts, np.arange(60), 60))
    assert points[-1]["labels"] == 60
    sentence = curve_sentence(points)
    assert "too few rows of each label" in sentence
    assert "48 rows for 60 labels" in sentence
    assert "not help" not in sentence


@pytest.mark.parametrize(("before", "said"), [(0.7, "still helped"), (0.799, "did not help")])
def test_the_sentence_of_a_sample_promises_nothing_for_the_table(before, said):
    last = {**point(200, 0.8, 0.8 - before), "all_rows": 50_000}
    sentence = curve_sentence([point(100, before), last])
    assert "than the 50,000 would add was not measured" in sentence
    assert said in sentence


@pytest.mark.parametrize("multilabel", [False, True])
@pytest.mark.parametrize("form", ["{}", "Dear {1} {0}"])
def test_copies_of_unseen_rows_are_not_learnt_from(form, multilabel):
    """Labels drawn at random for each letter: with copies in training the score nears 1."""
    chooser = random.Random(3)
    letters = [" ".join(chooser.choices(SYLLABLES, k=40)) for _ in range(120)]
    names = [n % 2 for n in range(120) for _ in range(4)]
    texts = [
        form.format(letter, name) for letter in letters for name in ("Anna", "Bo", "Cem", "Di")
    ]
    targets = np.eye(2, dtype=int)[names] if multilabel else np.array(names)
    points = learning_curve(training_set(texts, targets, 2, exclusive=not multilabel))
    assert all(p["score"] < 0.75 for p in points)
    # Of 120 texts, not of 480 rows. Two labels a row: always giving both has 2/3, without a doubt.
    assert points[-1]["high"] - points[-1]["low"] > (0.01 if multilabel else 0.12)
    assert "would probably help" not in curve_sentence(points)


SYLLABLES = [f"{a}{b}{c}" for a in "bdfgklmn" for b in "aeiou" for c in ("ra", "st", "nk", "lo")]
