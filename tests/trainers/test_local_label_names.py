"""Labels say something by their names, where rows of each are few."""

from __future__ import annotations

import numpy as np
import pytest
from training_sets import fit, training_set

from datasette_ftclassify.trainers.local.label_names import by_name, label_texts
from datasette_ftclassify.trainers.local.learning_curves import learning_curve
from datasette_ftclassify.trainers.local.recipes import Base, Recipe
from datasette_ftclassify.trainers.local.selection import _as_good, _likeliest
from datasette_ftclassify.trainers.local.serialization import to_parts

NAMES = [
    "card_arrival",
    "exchangeRate",
    "Lost password",
    "refund-request",
    "street noise",
    "parking",
]
WORDS = [
    "card arrival delivery envelope", "exchange rate currency euro",
    "lost password login reset", "refund request money returned",
    "street noise music loud", "parking ticket garage meter",
]  # fmt: skip
FILLER = "please can you tell me what to do about the my is a it was with for today"


def table(rows: int, seed: int) -> tuple[list[str], np.ndarray]:
    """Each text has one word of its label, seldom twice the same one."""
    chooser = np.random.default_rng(seed)
    given = np.arange(rows) % len(WORDS)
    texts = [
        " ".join(
            chooser.permutation([*chooser.choice(FILLER.split(), 6), chooser.choice(words.split())])
        )
        for words in (WORDS[label] for label in given)
    ]
    return texts, given


def accuracy(names: list[str] | None, rows: int) -> tuple[float, str]:
    texts, given = table(rows, 1)
    model, report = fit(texts, given, len(WORDS), exclusive=True, names=names)
    asked, wanted = table(300, 2)
    right = model.log_probabilities(asked).argmax(axis=1) == wanted
    return float(right.mean()), report["recipe"]


@pytest.mark.parametrize(
    ("names", "texts"),
    [
        (["card_arrival", "topUp"], ["card arrival", "top up"]),
        (["Straße 12", "дорога"], ["straße 12", "дорога"]),
        (["0", "1", "A3"], None),
        (["C17", "C18", "other"], None),
        (["", "--", "none"], None),
    ],
)
def test_the_words_of_a_label_are_told_from_a_code(names, texts):
    assert label_texts(names) == texts


def test_names_help_where_rows_are_few():
    without, _ = accuracy(None, 18)
    with_names, recipe = accuracy(NAMES, 18)
    assert with_names > without + 0.05
    assert "label names" in recipe


def test_codes_as_labels_change_nothing():
    texts, given = table(36, 1)
    plain, _ = fit(texts, given, 6, exclusive=True)
    coded, _ = fit(texts, given, 6, exclusive=True, names=["0", "1", "A3", "B4", "x", "-"])
    assert to_parts(plain) == to_parts(coded)


def test_names_that_mislead_are_left_out():
    """As cross-validation tells: each label is called by another one's words."""
    without, _ = accuracy(None, 90)
    misled, recipe = accuracy([*NAMES[1:], NAMES[0]], 90)
    assert "label names" not in recipe
    assert misled == without


def test_the_learning_curve_is_of_the_recipe_with_names():
    texts, given = table(36, 1)
    _, report = fit(texts, given, 6, exclusive=True, names=NAMES)
    assert "label names" in report["recipe"]
    points = learning_curve(training_set(texts, given, 6, names=NAMES), recipe=report["recipe"])
    assert {point["recipe"] for point in points} == {report["recipe"]}
    score = next(row["score"] for row in report["recipes"] if row["recipe"] == report["recipe"])
    assert points[-1]["score"] == pytest.approx(score, abs=1e-3)


def test_of_recipes_that_are_as_often_right_the_one_with_fitting_probabilities_is_taken():
    """A few texts share all words with a name: scores by likeness are too sure there."""
    chooser = np.random.default_rng(0)
    targets = np.eye(3, dtype=np.int8)[chooser.integers(0, 3, 200)]
    fitting = targets + chooser.normal(size=(200, 3))
    spiky = np.where(chooser.random((200, 1)) < 0.1, 30 * fitting, fitting).astype(np.float32)
    plain, calm, sure = (
        Recipe(name, ((Base(name, by_name, 1.0, names=name != "plain"), 1.0),))
        for name in ("plain", "calm", "sure")
    )
    found = {1: [fitting.astype(np.float32)], 2: [spiky]}
    chosen, why = _likeliest((plain, calm, sure), found, targets, 2, "Chose sure.")
    assert chosen == 1
    assert "Chose calm: about as often right" in why
    assert _likeliest((plain, calm, sure), {2: [spiky]}, targets, 2, "Chose sure.") == (
        2, "Chose sure.",
    )  # fmt: skip
    few, many = (np.arange(200) < 3).astype(float), (np.arange(200) < 8).astype(float)
    assert _as_good(few, np.arange(200))
    assert not _as_good(many, np.arange(200))
