"""Labels say something by their names, where rows of each are few."""

from __future__ import annotations

import numpy as np
import pytest

from datasette_ftclassify.trainers.local import fit, learning_curve
from datasette_ftclassify.trainers.local.label_names import label_texts
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
    model, report = fit(texts, given, len(WORDS), multilabel=False, names=names)
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
    plain, _ = fit(texts, given, 6, multilabel=False)
    coded, _ = fit(texts, given, 6, multilabel=False, names=["0", "1", "A3", "B4", "x", "-"])
    assert to_parts(plain) == to_parts(coded)


def test_names_that_mislead_are_left_out():
    """As cross-validation tells: each label is called by another one's words."""
    without, _ = accuracy(None, 90)
    misled, recipe = accuracy([*NAMES[1:], NAMES[0]], 90)
    assert "label names" not in recipe
    assert misled == without


def test_the_learning_curve_is_of_the_recipe_with_names():
    texts, given = table(36, 1)
    _, report = fit(texts, given, 6, multilabel=False, names=NAMES)
    assert "label names" in report["recipe"]
    points = learning_curve(texts, given, 6, multilabel=False, recipe=report["recipe"], names=NAMES)
    assert {point["recipe"] for point in points} == {report["recipe"]}
    score = next(row["score"] for row in report["recipes"] if row["recipe"] == report["recipe"])
    assert points[-1]["score"] == pytest.approx(score, abs=1e-3)
