"""A group of copies, however large, is in one split, and every label that can be is tested."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tables import record

from datasette_ftclassify.core.near_duplicates import near_groups
from datasette_ftclassify.core.splits import SplitPlan, Splitter

WORDS = [f"{a}{b}{c}" for a in "bdfgklmnprst" for b in "aeiou" for c in ("ra", "st", "nk", "lo")]


def letters(sizes: list[tuple[int, int]]) -> list[tuple[str, str]]:
    """(text, label) of letters that have no word in common, each in so many rows: every second one
    an exact copy, the others with one word of their own."""
    rows = []
    for number, (label, copies) in enumerate(sizes):
        words = [f"{WORDS[(7 * number + i) % len(WORDS)]}{chr(97 + number)}" for i in range(40)]
        for copy in range(copies):
            own = [*words[:-1], WORDS[copy % len(WORDS)]] if copy % 2 else words
            rows.append((" ".join(own), f"label {label}"))
    return rows


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(1, 25)), min_size=1, max_size=20),
    st.integers(0, 99),
    st.sampled_from([(0.1, 0.1), (0.0, 0.3), (0.4, 0.5), (0.25, 0.0)]),
)
@example([(0, 60), (0, 1), (1, 60), (1, 60), (2, 90)], 0, (0.1, 0.1))
def test_a_group_larger_than_a_share_is_not_divided(sizes, seed, shares):
    rows = letters(sizes)
    records = [record(text, label, key=i) for i, (text, label) in enumerate(rows)]
    splitter = Splitter(SplitPlan(seed, *shares))
    for each in records:
        splitter.add(each)
    splits = [splitter.split_of(each) for each in records]
    groups = near_groups([text for text, _ in rows]).tolist()
    of_group: dict[int, set] = {}
    of_label: dict[str, set] = {}
    texts: dict[str, set] = {}
    for group, split, (_, label) in zip(groups, splits, rows, strict=True):
        of_group.setdefault(group, set()).add(split)
        of_label.setdefault(label, set()).add(split)
        texts.setdefault(label, set()).add(group)
    assert all(len(found) == 1 for found in of_group.values())
    for label, found in of_label.items():
        assert "train" in found
        if len(texts[label]) > 1 and shares[1]:
            assert "test" in found


def divided(sizes: list[int], plan: SplitPlan) -> Counter[tuple[str | None, int]]:
    """{(split, rows of a letter): how many such letters}, of letters of one label."""
    firsts = [
        record(text, "a", key=n) for n, (text, _) in enumerate(letters([(0, 1)] * len(sizes)))
    ]
    splitter = Splitter(plan)
    for each, size in zip(firsts, sizes, strict=True):
        for _ in range(size):
            splitter.add(each)
    return Counter(
        (splitter.split_of(each), size) for each, size in zip(firsts, sizes, strict=True)
    )


def rows_in(split: str, found: Counter[tuple[str | None, int]]) -> int:
    return sum(size * count for (name, size), count in found.items() if name == split)


@pytest.mark.parametrize("seed", range(5))
def test_letters_larger_than_the_share_are_tested_like_others(seed: int) -> None:
    # Of 12 letters in 20 rows each and 10 texts alone, 250 rows, the test's share is 25.
    found = divided([20] * 12 + [1] * 10, SplitPlan(seed))
    for split in ("test", "validation"):
        assert found[split, 20] == 1
        assert rows_in(split, found) in range(21, 27)
    # Two labels of letters alone, each larger than the share.
    assert rows_in("test", divided([25] * 8, SplitPlan(seed))) == 25
    assert rows_in("test", divided([25] * 8 + [1] * 2, SplitPlan(seed))) in range(25, 28)
    assert rows_in("test", divided([30] * 20, SplitPlan(seed, 0.0, 0.2))) == 120


@pytest.mark.parametrize("seed", range(5))
def test_texts_alone_are_not_all_taken_out_of_train(seed: int) -> None:
    # 4 letters in 30 rows and 15 texts alone: both shares together are 28 rows.
    found = divided([30] * 4 + [1] * 15, SplitPlan(seed))
    assert found["test", 1] >= 2
    assert found["validation", 1] >= 2
    assert found["train", 1] >= 5


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 12), min_size=4, max_size=25), st.integers(0, 99))
def test_shares_are_kept_by_rows_as_well_as_groups_allow(sizes: list[int], seed: int) -> None:
    found = divided(sizes, SplitPlan(seed))
    rows = sum(sizes)
    for split in ("test", "validation"):
        got = rows_in(split, found)
        assert 0 < got <= max(2 * round(rows * 0.1), max(sizes))
