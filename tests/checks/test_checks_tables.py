"""Tables as strangers make them: any cell, any key, any name."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from typing import Any

import pytest
from checking import check, clean_rows, codes, found, sentence, table
from hypothesis import given, settings
from hypothesis import strategies as st

from datasette_ftclassify.checks import CheckReport, run_checks
from datasette_ftclassify.checks.report import listing, together
from datasette_ftclassify.core.labels import named
from datasette_ftclassify.core.literals import literal, of_keys
from datasette_ftclassify.core.task import Task, define
from datasette_ftclassify.core.typed_json import as_json

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
CELLS = st.one_of(
    st.none(),
    st.binary(max_size=5),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
    TEXT,
    st.sampled_from(["a", "A ", "b", "[1]", '["a", 2]', "[[", "a|b", "0", "1", "\x00", "\ufffd"]),
)
SPLIT = st.one_of(st.none(), st.sampled_from(["train", "TEST ", "validation", "dev", 3, b"x"]))


def adds_up(report: CheckReport) -> None:
    rows = report.rows
    assert rows["total"] == rows["labelled"] + rows["unlabelled"]
    assert rows["usable"] <= rows["labelled"]
    in_splits = sum(report.splits["rows"].values()) + sum(report.splits["left_out"].values())
    assert in_splits == rows["usable"]
    characters = report.distributions["characters"]
    assert sum(b["count"] for b in (characters or {"bins": []})["bins"]) == rows["usable"]
    json.dumps(as_json(report), allow_nan=False)


@settings(max_examples=60)
@given(
    rows=st.lists(st.tuples(CELLS, CELLS, SPLIT), max_size=25),
    kind=st.sampled_from(["binary", "multiclass", "multilabel"]),
    deep=st.booleans(),
    leaves=st.booleans(),
    delimiter=st.sampled_from([None, "|"]),
)
def test_any_cell_can_be_checked(
    rows: Any, kind: Any, deep: bool, leaves: bool, delimiter: str | None
) -> None:
    conn = table(rows, "text, label, part")
    task = Task("t", ("text",), ("label",), kind, split_column="part", delimiter=delimiter)
    report = run_checks(conn, task, deep=deep, leaves_machine=leaves)
    adds_up(report)
    assert report.rows["total"] == len(rows)
    for finding in report.findings:
        if finding.where:
            selected = conn.execute(f"select id from t where {finding.where}").fetchall()
            assert set(finding.keys) <= set(selected)


@settings(max_examples=25)
@given(rows=st.lists(st.tuples(CELLS, CELLS, CELLS), max_size=15))
def test_any_cell_in_several_label_columns(rows: Any) -> None:
    conn = table(rows, "text, one, two")
    report = run_checks(conn, define(conn, "t", text=["text"], labels=["one", "two"]))
    adds_up(report)


SHAPES = {
    "no key": "create table {} (text, label)",
    "compound key": "create table {} (text, label, a default 1, b integer, primary key (a, b))",
    "without rowid": "create table {} (text, label, id text primary key) without rowid",
    "hidden rowid": "create table {} (text, label, rowid, _rowid_, oid)",
}


@pytest.mark.parametrize("name", ["t", 'odd "name"', "select", "with space; --", "naïve é"])
@pytest.mark.parametrize("shape", SHAPES)
def test_keys_and_names(shape: str, name: str) -> None:
    quoted = '"' + name.replace('"', '""') + '"'
    conn = sqlite3.connect(":memory:")
    conn.execute(SHAPES[shape].format(quoted))
    rows: Sequence[Any] = [*clean_rows(5), ("same", "garden"), ("same", "port"), (None, "port")]
    extra = {"compound key": "b", "without rowid": "id"}.get(shape)
    columns = f"text, label{', ' + extra if extra else ''}"
    for number, row in enumerate(rows):
        values = [*row, str(number)] if extra else list(row)
        marks = ", ".join("?" * len(values))
        conn.execute(f"insert into {quoted} ({columns}) values ({marks})", values)
    report = run_checks(conn, define(conn, name, text=["text"], labels=["label"]))
    adds_up(report)
    finding = report.finding("conflicting-labels")
    assert finding is not None
    assert len(finding.keys) == 2
    if shape == "hidden rowid":
        assert finding.where is None
    else:
        found = conn.execute(f"select text from {quoted} where {finding.where}").fetchall()
        assert found == [("same",), ("same",)]


def test_a_view_has_row_numbers_for_keys() -> None:
    conn = table([*clean_rows(5), (None, "garden"), ("same", "garden"), ("Same", "port")])
    conn.execute('create view "a view" as select text as "the text", label from t')
    report = run_checks(conn, define(conn, "a view", text=["the text"], labels=["label"]))
    adds_up(report)
    empty, conflict = report.finding("null-text"), report.finding("conflicting-labels")
    assert empty is not None
    assert empty.where == '"the text" is null'
    assert conflict is not None
    assert (conflict.keys, conflict.where) == (((17,), (18,)), None)


def test_an_empty_table() -> None:
    conn = table([])
    report = run_checks(conn, define(conn, "t", text=["text"], labels=["label"]))
    assert [finding.code for finding in report.findings] == ["no-examples"]
    assert report.sample == []
    assert report.distributions["characters"] is None


def test_a_collation_that_matches_more_is_not_followed() -> None:
    rows = [*clean_rows(), ("one", "Garden")]
    conn = table(rows, "text, label collate nocase")
    report = run_checks(conn, define(conn, "t", text=["text"], labels=["label"]), deep=False)
    finding = report.finding("label-variants")
    assert finding is not None
    assert finding.where == '"id" in (331)'


def test_parameters_of_the_task() -> None:
    conn = table([*clean_rows(), (None, "port")])
    task = define(
        conn, "t", text=["text"], labels=["label"], where="label != :x", params={"x": "garden"}
    )
    report = run_checks(conn, task)
    assert report.rows["total"] == 221
    assert report.finding("null-text").keys == ((331,),)  # type: ignore[union-attr]


@given(st.one_of(TEXT, st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False), st.binary()))
def test_literals_are_the_cells_they_stand_for(cell: Any) -> None:
    written = literal(cell)
    if written is not None:
        back = sqlite3.connect(":memory:").execute(f"select {written}").fetchone()[0]
        # SQLite may read a real number with another last bit.
        assert back == (pytest.approx(cell, rel=1e-12) if isinstance(cell, float) else cell)
        assert type(back) is type(cell)


def test_keys_that_cannot_be_written() -> None:
    assert of_keys(("id",), [(None,)]) is None
    assert of_keys(("a", "b"), [(1, "\x00")]) is None
    assert of_keys((), [(1,)]) is None
    assert of_keys(("a", "b"), [(1, "x"), (b"\x01", 2.5)]) == (
        "(\"a\", \"b\") in (values (1, 'x'), (X'01', 2.5))"
    )


# What the sentences say


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("Crime", "Crime"),
        ("Mortgage / loan (new)", "Mortgage / loan (new)"),
        ("City, council", "'City, council'"),
        ('Culture "arts"', "'Culture \"arts\"'"),
        ("mayor's office", '"mayor\'s office"'),
        ("two\nlines", "'two\\nlines'"),
        ("two\u2028lines", "'two\\u2028lines'"),
        (" padded ", "' padded '"),
        ("", "''"),
        ("x" * 41, "x" * 39 + "…"),
    ],
)
def test_a_name_in_a_sentence_cannot_be_taken_for_another(name: str, shown: str) -> None:
    assert named(name) == shown
    assert named("Crime", always=True) == "'Crime'"


def test_long_lists_are_cut() -> None:
    assert listing(["a", "b", "c"], 2) == "a, b and 1 more"
    assert together(["a", "b, c"], " + ") == "a + 'b, c'"
    assert together(list("abcdef"), " / ") == "a / b / c / d / …"


def test_names_with_commas_and_line_breaks_are_quoted_in_every_finding() -> None:
    odd = ["City, council", 'Culture "arts"', "two\nlines", "Two\nlines"]
    rows = [(sentence("garden", n), odd[n % 4], "train") for n in range(200)]
    rows += [(f"about {odd[n % 2]} and {n}", odd[n % 2], "test") for n in range(20)]
    rows += [("number 7", "once, only", "train"), ("number 8", "Crime", "dev,\nx")]
    report = check(rows, "text, label, part", task={"split_column": "part"}, deep=True)
    told = {finding.code: finding.message for finding in report.findings}
    assert all(message.isprintable() for message in told.values())
    assert "'City, council'" in told["small-labels"]
    assert "'once, only'" in told["single-example-labels"]
    assert "than 'once, only'" in told["imbalance"] or "as 'once, only'" in told["imbalance"]
    assert "'Two\\nlines' / 'two\\nlines'" in told["label-variants"]
    assert "'dev,\\nx' (1)" in told["split-values-left-out"]
    assert "'Two\\nlines'" in told["label-missing-from-split"]


def test_labels_that_stand_in_texts_or_beside_others_are_quoted() -> None:
    rows = [
        (f"City, council {n}" if n % 2 else f"other {n}", "City, council" if n % 2 else "b")
        for n in range(60)
    ]
    told = found(check(rows, deep=True), "label-in-text").message
    assert "'City, council' (100%)" in told
    assert "('City, council')" in found(check(rows, deep=True), "leaking-words").message
    lists = [(f"text {n}", '["a, b", "c"]') for n in range(6)]
    several = found(check(lists, task={"kind": "multilabel"}), "labels-always-together")
    assert "'a, b' + c" in several.message


def test_one_of_something_is_said_in_the_singular() -> None:
    def told(rows: Sequence[Sequence[Any]], code: str, **options: Any) -> str:
        return found(check(rows, **options), code).message

    split = {"columns": "text, label, part", "task": {"split_column": "part"}}
    rows = [(text, label, "train") for text, label in clean_rows(20)]
    assert told([], "no-examples") == "There are no rows."
    assert told([("a text", None)], "no-examples") == "The one row lacks a text or a label."
    assert told([("a", None)] * 2, "no-examples").startswith("None of the 2 rows has")
    assert told([("a", "b")], "one-label") == "The one row has the label b."
    assert told([("a", "b"), ("c", "b")], "one-label") == "All 2 rows have the label b."
    assert told([("a", "b")], "too-few-examples").startswith("There is 1 labelled example in all,")
    assert told([("a", "b"), ("c", "b")], "too-few-examples").startswith("There are 2 labelled")
    assert told([*clean_rows(), clean_rows()[0]], "exact-duplicates").startswith("1 row repeats")
    left_out = told([*rows, ("new", "garden", "x")], "split-values-left-out", **split)
    assert left_out.startswith("1 row is in no split")
    shared = told([*rows, (*rows[0][:2], "test")], "shared-across-splits", **split)
    assert shared.startswith("1 row of validation or test has a text")


def test_texts_that_the_local_trainer_cuts() -> None:
    rows = [*clean_rows(), ("y" * 20_000, "garden"), ("x" * 20_001, "garden"), ("z" * 30_000, None)]
    finding = found(check(rows, leaves_machine=False), "long-texts-cut")
    assert (finding.severity, finding.count, finding.keys) == ("info", 2, ((332,), (333,)))
    assert finding.details == {"limit": 20_000, "longest": 30_000, "mostly_cut": 0}
    assert "2 rows with a text of more than 20,000 characters" in finding.message
    assert "long-texts-cut" not in codes(check(rows))
