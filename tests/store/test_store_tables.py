"""What stands in the place of our tables: read when it is a table like ours, else refused; and
never for longer than a moment."""

from __future__ import annotations

import gc
import json
import resource
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest
from commands import run
from running_jobs import queue_predict, without_jobs
from sample_databases import answer, value
from visiting import ROOT, get, serve

from datasette_ftclassify.core.database import connect
from datasette_ftclassify.core.errors import ArtifactError, FtclassifyError
from datasette_ftclassify.core.splits import SplitPlan
from datasette_ftclassify.core.task import define
from datasette_ftclassify.core.time_limit import TooSlow, within, work_time
from datasette_ftclassify.jobs import finding_rows
from datasette_ftclassify.jobs.check import submit_check
from datasette_ftclassify.jobs.evaluate import evaluate_classifier
from datasette_ftclassify.jobs.new_rows import queue_new_rows
from datasette_ftclassify.jobs.predict import predict_rows
from datasette_ftclassify.jobs.runner import work
from datasette_ftclassify.jobs.train import train_classifier
from datasette_ftclassify.jobs.train_request import TrainRequest
from datasette_ftclassify.sql.functions import register
from datasette_ftclassify.store.classifiers import find_classifier, set_default
from datasette_ftclassify.store.deletion import delete_classifier
from datasette_ftclassify.store.jobs.state import add_job, get_job
from datasette_ftclassify.store.schema import ensure_schema
from datasette_ftclassify.store.tables import check_tables, check_triggers, open_database
from datasette_ftclassify.web.background_reads import write_aside

ENDLESS = "with recursive n(i) as (select 1 union all select i + 1 from n) select i from n"
OURS = "/town/-/ftclassify"

REFUSED = {
    "a view": "create view _ftclassify_x as select 1",
    "a view in capitals": "create view _FtClassify_X as select 1",
    "a virtual table": "create virtual table _ftclassify_x using fts5(a)",
    "a computed column": "create table _ftclassify_x (a, b as (hex(a)))",
    "a stored column": "create table _ftclassify_x (a, b generated always as (a) stored)",
    "a check": "create table _ftclassify_x (a check (a like '%a%a'))",
    "a check of the table": "create table _ftclassify_x (a, check (hex(a) > 1))",
    "a computed default": "create table _ftclassify_x (a default (hex(randomblob(9))))",
    "a check behind a text that looks like a comment":
        "create table _ftclassify_x (a default '--', b check (a like '%'), c default '\n')",
    "a check behind a bracket": 'create table _ftclassify_x ("a)" check (hex(1)))',
    "an index of an expression": "create table _ftclassify_x (a);"
        " create index i on _ftclassify_x (a || 1)",
    "an index of some rows": "create table _ftclassify_x (a);"
        " create index i on _ftclassify_x (a) where a like '%a'",
    "an index with our name": "create table t (a); create index _ftclassify_i on t (hex(a))",
    "the notes of migrations": "create view _sqlite_migrations as select 1",
    "very many tables": ";".join(f"create table _ftclassify_{i} (a)" for i in range(1_100)),
    "a very long definition": f"create table _ftclassify_x (a /*{'x' * 30_000}*/)",
}  # fmt: skip

ACCEPTED = {
    "an index of columns": "create table _ftclassify_x (a, b);"
        " create index i on _ftclassify_x (a, b desc)",
    "the same as a tool copies it": 'create table "_ftclassify_x"("a" INT, b VARCHAR(10) not null)',
    "keys": "create table _ftclassify_x (a, b references _ftclassify_y (id) on delete cascade,"
        " [c d] default 'x (y', primary key (a, b), unique (b)) without rowid",
    "comments": "create table _ftclassify_x ( -- a (b) check\n a /* generated (as (x)) */)",
    "other names": "create view ftclassify_x as select 1; create view x_ftclassify_ as select 1",
}  # fmt: skip


@pytest.mark.parametrize("how", REFUSED)
def test_what_computes_something_is_no_table_of_ours(how: str):
    with closing(sqlite3.connect(":memory:")) as conn:
        conn.executescript(REFUSED[how])
        with pytest.raises(ArtifactError, match=r"in this file|too many"):
            check_tables(conn)
        with pytest.raises(ArtifactError):
            ensure_schema(conn)


@pytest.mark.parametrize("how", ACCEPTED)
def test_what_tools_make_of_our_tables_is_read(how: str):
    with closing(sqlite3.connect(":memory:")) as conn:
        conn.executescript(ACCEPTED[how])
        check_tables(conn)


def test_our_own_tables_are_ours(trained: Path):
    with closing(open_database(trained)) as conn:
        check_tables(conn)
        check_triggers(conn)
        conn.execute("attach ? as other", [str(trained)])
        check_tables(conn, "other")


@pytest.fixture
def conn() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(":memory:")) as conn:
        yield conn


def endless(conn: sqlite3.Connection) -> None:
    conn.execute(f"select count(*) from ({ENDLESS})").fetchone()


def is_limited(conn: sqlite3.Connection) -> bool:
    """Whether some limit is on the connection: without one, a long query comes to its end."""
    try:
        conn.execute(f"select count(*) from ({ENDLESS} limit 300000)").fetchone()
    except sqlite3.OperationalError:
        return True
    return False


def test_a_limit_ends_what_is_endless_and_itself(conn):
    with pytest.raises(TooSlow, match=r"longer than 0\.05 s"), within(conn, 0.05):
        endless(conn)
    assert not is_limited(conn)


def test_an_inner_limit_leaves_the_outer_one_in_force(conn):
    def both() -> None:
        with pytest.raises(TooSlow), within(conn, 0.05):
            endless(conn)
        endless(conn)

    with pytest.raises(TooSlow, match=r"longer than 0\.2 s"), within(conn, 0.2):
        both()


def test_an_inner_limit_is_no_way_past_the_outer_one(conn):
    began = time.process_time()
    with pytest.raises(TooSlow), within(conn, 0.05), within(conn, 600):
        endless(conn)
    assert time.process_time() - began < 30


def test_what_swallows_the_interruption_is_still_told(conn):
    def swallow() -> None:
        with suppress(sqlite3.OperationalError):
            endless(conn)

    with pytest.raises(TooSlow), within(conn, 0.05):
        swallow()


def test_the_collector_of_garbage_is_not_the_files_fault(conn):
    """It looks at all that the process holds, and that may be much."""
    held = [[] for _ in range(1_000_000)]
    began = time.thread_time()
    with within(conn, 0.5, work_time):
        while time.thread_time() - began < 0.6:
            gc.collect()
        assert not is_limited(conn), "so it was looked at the clock"
    assert len(held) == 1_000_000
    with pytest.raises(TooSlow), within(conn, 0.1, work_time):
        endless(conn)


def put_in_place(path: Path, table: str, what: str) -> None:
    with closing(connect(path)) as conn, conn:
        conn.execute(f"drop table {table}")
        conn.execute(what)


PAGES = ("/", "/town", "/town/messages", "/town/messages/1", "/-/ftclassify", "/-/ftclassify.json",
         OURS, f"{OURS}/jobs", f"{OURS}/jobs/1", f"{OURS}/classifiers/topics",
         f"{OURS}/classifiers/topics/rows", f"{OURS}/classifiers/topics/try?text=drain",
         f"{OURS}/classify?table=messages", f"{OURS}/train?table=messages",
         f"{OURS}/export?table=messages",
         "/town.json?sql=select+ft_classify_json('a+drain')&_shape=array")  # fmt: skip


@pytest.mark.parametrize("immutable", [False, True])
@pytest.mark.parametrize("table", ["classifiers", "jobs", "columns", "settings", "tasks"])
async def test_an_endless_view_in_the_place_of_a_table_holds_up_nobody(
    trained: Path, table: str, immutable: bool
):
    name = f"_ftclassify_{table}"
    put_in_place(trained, name, f"create view {name} as {ENDLESS}")
    datasette = serve(immutables=(trained,)) if immutable else serve(trained, writers=ROOT)
    for page in PAGES:
        began = time.process_time()
        response = await get(datasette, page, ROOT, follow_redirects=True)
        assert time.process_time() - began < 3, page
        assert response.status_code < 500, page
        if "/-/" not in page and "sql=" not in page:
            assert response.status_code == 200, page
    assert f"{name} in this file is a view" in (await get(datasette, OURS, ROOT)).text


def test_functions_and_commands_say_that_it_is_a_view(trained: Path):
    name = "_ftclassify_classifiers"
    put_in_place(trained, name, f"create view {name} as {ENDLESS}")
    with closing(connect(trained)) as conn:
        register(conn)
        assert value(conn, "select ft_classify('a drain')") is None
        assert "is a view" in answer(conn, "select ft_classify_json('a drain')")["error"]
    for command in (["classifiers", "list"], ["jobs", "list"], ["work"]):
        result = run(*command, trained, code=1)
        assert result.stderr.startswith(f"Error: {name} in this file is a view")
        assert result.stderr.count("\n") == 1


def test_nothing_is_written_where_a_trigger_would_run(trained: Path):
    with closing(connect(trained)) as conn:
        conn.execute(
            "create trigger evil after update on _ftclassify_jobs"
            f" begin insert into messages (message) {ENDLESS}; end"
        )
    with closing(connect(trained)) as conn:
        for write in (lambda: set_default(conn, "urgent"), lambda: add_job(conn, "check", {})):
            with pytest.raises(ArtifactError, match='drop trigger "evil"'):
                write()
        register(conn)
        assert value(conn, "select ft_classify('a drain')") is not None


ONE_STEP = "instr(hex(zeroblob(4000000)), hex(zeroblob(2000000)) || 'b') > 0"
"""True of no row; to find that out takes hours, in one step of SQLite that nothing interrupts."""


def checked(path: Path, where: str) -> int:
    """A finished check with a finding whose rows are those of the condition."""
    with closing(connect(path)) as conn:
        task = define(conn, "messages", text=["message"], labels=["topic"])
        job = submit_check(conn, task, SplitPlan())
        assert work(conn) == 1
        finding = {"code": "empty", "severity": "error", "count": 2, "message": "m", "advice": "a",
                   "where": where, "keys": []}  # fmt: skip
        with conn:
            conn.execute(
                "update _ftclassify_jobs set result = json_set(result, '$.findings', json(?))"
                " where id = ?",
                [json.dumps([finding]), job.id],
            )
    return job.id


@pytest.mark.parametrize("where", [f"id in ({ENDLESS})", ONE_STEP, "length(randomblob(999999999))"])
async def test_a_stored_condition_is_read_elsewhere_and_not_for_long(trained: Path, where: str):
    job = checked(trained, where)
    datasette = serve(trained)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    response = await get(datasette, f"{OURS}/jobs/{job}/finding/0", ROOT)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = 2.0  # at most, of the process
    took = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    assert took < finding_rows.CPU_SECONDS + start
    assert response.status_code in (400, 503)
    assert "the rows again" in response.text.lower()


async def test_the_rows_of_a_stored_condition_are_shown(trained: Path):
    job = checked(trained, "id in (3, 4)")
    for datasette in (serve(trained), serve(immutables=(trained,))):
        found = (await get(datasette, f"{OURS}/jobs/{job}/finding/0.json", ROOT)).json()
        assert [row["key"] for row in found["rows"]] == [[3], [4]]


def test_the_look_for_new_rows_runs_no_condition_of_the_file(trained: Path):
    job_id = queue_predict(without_jobs(trained))
    with closing(connect(trained)) as conn:
        uid = get_job(conn, job_id).settings["uid"]
        settings = {**get_job(conn, job_id).settings, "where": f"id in ({ENDLESS})"}
        with conn:
            conn.execute(
                "update _ftclassify_jobs set state = 'finished', settings = ?",
                [json.dumps(settings)],
            )
            conn.execute(
                "insert into _ftclassify_following values ('messages', ?, ?, '')", [uid, job_id]
            )
        with within(conn, 10):
            assert queue_new_rows(conn) == []


async def test_what_a_page_reads_beside_datasette_has_its_limit(trained: Path, monkeypatch):
    monkeypatch.setattr("datasette_ftclassify.web.background_reads.WRITE_SECONDS", 0.05)
    datasette = serve(trained)

    class Asked:
        db = datasette.get_database("town")
        database = "town"

    with pytest.raises(FtclassifyError, match="longer than"):
        await write_aside(Asked(), endless)  # type: ignore[arg-type]


def counted(conn: sqlite3.Connection) -> dict[str, int]:
    return dict(conn.execute('select "table", count from _counts').fetchall())


def enable_counts(path: Path) -> None:
    subprocess.run([sys.executable, "-m", "sqlite_utils", "enable-counts", str(path)], check=True)


def test_tables_whose_rows_sqlite_utils_counts_are_written_as_ever(trained: Path):
    enable_counts(trained)
    with closing(connect(trained)) as conn:
        topics = find_classifier(conn, "topics")
        assert predict_rows(conn, topics, "messages").written == 557
        evaluate_classifier(conn, topics)
        task = define(conn, "messages", text=["message"], labels=["urgent"])
        train_classifier(conn, task, TrainRequest(name="more", curve=False))
        delete_classifier(conn, "urgent")
        counts = counted(conn)
        ours = [name for name in counts if name.startswith("_ftclassify_")]
        assert len(ours) > 10
        for name in ours:
            assert counts[name] == value(conn, f"select count(*) from {name}"), name


ANOTHER = """create trigger _ftclassify_jobs_counts_insert after insert on _ftclassify_jobs begin
    insert or replace into _counts values ('_ftclassify_jobs', coalesce(
    (select count from _counts where "table" = '_ftclassify_jobs'), 0) + 1); {more} end"""


@pytest.mark.parametrize("changes", [
    # More than a count, in a trigger of the same name.
    ["drop trigger _ftclassify_jobs_counts_insert",
     ANOTHER.format(more="update _ftclassify_jobs set settings = '{}';")],
    ["drop trigger _ftclassify_jobs_counts_insert",
     ANOTHER.format(more="").replace("+ 1", f"+ ({ENDLESS})")],
    ["drop trigger _ftclassify_jobs_counts_insert",
     ANOTHER.format(more="").replace("after insert on", "after update on")],
    # Something happens when the counts are written.
    ["create trigger also after insert on _counts begin delete from _ftclassify_jobs; end"],
    ["create trigger also before delete on _counts begin delete from _ftclassify_jobs; end"],
    ["create index also on _counts (abs(count))"],
    # The counts are something else.
    ["drop table _counts", 'create table _counts("table", count, more as (count + 1))'],
    ["drop table _counts", 'create table _counts("table" text primary key, count check (1))'],
    ["drop table _counts", 'create view _counts as select 1 as "table", 1 as count'],
])  # fmt: skip
def test_a_trigger_that_does_more_than_count_is_refused(trained: Path, changes: list[str]):
    enable_counts(trained)
    with closing(sqlite3.connect(trained)) as conn, conn:
        for change in changes:
            conn.execute(change)
    with (
        closing(connect(trained)) as conn,
        pytest.raises(ArtifactError, match=r"_counts_(insert|delete) in this file runs"),
    ):
        add_job(conn, "check", {})


def test_counts_of_an_earlier_sqlite_utils_are_known(trained: Path):
    with closing(connect(trained)) as conn:
        with conn:
            conn.execute(
                "CREATE TABLE IF NOT EXISTS [_counts](\n   [table] TEXT PRIMARY KEY,\n"
                "   count INTEGER DEFAULT 0\n)"
            )
            conn.execute(
                "CREATE TRIGGER IF NOT EXISTS [_ftclassify_jobs_counts_insert] AFTER INSERT ON"
                " [_ftclassify_jobs]\nBEGIN\n    INSERT OR REPLACE INTO [_counts]\n    VALUES (\n"
                "        '_ftclassify_jobs',\n        COALESCE(\n            (SELECT count FROM"
                " [_counts] WHERE [table] = '_ftclassify_jobs'),\n        0\n        ) + 1\n"
                "    );\nEND"
            )
        add_job(conn, "check", {})
        assert counted(conn) == {"_ftclassify_jobs": 1}
