"""How several labels are written into a cell is recognised, read, shown and questioned."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tables import table

from datasette_ftclassify.checks import run_checks
from datasette_ftclassify.checks.report import CheckReport
from datasette_ftclassify.core.database import relation
from datasette_ftclassify.core.errors import TaskError
from datasette_ftclassify.core.examples import read_records
from datasette_ftclassify.core.label_notations import label_reader, name_list, propose_reading, torn
from datasette_ftclassify.core.notations import (
    object_labels,
    python_flags,
    python_list,
    tool_labels,
    vector,
)
from datasette_ftclassify.core.task import Task, define
from datasette_ftclassify.jobs.review.cells import as_cells

NAMES = ["parcel", "bill", "login", "praise", 'it\'s "so", é']
SETS = [[NAMES[0]], [NAMES[1]], NAMES[:2], NAMES[1:4], [NAMES[4], NAMES[0]], NAMES[3:], [NAMES[2]]]


def studio(labels: list[str]) -> str:
    """Label Studio's export as CSV: a single choice is a bare text."""
    return json.dumps({"choices": labels}) if len(labels) > 1 else labels[0]


def quoted(name: str) -> str:
    """As Postgres writes a text into an array."""
    return name if name.isalpha() else '"' + name.replace('"', '\\"') + '"'


def flags(labels: list[str]) -> list[int]:
    return [int(name in labels) for name in NAMES]


WAYS: dict[str, Callable[[list[str]], str]] = {
    "JSON array": json.dumps,
    "Python list": repr,
    "Python tuple": lambda labels: repr(tuple(labels)),
    "Python set": lambda labels: "{" + ", ".join(map(repr, labels)) + "}",
    "NumPy array": lambda labels: "[" + " ".join(map(repr, labels)) + "]",
    "NumPy array of objects": lambda labels: f"array({labels!r}, dtype=object)",
    "number sign": "#".join,
    "lines": "\n".join,
    "Label Studio as CSV": studio,
    "Label Studio": lambda labels: json.dumps(
        [{"value": {"choices": labels}, "from_name": "topic", "to_name": "text", "type": "choices"}]
    ),
    "Label Studio, whole": lambda labels: json.dumps(
        [{"id": 7, "result": [{"value": {"choices": [name]}} for name in labels]}]
    ),
    "doccano": lambda labels: json.dumps([{"label": name, "user": 1} for name in labels]),
    "Label Studio, a task": lambda labels: json.dumps(
        {"annotations": [{"result": [{"value": {"choices": labels}}], "was_cancelled": False}]}
    ),
    "GitHub": lambda labels: json.dumps([{"id": 1, "name": name} for name in labels]),
    "SharePoint": lambda labels: f";#{';#'.join(labels)};#",
    "Python 2": lambda labels: f"[{', '.join(f'u{name!r}' for name in labels)}]",
    "NumPy texts": lambda labels: f"[{', '.join(f'np.str_({name!r})' for name in labels)}]",
    "pairs": lambda labels: "; ".join(f"{n!r}={'no' if n not in labels else 'yes'}" for n in NAMES),
    "hstore": lambda labels: ", ".join(
        f'{json.dumps(n)}=>"{"t" if n in labels else "f"}"' for n in NAMES
    ),
    "Prodigy": lambda labels: json.dumps({"accept": labels, "answer": "accept"}),
    "spaCy": lambda labels: json.dumps({"cats": {n: float(n in labels) for n in NAMES}}),
    "Label Studio, taxonomy": lambda labels: json.dumps(
        [{"value": {"taxonomy": [[name] for name in labels]}}]
    ),
    "array in an array": lambda labels: json.dumps([labels]),
    "JSON within JSON": lambda labels: json.dumps(json.dumps(labels)),
    "Postgres array": lambda labels: "{" + ",".join(map(quoted, labels)) + "}",
    "brackets alone": lambda labels: "[" + ", ".join(map(quoted, labels)) + "]",
    "object of yes and no": lambda labels: json.dumps(
        {n: "yes" if n in labels else "no" for n in NAMES}
    ),
    "object of booleans": lambda labels: json.dumps({n: n in labels for n in NAMES}),
    "Python dict of booleans": lambda labels: repr({n: n in labels for n in NAMES}),
    "Python dict of numbers": lambda labels: repr({n: int(n in labels) for n in NAMES}),
    "Python dict of floats": lambda labels: repr({n: float(n in labels) for n in NAMES}),
    "NumPy numbers in a dict": lambda labels: (
        "{" + ", ".join(f"{n!r}: np.float64({float(n in labels)})" for n in NAMES) + "}"
    ),
    "NumPy booleans in a dict": lambda labels: (
        "{" + ", ".join(f"{n!r}: np.{n in labels}_" for n in NAMES) + "}"
    ),
    "object of numbers": lambda labels: json.dumps({n: int(n in labels) for n in NAMES}),
}


def task_of(cells: list[Any], **options: Any) -> tuple[Any, Task]:
    conn = table(["text", "labels"], [(f"text {n}", cell) for n, cell in enumerate(cells)])
    return conn, define(conn, "t", text=["text"], labels=["labels"], **options)


def checked(cells: list[Any], **options: Any) -> CheckReport:
    conn, task = task_of(cells, **options)
    return run_checks(conn, task, deep=False, leaves_machine=False)


@pytest.mark.parametrize("way", WAYS)
def test_every_way_of_writing_gives_the_labels(way: str) -> None:
    cells = [WAYS[way](labels) for labels in SETS]
    conn, task = task_of([*cells, None, " "])
    assert task.kind == "multilabel"
    read = [set(record.labels.values or ()) for record in read_records(conn, task)]
    assert read == [*map(set, SETS), set(), set()]
    assert Task.from_dict(json.loads(json.dumps(task.to_dict()))) == task


@pytest.mark.parametrize("way", [way for way in WAYS if way not in ("JSON array",)])
def test_what_was_guessed_is_shown(way: str) -> None:
    report = checked([WAYS[way](labels) for labels in SETS] * 5)
    said = report.finding("label-notation")
    assert said is not None
    assert said.severity == "info"
    assert " + " in said.message


VECTORS: dict[str, Callable[[list[int]], str]] = {
    "JSON array": json.dumps,
    "array of booleans": lambda row: json.dumps([bool(flag) for flag in row]),
    "Python booleans": lambda row: repr([bool(flag) for flag in row]),
    "NumPy": lambda row: "[" + " ".join(map(str, row)) + "]",
    "NumPy floats": lambda row: "[" + " ".join(f"{flag}." for flag in row) + "]",
    "PyTorch": lambda row: f"tensor([{', '.join(f'{flag}.' for flag in row)}])",
    "NumPy array with its type": lambda row: f"array({row}, dtype=int64)",
    "quoted": lambda row: json.dumps(list(map(str, row))),
    "yes and no": lambda row: json.dumps(["yes" if flag else "no" for flag in row]),
    "commas": lambda row: ",".join(map(str, row)),
    "spaces": lambda row: " ".join(map(str, row)),
    "semicolons": lambda row: "; ".join(map(str, row)),
    "slashes": lambda row: "/".join(map(str, row)),
    "decimals": lambda row: ", ".join(f"{flag:.2f}" for flag in row),
    "NumPy exponents": lambda row: "[" + " ".join(f"{flag:.8e}" for flag in row) + "]",
    "NumPy numbers": lambda row: "[" + ", ".join(f"np.int64({flag})" for flag in row) + "]",
    "NumPy booleans": lambda row: "[" + ", ".join(f"np.{bool(flag)}_" for flag in row) + "]",
    "a row of a matrix": lambda row: json.dumps([row]),
    "PyTorch, elsewhere": lambda row: f"tensor({row}, device='cuda:0', dtype=torch.int8)",
    "Postgres": lambda row: "{" + ",".join("t" if flag else "f" for flag in row) + "}",
    "Y and N": lambda row: ",".join("Y" if flag else "N" for flag in row),
}


@pytest.mark.parametrize("way", VECTORS)
def test_vectors_ask_for_names_and_take_them(way: str) -> None:
    cells = [VECTORS[way](flags(labels)) for labels in SETS]
    report = checked(cells)
    said = report.finding("label-notation")
    assert said is not None
    assert said.severity == "error"
    assert said.count == len(cells)
    assert "vectors of 0 and 1 for 5 labels" in said.message
    assert "label names" in said.advice
    conn, task = task_of(cells, label_names=NAMES)
    assert [set(r.labels.values or ()) for r in read_records(conn, task)] == list(map(set, SETS))
    assert task.label_set([]).values == tuple(NAMES)
    assert Task.from_dict(json.loads(json.dumps(task.to_dict()))) == task


@pytest.mark.parametrize("signs", ["01", "FT", "ny", "-x"])
def test_flags_without_anything_between_them_are_questioned_and_read_when_named(signs: str) -> None:
    cells = ["".join(signs[on] for on in flags(labels)) for labels in SETS]
    said = checked(cells * 5).finding("label-notation")
    assert said is not None
    assert said.severity == "warning"
    assert "label names" in said.advice
    conn, task = task_of(cells, label_names=NAMES)
    assert [set(r.labels.values or ()) for r in read_records(conn, task)] == list(map(set, SETS))
    assert checked(["100", "101", "404"] * 10).finding("label-notation") is None
    assert checked(["010", "110"] * 10).finding("label-notation") is None


def test_a_vector_of_another_length_is_no_row_to_learn_from() -> None:
    conn, task = task_of(["[0, 1]", "[1, 1]", "[1, 0, 1]", "x"], label_names=["a", "b"])
    assert [r.labels.problem for r in read_records(conn, task)] == [None, None, *["invalid"] * 2]


@pytest.mark.parametrize(
    "cells",
    [
        ["[deleted]", "[removed]", "kept"],
        ["(1)", "(2)", "(3)"],
        ["C#", "F#", "Java"],
        ["1,0", "1,5", "0,5"],
        ["0,1", "1,0"],
        ["{a}", "{b}", "c"],
        ["10110", "01001"],
        ["R&D", "R", "D & E"],
        ["a/b", "a/c", "d"],
        ["'90s", "'80s"],
        ["(a, b)", "(c)", "d"],
        ["{a, b}", "{c, d}", "{e, f, g}"],
    ],
)
def test_names_with_such_characters_stay_names(cells: list[str]) -> None:
    reading = propose_reading(cells)
    assert (reading.kind in ("binary", "multiclass"), reading.words) == (True, "")


def test_what_the_user_says_goes_before_what_it_looks_like() -> None:
    cells = [json.dumps(flags(labels)) for labels in SETS]
    assert task_of(cells, kind="multiclass")[1].notation is None
    with pytest.raises(TaskError, match="Label names mean multilabel"):
        task_of(cells, kind="multiclass", label_names=NAMES)
    _, task = task_of([repr(labels) for labels in SETS], delimiter=",")
    assert (task.notation, task.delimiter) == (None, ",")


def test_pieces_of_another_notation_are_questioned() -> None:
    report = checked([repr(labels[:3]) for labels in SETS] * 5, delimiter=",")
    said = report.finding("label-notation")
    assert said is not None
    assert said.severity == "error"
    assert "brackets or quotes" in said.message
    pieces = ["['bill'", "'repair']", '{"choices": ["bill"', '"a"', "'b'", "[a", "b]", "(a"]
    pieces += [r'"{\"a\": 1}"']
    assert torn(pieces) == pieces
    assert torn(["[deleted]", "it's", "a (b)", "(none)", "{x}", "5'", 'say "no"']) == []


def test_a_label_on_every_row_is_questioned() -> None:
    report = checked([json.dumps(flags(labels)) for labels in SETS] * 5, delimiter=",")
    assert report.finding("label-on-every-row") or report.finding("label-notation")
    everywhere = checked(['["all", "a"]', '["b", "all"]', '["all"]'] * 10)
    said = everywhere.finding("label-on-every-row")
    assert said is not None
    assert said.severity == "warning"

    flagged = checked(["[-1, 1, 1]", "[1, -1, -1]"] * 15).finding("label-on-every-row")
    assert flagged is not None
    assert flagged.severity == "error"


@pytest.mark.parametrize(
    ("delimiter", "name"),
    [
        ("+", "+"),
        (" / ", "/"),
        (" ", "spaces"),
        ("、", "、"),
        (" and ", " and "),
        (" - ", " - "),
        (":", ":"),
    ],
)
def test_lists_with_a_delimiter_that_stands_in_names_as_well_are_questioned(
    delimiter: str, name: str
) -> None:
    cells = ["a", "b", "c", *(delimiter.join(pair) for pair in ("ab", "bc", "ac"))] * 5
    said = checked(cells).finding("label-notation")
    assert said is not None
    assert said.severity == "warning"
    assert f"choose {name} as the delimiter" in said.advice
    assert checked(["R+D", "R", "S+T", "other"] * 5).finding("label-notation") is None


def test_numbers_beside_lists_of_numbers_are_lists_of_one() -> None:
    conn, task = task_of([1, 2, 3, "1;2", "2;3"])
    assert task.delimiter == ";"
    read = [record.labels.values for record in read_records(conn, task)]
    assert read == [("1",), ("2",), ("3",), ("1", "2"), ("2", "3")]
    assert propose_reading([1, 2, "unsure"]).words == ""


def test_few_lists_and_lists_of_one_length_are_questioned() -> None:
    for cells, delimiter in (["a", "b", "c", "a;b"], ";"), (["a, b", "b, c", "a, c"], ","):
        said = checked(cells * 10).finding("label-notation")
        assert said is not None
        assert said.severity == "warning"
        assert f"choose {delimiter} as the delimiter" in said.advice
    places = ["Paris, France", "Lyon, France", "Rome, Italy"]
    assert checked(places * 10).finding("label-notation") is None


def test_labels_in_quotes_may_hold_the_delimiter_and_are_written_so() -> None:
    cells = ['"lost; found"', 'bill;"lost; found"', "bill", "login;bill", '"lost; found";login'] * 5
    conn, task = task_of(cells)
    assert task.delimiter == ";"
    names = {label for record in read_records(conn, task) for label in record.labels.values or ()}
    assert names == {"lost; found", "bill", "login"}
    labels = task.label_set(names)
    chosen = ("bill", "lost; found")
    written = as_cells(conn, task, relation(conn, "t"), labels, chosen, ["login"])
    assert written == ('bill;"lost; found"',)


def test_lists_with_another_delimiter_than_the_rest_are_questioned() -> None:
    cells = ["a", "b", "c", "a|b", "b|c", "a|c", "a;b", "b;c", "a / c", "c / b", "x/y"] * 5
    report = checked(cells)
    assert report.task.delimiter == "|"
    said = [f for f in report.findings if f.code == "label-notation" and f.severity == "warning"]
    assert [f.count for f in said] == [4]
    assert "something else than | between them: a;b, b;c, a / c and 1 more" in said[0].message


def test_answers_passed_over_in_prodigy_are_not_labelled() -> None:
    cells = [json.dumps({"accept": ["a"], "answer": answer}) for answer in ("accept", "ignore")]
    more = [cells[0].replace('"a"', label) for label in ('"b"', "")]
    conn, task = task_of([*cells, *more, None, "{", '{"answer": null}', '["a"]'])
    read = [r.labels for r in read_records(conn, task)]
    assert [labels.values for labels in read] == [
        ("a",), None, ("b",), None, None, None, None, ("a",)
    ]  # fmt: skip
    found = conn.execute(f"select rowid - 1 from t where {task.unlabelled_sql('t')}")
    assert [n for (n,) in found] == [n for n, labels in enumerate(read) if labels.blank]


@pytest.mark.parametrize(
    "text",
    [
        "[", "[]]", "['a'", "['a' + 'b']", "[__import__('os')]", "['a', ['b']]", "[a, b]", "('a')",
        "[" * 50_000, "[" + "'a'," * 20_000, "{'a': 1}", "['\\ud800", "[1.]x", "array", "[None]",
    ],
)  # fmt: skip
def test_what_is_no_list_of_python(text: str) -> None:
    assert python_list(text) is None


@pytest.mark.parametrize(
    "text",
    ["{", "{}}", "{'a': 1 'b': 0}", "{'a': 0.93, 'b': 0.07}", "{'a': 2}", "{a: 2}", "{'a'}",
     "{'a': [1]}", "{'a': {'b': 1}}", "{'a': __import__('os')}", "{'\\ud800': 1", "{'a': 1}x",
     "{" + "'a': 1, " * 20_000 + "}", "{'a': 1e2}", "a: 1", "{}", "['a']"],
)  # fmt: skip
def test_what_is_no_dict_of_flags(text: str) -> None:
    assert python_flags(text) is None


def test_dicts_of_probabilities_stay_an_error_that_says_so() -> None:
    report = checked(["{'spam': 0.9, 'ham': 0.1}", "{'spam': 0.2, 'ham': 0.8}"] * 10)
    said = report.finding("label-notation")
    assert said is not None
    assert said.severity == "error"


def test_a_dict_with_keys_of_numbers_gives_numbers() -> None:
    conn, task = task_of(["{1: True, 2: False}", "{1: False, 2: True}", "{1: None, 2: 'yes'}"])
    assert [r.labels.values for r in read_records(conn, task)] == [(1,), (2,), (2,)]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(st.text() | st.sampled_from(["choices", "label", "value", "cats"]), inner)
    ),
    max_leaves=8,
)
TEXTS = st.one_of(
    st.text(), JSON.map(json.dumps), JSON.map(repr), st.text("[](){}'\",01 .\\ae#", max_size=20)
)


@given(st.lists(TEXTS, min_size=1, max_size=8))
def test_any_text_is_read_without_an_error(texts: list[str]) -> None:
    for text in texts:
        python_list(text), tool_labels(text), object_labels(text), vector(text), torn([text])
    reading = propose_reading(texts)
    assert reading.kind == "multilabel" or reading.words == ""
    read = label_reader(reading, ["c"])
    for text in texts:
        labels = read([text])
        assert labels.values is None or labels.problem is None
        assert all(type(value) in (str, int, float) for value in labels.values or ())
        assert read([text]) == labels


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=1, unique=True))
def test_what_python_writes_is_read_as_it_was(labels: list[str]) -> None:
    assert python_list(repr(labels)) == labels
    assert len(repr(labels)) < 20_000


def test_label_names_are_a_list_or_an_array() -> None:
    assert name_list(" a, b ,c,") == ["a", "b", "c"]
    assert name_list('["a, b", "c"]') == ["a, b", "c"]
    assert name_list("") == []
