"""Form letters, quoted mails, retweets: one notion of what is the same text."""

from __future__ import annotations

import random
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tables import record

from datasette_ftclassify.core import near_duplicates
from datasette_ftclassify.core.near_duplicates import near_groups
from datasette_ftclassify.core.shingles import shingles
from datasette_ftclassify.core.splits import SplitPlan, Splitter
from datasette_ftclassify.core.text import normalise, text_hash

WORDS = [f"{a}{b}{c}" for a in "bdfgklmn" for b in "aeiou" for c in ("ra", "st", "nk", "lo", "ven")]


def letter(seed: int, words: int = 40) -> str:
    """A text of its own: letters with different seeds have hardly a pair of words in common."""
    return " ".join(random.Random(seed).choices(WORDS, k=words))


def groups(*texts: str, among: int = 200) -> list[int]:
    """The groups of these texts in a table with `among` others, numbered from 0."""
    found = near_groups([*texts, *map(letter, range(10_000, 10_000 + among))])
    assert len(set(found[len(texts) :])) == among
    numbers: dict[int, int] = {}
    return [numbers.setdefault(g, len(numbers)) for g in found[: len(texts)]]


LETTER = letter(1)


def filled(n: int, seed: int = 8) -> str:
    """A letter of 40 words with six fields filled in, such as a name, a date and a sum."""
    words = letter(seed).split()
    for field, place in enumerate(range(36, 0, -6)):
        words.insert(place, f"{letter(100 * n + field, 1).title()} {n}.{field}")
    return " ".join(words)


CHINESE = (
    "尊敬的客户您好，您在我店购买的商品已经发货，请注意查收，"
    "如有任何问题请随时联系我们的客服人员，感谢您的支持与信任。"
)
THAI = (
    "เรียนลูกค้าที่เคารพ สินค้าที่ท่านสั่งซื้อได้ถูกจัดส่งเรียบร้อยแล้ว กรุณาตรวจสอบพัสดุของท่าน หากมีข้อสงสัยโปรดติดต่อเจ้าหน้าที่"
)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (f"Dear Anna, {LETTER} 3.4.2026", f"Dear Bo, {LETTER} 28.11.2026"),
        (LETTER, f"Thanks, that was quick.\n\nOn Monday you wrote:\n> {LETTER}"),
        (LETTER, f"{letter(2, 60)}\n> {LETTER[:100]}\n> {LETTER[100:]}"),
        (LETTER, f"RT @someone: {LETTER}"),
        (letter(3, 5), f"RT @someone: {letter(3, 5)}"),
        (letter(3, 5), f"Re: {letter(3, 5)}!!"),
        (f"Caf\u00e9 {LETTER}", f"CAFE\u0301   {LETTER.upper()}"),
        (LETTER, LETTER.replace(" ", ", ", 9) + "..."),
        (filled(1), filled(2)),
        (f"王小明{CHINESE}", f"李雷{CHINESE}"),
        (f"{THAI} สมชาย", f"{THAI} วิภา"),
        (letter(4, 600), letter(4, 600).replace(letter(4, 600).split()[300], "Anna")),
    ],
)
def test_near_copies_are_one_group(one: str, other: str) -> None:
    assert groups(one, other) == [0, 0]
    assert groups(other, one) == [0, 0]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("the order is late", "the order is lost"),
        ("my card was stolen yesterday", "my card was swallowed yesterday"),
        ("room 12", "room 15"),
        ("how do I top up by transfer", "how do I top up by cheque"),
        (letter(1), letter(2)),
        (CHINESE, CHINESE[::-1]),
        ("订单还没有到", "订单已经到了"),
        (f"{letter(5, 20)} {letter(6, 20)}", f"{letter(5, 20)} {letter(7, 20)}"),
        (f"{letter(5)} {letter(6)}", f"{letter(5)} {letter(7)}"),
        ("", "!"),
        ("\ud800", "x"),
    ],
)
def test_texts_that_merely_share_words_are_not(one: str, other: str) -> None:
    assert groups(one, other) == [0, 1]


def test_the_form_that_most_texts_have_makes_no_copies() -> None:
    footer = letter(99, 60)
    texts = [f"name: {letter(n, 6)}\nreason: {letter(n + 500, 6)}\n{footer}" for n in range(60)]
    assert len(set(near_groups(texts))) == 60
    twice = [*texts, *(f"name: {letter(0, 6)}\nreason: {letter(n, 30)}\n{footer}" for n in (7, 7))]
    assert len(set(near_groups(twice))) == 61


def test_a_chain_of_changes_is_not_one_group() -> None:
    words = letter(1, 200).split()
    chain = [" ".join(words[n : n + 40]) for n in range(0, 160, 2)]
    sizes = Counter(groups(*chain))
    assert max(sizes.values()) < 40
    assert len(sizes) < 40


TEXTS = st.lists(
    st.tuples(st.integers(0, 8), st.sampled_from(["", "Anna", "Bo", "12", "> ", "RT @x: "])),
    max_size=30,
).map(lambda drawn: [f"{extra}{letter(n)}" for n, extra in drawn])


@settings(max_examples=30)
@given(TEXTS, st.randoms())
def test_groups_do_not_depend_on_the_order(texts: list[str], rng: random.Random) -> None:
    def sets(of: list[str]) -> set[frozenset[str]]:
        found = near_groups(of)
        return {
            frozenset(t for t, g in zip(of, found, strict=True) if g == group) for group in found
        }

    shuffled = list(texts)
    rng.shuffle(shuffled)
    assert sets(texts) == sets(shuffled)


@settings(max_examples=30)
@given(st.lists(st.text(), max_size=20))
def test_any_text_can_be_grouped(texts: list[str]) -> None:
    found = near_groups(texts)
    assert found.shape == (len(texts),)
    for text, group in zip(texts, found, strict=True):
        assert found[texts.index(text)] == group


def test_smaller_sketches_of_many_texts_find_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [f"Dear {name}, {letter(n)}" for n in range(300) for name in ("Anna", "Bo")]
    whole = near_groups(texts)
    monkeypatch.setattr(near_duplicates, "MANY", 100)
    monkeypatch.setattr(near_duplicates, "_BLOCK_TEXTS", 50)
    assert len(set(whole)) == len(set(near_groups(texts))) == 300
    assert np.array_equal(whole, near_groups(texts))


def plainly(texts: list[str], size: int) -> list[int]:
    """The groups as the module says that it finds them, with sets and loops instead of arrays:
    for each text, the one with the smallest hash of its group. The texts are different ones."""
    named = sorted((text_hash(text), place) for place, text in enumerate(texts))
    shingled = shingles([normalise(texts[place]) for _, place in named])
    sets: list[set[int]] = [set() for _ in named]
    for row, value in zip(*(each.tolist() for each in shingled[:2]), strict=True):
        sets[row].add(value)
    sketches = [set(sorted(each)[:size]) for each in sets]
    limits = [
        max(kept) if len(whole) > size else 2**32
        for whole, kept in zip(sets, sketches, strict=True)
    ]
    counts = Counter(value for sketch in sketches for value in sketch)
    common = {
        value
        for value, count in counts.items()
        if count >= 5 and count > near_duplicates.COMMON * sum(limit >= value for limit in limits)
    }
    sketches = [sketch - common for sketch in sketches]
    groups = list(range(len(named)))

    def overlap(one: int, other: int) -> tuple[int, int, int]:
        limit = min(limits[one], limits[other])
        a, b = ({v for v in sketches[each] if v <= limit} for each in (one, other))
        return len(a & b), len(a), len(b)

    def copies(one: int, other: int) -> bool:
        shared, a, b = overlap(one, other)
        sizes, union, least = [len(sets[one]), len(sets[other])], a + b - shared, min(a, b)
        whole = max(sizes) <= size
        alike = shared >= np.interp(min(sizes), [34, 80], [0.75, 0.55]) * union and (
            least >= 17 or not whole
        )
        quoted = shared >= 0.9 * least and (least >= 30 or not whole)
        same = shared == union >= 5 and sizes[0] == sizes[1]
        numbered = shingled[2][one] or shingled[2][other]
        long = min(sizes) >= 17 and shared >= 8
        return (long and (alike or quoted)) or (same and not numbered)

    def smallest(text: int) -> int:
        return min(sketches[text], default=2**32 - 1)

    for rarest in (True, False):
        posted: dict[int, list[int]] = {}
        for text, sketch in enumerate(sketches):
            shared = sorted(value for value in sketch if counts[value] > 1)
            if rarest:
                shared.sort(key=lambda value: counts[value])
            for key in shared[:4]:
                posted.setdefault(key, []).append(text)
        for texts_of_key in posted.values():
            texts_of_key.sort(key=smallest)
        for with_first in (False, True):
            pairs = {
                tuple(sorted((each[0 if with_first else place - 1], each[place])))
                for each in posted.values()
                for place in range(1, len(each))
            }
            for one, other in sorted(pairs):
                first, second = sorted((groups[one], groups[other]))
                if first == second or not copies(one, other):
                    continue
                shared, a, b = overlap(first, second)
                if {first, second} == {one, other} or shared >= 0.5 * min(a, b):
                    groups = [first if group == second else group for group in groups]
    places = [place for _, place in named]
    found = dict(zip(places, (places[group] for group in groups), strict=True))
    return [found[place] for place in range(len(texts))]


def mixed_table(seed: int, rows: int) -> list[str]:
    """Copies with another name, quoted, cut, with a footer, in scripts without spaces."""
    chooser = random.Random(seed)
    found = []
    for _ in range(rows):
        base = letter(chooser.randrange(max(2, rows // 4)), chooser.choice([3, 8, 15, 20, 40, 120]))
        words = base.split()
        changes = [
            [*words[chooser.randrange(len(words)) :], letter(chooser.randrange(50), 9)],
            [*words[1:], chooser.choice(["Anna", "Bo", "12"])],
            [*words, letter(99, 30)],
            ["RT @a:", *words],
            [*CHINESE[chooser.randrange(10) :], *words[:2]],
            [chooser.choice("!?"), *words[:1]],
        ]
        found.append(" ".join(chooser.choice(changes)))
    return list({normalise(text): text for text in found}.values())


@pytest.mark.parametrize("seed", range(8))
def test_arrays_find_what_sets_and_loops_find(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the texts are worked on in many small pieces."""
    texts = mixed_table(seed, [2, 40, 150, 300][seed % 4])
    size = near_duplicates.SIZE
    if seed >= 4:
        size = near_duplicates.SMALLER_SIZE
        for name, number in {"MANY": 1, "_BLOCK_TEXTS": 7, "_PAIRS": 5, "_POSTED": 3}.items():
            monkeypatch.setattr(near_duplicates, name, number)
        texts = texts if len(texts) > 7 else [*texts, *map(letter, range(500, 508))]
    assert near_groups(texts).tolist() == plainly(texts, size)


def form_letters(letters: int, copies: int = 4) -> list:
    names = ["Anna", "Bo", "Cem", "Dana", "Eli", "Fay"]
    rows = [
        (f"{letter(n)} {names[(n + i) % 6]}, {i}.5.2026", "ab"[n % 2])
        for n in range(letters)
        for i in range(copies)
    ]
    return [record(text, label, key=key) for key, (text, label) in enumerate(rows)]


def splits_of(records: list, plan: SplitPlan) -> list:
    splitter = Splitter(plan)
    for each in records:
        splitter.add(each)
    return [splitter.split_of(each) for each in records]


@pytest.mark.parametrize("seed", range(3))
def test_form_letters_are_in_one_split_and_keep_the_shares(seed: int) -> None:
    found = splits_of(form_letters(150), SplitPlan(seed))
    for start in range(0, 600, 4):
        assert len(set(found[start : start + 4])) == 1
    counts = Counter(found)
    assert 52 <= counts["test"] <= 60
    assert 52 <= counts["validation"] <= 60


def test_no_more_is_moved_to_train_than_a_label_needs() -> None:
    """A label that only near copies of rows with another one have, twice in the table."""
    letters = form_letters(20, copies=2)
    texts = {label: [r.text for r in letters if r.labels.values == (label,)] for label in "ab"}
    records = [record(text, "a", key=n) for n, text in enumerate(texts["a"])]
    for n in (0, 2):  # of each letter the text with the greater hash
        later = max(records[n : n + 2], key=lambda r: text_hash(r.text or ""))
        records[later.key[0]] = record(later.text, "rare", key=later.key[0])
    rare = [n for n, r in enumerate(records) if r.labels.values == ("rare",)]
    taught = Counter(
        sum(splits_of(records, SplitPlan(seed, 0.45, 0.45))[n] == "train" for n in rare)
        for seed in range(20)
    )
    assert taught[0] == 0
    assert taught[1] > taught[2]


def test_a_table_with_form_letters_that_grows_keeps_its_splits() -> None:
    more = form_letters(170)
    before, after = splits_of(more[:600], SplitPlan()), splits_of(more, SplitPlan())
    moved = sum(a != b for a, b in zip(before, after, strict=False))
    assert moved < 0.04 * len(before)


def test_a_table_of_one_letter_is_trained_on() -> None:
    assert set(splits_of(form_letters(1, copies=4), SplitPlan())) == {"train"}


def test_near_copies_on_both_sides_of_a_given_split_are_told() -> None:
    letters = form_letters(50, copies=2)
    records = [
        record(r.text, *r.labels.values, key=r.key[0], split="train" if n % 2 or n < 90 else "test")
        for n, r in enumerate(letters)
    ]
    splitter = Splitter(SplitPlan(), split_column=True)
    for each in records:
        splitter.add(each)
    shared = [each.key[0] for each in records if splitter.shares_train(each)]
    assert shared == [90, 92, 94, 96, 98]
    assert all(splitter.split_of(records[n]) == "test" for n in shared)
