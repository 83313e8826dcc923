"""Whole columns are classified as SQL does it, by the recipes that the documents give."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from datasette_ftclassify.export.numpy_scorer import Model

pyarrow = pytest.importorskip("pyarrow", reason="the files extra is not installed")
pq = pytest.importorskip("pyarrow.parquet")

from recipes import check_written, make_folder, recipe, said_by_sql  # noqa: E402

NAMES = ("topics", "urgent", "subjects")
ODD = [None, "", " \n", "\u200b", 7, 2.5, float("nan"), b"bytes", True, "zzz", "ﬁ e\u0301\u200b"]


@pytest.fixture(scope="module")
def town(trained_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_folder(trained_file, tmp_path_factory.mktemp("scale"), NAMES)


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
    check_written(town)
