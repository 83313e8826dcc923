"""A file with many jobs of a megabyte each, as a stranger may make it: whoever lists them holds one
at a time."""

from __future__ import annotations

import json
import os
import sqlite3
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, redirect_stdout
from pathlib import Path

import pytest
from commands import run_json
from visiting import ROOT, get, serve

from datasette_ftclassify.cli import ftclassify
from datasette_ftclassify.core.database import connect
from datasette_ftclassify.jobs.check_results import check_rows
from datasette_ftclassify.jobs.stale import answers_in
from datasette_ftclassify.jobs.sweep import sweeps_of
from datasette_ftclassify.jobs.sweep_result import sweep_result
from datasette_ftclassify.jobs.train_version import former_request
from datasette_ftclassify.store.batches import open_batches
from datasette_ftclassify.store.classifiers import find_classifier
from datasette_ftclassify.store.jobs.new_rows import list_following
from datasette_ftclassify.trainers.registry import get_trainer

OF_EACH_KIND = 16
TEXTS = {f"text {n}": "x" * 90_000 for n in range(14)}
MOST = 10_000_000
"""Bytes: some copies of one, and half of those of one kind."""

LITTLE = 1_000_000
"""Bytes: less than one."""


@pytest.fixture(scope="module")
def path(trained_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("jobs") / "town.db"
    path.write_bytes(trained_file.read_bytes())
    with closing(connect(path)) as conn, conn:
        task = find_classifier(conn, "topics").task.to_dict()
        for kind, state in (
            ("check", "finished"), ("review", "queued"),
            ("train", "finished"), ("predict", "queued"),
        ):  # fmt: skip
            for number in range(OF_EACH_KIND):
                settings = {
                    "task": task, "table": "messages", "queue": "audit", "sweep": "s",
                    "name": "n", "options": {"seed": number}, "fields": TEXTS,
                }  # fmt: skip
                conn.execute(
                    "insert into _ftclassify_jobs (kind, state, settings, created_at, updated_at)"
                    " values (?, ?, ?, '2026-01-01T00:00:00Z', '2026-01-01T00:00:00Z')",
                    [kind, state, json.dumps(settings)],
                )
    return path


@contextmanager
def little_memory(most: int = MOST) -> Iterator[None]:
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < most
    finally:
        tracemalloc.stop()


def _checked(conn: sqlite3.Connection) -> object:
    task, service = find_classifier(conn, "topics").task, get_trainer("openai")
    return check_rows(conn, task, None, service, None, most=0).findings  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("act", "wanted"),
    [
        (_checked, None),
        (lambda conn: former_request(conn, find_classifier(conn, "topics")).name, "topics"),
        (lambda conn: sweeps_of(conn, "messages"), ["s"]),
        (lambda conn: len(sweep_result(conn, "s").tried[0].trained), OF_EACH_KIND),
        (lambda conn: answers_in(conn, "messages"), []),
    ],
)
def test_one_job_is_in_memory_at_a_time(
    path: Path, act: Callable[[sqlite3.Connection], object], wanted: object
) -> None:
    with closing(connect(path)) as conn:
        assert act(conn) == wanted  # what is imported is in memory now
        with little_memory():
            act(conn)


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_the_list_is_printed_job_by_job(path: Path, form: list[str]) -> None:
    words = ["jobs", "list", str(path), *form]
    with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere), little_memory():
        ftclassify(words, standalone_mode=False)


def test_a_list_that_is_printed_job_by_job_is_json(tmp_path: Path, trained_file: Path) -> None:
    some = run_json("jobs", "list", trained_file)["jobs"]
    assert [job["kind"] for job in some].count("train") == 3
    assert some[0]["id"] == len(some)
    connect(tmp_path / "empty.db", must_exist=False).close()
    assert run_json("jobs", "list", tmp_path / "empty.db") == {"jobs": []}


LARGE = json.dumps({"report": TEXTS})
ADD = (
    "insert into _ftclassify_jobs (kind, state, settings, classifier_id, result, position, remote,"
    " created_at, updated_at)"
    " values (?, 'finished', ?, ?, ?, ?, ?, '2026-01-01T00:00:00Z', '2026-01-01T00:00:00Z')"
)


@pytest.mark.parametrize("kind", ["train", "predict"])
@pytest.mark.parametrize("known", [True, False])
async def test_lists_leave_out_what_makes_a_job_large(
    trained_file: Path, tmp_path: Path, kind: str, known: bool
) -> None:
    """known: that a classifier says the table, or settings of a usual size do"""
    path = tmp_path / "town.db"
    path.write_bytes(trained_file.read_bytes())
    with closing(connect(path)) as conn, conn:
        classifier = find_classifier(conn, "topics")
        settings = {"task": classifier.task.to_dict()}
        large = (LARGE, f"[{LARGE}]", LARGE)
        for _ in range(64):
            words = {"fields": TEXTS} if known else settings
            id_ = classifier.id if known else None
            conn.execute(ADD, [kind, json.dumps(words), id_, *large])
    datasette = serve(path)
    page = await get(datasette, "/town/-/ftclassify/jobs.json", ROOT)
    assert [job["table"] for job in page.json()["jobs"]][:64] == ["messages"] * 64
    words = ["jobs", "list", str(path)]
    with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere), little_memory(LITTLE):
        await get(datasette, "/town/-/ftclassify/jobs.json", ROOT)
        ftclassify(words, standalone_mode=False)


async def test_older_jobs_are_listed_behind_many_damaged_ones(
    trained_file: Path, tmp_path: Path
) -> None:
    path = tmp_path / "town.db"
    path.write_bytes(trained_file.read_bytes())
    with closing(connect(path)) as conn, conn:
        for _ in range(300):
            conn.execute(ADD, ["train", "{", None, None, None, None])
    page = await get(serve(path), "/town/-/ftclassify/jobs.json", ROOT)
    before = await get(serve(trained_file), "/town/-/ftclassify/jobs.json", ROOT)
    ids = [[job["id"] for job in found.json()["jobs"]] for found in (page, before)]
    assert ids[0] == ids[1] != []


@pytest.mark.parametrize("page", ["jobs.json", "review.json?table=messages"])
async def test_a_page_holds_one_job_at_a_time(path: Path, page: str) -> None:
    datasette = serve(path)
    assert (await get(datasette, f"/town/-/ftclassify/{page}", ROOT)).status_code == 200
    with little_memory():
        await get(datasette, f"/town/-/ftclassify/{page}", ROOT)


@pytest.mark.parametrize("uid", ["'u' || i", "printf('%.*c', 4000000 / i, 'u') || i"])
def test_of_tables_to_follow_few_are_read(trained: Path, uid: str) -> None:
    numbers = "with recursive n(i) as (select 1 union all select i + 1 from n where i < 20000)"
    with closing(connect(trained)) as conn, conn:
        rows = f"{numbers} select 'messages', {uid}, 1, '' from n"
        conn.execute(f"insert into _ftclassify_following {rows}")
        with little_memory(LITTLE):
            assert len(list_following(conn)) == len(list_following(conn, "messages")) == 1_000


def test_of_batches_few_are_read_and_none_that_we_do_not_write(trained: Path) -> None:
    with closing(connect(trained)) as conn, conn:
        for number in range(100):
            conn.execute(
                "insert into _ftclassify_batches (job_id, tag, state, requests, detail, created_at,"
                " updated_at) values (1, ?, 'running', 1, printf('%.*c', 1000000, 'd'), '', '')",
                [f"t{number}"],
            )
        with little_memory(LITTLE):
            assert len(open_batches(conn, 1)) == 20
