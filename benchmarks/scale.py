"""Rows a second beyond SQL: DuckDB, Polars, pandas, PyArrow, Spark and Dask beside `ft_classify`.

    python benchmarks/scale.py [--rows 20000] [--ways DuckDB Spark …] [--large 1000000 …]

Trains a classifier of made-up intents, exports it, and classifies the same texts of about 60
characters by each way that is installed, one after the other. Starting (of Java, workers, imports)
is not counted; a first run of each way is not either. Seconds are by the clock and, where the work
is in this process, of processor: on a machine with other work only the latter says much.
`--first` has each recipe of docs/scale.md answer one row in a program of its own.
`--large` has `predict-files` classify so many rows of Parquet with one worker and says how long it
took and how much memory.
"""

from __future__ import annotations

import argparse
import itertools
import os
import resource
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import measured  # noqa: F401
import pyarrow
import pyarrow.parquet as pq
import temporary_ledger  # noqa: F401
from click.testing import CliRunner
from predict_speed import made_up
from recipes import recipe
from sql_functions import make_database

from datasette_ftclassify.cli import ftclassify
from datasette_ftclassify.sql.functions import register

FILES = 8
LABELS = 20


def command(*arguments: object) -> str:
    done = CliRunner().invoke(ftclassify, list(map(str, arguments)), catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def write_rows(folder: Path, texts: list[str], rows: int, files: int) -> None:
    """Each text with a number behind it, so that all are different."""
    folder.mkdir()
    each = -(-rows // files)
    for number in range(files):
        ids = range(number * each, min((number + 1) * each, rows))
        schema = pyarrow.schema([("id", pyarrow.int64()), ("text", pyarrow.string())])
        with pq.ParquetWriter(folder / f"{number}.parquet", schema) as writer:
            for start in range(ids.start, ids.stop, 50_000):
                some = range(start, min(start + 50_000, ids.stop))
                cells = [f"{texts[i % len(texts)]} {i}" for i in some]
                writer.write_table(pyarrow.table({"id": list(some), "text": cells}, schema))


Run = Callable[[], int]
"""Classifies all rows; how many got a label."""


def in_sql(place: Path) -> Run:
    conn = sqlite3.connect(place / "bench.db")
    register(conn)
    conn.execute("create temp table rows (id integer primary key, text)")
    table = pq.read_table(place / "in")
    conn.executemany(
        "insert into rows values (?, ?)", zip(*table.to_pydict().values(), strict=True)
    )
    sql = "select count(ft_classify(text)) from rows"
    return lambda: int(conn.execute(sql).fetchone()[0])


def model_of(place: Path) -> Any:
    sys.path.insert(0, str(place / "model"))
    from classify import Model

    return Model(place / "model")


def in_duckdb(place: Path) -> Run:
    import duckdb

    con = duckdb.connect()
    con.create_function(
        "classify", model_of(place).arrow, ["VARCHAR"], "VARCHAR", type="arrow",
        null_handling="special",
    )  # fmt: skip
    sql = f"select count(classify(text)) from '{place}/in/*.parquet'"
    return lambda: int(con.sql(sql).fetchall()[0][0])


def in_polars(place: Path) -> Run:
    import polars as pl

    model = model_of(place)

    def classified(column: pl.Series) -> pl.Series:
        return pl.Series(model.classify(column), dtype=pl.String)

    rows = pl.scan_parquet(place / "in" / "*.parquet")
    label = pl.col("text").map_batches(classified, return_dtype=pl.String)
    return lambda: int(rows.select(label.count()).collect().item())


def in_pandas(place: Path) -> Run:
    import pandas as pd

    model, frame = model_of(place), pd.read_parquet(place / "in")
    return lambda: sum(label is not None for label in model.classify(frame["text"]))


def in_pyarrow(place: Path) -> Run:
    model, table = model_of(place), pq.read_table(place / "in")
    return lambda: len(table) - int(model.arrow(table["text"]).null_count)


def in_spark(place: Path, workers: int) -> Run:
    from pyspark import SparkFiles
    from pyspark.sql import SparkSession

    spark = SparkSession.builder.master(f"local[{workers}]").getOrCreate()
    spark.sparkContext.setLogLevel("ERROR")
    spark.sparkContext.addFile(str(place / "model"), recursive=True)
    rows = spark.read.parquet(str(place / "in")).repartition(FILES)

    def classified(frames: Any) -> Any:
        import sys

        sys.path.insert(0, SparkFiles.get("model"))
        from classify import Model

        model = Model(SparkFiles.get("model"))
        for frame in frames:
            yield frame.assign(text=model.classify(frame["text"]))

    def run() -> int:
        found = rows.mapInPandas(classified, "id long, text string")
        return int(found.where("text is not null").count())

    run.close = spark.stop  # type: ignore[attr-defined]
    return run


def in_dask(place: Path, workers: int) -> Run:
    import dask.dataframe as dd
    from distributed import Client

    client = Client(n_workers=workers, threads_per_worker=1, dashboard_address=None)
    rows = dd.read_parquet(place / "in")
    folder = str(place / "model")

    times = itertools.count()  # else Dask knows the answers of the first run

    def classified(frame: Any, time: int) -> Any:
        import sys

        if folder not in sys.path:
            sys.path.insert(0, folder)
        from classify import Model

        return frame.assign(text=Model(folder).classify(frame["text"]))

    def run() -> int:
        found = rows.map_partitions(classified, next(times), meta=dict(rows.dtypes))
        return int(found["text"].count().compute())

    run.close = client.close  # type: ignore[attr-defined]
    return run


WAYS: dict[str, Callable[[Path], Run]] = {
    "SQLite": in_sql,
    "DuckDB": in_duckdb,
    "Polars": in_polars,
    "pandas": in_pandas,
    "PyArrow": in_pyarrow,
    "Dask, 1 worker": lambda place: in_dask(place, 1),
    "Dask, 2 workers": lambda place: in_dask(place, 2),
    "Spark, 1 worker": lambda place: in_spark(place, 1),
    "Spark, 2 workers": lambda place: in_spark(place, 2),
}
ELSEWHERE = ("Dask", "Spark")


def measure(name: str, place: Path, rows: int, sql: Run) -> None:
    """Prints a line. sql: measured right before, since the machine may have other work"""
    try:
        run = WAYS[name](place)
    except ImportError as error:
        print(f"{name:18} not installed ({error.name})")
        return
    try:
        assert run() == rows
        base, _ = seconds(sql, rows)
        clock, processor = seconds(run, rows)
    finally:
        getattr(run, "close", lambda: None)()
    own = "" if name.startswith(ELSEWHERE) else f"{rows / processor:,.0f}"
    print(f"{name:18} {rows / clock:12,.0f} {own:>12} {base / clock:10.2f}", flush=True)


def seconds(run: Run, rows: int) -> tuple[float, float]:
    """By the clock, and of processor."""
    clock, processor = time.perf_counter(), time.process_time()
    assert run() == rows
    return time.perf_counter() - clock, time.process_time() - processor


class Peak:
    """The most memory that a worker of this process has had, in MB: asked for now and then, since
    what getrusage(2) says of a process includes what the one that started it had. 0 where there is
    no /proc."""

    def __init__(self) -> None:
        self.mb = 0.0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> Peak:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._done.wait(0.5):
            for status in Path("/proc").glob("[0-9]*/status"):
                with suppress(OSError):
                    fields = dict(line.split(":", 1) for line in status.read_text().splitlines())
                    worker = b"files.worker" in status.with_name("cmdline").read_bytes()
                    if worker and int(fields["PPid"]) == os.getpid() and "VmHWM" in fields:
                        self.mb = max(self.mb, int(fields["VmHWM"].split()[0]) / 1024)


FIRST = {
    "SQLite": """
import sqlite3
from datasette_ftclassify.sql.functions import register
conn = sqlite3.connect("bench.db")
register(conn)
print(conn.execute("select ft_classify('the lamp flickers')").fetchone())
""",
    "numpy alone": """
import sys
sys.path.insert(0, "topics-model")
from classify import Model
print(Model("topics-model").classify(["the lamp flickers"]))
""",
    **{name: recipe(name) for name in ("DuckDB", "Polars", "pandas", "PyArrow", "Dask", "Spark")},
}
"""Programs, to be run where `topics-model`, `in` and `bench.db` are."""


def first(place: Path) -> None:
    """Prints what each program takes that starts, answers one row and ends; the best of three."""
    folder = place / "first"
    shutil.copytree(place / "model", folder / "topics-model")
    shutil.copy(place / "bench.db", folder)
    (folder / "in").mkdir()
    table = pyarrow.table({"id": [1], "message": ["the lamp flickers"]})
    pq.write_table(table, folder / "in" / "0.parquet")
    for name, program in FIRST.items():
        (folder / "program.py").write_text(program)
        runs = []
        for _ in range(3):
            for written in folder.glob("topics.parquet*"):
                shutil.rmtree(written) if written.is_dir() else written.unlink()
            before, clock = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
            command = [sys.executable, "program.py"]
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            if "ModuleNotFoundError" in done.stderr:
                break
            assert done.returncode == 0, done.stderr
            processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            runs.append((processor, time.perf_counter() - clock))
        if runs:
            processor, clock = min(runs)
            told = f"{processor:.2f} s of processor, {clock:.2f} by the clock"
        else:
            told = "not installed"
        print(f"first answer, {name:12} {told}", flush=True)


def large(place: Path, texts: list[str], rows: int) -> None:
    write_rows(place / "large", texts, rows, max(1, rows // 250_000))
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    clock = time.perf_counter()
    with Peak() as peak:
        command("predict-files", place / "model", place / "large/*.parquet", place / "large-out")
    clock = time.perf_counter() - clock
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    written = sum(pq.read_metadata(p).num_rows for p in (place / "large-out").glob("*.parquet"))
    assert written == rows
    print(
        f"predict-files, {rows:,} rows: {clock:,.0f} s by the clock, {processor:,.0f} s of "
        f"processor ({rows / processor:,.0f} rows a second), "
        f"{peak.mb:,.0f} MB at most",
        flush=True,
    )
    shutil.rmtree(place / "large")
    shutil.rmtree(place / "large-out")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--ways", nargs="*", default=list(WAYS), choices=list(WAYS))
    parser.add_argument("--first", action="store_true")
    parser.add_argument("--large", nargs="*", type=int, default=[])
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ftclassify-scale-") as folder:
        place = Path(folder)
        make_database(place / "bench.db", *made_up(2_000, LABELS, 60, seed=1))
        command("export-model", place / "bench.db", "bench", place / "model")
        texts, _ = made_up(5_000, LABELS, 60, seed=2)
        write_rows(place / "in", texts, options.rows, FILES)
        if options.ways:
            print(f"{options.rows:,} rows       rows/s, clock  of processor  x ft_classify")
            sql = in_sql(place)
            for name in options.ways:
                measure(name, place, options.rows, sql)
        if options.first:
            first(place)
        for rows in options.large:
            large(place, texts, rows)


if __name__ == "__main__":
    main()
