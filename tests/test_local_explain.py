"""The words that moved the answer, exactly."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datasette_ftclassify.trainers.local import LocalModel, fit

TEXTS = [
    *(f"free prize {n}, call now!" for n in range(10)),
    *(f"lunch at {n} with mum" for n in range(10)),
    *(f"budget meeting {n} on monday" for n in range(10)),
]
WORDS = ["free", "FREE", "prize,", "lunch", "mum", "don't", "(budget)", "🎉", "at", "\x00"]
NAMES = np.repeat([0, 1, 2], 10)


@pytest.fixture(scope="module")
def model() -> LocalModel:
    return fit(TEXTS, NAMES, 3, multilabel=False)[0]


@settings(max_examples=100)
@given(
    words=st.lists(st.sampled_from(WORDS)),
    label=st.integers(0, 2),
)
def test_the_contributions_add_up_to_the_logit(model, words, label):
    text = " ".join(words)
    logits = model.logits_one(text) - model.bias / model.temperature
    others = np.delete(logits, label).mean()
    total = sum(amount for _, amount in model.explain(text, label, top=1_000))
    assert total == pytest.approx(logits[label] - others, abs=1e-4)


def test_the_telling_words_come_first_and_whole(model):
    found = model.explain("Hello, is there a FREE prize? Nothing else.", 0)
    assert {word for word, _ in found[:2]} == {"FREE", "prize"}
    amounts = [abs(amount) for _, amount in found]
    assert amounts == sorted(amounts, reverse=True)
    assert found[0][1] > 0
    assert dict(model.explain("free lunch", 0))["lunch"] < 0


def test_a_word_that_occurs_twice_is_named_once(model):
    assert [word for word, _ in model.explain("prize Prize PRIZE", 0)] == ["prize"]


def test_no_more_words_than_asked_for(model):
    assert len(model.explain("a free prize for lunch on monday", 0, top=2)) == 2
    assert model.explain("", 0) == []


def test_two_labels_and_several_labels_a_row_are_explained_too():
    binary, _ = fit(TEXTS[:20], NAMES[:20], 2, multilabel=False)
    first, second = (dict(binary.explain("free lunch", label)) for label in (0, 1))
    assert first["free"] > 0 > first["lunch"]
    assert second["free"] == pytest.approx(-first["free"])
    several, _ = fit(TEXTS, np.eye(3, dtype=int)[NAMES], 3, multilabel=True)
    logit = several.logits_one("free lunch")[1] - several.bias[1]
    assert sum(a for _, a in several.explain("free lunch", 1)) == pytest.approx(logit, abs=1e-4)


def test_a_label_that_is_not_there_is_an_index_error(model):
    for label in (3, -1):
        with pytest.raises(IndexError, match="3 labels"):
            model.explain("free", label)


@pytest.mark.parametrize("word", ["हिन्दी", "ภาษาไทย", "नमस्ते", "don't", "Größe", "snake_"])
def test_a_word_is_named_with_its_vowel_signs_and_without_punctuation(model, word):
    assert [name for name, _ in model.explain(f"«{word}»!", 0)] == [word]
