"""Labels come back as the cells they were."""

from __future__ import annotations

import json
import math
import sqlite3
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasette_ftclassify.core.errors import LabelError
from datasette_ftclassify.core.label_cells import UNLABELLED, Labels, json_array, read_labels
from datasette_ftclassify.core.labels import MAX_LABELS, LabelSet, folded, is_blank, label_name

TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
VALUES = st.one_of(
    TEXTS, st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False, allow_infinity=False)
)
LABEL_LISTS = st.lists(VALUES, min_size=1, max_size=20, unique_by=label_name)


def single(cell: object) -> Labels:
    return read_labels([cell], "multiclass", ["label"], None)


def array(cell: object) -> Labels:
    return read_labels([cell], "multilabel", ["label"], None)


def listed(cell: object, delimiter: str = "|") -> Labels:
    return read_labels([cell], "multilabel", ["label"], delimiter)


def flags(*cells: object) -> Labels:
    return read_labels(cells, "multilabel", [f"c{i}" for i in range(len(cells))], None)


def as_stored(cell: Any) -> Any:
    return sqlite3.connect(":memory:").execute("select ?", [cell]).fetchone()[0]


@given(VALUES)
def test_a_cell_is_its_label(cell: Any) -> None:
    cell = as_stored(cell)
    labels = single(cell)
    if isinstance(cell, str) and is_blank(cell):
        assert labels == Labels(None, "empty")
    else:
        assert labels.values == (cell,)
        assert type((labels.values or ())[0]) is type(cell)


@given(LABEL_LISTS)
def test_a_label_set_survives_json_with_its_types(values: list[Any]) -> None:
    labels = LabelSet.of(values, "multiclass")
    back = LabelSet.from_dict(json.loads(json.dumps(labels.to_dict(), allow_nan=False)))
    assert back == labels
    assert list(map(type, back.values)) == list(map(type, labels.values))
    assert set(map(repr, back.values)) <= set(map(repr, values))
    for i, value in enumerate(labels.values):
        assert labels.index(value) == i
    assert labels.positions(labels.values) == list(range(len(labels)))


@given(LABEL_LISTS, st.randoms())
def test_the_order_does_not_depend_on_the_rows(values: list[Any], random: Any) -> None:
    distinct = list(dict.fromkeys(values))
    shuffled = random.sample(distinct, len(distinct))
    labels = LabelSet.of(values, "multiclass")
    assert LabelSet.of(shuffled, "multiclass").values == labels.values
    numbers = [v for v in labels.values if not isinstance(v, str)]
    texts = [v for v in labels.values if isinstance(v, str)]
    assert list(labels.values) == sorted(numbers) + sorted(texts)


def test_names() -> None:
    labels = LabelSet.of([3, "b", 2.5, -1, "a"], "multiclass")
    assert labels.names == ("-1", "2.5", "3", "a", "b")
    assert labels.index("3") is None
    with pytest.raises(KeyError):
        labels.positions(["3"])


def test_a_number_beside_its_own_text() -> None:
    with pytest.raises(LabelError, match=r"The label 1 stands .* both as a number and as text"):
        LabelSet.of([1, 2, "1"], "multiclass")
    LabelSet.of([1, 2, "one"], "multiclass")


def test_sets_that_are_none() -> None:
    with pytest.raises(LabelError, match="There are no labels"):
        LabelSet.of([], "multiclass")
    with pytest.raises(LabelError, match="5,001 different labels"):
        LabelSet.of(range(MAX_LABELS + 1), "multiclass")
    with pytest.raises(LabelError, match="Binary means two labels, and there are 3"):
        LabelSet.of("abc", "binary")
    assert len(LabelSet.of(range(MAX_LABELS), "multiclass")) == MAX_LABELS
    assert len(LabelSet.of(["a"], "binary")) == 1


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"values": ["a"], "kind": "extract"},
        {"values": "ab", "kind": "binary"},
        {"values": {"a": 1}, "kind": "binary"},
        {"values": ["a", None], "kind": "binary"},
        {"values": ["a", True], "kind": "binary"},
        {"values": ["a", ["b"]], "kind": "binary"},
        {"values": ["a"], "kind": ["binary"]},
        {"values": ["a"]},
        {"values": [], "kind": "binary"},
        {"values": ["1", 1], "kind": "binary"},
        {"values": ["a", "a"], "kind": "binary"},
        {"values": ["a", "b", "c"], "kind": "binary"},
    ],
)
def test_damaged_data(data: dict[str, Any]) -> None:
    with pytest.raises(LabelError):
        LabelSet.from_dict(data)


@pytest.mark.parametrize(
    ("values", "positive"),
    [
        (["ham", "spam"], "spam"),
        (["not spam", "spam"], "spam"),
        (["Spam ", "ham"], "Spam "),
        ([0, 1], 1),
        (["0", "1"], "1"),
        ([0.0, 1.0], 1.0),
        (["Yes", "no"], "Yes"),
        (["TRUE", "FALSE"], "TRUE"),
        (["a", "b"], "b"),
        ([2, 5], 5),
    ],
)
def test_the_label_to_find(values: list[Any], positive: Any) -> None:
    labels = LabelSet.of(values, "binary")
    assert labels.positive is not None
    assert labels.values[labels.positive] == positive


def test_there_is_none_to_find_among_three_or_among_several_at_once() -> None:
    assert LabelSet.of(["a", "b", "yes"], "multiclass").positive is None
    assert LabelSet.of(["no", "yes"], "multilabel").positive is None


@pytest.mark.parametrize(
    ("values", "kind", "type_"),
    [
        ([0, 1], "binary", "INTEGER"),
        ([0.5, 1.5], "binary", "REAL"),
        (["0", "1"], "binary", "TEXT"),
        ([0, 1.5], "binary", ""),
        ([0, "a"], "binary", ""),
        ([0, 1], "multilabel", "TEXT"),
    ],
)
def test_columns_keep_the_type(values: list[Any], kind: Any, type_: str) -> None:
    labels = LabelSet.of(values, kind)
    assert labels.sqlite_type == type_
    if kind == "multilabel":
        return
    conn = sqlite3.connect(":memory:")
    conn.execute(f"create table t (label {type_})")
    conn.executemany("insert into t values (?)", [(v,) for v in labels.values])
    back = [r[0] for r in conn.execute("select label from t")]
    assert list(map(repr, back)) == list(map(repr, labels.values))


@pytest.mark.parametrize(
    ("cell", "labels"),
    [
        (None, UNLABELLED),
        ("", Labels(None, "empty")),
        (" \n\t", Labels(None, "empty")),
        (b"spam", Labels(None, "blob")),
        (b"", Labels(None, "blob")),
        (math.inf, Labels(None, "invalid")),
        (-math.inf, Labels(None, "invalid")),
        (0, Labels((0,))),
        (0.0, Labels((0.0,))),
        (" spam ", Labels((" spam ",))),
    ],
)
def test_one_label_in_a_cell(cell: object, labels: Labels) -> None:
    assert single(cell) == labels


@pytest.mark.parametrize("on", [1, "1", 1.0, "1.0", "true", "TRUE", " True ", "yes"])
@pytest.mark.parametrize("off", [0, "0", 0.0, "0.0", "false", "no", "", " ", None, -0.0])
def test_flags(on: object, off: object) -> None:
    assert flags(on, off, on) == Labels(("c0", "c2"))


@pytest.mark.parametrize(
    ("on", "off"),
    [("WAHR", "FALSCH"), ("VRAI", "FAUX"), ("Verdadero", "FALSO"), ("1,0", "0,00"), ("да", "нет"),
     ("是", "否"), ("はい", "いいえ"), ("\u2714\ufe0f", "❌"), ("✓", "✗"), ("J", "N")],
)  # fmt: skip
def test_flags_of_other_languages(on: str, off: str) -> None:
    assert flags(on, off, on) == Labels(("c0", "c2"))


@pytest.mark.parametrize(
    ("cells", "labels"),
    [
        ((None, None), UNLABELLED),
        ((0, 0), Labels(())),
        ((None, 0), Labels(())),
        ((None, 1), Labels(("c1",))),
        ((1, 2), Labels(None, "invalid")),
        ((1, "maybe"), Labels(None, "invalid")),
        ((1, 0.5), Labels(None, "invalid")),
        ((1, b"1"), Labels(None, "blob")),
    ],
)
def test_rows_of_flags(cells: tuple[object, ...], labels: Labels) -> None:
    assert flags(*cells) == labels


@pytest.mark.parametrize(
    ("cell", "labels"),
    [
        (None, UNLABELLED),
        ("", Labels(None, "empty")),
        ("[]", Labels(())),
        (' ["a", 2, 2.5] ', Labels(("a", 2, 2.5))),
        ('["a", "b", "a"]', Labels(("a", "b"))),
        ("a", Labels(None, "invalid")),
        ('"a"', Labels(None, "invalid")),
        ('{"a": 1}', Labels(None, "invalid")),
        (5, Labels(None, "invalid")),
        ("[true]", Labels(None, "invalid")),
        ("[null]", Labels(None, "invalid")),
        ('[["a"]]', Labels(None, "invalid")),
        ('["a"', Labels(None, "invalid")),
        ("[NaN]", Labels(None, "invalid")),
        ("[1e999]", Labels(None, "invalid")),
        (f"[{'1' * 10_000}.0]", Labels(None, "invalid")),
        ('["\\ud800"]', Labels(None, "invalid")),
        ('["\\ud83e\\udd89"]', Labels(("🦉",))),
        ("[" * 200_000, Labels(None, "invalid")),
        (b"[]", Labels(None, "blob")),
    ],
)
def test_json_arrays(cell: object, labels: Labels) -> None:
    assert array(cell) == labels


@pytest.mark.parametrize(
    ("cell", "labels"),
    [
        (None, UNLABELLED),
        ("", Labels(None, "empty")),
        ("|", Labels(())),
        ("a", Labels(("a",))),
        (" a | b||a|", Labels(("a", "b"))),
        ('"a|b"|c| "d||""e"""', Labels(("a|b", "c", 'd||"e"'))),
        ('"a"|b|"', Labels(('"a"', "b", '"'))),
        ('say "a|b"|"c|d" e', Labels(('say "a', 'b"', '"c', 'd" e'))),
        (5, Labels(("5",))),
        (b"a|b", Labels(None, "blob")),
    ],
)
def test_delimited_lists(cell: object, labels: Labels) -> None:
    assert listed(cell) == labels


def test_a_delimiter_of_several_characters() -> None:
    assert listed("a::b:c", "::") == Labels(("a", "b:c"))


CELLS = st.one_of(
    st.none(),
    st.integers(),
    st.floats(),
    st.text(),
    st.binary(),
    st.recursive(
        st.one_of(st.none(), st.booleans(), st.floats(), st.text()), st.lists, max_leaves=5
    ).map(json.dumps),
)


@given(
    cells=st.lists(CELLS, min_size=1, max_size=3),
    kind=st.sampled_from(["binary", "multiclass", "multilabel"]),
    delimiter=st.sampled_from([None, "|", ", "]),
)
def test_reading_never_raises_and_gives_what_can_be_stored(
    cells: list[object], kind: Any, delimiter: str | None
) -> None:
    cells = cells if kind == "multilabel" else cells[:1]
    labels = read_labels(cells, kind, ["c"] * len(cells), delimiter)
    assert labels.values is None or labels.problem is None
    for value in labels.values or ():
        assert type(value) in (str, int, float)
        json.dumps(value, allow_nan=False)


def test_json_array_is_none_for_anything_else() -> None:
    assert json_array("[1]") == [1]
    assert json_array("1") is json_array("[1") is json_array("") is None


def test_what_is_the_same_but_for_case_and_space() -> None:
    assert folded(" Not  Spam\n") == folded("not spam") != folded("notspam")
