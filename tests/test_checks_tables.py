"""Tables as strangers make them: any cell, any key, any name."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from typing import Any

import pytest
from checking import clean_rows, table
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from datasette_ftclassify.checks import CheckReport, run_checks
from datasette_ftclassify.checks.conditions import literal, of_keys
from datasette_ftclassify.tasks import Task, define

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
    json.dumps(report.to_dict(), allow_nan=False)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
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


@settings(max_examples=25, deadline=None)
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


def test_a_collation_that_matches_more_gives_no_condition() -> None:
    rows = [*clean_rows(), ("one", "Garden")]
    conn = table(rows, "text, label collate nocase")
    report = run_checks(conn, define(conn, "t", text=["text"], labels=["label"]), deep=False)
    finding = report.finding("label-variants")
    assert finding is not None
    assert finding.where is None


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
