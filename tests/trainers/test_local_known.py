"""A text of a kind that nobody trained on is told from the others, and the number means a share."""

from __future__ import annotations

import json
import random

import numpy as np
import pytest
from checking import SUBJECTS
from hypothesis import given
from hypothesis import strategies as st
from sports import BASEBALL, COMMON, FOOTBALLERS, HOCKEY, sports
from training_sets import fit

from datasette_ftclassify.core.errors import ArtifactError
from datasette_ftclassify.trainers.encoders.vector_store import text_key
from datasette_ftclassify.trainers.local.centroids import find_centroids
from datasette_ftclassify.trainers.local.known import LEVELS, directions
from datasette_ftclassify.trainers.local.model import LocalModel
from datasette_ftclassify.trainers.local.serialization import from_parts, to_parts
from datasette_ftclassify.trainers.local.text_vectors import GivenVectors

Kept = dict[bytes, np.ndarray]

FOREIGN = (
    "Der Zug nach Hamburg hat heute zwei Stunden Verspätung",
    "昨日は友達と映画を見に行きました",
    "Вчера мы ходили в музей и видели старые картины",
)
INVENTED = ("frobnitz", "zyxqu", "blorptang")


def known(model: LocalModel, texts: list[str] | tuple[str, ...]) -> list[float]:
    found = [model.known(text, model.log_probabilities_one(text)) for text in texts]
    assert None not in found
    return [float(value or 0) for value in found]


@pytest.fixture(scope="module")
def model() -> LocalModel:
    texts, labels = sports(300, seed=1)
    return fit(texts, np.array(labels), 2, exclusive=True)[0]


def test_texts_of_other_kinds_are_less_known_than_nearly_all_rows(model):
    for text, value in zip(
        (*FOOTBALLERS, *FOREIGN, *INVENTED, "", "  "),
        known(model, (*FOOTBALLERS, *FOREIGN, *INVENTED, "", "  ")),
        strict=True,
    ):
        assert value < 0.05, text


def test_of_new_texts_of_the_kind_about_as_many_are_below_a_value_as_it_says(model):
    """Not more: the model of all rows is surer than those that rows were held out from."""
    values = np.array(known(model, sports(800, seed=2)[0]))
    for share in (0.05, 0.1, 0.25):
        assert share / 2 < (values < share).mean() < 1.3 * share


def test_a_classifier_of_several_labels_a_row_tells_them_too():
    texts, labels = sports(200, seed=3)
    both = [f"{a}; {b}" for a, b in zip(texts, texts[100:], strict=False)]
    targets = np.eye(2, dtype=int)[labels]
    targets[:100] |= targets[100:]
    model = fit(both + texts[100:], targets, 2, exclusive=False)[0]
    inside = np.median(known(model, sports(50, seed=4)[0]))
    assert max(known(model, FOREIGN + INVENTED)) < min(0.05, float(inside))


def test_two_words_of_a_label_among_strange_ones_are_not_enough_with_five_labels():
    """The probabilities alone are sure of such a text."""
    draw = random.Random(6)
    subjects = [words.split() for words in (HOCKEY, BASEBALL, *SUBJECTS.values())]
    labels = [draw.randrange(5) for _ in range(250)]
    texts = [
        " ".join(draw.choices(subjects[label], k=4) + draw.choices(COMMON.split(), k=8))
        for label in labels
    ]
    model = fit(texts, np.array(labels), 5, exclusive=True)[0]
    strange = [f"{words[0]} {words[1]} {' '.join(INVENTED)}" for words in subjects]
    assert max(known(model, strange)) < 0.05


def test_it_comes_back_the_same_from_a_file(model):
    header, parts = to_parts(model)
    loaded = from_parts(json.loads(json.dumps(header)), parts)
    asked = (*FOOTBALLERS, *sports(20, seed=5)[0])
    assert known(loaded, asked) == known(model, asked)


def test_a_model_of_an_earlier_version_says_that_nothing_was_measured(model):
    header, parts = to_parts(model)
    del header["known"]
    loaded = from_parts(header, parts)
    assert loaded.known("puck", loaded.log_probabilities_one("puck")) is None


def test_too_few_held_out_rows_measure_nothing():
    few, _ = fit(["puck ice", "bat base", "rink ice", "bat glove"], np.array([0, 1, 0, 1]), 2,
                 exclusive=True)  # fmt: skip
    assert few.known("puck", few.log_probabilities_one("puck")) is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("certainty", None),
        ("certainty", [0.0]),
        ("words", [0.5] * (len(LEVELS) - 1) + ["1"]),
        ("words", [1.0] + [0.0] * (len(LEVELS) - 1)),
        ("together", [float("nan")] * len(LEVELS)),
        ("together", [1e300] * len(LEVELS)),
        ("weight", 2),
        ("weight", True),
        ("rows", 0),
        ("rows", 10**9),
    ],
)
def test_what_a_stranger_wrote_is_refused(model, name, value):
    header, parts = to_parts(model)
    header["known"][name] = value
    with pytest.raises(ArtifactError, match="damaged"):
        from_parts(header, parts)


def test_copies_of_a_row_do_not_make_its_words_usual():
    """Each text is there four times: held out with its copies, its own words are not known."""
    draw = random.Random(6)
    words = ["".join(draw.choices("abcdefghijklmnop", k=6)) for _ in range(400)]
    texts = [f"the {' '.join(words[i * 10 : i * 10 + 10])}" for i in range(40)]
    labels = np.repeat([0, 1], 20)
    model = fit(texts * 4, np.tile(labels, 4), 2, exclusive=True)[0]
    assert model.usual is not None
    assert max(model.usual.words) < 0.2


def placed(count: int, seed: int, *, strange: bool = False) -> tuple[list[str], np.ndarray, Kept]:
    """Texts whose words say nothing, labels 0 and 1, and the vectors that tell the labels; strange
    ones are as much like label 0 as its own rows, and in the rest like no row."""
    draw = np.random.default_rng(seed)
    words = COMMON.split()
    texts = [f"{' '.join(draw.choice(words, size=8))} {seed}.{row}" for row in range(count)]
    labels = np.arange(count) % 2
    vectors = draw.normal(0, 0.1, size=(count, 8))
    vectors[np.arange(count), 0 if strange else labels] += 1
    vectors[:, 3 if strange else 2] += 1
    vectors /= np.sqrt((vectors**2).sum(axis=1, keepdims=True))
    kept = dict(zip(map(text_key, texts), vectors.astype(np.float32), strict=True))
    return texts, labels, kept


@pytest.fixture(scope="module")
def near() -> LocalModel:
    texts, labels, kept = placed(300, seed=1)
    return fit(texts, labels, 2, exclusive=True, vectors=GivenVectors(lambda keys: kept, 8))[0]


def test_a_text_that_no_training_row_is_near_to_is_told_by_its_vector(near):
    """Its words are usual, and the probabilities are rather sure."""
    strange, _, kept = placed(50, seed=2, strange=True)
    model = near.with_vectors(GivenVectors(lambda keys: kept, 8))
    assert np.exp(model.log_probabilities(strange)).max(axis=1).mean() > 0.8
    assert (np.array(known(model, strange)) < 0.05).mean() > 0.9


def test_with_vectors_as_many_are_below_a_value_as_it_says_too(near):
    texts, _, kept = placed(800, seed=3)
    values = np.array(known(near.with_vectors(GivenVectors(lambda keys: kept, 8)), texts))
    for share in (0.05, 0.1, 0.25):
        assert share / 2 < (values < share).mean() < 1.5 * share


def test_centroids_come_back_the_same_from_a_file(near):
    header, parts = to_parts(near)
    texts, _, kept = placed(20, seed=4)
    loaded = from_parts(json.loads(json.dumps(header)), parts)
    models = [each.with_vectors(GivenVectors(lambda keys: kept, 8)) for each in (near, loaded)]
    assert known(models[0], texts) == known(models[1], texts)
    del header["known"]["nearest"]  # as an older version has it
    older = from_parts(header, parts).with_vectors(GivenVectors(lambda keys: kept, 8))
    assert len(known(older, texts)) == 20


@pytest.mark.parametrize("count", [0, -1, 10**9, None, True, 1])
def test_centroids_that_a_stranger_wrote_are_refused(near, count):
    header, parts = to_parts(near)
    header["n_centroids"] = count
    with pytest.raises(ArtifactError, match="damaged"):
        from_parts(header, parts)


def test_centroids_without_vectors_are_refused(near, model):
    header, parts = to_parts(model)
    header["known"]["nearest"] = to_parts(near)[0]["known"]["nearest"]
    with pytest.raises(ArtifactError, match="damaged"):
        from_parts(header, parts)


@given(
    rows=st.integers(1, 60), labels=st.integers(1, 5), empty=st.booleans(), seed=st.integers(0, 99)
)
def test_each_label_has_centroids_and_zero_vectors_are_in_none(rows, labels, empty, seed):
    draw = np.random.default_rng(seed)
    vectors = np.zeros((rows, 4), dtype=np.float32)
    if not empty:
        vectors += draw.normal(size=(rows, 4)).astype(np.float32)
    targets = np.eye(labels, dtype=np.int8)[draw.integers(0, labels, rows)]
    found = find_centroids(vectors, targets, seed)
    assert len(found) == 0 if empty else targets.any(axis=0).sum() <= len(found) <= rows
    assert np.isfinite(directions(found)).all()
