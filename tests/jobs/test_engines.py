"""Dask and Spark, with two workers each, where they are installed."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from running_jobs import wait_for

from datasette_ftclassify.jobs.files.part import UNFINISHED

pyarrow = pytest.importorskip("pyarrow", reason="the files extra is not installed")
pq = pytest.importorskip("pyarrow.parquet")

from recipes import ROWS, check_written, make_folder, recipe, said_by_sql  # noqa: E402

ENGINES = [
    pytest.param("Spark", marks=pytest.mark.skipif(
        find_spec("pyspark") is None or shutil.which("java") is None,
        reason="the spark extra, or Java, is not installed",
    )),
    pytest.param("Dask", marks=pytest.mark.skipif(
        find_spec("distributed") is None, reason="the dask extra is not installed",
    )),
]  # fmt: skip
PATIENCE = 600.0
"""Seconds: Java starts slowly."""


@pytest.fixture(scope="module")
def town(trained_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_folder(trained_file, tmp_path_factory.mktemp("engines"))


@pytest.fixture
def place(town: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it to work in; Spark has two workers there, and says little."""
    folder = tmp_path / "town"
    shutil.copytree(town, folder)
    monkeypatch.setenv("PYSPARK_PYTHON", sys.executable)
    two = "--master local[2] --conf spark.ui.enabled=false pyspark-shell"
    monkeypatch.setenv("PYSPARK_SUBMIT_ARGS", two)
    monkeypatch.setenv("SPARK_LOCAL_IP", "127.0.0.1")
    return folder


@pytest.mark.parametrize("heading", ENGINES)
def test_the_recipe_answers_as_sql_does(place: Path, heading: str):
    (place / "recipe.py").write_text(recipe(heading))
    done = subprocess.run(
        [sys.executable, "recipe.py"], cwd=place, capture_output=True, text=True, timeout=PATIENCE
    )
    assert done.returncode == 0, done.stderr[-3000:]
    check_written(place)


@pytest.mark.parametrize("heading", ENGINES)
def test_a_worker_of_a_cluster_is_killed_and_no_row_is_lost_or_doubled(
    place: Path, monkeypatch: pytest.MonkeyPatch, heading: str
):
    monkeypatch.delenv("PYSPARK_SUBMIT_ARGS")
    table = pq.read_table(place / "in")
    texts = table["message"].to_pylist()
    files, rows = 4, ROWS * 20
    for number in range(files):
        ids = range(number * rows, (number + 1) * rows)
        many = pyarrow.table({"id": list(ids), "message": texts * 20})
        pq.write_table(many, place / f"{number}.parquet")
    out = place / "out"

    def at_work() -> list[int]:
        names = [path.name for path in out.glob(f".*.parquet.*{UNFINISHED}")]
        return [int(name.split(".")[3].split("-")[0]) for name in names]

    command = [
        "predict-files", place / "topics-model", place / "[0-9].parquet", out,
        "--engine", heading.lower(), "--workers", "2",
    ]  # fmt: skip
    # No fork of another program, which could not have processes of its own.
    with subprocess.Popen(
        [sys.executable, "-m", "datasette", "ftclassify", *map(str, command)],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    ) as program:  # fmt: skip
        wait_for(lambda: at_work() or program.poll() is not None, "a worker", PATIENCE)
        workers = at_work()
        if workers:
            os.kill(workers[0], signal.SIGKILL)
        said, _ = program.communicate(timeout=PATIENCE)
    assert program.returncode == 0, said
    assert workers, said
    assert "classified 4,880 of 5,040 rows of 4 files" in said
    written = pq.read_table(out).sort_by("id")
    assert written["id"].to_pylist() == list(range(files * rows))
    right = [label for label, *_ in said_by_sql(place, "topics", texts)]
    assert written["topics_label"].to_pylist() == right * 20 * files
