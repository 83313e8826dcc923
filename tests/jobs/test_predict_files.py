"""Files are classified as a table is, however often the processes die; also by Dask and Spark, with
two workers each, where they are installed."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from commands import run, run_json
from programs import Program, datasette
from running_jobs import wait_for
from sample_databases import rows

from datasette_ftclassify.core.database import connect
from datasette_ftclassify.jobs.columns import Columns
from datasette_ftclassify.jobs.files import formats
from datasette_ftclassify.jobs.files.part import UNFINISHED, answer_part
from datasette_ftclassify.jobs.files.plan import (
    FilesRequest,
    files_plan,
    find_files,
    read_model_folder,
)

pyarrow = pytest.importorskip("pyarrow", reason="the files extra is not installed")
pq = pytest.importorskip("pyarrow.parquet")


@pytest.fixture(scope="module")
def model(trained_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model") / "topics"
    run("export-model", trained_file, "topics", folder)
    return folder


@pytest.fixture(scope="module")
def messages(trained_file: Path) -> list[str]:
    with closing(connect(trained_file)) as conn:
        return [text for (text,) in rows(conn, "select message from messages")]


@pytest.fixture(scope="module")
def predicted(trained_file: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple]:
    """What `predict` writes beside each message."""
    path = tmp_path_factory.mktemp("table") / "town.db"
    path.write_bytes(trained_file.read_bytes())
    run("predict", path, "messages", "--classifier", "topics", "--known")
    with closing(connect(path)) as conn:
        sql = "select message, topics_label, topics_score, topics_logprobs, topics_known"
        return {row[0]: row[1:] for row in rows(conn, f"{sql} from messages")}


def write_parquet(path: Path, texts: list[str | None], first: int = 0, **how: Any) -> None:
    ids = list(range(first, first + len(texts)))
    more = {"day": pyarrow.array([0] * len(texts), pyarrow.date32()), "tags": [["a"]] * len(texts)}
    pq.write_table(pyarrow.table({"id": ids, "message": texts, **more}), path, **how)


def test_files_get_the_groups_that_a_table_gets(
    trained: Path, messages: list[str], tmp_path: Path
):  # fmt: skip
    with closing(connect(trained)) as conn, conn:
        conn.execute("alter table messages add column team text")
        conn.execute(
            "update messages set team = case when topic like 'Noise%' then 'people' else 'streets'"
            " end where topic is not null"
        )
    minimum = ("classifiers", "minimum", trained, "topics", "--score", "0.97")
    run(*minimum, "--groups", "column:team")
    with closing(connect(trained)) as conn, conn:
        conn.execute(
            "update _ftclassify_minimum_scores set tree = json_set(tree,'$.levels[0]', .6)"
        )
    run("predict", trained, "messages", "--classifier", "topics")
    run("export-model", trained, "topics", tmp_path / "model")
    write_parquet(tmp_path / "a.parquet", messages)
    run("predict-files", tmp_path / "model", tmp_path / "a.parquet", tmp_path / "out")
    table = pq.read_table(tmp_path / "out" / "a.parquet")
    with closing(connect(trained)) as conn:
        expected = rows(conn, "select topics_label, topics_group from messages")
    columns = (table[name].to_pylist() for name in ("topics_label", "topics_group"))
    assert list(zip(*columns, strict=True)) == expected
    assert {group for _, group in expected} >= {"streets", None}
    own = (tmp_path / "model", tmp_path / "a.parquet", tmp_path / "own", "--min-score", "0.5")
    done = run_json("predict-files", *own)
    assert "group" not in done["columns"]  # a score of one's own has no groups


def test_parquet_gets_the_columns_that_a_table_gets(
    model: Path, messages: list[str], predicted: dict[str, tuple], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):  # fmt: skip
    monkeypatch.setattr(formats, "PART_ROWS", 40)
    (tmp_path / "in" / "day=1").mkdir(parents=True)
    texts = [*messages[:70], None, " "]
    write_parquet(tmp_path / "in/day=1/a.parquet", texts, row_group_size=16, compression="zstd")
    write_parquet(tmp_path / "in/empty.parquet", [])
    (tmp_path / "in" / "_metadata.parquet").write_bytes(b"of another program")
    done = run_json(
        "predict-files", model, tmp_path / "in/**/*.parquet", tmp_path / "out", "--known"
    )
    assert (done["files"], done["parts"], done["rows"], done["predicted"]) == (2, 3, 72, 70)
    names = [f"a-0000{i}.parquet" for i in (1, 2)]
    written = [pq.read_table(tmp_path / "out" / "day=1" / name) for name in names]
    assert [len(table) for table in written] == [32, 40]
    table = pyarrow.concat_tables(written)
    before = pq.read_table(tmp_path / "in/day=1/a.parquet", partitioning=None)
    assert table.select(before.column_names) == before
    columns = ["topics_label", "topics_score", "topics_logprobs", "topics_known"]
    for text, *answer in zip(texts, *(table[name].to_pylist() for name in columns), strict=True):
        assert tuple(answer) == predicted.get(text or "", (None,) * 4)
    meta = pq.read_metadata(tmp_path / "out/day=1/a-00001.parquet").row_group(0).column(0)
    assert meta.compression == "ZSTD"
    assert pq.read_table(tmp_path / "out/empty.parquet").column_names[-1] == "topics_known"
    shown = run("predict-files", model, tmp_path / "in/**/*.parquet", tmp_path / "out", "--known")
    assert "3 of 3 parts were written before" in shown.stderr


def test_lines_stay_as_they_are_but_for_the_columns(model: Path, tmp_path: Path):
    (tmp_path / "a.csv").write_text(
        '\ufeffcode,message\n007,"noise, at ""night"""\n1.50,\n\n2e5,"the bins\nwere not emptied"\n'
    )
    (tmp_path / "b.jsonl").write_text(
        '{"message": "noise at night", "n": 1.50, "e": "\\u00e9"}\n\n  {}\n{"message": null}\n'
    )
    done = run_json(
        "predict-files", model, tmp_path / "a.csv", tmp_path / "b.jsonl", tmp_path / "out",
        "--columns-prefix", "p", "--column", "logprobs", "", "--column", "logprob", "",
    )  # fmt: skip
    assert (done["rows"], done["predicted"], done["skipped"]) == (6, 3, 3)
    with (tmp_path / "out" / "a.csv").open(newline="") as file:
        found = list(csv.DictReader(file))
    assert [row["code"] for row in found] == ["007", "1.50", "2e5"]
    assert [row["message"] for row in found] == [
        'noise, at "night"',
        "",
        "the bins\nwere not emptied",
    ]
    assert [row["p_label"] for row in found] == ["Noise", "", "Bins and recycling"]
    assert 0 < float(found[0]["p_score"]) <= 1
    lines = (tmp_path / "out" / "b.jsonl").read_text().splitlines()
    assert lines[0].startswith('{"message": "noise at night", "n": 1.50, "e": "\\u00e9", "p_label"')
    assert [json.loads(line)["p_label"] for line in lines] == ["Noise", None, None]


@pytest.mark.parametrize("kind", ["parquet", "csv", "jsonl"])
def test_memory_does_not_grow_with_the_rows(
    model: Path, messages: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
):
    monkeypatch.setattr(formats, "BATCH", 50)
    monkeypatch.setattr(formats, "_BLOCK", 1 << 14)  # 1 MB waits to be written
    more = 12_000
    peaks = []
    for count in (500, 2_000):
        path, out = tmp_path / f"{count}.{kind}", tmp_path / f"out{count}"
        cells = [(messages[i % len(messages)], f"{i:0{more}}") for i in range(count)]
        if kind == "parquet":
            columns = dict(zip(("message", "more"), zip(*cells, strict=True), strict=True))
            pq.write_table(pyarrow.table(columns), path, row_group_size=100)
        elif kind == "csv":
            with path.open("w", newline="") as file:
                csv.writer(file).writerows([("message", "more"), *cells])
        else:
            path.write_text("".join(json.dumps({"message": m, "more": c}) + "\n" for m, c in cells))
        request = FilesRequest(str(model), (str(path),), out, Columns.named("topics"))
        with files_plan(read_model_folder(str(model)), request) as plan:
            peaks.append(peak_of(lambda part=plan.parts[0]: answer_part(part, lambda rows: None)))
    assert peaks[1] - peaks[0] < 1_500 * more / 4, peaks


def peak_of(work: Callable[[], object]) -> int:
    """Bytes that Python and PyArrow had in memory at once, at most."""
    before = pyarrow.default_memory_pool()
    pool = pyarrow.proxy_memory_pool(before)
    pyarrow.set_memory_pool(pool)
    tracemalloc.start()
    try:
        work()
        return int(tracemalloc.get_traced_memory()[1]) + int(pool.max_memory())
    finally:
        tracemalloc.stop()
        pyarrow.set_memory_pool(before)


def test_a_minimum_score_leaves_the_label_out(model: Path, messages: list[str], tmp_path: Path):
    write_parquet(tmp_path / "a.parquet", messages[:50])
    done = run_json(
        "predict-files", model, tmp_path / "a.parquet", tmp_path / "out", "--min-score", "0.95"
    )
    table = pq.read_table(tmp_path / "out" / "a.parquet")
    given = zip(table["topics_label"].to_pylist(), table["topics_score"].to_pylist(), strict=True)
    assert all((label is None) == (score < 0.95) for label, score in given)
    assert 0 < done["abstained"] == table["topics_label"].null_count < 50


def is_gone(pid: int) -> bool:
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True)
    return state.stdout.strip()[:1] in ("", "Z")


def test_no_row_is_lost_or_doubled_when_a_worker_and_then_all_are_killed(
    model: Path, messages: list[str], predicted: dict[str, tuple], tmp_path: Path
):
    (tmp_path / "in").mkdir()
    out = tmp_path / "out"
    texts = (messages * 2)[:1000]
    for number in range(6):
        write_parquet(tmp_path / "in" / f"{number}.parquet", texts, first=number * 1000)
    command = ["predict-files", str(model), f"{tmp_path}/in/*.parquet", str(out)]

    def at_work() -> list[int]:
        names = [path.name for path in out.glob(f".*.parquet.*{UNFINISHED}")]
        return [int(name.split(".")[3].split("-")[0]) for name in names]

    def whole() -> dict[str, int]:
        return {path.name: path.stat().st_mtime_ns for path in out.glob("*.parquet")}

    program = Program(datasette, "ftclassify", *command, "--workers", "2")
    wait_for(at_work, "a worker")
    os.kill(at_work()[0], signal.SIGKILL)
    wait_for(lambda: len(whole()) >= 2 and at_work(), "two files, and work on another")
    program.send(signal.SIGKILL)
    assert program.wait() == -9, program.output
    wait_for(lambda: all(map(is_gone, at_work())), "the end of its workers")
    before = whole()
    assert 2 <= len(before) < 6

    done = run_json(*command)
    assert done["parts_before"] == len(before)
    assert done["rows"] == (6 - len(before)) * 1000
    assert {name: when for name, when in whole().items() if name in before} == before
    assert not list(out.glob(f".*{UNFINISHED}"))
    table = pq.read_table(out).sort_by("id")
    assert table["id"].to_pylist() == list(range(6000))
    assert table["message"].to_pylist() == texts * 6
    assert table["topics_label"].to_pylist() == [predicted[text][0] for text in texts] * 6


def test_a_file_that_changed_is_answered_again_and_nothing_else(model: Path, tmp_path: Path):
    for name, text in (("a", "noise at night"), ("b", "no bins")):
        (tmp_path / f"{name}.csv").write_text(f"message\n{text}\n")
    command = ("predict-files", model, tmp_path / "*.csv", tmp_path / "out")
    assert run_json(*command)["rows"] == 2
    (tmp_path / "b.csv").write_text("message\nnoise at night\nno bins\n")
    os.utime(tmp_path / "b.csv", (1, 1))
    done = run_json(*command)
    assert (done["parts_before"], done["rows"]) == (1, 2)
    (tmp_path / "a.csv").unlink()
    assert "a.csv; its answers stay" in run(*command).stderr


def bad(name: str, data: str | bytes) -> Any:
    def write(folder: Path) -> list[object]:
        raw = data if isinstance(data, bytes) else data.encode()
        (folder / name).write_bytes(raw)
        return [folder / name]

    return write


def dates(folder: Path) -> list[object]:
    pq.write_table(
        pyarrow.table({"message": pyarrow.array([0], pyarrow.date32())}), folder / "a.parquet"
    )
    return [folder / "a.parquet"]


REFUSED: dict[str, tuple[Any, str]] = {
    "no file": (lambda folder: [folder / "*.csv"], "There is no file"),
    "a folder": (lambda folder: [folder], "is no file"),
    "another kind": (bad("a.xlsx", "x"), "is of no kind that is read"),
    "no text column": (bad("a.csv", "id,body\n1,noise\n"), "has no column message"),
    "two text columns": (bad("a.csv", "message,message\n1,noise\n"), "more than one column"),
    "a column that is there": (bad("a.csv", "message,TOPICS_LABEL\nx,y\n"), "already"),
    "a ragged line": (bad("a.csv", "message,b\nnoise\n"), "line 2: 1 cells"),
    "an open quote": (bad("a.csv", 'message\n"noise\n'), "line 2"),
    "no UTF-8": (bad("a.csv", b"message\nl\xe4rm\n"), "is not UTF-8"),
    "no JSON": (bad("a.jsonl", '{"message": "x"}\nnoise\n'), "line 2"),
    "no object": (bad("a.jsonl", "[1]\n"), "no JSON object"),
    "a list as text": (bad("a.jsonl", '{"message": ["x"]}\n'), "is of type list"),
    "no object with text": (bad("a.jsonl", '{"body": "x"}\n'), "No object"),
    "no Parquet": (bad("a.parquet", "PAR1"), "cannot be read as Parquet"),
    "dates as text": (dates, "is of type date32"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_classified_is_one_clear_line(model: Path, tmp_path: Path, what: str):
    write, said = REFUSED[what]
    (tmp_path / "in").mkdir()
    done = run("predict-files", model, *write(tmp_path / "in"), tmp_path / "out", code=1)
    assert said in done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    assert not list(tmp_path.glob("out/*.*[vl]"))


@pytest.mark.parametrize("delimiter", [";", "\t"])
def test_a_csv_keeps_its_delimiter(model: Path, tmp_path: Path, delimiter: str):
    """Spreadsheets of many countries write semicolons, and some a carriage return in a cell."""
    rows = [["id", "message", "x"], ["1", f"noise{delimiter} at night", "2,5\rabout"]]
    with (tmp_path / "a.csv").open("w", newline="") as file:
        csv.writer(file, delimiter=delimiter).writerows(rows)
    said = run(
        "predict-files", model, tmp_path / "a.csv", tmp_path / "out", "--columns-prefix", "p"
    )
    assert "classified 1 of 1 row" in said.stdout
    with (tmp_path / "out" / "a.csv").open(newline="") as file:
        head, row = csv.reader(file, delimiter=delimiter)
    assert (head[:4], row[:4]) == ([*rows[0], "p_label"], [*rows[1], "Noise"])
    again = run(
        "predict-files", model, tmp_path / "a.csv", tmp_path / "out", "--columns-prefix", "p"
    )
    assert "Nothing left to do" in again.stdout


def test_an_empty_line_of_one_column_is_a_row_without_text(model: Path, tmp_path: Path):
    (tmp_path / "a.csv").write_text("message\nnoise at night\n\nthe bins\n")
    said = run(
        "predict-files", model, tmp_path / "a.csv", tmp_path / "out", "--columns-prefix", "p"
    )
    assert "classified 2 of 3 rows" in said.stdout
    with (tmp_path / "out" / "a.csv").open(newline="") as file:
        rows = [row[:2] for row in csv.reader(file)]
    assert rows[1:] == [["noise at night", "Noise"], ["", ""], ["the bins", rows[3][1]]]


def test_a_name_is_a_name_where_a_file_has_it(tmp_path: Path):
    """And no pattern; where none has it, it is one."""
    folder = tmp_path / "mails [old]"
    folder.mkdir()
    for name in ("a [1].csv", "_b?.csv"):
        (folder / name).touch()
    (tmp_path / "a1.csv").touch()
    names = tuple(str(folder / name) for name in ("a [1].csv", "_b?.csv"))
    found = find_files((*names, str(tmp_path / "a[1-3].csv")), tmp_path / "out")
    assert sorted(found) == ["_b?.csv", "a [1].csv", "a1.csv"]
    (folder / "part-1").mkdir()
    (folder / "part-1" / "c.csv").touch()
    found = find_files((str(folder / "part-?" / "*.csv"),), tmp_path / "out")
    assert found == {"part-1/c.csv": folder / "part-1" / "c.csv"}


def test_answers_go_into_no_folder_of_a_folder_that_is_not_there(model: Path, tmp_path: Path):
    (tmp_path / "a.csv").write_text("message\nnoise\n")
    done = run("predict-files", model, tmp_path / "a.csv", tmp_path / "no" / "out", code=1)
    assert done.stderr == f"Error: There is no folder {tmp_path / 'no'}.\n"


def test_a_model_that_is_paid_for_is_refused(model: Path, trained_file: Path, tmp_path: Path):
    paid = tmp_path / "paid"
    paid.mkdir()
    for file in model.iterdir():
        (paid / file.name).write_bytes(file.read_bytes())
    about = json.loads((paid / "model.json").read_text()) | {"trainer": "openai"}
    (paid / "model.json").write_text(json.dumps(about))
    (tmp_path / "a.csv").write_text("message\nnoise\n")
    done = run("predict-files", paid, tmp_path / "a.csv", tmp_path / "out", code=1)
    assert "at a service (openai) that charges per request" in done.stderr
    done = run("predict-files", trained_file, tmp_path / "a.csv", tmp_path / "out", code=1)
    assert "export a classifier" in done.stderr
    assert not (tmp_path / "out").exists()


def test_no_answers_are_mixed_with_others(model: Path, tmp_path: Path):
    (tmp_path / "a.csv").write_text("message\nnoise\n")
    out = tmp_path / "out"
    run("predict-files", model, tmp_path / "a.csv", out)
    done = run("predict-files", model, tmp_path / "a.csv", out, "--known", code=1)
    assert "other columns or minimums" in done.stderr
    done = run("predict-files", model, out / "a.csv", out, code=1)
    assert "where the answers go" in done.stderr
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").touch()
    done = run("predict-files", model, tmp_path / "a.csv", tmp_path / "full", code=1)
    assert "has other files (mine.txt)" in done.stderr
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "a.csv").write_text("message\nnoise\n")
    done = run("predict-files", model, tmp_path / "a.csv", tmp_path / "b/a.csv", out, code=1)
    assert "would both become" in done.stderr


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
