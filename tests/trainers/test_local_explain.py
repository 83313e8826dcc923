"""The words that moved the answer, exactly."""

from __future__ import annotations

import random
from unicodedata import category

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from local_logits import logits_of
from training_sets import fit

from datasette_ftclassify.trainers.local.explain import parts_of
from datasette_ftclassify.trainers.local.features import char_spans, char_terms
from datasette_ftclassify.trainers.local.model import LocalModel

TEXTS = [
    *(f"free prize {n}, call now!" for n in range(10)),
    *(f"lunch at {n} with mum" for n in range(10)),
    *(f"budget meeting {n} on monday" for n in range(10)),
]
WORDS = ["free", "FREE", "prize,", "lunch", "mum", "don't", "(budget)", "🎉", "at", "\x00"]
NAMES = np.repeat([0, 1, 2], 10)


@pytest.fixture(scope="module")
def model() -> LocalModel:
    return fit(TEXTS, NAMES, 3, exclusive=True)[0]


@settings(max_examples=100)
@given(words=st.lists(st.sampled_from(WORDS)), label=st.integers(0, 2))
def test_the_contributions_add_up_to_the_logit(model, words, label):
    text = " ".join(words)
    logits = logits_of(model, text) - model.bias / model.temperature
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
    binary, _ = fit(TEXTS[:20], NAMES[:20], 2, exclusive=True)
    first, second = (dict(binary.explain("free lunch", label)) for label in (0, 1))
    assert first["free"] > 0 > first["lunch"]
    assert second["free"] == pytest.approx(-first["free"])
    several, _ = fit(TEXTS, np.eye(3, dtype=int)[NAMES], 3, exclusive=False)
    logit = logits_of(several, "free lunch")[1] - several.bias[1]
    assert sum(a for _, a in several.explain("free lunch", 1)) == pytest.approx(logit, abs=1e-4)


def test_a_label_that_is_not_there_is_an_index_error(model):
    for label in (3, -1):
        with pytest.raises(IndexError, match="3 labels"):
            model.explain("free", label)


@pytest.mark.parametrize("word", ["हिन्दी", "ภาษาไทย", "नमस्ते", "don't", "Größe", "snake_"])
def test_a_word_is_named_with_its_vowel_signs_and_without_punctuation(model, word):
    assert [name for name, _ in model.explain(f"«{word}»!", 0)] == [word]


# A topic a row, by one word or two of it; Thai and Chinese have no spaces between words.
SCRIPTS = {
    "thai": (
        ["ฟุตบอล", "ธนาคาร", "อาหาร"],
        ["วันนี้", "เราไปดู", "ที่บ้าน", "กับเพื่อน", "เมื่อวาน", "อีกครั้ง", "ฉันชอบ"],
        "",
    ),
    "chinese": (
        ["足球", "银行", "餐厅"],
        ["今天", "我们", "一起", "去看", "昨天", "非常", "喜欢"],
        "",
    ),
    "hindi": (["क्रिकेट", "बैंकिंग", "रेस्टोरेंट"], ["आज", "हम", "देखने", "गए", "बहुत", "अच्छा", "लगा"], " "),
}
STRANGE = ["İstanbul", "don't", "。", "«", "👍🏽", "e\u0301", "กำ"]


@pytest.fixture(scope="module")
def models() -> dict[str, LocalModel]:
    found = {}
    for script, (telling, filler, between) in SCRIPTS.items():
        chooser = random.Random(1)
        texts, names = [], []
        for number in range(90):
            words = [*chooser.choices(filler, k=4), telling[number % 3]]
            chooser.shuffle(words)
            texts.append(between.join(words))
            names.append(number % 3)
        found[script] = fit(texts, np.array(names), 3, exclusive=True)[0]
    return found


def exactly(model: LocalModel, text: str, label: int) -> float:
    """The label's logit without its bias above the mean of the others', in double precision."""
    features, values = model.vectorizer.row(text)
    weights = model.weights[features].astype(np.float64)
    logits = values.astype(np.float64) @ weights / model.temperature
    return float(logits[label] - np.delete(logits, label).mean())


@pytest.mark.parametrize("script", SCRIPTS)
@settings(max_examples=60, deadline=None)
@given(data=st.data(), label=st.integers(0, 2))
def test_every_contribution_is_of_a_span_that_cuts_no_letter(models, script, data, label):
    telling, filler, between = SCRIPTS[script]
    words = st.sampled_from(
        [*telling, *filler, "İstanbul", "don't", "。", "«", "👍🏽", "e\u0301", "กำ"]
    )
    spaces = st.sampled_from([between, " ", "\n", "\u3000"])
    pieces = data.draw(st.lists(st.tuples(words | st.text(max_size=4), spaces), max_size=12))
    text = "".join(word + space for word, space in pieces)
    model = models[script]
    parts = parts_of(model, text, label)
    assert sum(part.amount for part in parts) == pytest.approx(
        exactly(model, text, label), abs=1e-6
    )
    ends = 0
    for part in parts:
        assert ends <= part.start < part.end <= len(text)
        assert not text[ends : part.start].strip()
        ends = part.end
        if part.start and not text[part.start - 1].isspace():
            first = text[part.start]
            assert category(first)[0] != "M"
            assert first not in "\u200c\u200dำ🏽"
    assert not text[ends:].strip()


@pytest.mark.parametrize("script", SCRIPTS)
def test_the_telling_word_is_found_in_a_clause_without_spaces(models, script):
    telling, filler, between = SCRIPTS[script]
    for label, word in enumerate(telling):
        text = between.join([filler[0], filler[2], word, filler[4], filler[5]])
        parts = parts_of(models[script], text, label)
        assert len(parts) > 1
        strongest = max(parts, key=lambda part: part.amount)
        at = text.index(word)
        inside = max(0, min(strongest.end, at + len(word)) - max(strongest.start, at))
        assert inside >= (strongest.end - strongest.start) / 2, "most of it is the word"
        named, amount = models[script].explain(text, label)[0]
        assert named in text
        assert amount > 0


@given(st.text(alphabet=st.characters(exclude_characters=" "), min_size=1, max_size=40))
def test_where_an_n_gram_is(word):
    padded = f" {word} "
    assert [padded[start:end] for start, end in char_spans(len(word))] == char_terms(word)
