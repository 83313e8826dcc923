"""What to learn, proposed from the data and checked against it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tables import HOSTILE_NAMES, database, table

from datasette_ftclassify.core.database import relation
from datasette_ftclassify.core.errors import FtclassifyError, SourceError, TaskError, TemplateError
from datasette_ftclassify.core.examples import read_records
from datasette_ftclassify.core.label_notations import propose_reading
from datasette_ftclassify.core.task import Task, define


def kind_of(*cells: Any) -> tuple[str, str | None]:
    proposed = propose_reading(cells)
    return proposed.kind, proposed.delimiter


@pytest.mark.parametrize(
    ("cells", "proposed"),
    [
        (["ham", "spam"], ("binary", None)),
        ([0, 1], ("binary", None)),
        ([0.5, 1.5], ("binary", None)),
        (["ham", "spam", ""], ("binary", None)),
        (["ham", "spam", "eggs"], ("multiclass", None)),
        ([1, 2, 3], ("multiclass", None)),
        ([1, "a|b", "b|c", "a|c"], ("multiclass", None)),
        (["only"], ("multiclass", None)),
        ([], ("multiclass", None)),
        ([" ", ""], ("multiclass", None)),
        (['["a"]', '["a", "b"]', "[]"], ("multilabel", None)),
        (
            ['["a", "b"]', '["b", "c"]', '["c", "a"]', '["a", "b", "c"]', "oops"],
            ("multilabel", None),
        ),
        (["[" * 100_000, "[b"], ("binary", None)),
        (["a|b", "b|c", "a|c", "a"], ("multilabel", "|")),
        (["a; b", "b; c", "a; c"], ("multilabel", ";")),
        (["a, b", "b", "a, b, c", "c"], ("multilabel", ",")),
        (["a,b|b", "b|c", "a,b|c"], ("multilabel", "|")),
    ],
)
def test_the_kind_that_cells_suggest(cells: list[Any], proposed: tuple[str, str | None]) -> None:
    assert kind_of(*cells) == proposed


@pytest.mark.parametrize(
    "cells",
    [
        ["Smith, John", "Smith, Jane", "Jones, Bob", "Brown, Mary"],
        ["Smith, John", "Smith, Jane", "Jones, John", "Jones, Jane", "Brown, Jane", "Brown, John"],
        ["Mortgages, loans", "Credit cards", "Debt collection", "Checking, savings"],
        ["Springfield, IL", "Peoria, IL", "Chicago, IL", "Boston, MA", "Salem, MA"],
        ["1,0", "1,5", "2,0", "2,5", "3,0", "3,5", "4,0", "4,5"],
        ["Yes; really", "No", "Maybe"],
        ["Home|Kitchen", "Home|Garden", "Electronics|Phones", "Electronics|TV"],
    ],
)
def test_names_and_numbers_that_hold_a_delimiter_are_no_lists(cells: list[str]) -> None:
    assert kind_of(*cells) == ("multiclass", None)


@given(st.lists(st.sampled_from("abcde"), min_size=1, unique=True).map("|".join))
def test_one_list_alone_is_a_label(cell: str) -> None:
    assert kind_of(cell, "x")[0] == "binary"


@given(st.lists(st.one_of(st.text(), st.integers(), st.floats(allow_nan=False)), max_size=30))
def test_any_cells_suggest_something(cells: list[Any]) -> None:
    kind, delimiter = kind_of(*cells)
    assert kind in ("binary", "multiclass", "multilabel")
    assert kind == "multilabel" or delimiter is None


ROWS = [("one", "spam", "train"), ("two", "ham", "test"), ("three", "ham", None)]


def test_define() -> None:
    conn = table(["text", "label", "part"], ROWS)
    task = define(conn, "T", text=["text"], labels=["label"], split_column="part", where=" 1 ")
    assert task == Task("t", ("text",), ("label",), "binary", where="1", split_column="part")
    assert task.exclusive
    assert task.label_set(["spam", "ham"]).values == ("ham", "spam")


def test_a_template_says_which_columns() -> None:
    conn = table(["b", "a", "label"], [("x", "y", "z")])
    task = define(conn, "t", template="{{ a }}: {{ b }}", labels=["label"])
    assert task.text == ("b", "a")
    assert [r.text for r in read_records(conn, task)] == ["y: x"]


def test_several_label_columns_keep_their_order() -> None:
    conn = table(["text", "z", "a"], [("x", 0, 1), ("y", 1, 1)])
    task = define(conn, "t", text=["text"], labels=["z", "a"])
    assert task.kind == "multilabel"
    assert task.label_set([]).values == ("z", "a")
    assert [r.labels.values for r in read_records(conn, task)] == [("a",), ("z", "a")]


def test_the_kind_may_be_given() -> None:
    conn = table(["text", "label"], [("x", "a, b"), ("y", "b, c"), ("z", "a, c")])
    assert define(conn, "t", text=["text"], labels=["label"]).kind == "multiclass"
    lists = define(conn, "t", text=["text"], labels=["label"], kind="multilabel")
    assert (lists.kind, lists.delimiter) == ("multilabel", ",")
    assert next(read_records(conn, lists)).labels.values == ("a", "b")
    given = define(conn, "t", text=["text"], labels=["label"], delimiter=", ")
    assert (given.kind, given.delimiter) == ("multilabel", ", ")


def test_case_counts_even_in_a_column_that_ignores_it() -> None:
    conn = database("create table t (text, label text collate nocase)")
    conn.execute("insert into t values ('x', 'Spam'), ('y', 'spam'), ('z', 'ham')")
    assert define(conn, "t", text=["text"], labels=["label"]).kind == "multiclass"


def test_blobs_are_no_labels() -> None:
    conn = table(["text", "label"], [("x", b"\0"), ("y", "a"), ("z", "b"), ("z", " ")])
    assert define(conn, "t", text=["text"], labels=["label"]).kind == "binary"


def test_the_kind_is_that_of_the_rows_that_are_meant() -> None:
    conn = table(["text", "label"], [(str(n), n) for n in range(5)])
    options: dict[str, Any] = {"text": ["text"], "labels": ["label"]}
    assert define(conn, "t", **options).kind == "multiclass"
    assert define(conn, "t", where="label < 2 -- two", **options).kind == "binary"
    task = define(conn, "t", where="label < :n", params={"n": 2}, **options)
    assert task.kind == "binary"
    assert [r.text for r in read_records(conn, task)] == ["0", "1"]


CONTRADICTIONS: list[tuple[dict[str, Any], str]] = [
    ({"labels": []}, "Choose a label column. The columns are text, label, part, two words"),
    ({"text": []}, "Choose text columns or a template. The columns are text, label"),
    ({"template": "{{ text }}"}, "either text columns or a template"),
    ({"labels": ["text"]}, "Column text cannot be both text and label"),
    ({"split_column": "text"}, "Column text cannot be both text and label or split"),
    ({"split_column": "label"}, "Column label cannot be both label and split"),
    ({"labels": ["label", "label"]}, "A column is named twice"),
    ({"text": ["text", "text"]}, "A column is named twice"),
    ({"labels": ["label", "part"], "delimiter": "|"}, "A delimiter separates the labels of one"),
    ({"delimiter": ""}, "A delimiter separates"),
    ({"labels": ["label", "part"], "kind": "binary"}, "mean multilabel, not binary"),
    ({"delimiter": "|", "kind": "multiclass"}, "mean multilabel, not multiclass"),
    ({"kind": "extract"}, "The kind must be one of binary, multiclass, multilabel, not extract"),
]


@pytest.mark.parametrize(("options", "what"), CONTRADICTIONS)
def test_contradictions(options: dict[str, Any], what: str) -> None:
    conn = table(["text", "label", "part", "two words"], [("x", "a", "train", 1)])
    with pytest.raises(TaskError) as error:
        define(conn, "t", **{"text": ["text"], "labels": ["label"], **options})
    assert what in str(error.value)


@pytest.mark.parametrize(
    "options",
    [
        {"text": ["txet"]},
        {"labels": ["lable"]},
        {"split_column": "prat"},
        {"where": "nope = 1"},
        {"where": "1) or (1=1"},
        {"where": "label = :missing"},
        {"where": "json_extract(label, '$.a') = 1"},
    ],
)
def test_what_does_not_fit_the_source(options: dict[str, Any]) -> None:
    conn = table(["text", "label", "part"], [("x", "{", "train")])
    with pytest.raises(SourceError):
        define(conn, "t", **{"text": ["text"], "labels": ["label"], **options})
    with pytest.raises(SourceError, match="did you mean t"):
        define(conn, "tt", text=["text"], labels=["label"])


def test_a_bad_template() -> None:
    conn = table(["text", "label"], [("x", "a")])
    with pytest.raises(TemplateError, match="uses txt, which is not a column"):
        define(conn, "t", template="{{ txt }}", labels=["label"])


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_any_names_make_a_task(name: str) -> None:
    conn = table([name, "x" + name, "y" + name], [("text", "a", "test")], name="z" + name)
    task = define(
        conn, "z" + name, text=[name], labels=["x" + name], split_column="y" + name, where="1"
    )
    (row,) = read_records(conn, task)
    assert (row.text, row.labels.values, row.split) == ("text", ("a",), "test")


NAMES = st.text(min_size=1)
TASKS = st.builds(
    Task,
    source=NAMES,
    text=st.lists(NAMES, min_size=1).map(tuple),
    labels=NAMES.map(lambda name: (name,)),
    kind=st.sampled_from(["binary", "multiclass", "multilabel"]),
    template=st.none() | NAMES,
    where=st.none() | NAMES,
    params=st.dictionaries(
        NAMES, st.none() | st.integers() | st.text() | st.floats(allow_nan=False)
    ),
    split_column=st.none() | NAMES,
)


@given(TASKS)
def test_a_task_survives_json(task: Task) -> None:
    assert Task.from_dict(json.loads(json.dumps(task.to_dict()))) == task


GOOD = Task("t", ("text",), ("label",), "multilabel", delimiter="|").to_dict()
DAMAGED: list[Any] = [
    {},
    [],
    {**GOOD, "source": None},
    {**GOOD, "source": ["t"]},
    {**GOOD, "text": "text"},
    {**GOOD, "text": []},
    {**GOOD, "text": {"text": 1}},
    {**GOOD, "text": [1]},
    {**GOOD, "labels": []},
    {**GOOD, "labels": "label"},
    {**GOOD, "labels": [["label"]]},
    {**GOOD, "kind": None},
    {**GOOD, "kind": ["binary"]},
    {**GOOD, "kind": "extract"},
    {**GOOD, "kind": "binary"},
    {**GOOD, "labels": ["a", "b"], "kind": "multiclass", "delimiter": None},
    {**GOOD, "template": 1},
    {**GOOD, "where": ["1"]},
    {**GOOD, "params": [1]},
    {**GOOD, "params": "abc"},
    {**GOOD, "params": {"a": [1]}},
    {**GOOD, "params": {"a": {}}},
    {**GOOD, "split_column": 0},
    {**GOOD, "delimiter": ""},
    {**GOOD, "delimiter": 3},
]


@pytest.mark.parametrize("data", DAMAGED, ids=repr)
def test_damaged_data(data: Any) -> None:
    assert Task.from_dict(GOOD).delimiter == "|"
    with pytest.raises(TaskError, match="A stored task is damaged"):
        Task.from_dict(data)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


@given(st.fixed_dictionaries({}, optional=dict.fromkeys(GOOD, JSON)))
def test_a_strangers_task_is_good_or_refused(data: dict[str, Any]) -> None:
    try:
        task = Task.from_dict({**GOOD, **data})
    except TaskError:
        return
    conn = table(["text", "label"], [("x", "a"), (None, "b"), (1, None)])
    try:
        list(read_records(conn, task))
    except FtclassifyError:
        pass


def test_records() -> None:
    conn = table(
        ["text", "label", "part"],
        [
            ("x", "a", " Train "),
            (None, "a", None),
            ("y", None, 3),
            ("", "", ""),
            (b"z", b"z", "test"),
        ],
    )
    task = define(conn, "t", text=["text"], labels=["label"], split_column="part")
    records = list(read_records(conn, task))
    assert relation(conn, task.source).identity == ("rowid",)
    assert [r.key for r in records] == [(1,), (2,), (3,), (4,), (5,)]
    assert [r.usable for r in records] == [True, False, False, False, False]
    assert [r.split for r in records] == ["train", None, "3", "", "test"]
    assert [r.rendered.problem for r in records] == [None, "null", None, "empty", "blob"]
    assert [r.labels.problem for r in records] == [None, None, None, "empty", "blob"]


@pytest.mark.parametrize(
    ("statement", "keys"),
    [
        ("create table t (text, label, a default 1, b, primary key (b, a))", [(7, 1), (8, 1)]),
        ("create table t (text, label, a, b primary key) without rowid", [(7,), (8,)]),
        ("create table t (text, label, a, b integer primary key)", [(7,), (8,)]),
        ("create table t (text, label, rowid, b)", [(1,), (2,)]),
        ("create table t (text, label, rowid, _rowid_ , b, oid)", [(1,), (2,)]),
    ],
)
def test_keys(statement: str, keys: list[tuple]) -> None:
    conn = database(statement, "insert into t (text, label, b) values ('x', 'a', 7), ('y', 'b', 8)")
    task = define(conn, "t", text=["text"], labels=["label"])
    assert [r.key for r in read_records(conn, task)] == keys


def test_rows_without_a_key_have_one_all_the_same() -> None:
    conn = database("create table t (id text primary key, text, label)")
    conn.execute("insert into t values (null, 'x', 'a'), ('k', 'y', 'b'), (null, 'z', 'b')")
    task = define(conn, "t", text=["text"], labels=["label"])
    assert [r.key for r in read_records(conn, task)] == [(None, 1), ("k",), (None, 3)]


def test_the_rows_of_a_view_are_numbered() -> None:
    conn = table(["text", "label"], [("x", "a"), ("y", "b")])
    conn.execute("create view v as select text, label from t")
    task = define(conn, "v", text=["text"], labels=["label"])
    assert relation(conn, task.source).identity == ()
    assert [r.key for r in read_records(conn, task)] == [(1,), (2,)]


def test_a_source_that_changed_is_not_misread() -> None:
    conn = table(["text", "label"], [("x", "a")])
    task = define(conn, "t", text=["text"], labels=["label"], where="label <> ''")
    conn.execute("alter table t rename column text to body")
    with pytest.raises(SourceError, match="Table t has no column text"):
        list(read_records(conn, task))
    conn.execute("alter table t rename column body to text")
    assert len(list(read_records(conn, task))) == 1
    broken = Task.from_dict({**task.to_dict(), "where": "gone = 1"})
    with pytest.raises(SourceError, match="The condition does not run: no such column: gone"):
        list(read_records(conn, broken))
