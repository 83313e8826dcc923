"""What is learnt from, checked, counted and served agree on which rows are not labelled."""

from __future__ import annotations

import re
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tables import database, table

from datasette_ftclassify.checks import run_checks
from datasette_ftclassify.core.database import connect, decode
from datasette_ftclassify.core.errors import FtclassifyError, TrainingError
from datasette_ftclassify.core.label_cells import read_labels
from datasette_ftclassify.core.labels import BLANKS, is_blank, unlabelled_sql
from datasette_ftclassify.core.splits import SplitPlan
from datasette_ftclassify.core.task import define
from datasette_ftclassify.jobs.rows import count_unlabelled
from datasette_ftclassify.jobs.train import train_classifier
from datasette_ftclassify.jobs.train_request import TrainRequest
from datasette_ftclassify.jobs.train_rows import read_split

INVISIBLE = [
    "", " ", "\u00a0", "\t", "\r\n", "\u200b", "\ufeff", "\u3000 \u2060", "\x1f", "\u200d\ufe0f",
]  # fmt: skip
VISIBLE = ["a", "0", "\u00a0a", "\0", " \0 ", "\ufffd", "é", "[]", "\u0600", "-"]


@pytest.mark.parametrize(
    "name", ["NULL", "None", "nan", "NaN", "n/a", "#N/A", "-", "--", "?", "<NA>", r"\N", "(null)"]
)
def test_words_for_a_missing_label_are_questioned_with_their_rows(name: str) -> None:
    rows = [(f"text {n}", ["spam", "ham", name][n % 3]) for n in range(30)]
    conn = table(["text", "label"], rows)
    task = define(conn, "t", text=["text"], labels=["label"])
    found = run_checks(conn, task, deep=False, leaves_machine=False).finding("placeholder-labels")
    assert found is not None
    assert (found.severity, found.count) == ("warning", 10)
    assert found.where is not None
    assert conn.execute(f"select count(*) from t where {found.where}").fetchone() == (10,)
    conn.execute("insert into t values ('not labelled', null)")
    kept = found.advice.partition("condition ")[2].partition(", which")[0]
    assert conn.execute(f"select count(*) from t where {kept}").fetchone() == (21,)
    said = read_split(conn, task, SplitPlan()).notes["labels_said"]
    assert said[0].startswith("warning: 1 label looks like a word for a missing one")


@pytest.mark.parametrize("labels", [["+", "-"], ["none", "spam"], ["NASA", "nano"], [1, 0]])
def test_labels_that_mean_something_are_no_words_for_a_missing_one(labels: list[Any]) -> None:
    conn = table(["text", "label"], [(f"text {n}", labels[n % 2]) for n in range(30)])
    task = define(conn, "t", text=["text"], labels=["label"])
    assert run_checks(conn, task, deep=False).finding("placeholder-labels") is None


def test_cells_that_are_no_flags_are_named() -> None:
    rows = [
        (f"text {n}", *(["maybe", 2, "Ja"][n % 3], ["nein", "-", "2"][n % 3])) for n in range(30)
    ]
    conn = table(["text", "a", "b"], rows)
    task = define(conn, "t", text=["text"], labels=["a", "b"])
    found = run_checks(conn, task, deep=False).finding("invalid-label")
    assert found is not None
    assert found.count == 30
    assert found.message.endswith("in a label column: maybe, 2.")
    conn = table(["text", "label"], [("text", [float("inf"), 1.5, 2.5][n % 3]) for n in range(30)])
    task = define(conn, "t", text=["text"], labels=["label"])
    found = run_checks(conn, task, deep=False).finding("invalid-label")
    assert found is not None
    assert found.message == "10 rows with an infinite number for a label: Infinity."


def test_a_training_without_examples_says_what_the_cells_are() -> None:
    rows = [(b"text", "a"), (b"more", "b"), (None, "a"), ("text", None)]
    conn = table(["text", "label"], rows)
    task = define(conn, "t", text=["text"], labels=["label"])
    with pytest.raises(TrainingError, match="2 rows have a BLOB instead of a text, 1 row has no"):
        read_split(conn, task, SplitPlan())
    conn = table(["text", "a", "b"], [("text", 3, 1), ("more", 0, 2)])
    task = define(conn, "t", text=["text"], labels=["a", "b"])
    with pytest.raises(TrainingError, match="2 rows have something else than 0 and 1, yes and no"):
        read_split(conn, task, SplitPlan())


def test_a_training_with_one_readable_label_says_so_of_the_rows_that_have_it() -> None:
    conn = table(["text", "label"], [(f"text {n}", "c" if n % 2 else b"b") for n in range(40)])
    task = define(conn, "t", text=["text"], labels=["label"])
    with pytest.raises(TrainingError, match="All rows with a text and a readable label have 'c'"):
        train_classifier(conn, task, TrainRequest(name="c", curve=False))


def test_the_blanks_hold_all_that_python_strips() -> None:
    assert {c for c in map(chr, range(sys.maxunicode)) if c.isspace()} <= set(BLANKS)
    assert all(map(is_blank, INVISIBLE))
    assert not any(map(is_blank, VISIBLE))
    assert list(map(is_blank, [None, 0, 0.0, b"", b" "])) == [True, *[False] * 4]


CELLS = st.one_of(
    st.none(),
    st.sampled_from(INVISIBLE + VISIBLE),
    st.text(st.sampled_from(BLANKS), max_size=6),
    st.text(st.sampled_from(BLANKS + "a1é\0"), max_size=6),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=6),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
    st.binary(max_size=6),
)


@pytest.mark.parametrize("encoding", ["UTF-8", "UTF-16"])
@pytest.mark.parametrize("type_", ["", "text", "integer", "real", "numeric", "blob"])
def test_python_and_sqlite_agree_on_every_cell(type_: str, encoding: str) -> None:
    conn = sqlite3.connect(":memory:")
    conn.text_factory = decode
    conn.execute(f"pragma encoding = '{encoding}'")
    conn.execute(f'create table t (id integer primary key, "a ""b" {type_}, c {type_})')
    columns = ['a "b', "c"]

    @given(st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=8))
    @example([(None, ""), ("\u00a0", "\ufeff"), ("", 0), (b"", None), (b" ", b"\t"), ("\0", " ")])
    def agree(rows: list[tuple[Any, Any]]) -> None:
        conn.execute("delete from t")
        conn.executemany('insert into t ("a ""b", c) values (?, ?)', rows)
        for names in (columns, columns[:1]):
            sql = f"select ({unlabelled_sql(names, 't')}), * from t order by id"
            for said, _, *cells in conn.execute(sql).fetchall():
                assert said == all(map(is_blank, cells[: len(names)])), cells

    agree()


def test_bytes_that_are_no_text_are_no_blanks() -> None:
    conn = database("create table t (a)")
    conn.text_factory = decode
    for octets in ("a0", "c2", "e280", "c2a0", "e2808b", "20c2a0ff", "efbbbf"):
        conn.execute(f"insert into t values (cast(x'{octets}' as text))")
    for said, cell in conn.execute(f"select ({unlabelled_sql(['a'], 't')}), a from t"):
        assert said == is_blank(cell), cell


def classifier_of(task: Any) -> Any:
    return type("Trained", (), {"task": task})()


@given(st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=12))
def test_a_row_is_either_learnt_from_or_served_or_said_to_be_faulty(rows: list[Any]) -> None:
    """With two flags: the same row can't be a negative example and wait for an answer."""
    conn = table(["text", "a", "b"], [(f"text {n}", *cells) for n, cells in enumerate(rows)])
    task = define(conn, "t", text=["text"], labels=["a", "b"])
    report = run_checks(conn, task, deep=False, leaves_machine=False, most_keys=100)
    faulty = sum(f.count for f in report.findings if f.code in ("blob-label", "invalid-label"))
    unlabelled = count_unlabelled(conn, classifier_of(task))
    assert report.rows["labelled"] + unlabelled + faulty == len(rows)
    assert report.rows["unlabelled"] == unlabelled + faulty


@pytest.mark.parametrize("blank", INVISIBLE)
def test_blank_flags_are_no_answer(blank: str) -> None:
    """All blank: nobody looked at the row. Beside a flag that is set, blank is off."""
    columns = ["a", "b", "c"]
    assert read_labels([blank, None, blank], "multilabel", columns, None).values is None
    assert read_labels([blank, 1, None], "multilabel", columns, None).values == ("b",)
    assert read_labels([blank, "0", None], "multilabel", columns, None).values == ()
    for kind, delimiter in (("multiclass", None), ("multilabel", None), ("multilabel", "|")):
        assert read_labels([blank], kind, ["a"], delimiter).values is None  # type: ignore[arg-type]


def test_none_of_the_labels_can_still_be_said() -> None:
    assert read_labels(["[]"], "multilabel", ["a"], None).values == ()
    assert read_labels(["[]"], "multilabel", ["a"], "|").values == ()
    assert read_labels(["|"], "multilabel", ["a"], "|").values == ()


@pytest.mark.parametrize("mark", ["x", "X", "✓", "y", "true", 1, 1.0, " 1\u00a0", "\ufeff1", "on"])
def test_a_flag_that_is_set(mark: Any) -> None:
    assert read_labels([mark, 0], "multilabel", ["a", "b"], None).values == ("a",)


def test_flags_that_are_partly_blank_are_told_with_their_rows() -> None:
    rows = [(f"text {n}", n % 2, 1 - n % 2) for n in range(30)]
    rows += [("blank one", 1, ""), ("blank two", None, "0"), ("no answer", "", None)]
    conn = table(["text", "a", "b"], rows)
    task = define(conn, "t", text=["text"], labels=["a", "b"])
    report = run_checks(conn, task, deep=False, leaves_machine=False)
    partly = report.finding("partly-blank-flags")
    assert partly is not None
    assert partly.keys == ((31,), (32,))
    assert conn.execute(f"select rowid from t where {partly.where}").fetchall() == [(31,), (32,)]
    unlabelled = report.finding("unlabelled") or report.finding("empty-label")
    assert unlabelled is not None
    assert unlabelled.count == 1


def test_a_training_says_from_how_many_rows_it_did_not_learn(tmp_path: Path) -> None:
    """Flags that pandas wrote: `nan` is a text, and no flag."""
    with closing(connect(tmp_path / "a.db", must_exist=False)) as conn:
        conn.execute("create table t (id integer primary key, text text, a, b)")
        flags = [("1", "0"), ("0", "1"), ("nan", "nan"), (None, "")]
        rows = [(f"{'red' if n % 4 else 'blue'} {n}", *flags[n % 4]) for n in range(60)]
        conn.executemany("insert into t (text, a, b) values (?, ?, ?)", rows)
        conn.commit()
        task = define(conn, "t", text=["text"], labels=["a", "b"])
        trained = train_classifier(conn, task, TrainRequest(name="c", curve=False)).classifier
    (said,) = trained.report["labels_said"]
    assert "15 rows cannot be read" in said


@pytest.mark.parametrize(
    ("label", "kind", "said"),
    [(3, "multilabel", "20 rows have .* need a delimiter"), (None, None, "20 rows have no label")],
)
def test_a_training_without_rows_says_so_in_words_of_pages_too(
    tmp_path: Path, label: Any, kind: Any, said: str
) -> None:
    with closing(connect(tmp_path / "town.db", must_exist=False)) as conn:
        with conn:
            conn.execute("create table t (id integer primary key, body text, topic)")
            conn.executemany("insert into t (body, topic) values (?, ?)", [("a text", label)] * 20)
        task = define(conn, "t", text=["body"], labels=["topic"], kind=kind)
        with pytest.raises(FtclassifyError, match=said) as refused:
            train_classifier(conn, task, TrainRequest(name="topics"))
    assert not re.search(r"--\w|datasette ftclassify", str(refused.value))
