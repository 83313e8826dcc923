"""The fast features are scikit-learn's own, whatever the text."""

from __future__ import annotations

import re
from unicodedata import category

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from local_logits import logits_of
from scipy import sparse
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from training_sets import fit

from datasette_ftclassify.trainers.local import features
from datasette_ftclassify.trainers.local.features import (
    MAX_CHARACTERS,
    NEWEST_TOKENS,
    TOKEN_PATTERNS,
    Vectorizer,
    word_terms,
)
from datasette_ftclassify.trainers.local.serialization import from_parts, to_parts
from datasette_ftclassify.trainers.local.term_counts import Weighting, count_terms, terms_kept

CORPUS = [
    "Where is my card? It still has not arrived",
    "card card card: not arrived, NOT arrived!",
    "İstanbul'da naïve café – 你好 世界",
    "win £££ now\x00 call 0800 123 🎉🎉",
    "مرحبا بالعالم a b c",
    "",
    "I'm e-mailing u_2 about x",
]
texts = st.one_of(
    st.text(max_size=60),
    st.lists(st.sampled_from(" ".join(CORPUS).split(" ")), max_size=40).map(" ".join),
    st.text(alphabet="ab \t\n\x1f\u00a0\u2028é.'_İ", max_size=60),
)


WORDS = TOKEN_PATTERNS[NEWEST_TOKENS]


def scikit_vectorizers(**options: object) -> tuple[TfidfVectorizer, TfidfVectorizer]:
    shared = {"sublinear_tf": True, **options}
    return (
        TfidfVectorizer(ngram_range=(1, 2), token_pattern=WORDS, **shared),
        TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), **shared),
    )


@pytest.fixture(scope="module")
def trained() -> tuple[Vectorizer, TfidfVectorizer, TfidfVectorizer]:
    words, chars = scikit_vectorizers()
    words.fit(CORPUS)
    chars.fit(CORPUS)
    start = len(words.vocabulary_)
    ours = Vectorizer(
        words.vocabulary_,
        {term: number + start for term, number in chars.vocabulary_.items()},
        np.concatenate([words.idf_, chars.idf_]).astype(np.float32),
    )
    return ours, words, chars


@settings(max_examples=300)
@given(text=texts)
def test_a_row_has_the_features_of_scikit_learn(trained, text):
    ours, words, chars = trained
    numbers, values = ours.row(text)
    theirs = sparse.hstack([words.transform([text]), chars.transform([text])]).toarray()[0]
    mine = np.zeros(len(theirs))
    mine[numbers] = values
    np.testing.assert_allclose(mine, theirs, atol=1e-6)
    assert (np.diff(numbers) > 0).all()


def test_a_word_looked_up_before_gives_the_same_answer(trained):
    ours, *_ = trained
    first, again = ours.row("card arrived card"), ours.row("card arrived card")
    np.testing.assert_array_equal(first[0], again[0])
    np.testing.assert_array_equal(first[1], again[1])


def test_the_memory_of_words_is_bounded(trained, monkeypatch):
    ours, *_ = trained
    monkeypatch.setattr(features, "_MAX_CACHED_WORDS", 10)
    for number in range(50):
        ours.row(f"card{number} " + "x" * 500)
    assert len(ours._word_grams) <= 10
    assert max(map(len, ours._word_grams)) < 100


@settings(max_examples=100)
@given(st.lists(texts, min_size=1, max_size=8))
def test_counting_for_training_finds_what_scikit_learn_finds(rows):
    ours = count_terms(rows)
    shared = {"lowercase": True}
    for terms, counts, options in (
        (
            ours.words,
            ours.counts[:, : ours.n_words],
            {"ngram_range": (1, 2), "token_pattern": WORDS},
        ),
        (
            ours.chars,
            ours.counts[:, ours.n_words :],
            {"analyzer": "char_wb", "ngram_range": (2, 5)},
        ),
    ):
        counter = CountVectorizer(**shared, **options)
        try:
            theirs = counter.fit_transform(rows).toarray()
        except ValueError:  # "empty vocabulary"
            assert terms == []
            continue
        assert sorted(terms) == sorted(counter.vocabulary_)
        order = [counter.vocabulary_[term] for term in terms]
        np.testing.assert_array_equal(counts.toarray(), theirs[:, order])


def test_weighing_for_training_equals_weighing_for_prediction():
    terms = count_terms(CORPUS)
    rows = np.arange(len(CORPUS))
    weighting = Weighting.learn(terms, rows, min_rows=1, most=10_000)
    trained = weighting.apply(terms, rows).toarray()
    words, chars = terms_kept(terms.words, terms.chars, weighting.keep)
    numbers = {term: number for number, term in enumerate(words)}
    grams = {term: number for number, term in enumerate(chars, len(words))}
    ours = Vectorizer(numbers, grams, weighting.idf)
    for row, text in enumerate(CORPUS):
        found, values = ours.row(text)
        mine = np.zeros(trained.shape[1])
        mine[found] = values
        np.testing.assert_allclose(mine, trained[row], atol=1e-6)


def test_weighing_sees_only_the_training_rows():
    terms = count_terms(["spam spam", "ham", "eggs"])
    weighting = Weighting.learn(terms, np.array([0, 1]), min_rows=1, most=10_000)
    words, _ = terms_kept(terms.words, terms.chars, weighting.keep)
    assert words == ["spam", "spam spam", "ham"]


def test_too_many_features_leave_the_frequent_ones():
    terms = count_terms(["one two", "one three", "one four"])
    weighting = Weighting.learn(terms, np.arange(3), min_rows=1, most=1)
    assert len(weighting.keep) == 1
    assert weighting.keep[0] in (terms.words.index("one"), *range(terms.n_words, 99))
    rare = Weighting.learn(terms, np.arange(3), min_rows=3, most=1_000)
    assert terms_kept(terms.words, terms.chars, rare.keep)[0] == ["one"]


def test_words_keep_their_places_beside_more_frequent_characters():
    terms = count_terms([f"filler{n % 3} word{n % 9}" for n in range(90)])
    weighting = Weighting.learn(terms, np.arange(90), min_rows=1, most=30)
    words, chars = terms_kept(terms.words, terms.chars, weighting.keep)
    assert len(words) == 12
    assert len(chars) == 18


def test_rare_terms_are_left_out_of_the_count():
    terms = count_terms(["one two", "one three"], min_rows=2)
    assert terms.words == ["one"]
    assert "two " not in terms.chars


def test_a_lone_surrogate_is_no_term():
    terms = count_terms(["bad \ud800x word", "bad \ud800x word"])
    assert terms.words == ["bad", "word"] or "bad" in terms.words
    assert not any("\ud800" in term for term in [*terms.words, *terms.chars])


def test_a_text_is_used_up_to_the_documented_length(trained):
    ours, *_ = trained
    long = "card " * (MAX_CHARACTERS // 5)
    numbers, values = ours.row(long + "arrived")
    expected = ours.row(long)
    np.testing.assert_array_equal(numbers, expected[0])
    np.testing.assert_array_equal(values, expected[1])
    assert len(count_terms([long + "arrived"]).words) == 2


def test_one_character_repeated_up_to_the_limit_has_a_weight():
    ours = Vectorizer({}, {"ii": 0, "i̇": 1}, np.ones(2, dtype=np.float32))
    for text in ("i" * MAX_CHARACTERS, "İ" * MAX_CHARACTERS, "a " * MAX_CHARACTERS):
        assert np.isfinite(ours.row(text)[1]).all()


@settings(max_examples=100)
@given(text=texts)
def test_texts_without_marks_have_the_words_of_scikit_learn(text):
    plain = "".join(c for c in text.lower() if category(c)[0] != "M")
    assert word_terms(plain) == word_terms(plain, re.compile(TOKEN_PATTERNS[1]))


def test_vowel_signs_belong_to_words_where_words_have_spaces():
    assert word_terms("हिन्दी में") == ["हिन्दी", "में", "हिन्दी में"]
    assert word_terms("বাংলা তமிழ்") == ["বাংলা", "তமிழ்", "বাংলা তமிழ்"]
    clause = "ฉันชอบฟุตบอล"
    assert word_terms(clause) == word_terms(clause, re.compile(TOKEN_PATTERNS[1]))


def test_a_classifier_of_an_earlier_version_keeps_its_words():
    """Its weights are for words that end at each mark; it is stored and explained as it was."""
    texts = ["क्रिकेट देखने गए", "बैंकिंग करने गए", "मैच देखने", "कर्ज चुकाने"] * 5
    model, _ = fit(texts, np.arange(20) % 2, 2, exclusive=True)
    header, parts = to_parts(model)
    assert header["format"] == 2
    old = from_parts({**header, "format": 1}, parts)
    assert old.vectorizer.tokens.pattern == TOKEN_PATTERNS[1]
    assert to_parts(old)[0]["format"] == 1
    assert not np.array_equal(logits_of(old, texts[0]), logits_of(model, texts[0]))
    for each in (old, model):
        whole = logits_of(each, texts[0])[1] * 2 - each.bias[0] / each.temperature
        assert sum(a for _, a in each.explain(texts[0], 1)) == pytest.approx(whole, abs=1e-4)
