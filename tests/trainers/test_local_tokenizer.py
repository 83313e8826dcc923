"""Our tokenizer gives the numbers that the `tokenizers` package gives, and runs no program."""

from __future__ import annotations

import csv
import json
import re
import string
import time
import unicodedata
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import datasette_ftclassify
from datasette_ftclassify.core.errors import ArtifactError
from datasette_ftclassify.trainers.local.tokenizer import Tokenizer

tokenizers = pytest.importorskip("tokenizers")
from tokenizers import AddedToken, Regex, models, normalizers, pre_tokenizers  # noqa: E402
from tokenizers.trainers import UnigramTrainer, WordPieceTrainer  # noqa: E402

MESSAGES = Path(datasette_ftclassify.__file__).parent / "demo" / "messages.csv"
with MESSAGES.open(encoding="utf-8", newline="") as file:
    TEXTS = [" ".join(row.values()) for row in csv.DictReader(file)][:300]
OTHERS = [
    "Ça coûte 3,50 € — déjà-vu!", "ﬁne print Ⅷ ½ ｆｕｌｌ", "東京都 and 한국어 text",
    "naïve Straße İstanbul", "tabs\tand\nlines\r\n", "zero\u200bwidth\ufeff",
    "nul\x00 \x1c \x85 control", "🙂👨👩👧 emoji", "", "   ", "[PAD] in a text [UNK][PAD]",
    "x" * 300, "a" * 99 + " " + "b" * 101, "don't — can't", "e\u0301te\u0301", "مرحبا بالعالم",
    "नमस्ते दुनिया", "สวัสดีชาวโลก", "$5+5=10 <b>^|~`", "ΑΣ ΟΔΥΣΣΕΥΣ", "\ufffd replaced",
]  # fmt: skip


def is_settled(character: str) -> bool:
    """Whether Python and the library, whose tables are of several versions of Unicode, know the
    same of it: the first emoji, and what had its category in Unicode 3.2 already."""
    category = unicodedata.category(character)
    return (
        "\U0001f300" <= character < "\U0001f650"
        or unicodedata.ucd_3_2_0.category(character) == category
    )


characters = st.characters(max_codepoint=0x2FFFF, exclude_categories=("Cs", "Cn")).filter(
    is_settled
)
texts = st.text(st.one_of(st.sampled_from("ab é.,'[]PADUNK\t한東"), characters), max_size=60)


def word_piece() -> tokenizers.Tokenizer:
    made = tokenizers.Tokenizer(models.WordPiece(unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer(lowercase=True)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = WordPieceTrainer(
        vocab_size=900, special_tokens=["[PAD]", "[UNK]"], show_progress=False
    )
    made.train_from_iterator(TEXTS + OTHERS, trainer)
    return made


def cased() -> tokenizers.Tokenizer:
    made = word_piece()
    made.normalizer = normalizers.BertNormalizer(
        lowercase=False, clean_text=False, handle_chinese_chars=False
    )
    made.add_tokens([AddedToken("New Road", normalized=True), AddedToken("New", normalized=True)])
    return made


def unigram() -> tokenizers.Tokenizer:
    """As model2vec writes one: marks set apart, one space for several, none at the end."""
    made = tokenizers.Tokenizer(models.Unigram())
    marks = [normalizers.Replace(c, f" {c} ") for c in string.punctuation]
    spaces = [normalizers.Replace(Regex(r"\s+"), " "), normalizers.Strip(left=False, right=True)]
    made.normalizer = normalizers.Sequence(
        [normalizers.NFKC(), normalizers.Lowercase(), *marks, *spaces]
    )
    made.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = UnigramTrainer(
        vocab_size=900, special_tokens=["[PAD]", "[UNK]"], unk_token="[UNK]", show_progress=False
    )
    made.train_from_iterator(TEXTS + OTHERS, trainer)
    return made


def words() -> tokenizers.Tokenizer:
    known = {word: n for n, word in enumerate(["[UNK]", *sorted(set(" ".join(TEXTS).split()))])}
    made = tokenizers.Tokenizer(models.WordLevel(known, unk_token="[UNK]"))
    made.normalizer = normalizers.Sequence([normalizers.NFD(), normalizers.StripAccents()])
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    return made


KINDS = {make.__name__: make for make in (word_piece, cased, unigram, words)}


@pytest.fixture(scope="module", params=KINDS)
def pair(request: pytest.FixtureRequest) -> tuple[tokenizers.Tokenizer, Tokenizer]:
    library = KINDS[request.param]()
    return library, Tokenizer(library.to_str())


def ids(library: tokenizers.Tokenizer, text: str) -> list[int]:
    return list(library.encode(text, add_special_tokens=False).ids)


def test_real_texts_have_the_numbers_of_the_library(pair):
    library, ours = pair
    for text in TEXTS + OTHERS:
        assert [number for number, _ in ours.tokens(text)] == ids(library, text), text


@settings(max_examples=150, deadline=None)
@given(text=texts)
def test_any_text_has_the_numbers_of_the_library(pair, text):
    # Of characters that came late Python and the library may know other versions of Unicode.
    assume(normalizers.NFKC().normalize_str(text) == unicodedata.normalize("NFKC", text))
    library, ours = pair
    assert [number for number, _ in ours.tokens(text)] == ids(library, text)


def test_tokens_are_placed_in_the_word_that_they_come_from(pair):
    library, ours = pair
    for text in [*TEXTS[:50], "  Ça coûte 3,50 €", "a 東京 b", "e\u0301te\u0301 New Road"]:
        encoded = library.encode(text, add_special_tokens=False)
        placed = list(ours.tokens(text, placed=True))
        assert [number for number, _ in placed] == encoded.ids
        for (number, here), (there, _) in zip(placed, encoded.offsets, strict=True):
            # A mark of a space belongs to the word that follows; theirs is before, or elsewhere.
            if not library.id_to_token(number).startswith("▁"):
                assert word_at(text, here) == word_at(text, there), text


def test_a_token_that_begins_with_a_space_is_of_the_word_behind_it():
    ours = Tokenizer(unigram().to_str())
    text = "on full pelt, and the next road"
    places = {at for _, at in ours.tokens(text, placed=True)}
    assert places >= {match.start() for match in re.finditer(r"\S+", text)}
    assert not any(text[at].isspace() for at in places)


def word_at(text: str, position: int) -> int:
    """The words that begin at the position or before it."""
    return sum(match.start() <= position for match in re.finditer(r"\S+", text))


def test_what_is_stored_is_read_again_without_what_is_not_needed(pair):
    library, ours = pair
    again = Tokenizer(ours.to_json())
    assert len(ours.to_json()) < len(library.to_str())
    for text in OTHERS:
        assert list(again.tokens(text)) == list(ours.tokens(text))


PROGRAMS = {
    "a regular expression": lambda d: d.update(
        normalizer={"type": "Replace", "pattern": {"Regex": "(a*)*b"}, "content": ""}
    ),
    "a replacement that grows": lambda d: d.update(
        normalizer={"type": "Replace", "pattern": {"String": "a"}, "content": "a" * 1_000}
    ),
    "a mark that grows": lambda d: d.update(
        normalizer={"type": "Replace", "pattern": {"String": ","}, "content": " ,, "}
    ),
    "a map of characters": lambda d: d.update(
        normalizer={"type": "Precompiled", "precompiled_charsmap": "AAAA"}
    ),
    "a prefix": lambda d: d.update(normalizer={"type": "Prepend", "prepend": "x" * 10**6}),
    "a split by a regular expression": lambda d: d.update(
        pre_tokenizer={"type": "Split", "pattern": {"Regex": "(x+x+)+y"}, "behavior": "Removed"}
    ),
    "many steps": lambda d: d.update(
        normalizer={"type": "Sequence", "normalizers": [{"type": "NFKC"}] * 9}
    ),
    "many sequences": lambda d: d.update(
        normalizer={
            "type": "Sequence",
            "normalizers": [{"type": "Sequence", "normalizers": []}] * 60,
        }
    ),
    "another model": lambda d: d["model"].update(type="BPE", merges=[]),
    "bytes": lambda d: d["model"].update(type="Unigram", vocab=[["a", 0]], byte_fallback=True),
    "a word without end": lambda d: d["model"].update(max_input_chars_per_word=10**9),
    "a token without end": lambda d: d["model"]["vocab"].update({"x" * 1_000: 5}),
    "an added token without end": lambda d: d["added_tokens"][0].update(content="x" * 1_000),
    "a negative number": lambda d: d["model"]["vocab"].update(x=-1),
    "true for a number": lambda d: d["model"]["vocab"].update(x=True),
    "no vocabulary": lambda d: d["model"].update(vocab={}),
    "many added tokens": lambda d: d.update(
        added_tokens=[{**d["added_tokens"][0], "content": str(n)} for n in range(1_001)]
    ),
}


@pytest.mark.parametrize("how", PROGRAMS)
def test_a_program_or_a_size_past_a_bound_is_refused(how):
    data = json.loads(word_piece().to_str())
    PROGRAMS[how](data)
    with pytest.raises(ArtifactError):
        Tokenizer(json.dumps(data))


def test_the_slowest_text_takes_little_time():
    """Every bound at its end: lengths of added tokens, one long word, characters that grow."""
    data = json.loads(unigram().to_str())
    data["model"]["vocab"].append(["x" * 32, -1.0])
    data["normalizer"] = {
        "type": "Sequence",
        "normalizers": [{"type": "NFKD"}, {"type": "Lowercase"}] * 4,
    }
    token = data["added_tokens"][0]
    data["added_tokens"] += [{**token, "content": "x" * n + "y", "id": n} for n in range(1, 64)]
    data["pre_tokenizer"]["split"] = False
    ours = Tokenizer(json.dumps(data))
    for text in ("x" * 20_000, "\ufdfa" * 20_000, "\u0301" * 20_000, "x y" * 7_000):
        began = time.process_time()
        assert list(ours.tokens(text, placed=True))
        assert time.process_time() - began < 2
