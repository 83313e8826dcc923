"""Whole columns are classified as SQL does it, by the recipes that the documents give."""

from __future__ import annotations

import re
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from commands import run
from folders import ROOT
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sample_databases import rows

from datasette_ftclassify.core.database import connect
from datasette_ftclassify.export.numpy_scorer import Model
from datasette_ftclassify.sql.functions import register
from datasette_ftclassify.store.classifiers import find_classifier
from datasette_ftclassify.store.minimum_scores import MinimumScore, set_minimum

pyarrow = pytest.importorskip("pyarrow", reason="the files extra is not installed")
pq = pytest.importorskip("pyarrow.parquet")

NAMES = ("topics", "urgent", "subjects")
ODD = [None, "", " \n", "\u200b", 7, 2.5, float("nan"), b"bytes", True, "zzz", "ﬁ e\u0301\u200b"]


@pytest.fixture(scope="module")
def town(trained_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the database, in which `topics` has a minimum score, a model of each kind of
    classifier, and Parquet files."""
    place = tmp_path_factory.mktemp("scale")
    (place / "mail.db").write_bytes(trained_file.read_bytes())
    with closing(connect(place / "mail.db")) as conn:
        minimum = MinimumScore("fixed", 0.9)
        set_minimum(conn, find_classifier(conn, "topics"), minimum)
        texts = [text for (text,) in rows(conn, "select message from messages")][:60]
    for name in NAMES:
        run("export-model", place / "mail.db", name, place / f"{name}-model")
    (place / "in").mkdir()
    cells = [*texts, None, "", "zzz"]
    table = pyarrow.table({"id": list(range(len(cells))), "message": cells})
    pq.write_table(table.slice(0, 40), place / "in" / "a.parquet", row_group_size=16)
    pq.write_table(table.slice(40), place / "in" / "b.parquet")
    return place


def said_by_sql(town: Path, name: str, cells: list[Any]) -> list[tuple]:
    with closing(connect(town / "mail.db")) as conn:
        register(conn)
        sql = "select ft_classify(?1, ?2), ft_score(?1, ?2), ft_logprob(?1, ?2), ft_known(?1, ?2)"
        return [rows(conn, sql, [cell, name])[0] for cell in cells]


def check_answers(town: Path, name: str, cells: list[Any]) -> None:
    found = Model(town / f"{name}-model").predict(cells)
    right = said_by_sql(town, name, [None if cell is True else cell for cell in cells])
    assert len(found["label"]) == len(cells)
    for label, score, logprob, known, sql in zip(*found.values(), right, strict=True):
        assert label == sql[0]
        assert type(label) is type(sql[0])
        for ours, theirs in ((score, sql[1]), (logprob, sql[2]), (known, sql[3])):
            assert (ours is None) == (theirs is None)
            assert ours is None or ours == pytest.approx(theirs, abs=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_a_column_is_classified_as_sql_does_it(town: Path, name: str):
    texts = pq.read_table(town / "in")["message"].to_pylist()
    check_answers(town, name, [*texts, *ODD])
    if name == "topics":
        labels = Model(town / "topics-model").classify(texts)
        assert None in labels[:60]  # for want of the minimum score


@given(st.lists(st.text(max_size=40) | st.integers(-9, 2**40) | st.floats(width=32), max_size=4))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
def test_any_cell_is_classified_as_sql_does_it(town: Path, cells: list[Any]):
    check_answers(town, "subjects", cells)
    check_answers(town, "topics", cells)


def test_every_kind_of_column_is_read_alike(town: Path):
    np, pd = pytest.importorskip("numpy"), pytest.importorskip("pandas")
    pl = pytest.importorskip("polars")
    model = Model(town / "urgent-model")
    cells = ["the street is flooded", None, "no bins", ""]
    right = model.classify(cells)
    assert {type(label) for label in right} == {int, type(None)}
    array = pyarrow.array(cells)
    for column in (
        array, pyarrow.chunked_array([array[:1], array[1:]]), array.dictionary_encode(),
        pl.Series(cells), pd.Series(cells), pd.Series(cells, dtype="string"),
        pd.Series(cells, dtype="category"), np.array(cells, dtype=object),
    ):  # fmt: skip
        assert model.classify(column) == right
        assert model.arrow(column).to_pylist() == right
    assert model.arrow(cells).type == pyarrow.int64()
    assert [one["label"] for one in model.arrow_struct(cells).to_pylist()] == right
    assert model.classify([]) == []


def recipe(heading: str) -> str:
    """The code below a heading of docs/scale.md."""
    text = (ROOT / "docs" / "scale.md").read_text(encoding="utf-8")
    section = text.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    return "\n".join(re.findall(r"^```python\n(.*?)^```", section, re.DOTALL | re.MULTILINE))


@pytest.mark.parametrize(
    ("heading", "package"),
    [("DuckDB", "duckdb"), ("Polars", "polars"), ("pandas", "pandas"), ("PyArrow", "pyarrow")],
)
def test_the_recipe_answers_as_sql_does(
    town: Path, monkeypatch: pytest.MonkeyPatch, heading: str, package: str
):
    pytest.importorskip(package, reason=f"{package} is not installed")
    monkeypatch.chdir(town)
    monkeypatch.syspath_prepend(str(town))  # and what the recipe puts before it goes with it
    monkeypatch.delitem(sys.modules, "classify", raising=False)
    exec(compile(recipe(heading), f"docs/scale.md: {heading}", "exec"), {"__name__": "recipe"})
    monkeypatch.delitem(sys.modules, "classify", raising=False)
    check_written(town, Path("topics.parquet"))


def check_written(town: Path, path: Path) -> None:
    """Each row is there once, with the label that SQL gives it."""
    table = pq.read_table(path).sort_by("id")
    column = "topic" if "topic" in table.column_names else "label"
    assert table["id"].to_pylist() == list(range(63))
    right = said_by_sql(town, "topics", table["message"].to_pylist())
    assert table[column].to_pylist() == [one[0] for one in right]
    assert {None} < set(table[column].to_pylist())
