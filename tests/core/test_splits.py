"""Who is in which split: once, by seed, by class, and never on both sides of a test. A group of
copies, however large, is in one split, and every label that can be is tested."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from itertools import pairwise

import pytest
from hypothesis import example as for_example
from hypothesis import given, settings
from hypothesis import strategies as st
from tables import record

from datasette_ftclassify.core.errors import TaskError
from datasette_ftclassify.core.examples import SPLITS, Example, Record
from datasette_ftclassify.core.near_duplicates import near_groups
from datasette_ftclassify.core.splits import SplitPlan, SplitReport, Splitter, split_examples
from datasette_ftclassify.core.text import normalise, text_hash


def split(
    records: Iterable[Record], plan: SplitPlan | None = None, *, given: bool = False
) -> tuple[list[Example], SplitReport, Splitter]:
    records = list(records)
    splitter = Splitter(plan or SplitPlan(), split_column=given)
    for each in records:
        splitter.add(each)
    report = SplitReport(left_out=splitter.left_out)
    examples = list(split_examples(records, splitter))
    for example in examples:
        report.count(example.split, example.labels)
    return examples, report, splitter


def splits(records: Iterable[Record], plan: SplitPlan | None = None, given: bool = False) -> dict:
    """{key: split} of the examples."""
    return {e.key: e.split for e in split(records, plan, given=given)[0]}


def numbered(counts: dict[str, int], copies: int = 1) -> list[Record]:
    """So many different texts a label, each in so many rows."""
    rows = [(f"{label} {n}", label) for label, each in counts.items() for n in range(each)]
    return [record(t, v, key=i) for i, (t, v) in enumerate(r for r in rows for _ in range(copies))]


TEXTS = st.sampled_from(["a", "A ", "b", "ｂ", "c  c", "C c", "d", "é", "é", "f"]) | st.text()
LABELS = st.sampled_from(["x", "y", "z", 1, 2.5])
RECORDS = st.lists(st.tuples(st.none() | TEXTS, LABELS), max_size=60).map(
    lambda rows: [record(text, label, key=i) for i, (text, label) in enumerate(rows)]
)
MULTILABEL = st.lists(st.tuples(TEXTS, st.sets(st.sampled_from("uvwxyz"))), max_size=60).map(
    lambda rows: [record(t, *sorted(labels), key=i) for i, (t, labels) in enumerate(rows)]
)
PLANS = st.builds(SplitPlan, st.integers(), st.floats(0, 0.45), st.floats(0, 0.45))


@given(RECORDS | MULTILABEL, PLANS)
def test_every_usable_row_has_one_split(records: list[Record], plan: SplitPlan) -> None:
    examples, report, _ = split(records, plan)
    assert [e.key for e in examples] == [r.key for r in records if r.usable]
    assert report.rows == Counter(e.split for e in examples)
    assert not report.left_out
    for name in SPLITS:
        expected = Counter(str(v) for e in examples if e.split == name for v in e.labels)
        assert report.counts[name] == expected
    if plan.test == 0:
        assert "test" not in report.rows
    if plan.validation == 0:
        assert "validation" not in report.rows


@given(RECORDS | MULTILABEL, PLANS)
def test_equal_texts_share_a_split(records: list[Record], plan: SplitPlan) -> None:
    by_text = defaultdict(set)
    for example in split(records, plan)[0]:
        by_text[normalise(example.text)].add(example.split)
    assert all(len(found) == 1 for found in by_text.values())


@given(RECORDS | MULTILABEL, PLANS)
def test_every_label_is_taught(records: list[Record], plan: SplitPlan) -> None:
    examples, _, _ = split(records, plan)
    taught = {v for e in examples if e.split == "train" for v in e.labels}
    # Of rows with one text the first says which label the text has.
    first = {normalise(e.text): e.labels for e in reversed(examples)}
    assert taught >= {v for labels in first.values() for v in labels}


@given(
    st.dictionaries(LABELS.map(str), st.integers(1, 12), min_size=1),
    st.integers(1, 30),
    st.integers(),
)
def test_every_class_that_can_is_trained_and_tested(
    counts: dict[str, int], copies: int, seed: int
) -> None:
    examples, report, _ = split(numbered(counts, copies), SplitPlan(seed))
    assert len(examples) == sum(counts.values()) * copies
    for label, texts in counts.items():
        assert report.counts["train"][label] > 0
        assert (report.counts["test"][label] > 0) == (texts >= 2)
        assert (report.counts["validation"][label] > 0) == (texts >= 4)


@pytest.mark.parametrize(
    "plan", [SplitPlan(0, 0, 0.9), SplitPlan(0, 0.9, 0), SplitPlan(0, 0.45, 0.45)]
)
def test_large_shares_leave_something_of_each_class_to_learn(plan: SplitPlan) -> None:
    _, report, _ = split(numbered({"two": 2, "three": 3, "five": 5}), plan)
    assert set(report.counts["train"]) == {"two", "three", "five"}


@given(RECORDS, st.integers())
def test_the_same_seed_gives_the_same_split(records: list[Record], seed: int) -> None:
    assert splits(records, SplitPlan(seed)) == splits(records, SplitPlan(seed))
    assert splits(records, SplitPlan(seed)) == splits(
        reversed_with_first_labels(records), SplitPlan(seed)
    )


def reversed_with_first_labels(records: list[Record]) -> list[Record]:
    """In another order, each text with the label that its first row had."""
    first: dict[str, tuple] = {}
    for each in records:
        if each.text is not None:
            first.setdefault(normalise(each.text), each.labels.values or ())
    return [
        record(r.text, *(first[normalise(r.text)] if r.text is not None else ()), key=r.key[0])  # type: ignore[arg-type]
        for r in reversed(records)
    ]


def test_another_seed_gives_another_split() -> None:
    records = numbered({"a": 200, "b": 200})
    found = [splits(records, SplitPlan(seed)) for seed in (0, 1, -1, 10**30)]
    for one, other in pairwise(found):
        same_test = sum(one[k] == other[k] == "test" for k in one)
        assert same_test < 15  # of 40; chance gives 4


@pytest.mark.parametrize("plan", [SplitPlan(), SplitPlan(3, 0.2, 0.3), SplitPlan(1, 0.0, 0.05)])
def test_classes_keep_their_shares(plan: SplitPlan) -> None:
    counts = {"large": 3_000, "medium": 400, "small": 60}
    _, report, _ = split(numbered(counts), plan)
    for label, rows in counts.items():
        assert abs(report.counts["test"][label] - rows * plan.test) <= 1
        assert abs(report.counts["validation"][label] - rows * plan.validation) <= 1
    assert sum(report.rows.values()) == sum(counts.values())


def test_a_table_that_grows_keeps_its_splits() -> None:
    records = numbered({"a": 1_000, "b": 300, "c": 40})
    more = [record(f"new {n}", "abc"[n % 3], key=10_000 + n) for n in range(150)]
    before = splits(records)
    after = splits([*records, *more])
    moved = sum(before[key] != after[key] for key in before)
    assert moved < 0.04 * len(before)
    taught_and_then_tested = sum(before[key] == "train" and after[key] == "test" for key in before)
    assert taught_and_then_tested == 0


def test_a_text_in_a_thousand_rows() -> None:
    records = [record("Same  TEXT" if n % 2 else "same text", "a", key=n) for n in range(1_000)]
    _, report, _ = split([*records, record("other", "a", key=5_000)])
    assert report.rows == {"train": 1_000, "test": 1}
    _, report, _ = split([*records, *numbered({"a": 100})])
    assert report.rows == {
        "train": 1_040,
        "validation": 30,
        "test": 30,
    }  # other texts to learn from


def test_nothing_to_split() -> None:
    examples, _, _ = split(
        [record(None, "a"), Record((1,), record("x").rendered, record("x").labels, None)]
    )
    assert [e.labels for e in examples] == [()]
    assert split([])[0] == []
    assert split([])[1].rows == {}


def test_rare_labels_come_first() -> None:
    """A label in two rows of a thousand reaches both sides, though each row has a common one."""
    records = [record(f"text {n}", "common", key=n) for n in range(998)]
    records += [record(f"rare {n}", "common", "rare", key=2_000 + n) for n in range(2)]
    for seed in range(20):
        _, report, _ = split(records, SplitPlan(seed))
        assert report.counts["train"]["rare"] == report.counts["test"]["rare"] == 1


def test_a_label_beside_rarer_ones_is_taught() -> None:
    # x only stands beside y and z, whose two rows each may send theirs to the test.
    rows = [("y x", "x", "y"), ("y", "y"), ("z x", "x", "z"), ("z", "z"), ("x", "x")]
    for seed in range(30):
        records = [record(text, *labels, key=i) for i, (text, *labels) in enumerate(rows[:4])]
        _, report, _ = split(records, SplitPlan(seed))
        assert set(report.counts["train"]) == {"x", "y", "z"}


def given_rows(*rows: tuple[str, str | None]) -> list[Record]:
    return [record(text, "ab"[n % 2], split=part, key=n) for n, (text, part) in enumerate(rows)]


def test_a_split_column_is_followed() -> None:
    records = given_rows(
        ("one", "train"), ("two", "validation"), ("three", "test"), ("four", "dev"), ("five", None),
        ("six", "train"), ("seven", "dev"),
    )  # fmt: skip
    examples, report, _ = split(records, given=True)
    assert {e.text: e.split for e in examples} == {
        "one": "train", "two": "validation", "three": "test", "six": "train",
    }  # fmt: skip
    assert report.left_out == {"dev": 2, "NULL": 1}
    assert report.rows == {"train": 2, "validation": 1, "test": 1}


def test_without_validation_rows_some_of_train_become_them() -> None:
    rows = [(f"text {n}", "test" if n % 5 == 0 else "train") for n in range(1_000)]
    records = given_rows(*rows)
    examples, report, _ = split(records, given=True)
    assert report.rows == {"train": 720, "validation": 80, "test": 200}
    assert abs(report.counts["validation"]["a"] - report.counts["validation"]["b"]) <= 1
    assert {e.key for e in examples if e.split == "test"} == {(n,) for n in range(0, 1_000, 5)}
    assert splits(records, SplitPlan(1), True) != splits(records, SplitPlan(2), True)
    _, report, _ = split(records, SplitPlan(0, 0.0, 0.1), given=True)
    assert report.rows == {"train": 800, "test": 200}


def test_texts_on_both_sides_of_a_given_split_are_counted() -> None:
    records = given_rows(
        ("same", "train"), ("SAME ", "test"), ("same", "validation"), ("new", "test")
    )
    examples, _, splitter = split(records, given=True)
    assert [e.split for e in examples] == ["train", "test", "validation", "test"]
    assert [splitter.shares_train(r) for r in records] == [False, True, True, False]


@pytest.mark.parametrize(
    ("validation", "test"),
    [(-0.1, 0.1), (0.1, -0.1), (0.5, 0.5), (1, 0), (float("nan"), 0.1), (0.1, float("nan")),
     (float("inf"), 0), (float("-inf"), 0.1)],
)  # fmt: skip
def test_plans_that_leave_nothing(validation: float, test: float) -> None:
    with pytest.raises(TaskError, match="must be from 0 to"):
        SplitPlan(0, validation, test)


@pytest.mark.parametrize("shares", [(0, 0), (0.45, 0.45), (0.9, 0), (0, 0.9), (0.1, 0.8)])
def test_plans(shares: tuple[float, float]) -> None:
    SplitPlan(0, *shares)


@given(st.text())
def test_normal_texts(text: str) -> None:
    assert normalise(f" {text}\n\t") == normalise(text)
    assert normalise(text.replace(" ", "  ")) == normalise(text)
    assert -(2**63) <= text_hash(text) < 2**63
    assert text_hash(f"{text} ") == text_hash(text)


def test_what_counts_as_the_same_text() -> None:
    assert normalise("Ｆｕｌｌ  WIDTH\u00a0Straße ﬁ") == "full width strasse fi"
    assert text_hash("é") == text_hash("É") == text_hash("é")
    assert text_hash("a") != text_hash("b")
    assert isinstance(text_hash("\ud800"), int)


@settings(max_examples=20)
@given(st.integers())
def test_the_first_label_of_a_text_stands_for_all_its_rows(seed: int) -> None:
    records = [record("same", "a", key=0), record("same", "b", key=1), record("x", "b", key=2)]
    found = splits(records, SplitPlan(seed))
    assert found[(0,)] == found[(1,)]


@pytest.mark.parametrize("seed", [-1, 2**31, 2**32, 2**63, -(2**70), 10**400])
def test_a_seed_is_any_whole_number(seed: int) -> None:
    plan = SplitPlan(seed)
    assert plan == SplitPlan(seed)
    assert 0 <= plan.seed < 2**31
    assert SplitPlan(7).seed == 7


@pytest.mark.parametrize("seed", range(20))
def test_a_label_that_stands_in_one_near_copy_alone_is_trained(seed: int) -> None:
    """Its text moves with the others of its group, which have another label."""
    lamp = "the lamp at the corner of Mill Lane and Station Road has been dark for a week"
    copies = [(lamp, "x"), (f"{lamp} now", "y"), (f"{lamp} and more", "x")]
    rows = [*copies, *((f"report {n} about {n * n} things", "x") for n in range(12))]
    records = [record(text, label, key=n) for n, (text, label) in enumerate(rows)]
    found = splits(records, SplitPlan(seed, 0.3, 0.3))
    assert len({found[r.key] for r in records[:3]}) == 1
    assert found[records[1].key] == "train"


@pytest.mark.parametrize("seed", range(8))
def test_a_text_that_was_given_to_train_and_test_is_not_validated_on(seed: int) -> None:
    """Validation comes out of the train rows, but not of texts that are tested as well."""
    shared = [record("a text in both", "x", split=s, key=s) for s in ("train", "test")]
    rows = [record(f"text {n}", "x", split="train", key=n) for n in range(8)]
    found = splits([*shared, *rows], SplitPlan(seed, 0.6, 0.1), given=True)
    assert [found[r.key] for r in shared] == ["train", "test"]
    assert "validation" in found.values()


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
@for_example([(0, 60), (0, 1), (1, 60), (1, 60), (2, 90)], 0, (0.1, 0.1))
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
