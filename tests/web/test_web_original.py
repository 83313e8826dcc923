"""A file that is published as it is, and not as a copy made for readers: our tables in it give
nothing away to those who may not read them."""

from __future__ import annotations

import json
import shutil
import sqlite3
import threading
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import sqlite_utils
from datasette.app import Datasette
from visiting import ROOT, cookies, fault_of_the_oldest, is_065

from datasette_ftclassify.core import time_limit
from datasette_ftclassify.core.database import connect
from datasette_ftclassify.jobs.publish import publish_copy
from datasette_ftclassify.store.jobs.state import add_job
from datasette_ftclassify.store.published import holds_more
from datasette_ftclassify.store.schema import TABLES
from datasette_ftclassify.web import permissions
from datasette_ftclassify.web.datasette_reads import PART_SECONDS
from datasette_ftclassify.web.permissions import RAW

SECRET = "canary-host.example"
"""In the settings and an event of a job."""

CARD = "/town/-/ftclassify/classifiers/topics"

ATTEMPTS = (
    "select * from _ftclassify_jobs",
    "select settings from main._FTCLASSIFY_JOBS",
    'select "settings" from "_ftclassify_jobs" where rowid = 1',
    "select count(id) from _ftclassify_jobs",
    "select max(rowid) from _ftclassify_jobs",
    "select j.settings from messages m join _ftclassify_jobs j on m.id >= j.id limit 1",
    "select (select settings from _ftclassify_jobs limit 1) from messages limit 1",
    "select id from messages where exists (select 1 from _ftclassify_jobs where settings > '')",
    "select 1 union all select settings from _ftclassify_jobs",
    "with j as (select * from _ftclassify_jobs) select * from j",
    "with recursive j(s) as (select settings from _ftclassify_jobs union select s from j)"
    " select * from j",
    "select json_group_array(settings) over () from _ftclassify_jobs",
    "select value from json_each((select json_array(settings) from _ftclassify_jobs))",
    "select ft_classify(settings, 'topics'), settings from _ftclassify_jobs",
    "select message from _ftclassify_job_events",
    "select row_key from _ftclassify_split_rows",
    "select usd from _ftclassify_spending",
    "select header from _ftclassify_classifiers",
    "select rows.* from jobs_of_all as rows",
    "select * from sought where sought match 'canary'",
    "select settings from sought",
    "explain select settings from _ftclassify_jobs",
    "explain query plan select settings from _ftclassify_jobs",
)


def fill(path: Path) -> None:
    with closing(connect(path)) as conn, conn:
        job = add_job(conn, "predict", {"table": "messages", "host": SECRET})
        conn.execute(
            "insert into _ftclassify_job_events (job_id, created_at, message) values (?, '', ?)",
            [job.id, f"asked {SECRET}"],
        )
        conn.execute("create view jobs_of_all as select * from _ftclassify_jobs")
        conn.execute(
            "create virtual table sought using fts5(settings, content='_ftclassify_jobs',"
            " content_rowid='id')"
        )
        conn.execute("insert into sought (sought) values ('rebuild')")


@pytest.fixture(scope="module")
def file(trained_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = Path(shutil.copy(trained_file, tmp_path_factory.mktemp("original") / "town.db"))
    fill(path)
    return path


def served(path: Path, config: dict[str, Any] | None = None, **options: Any) -> Datasette:
    """As `datasette publish` serves it, with one read thread, which all visitors share."""
    options["settings"] = {"num_sql_threads": 1} | options.get("settings", {})
    files = {"files": [], "immutables": [str(path)]} | options.pop("opened", {})
    datasette = Datasette(**files, **{"metadata" if is_065() else "config": config}, **options)
    if not is_065():
        datasette.root_enabled = True
    return datasette


def granting(action: str, who: str) -> dict[str, Any]:
    ours = {"permissions": {action: {"id": [who, ROOT]}}}
    return {"databases": {"town": {"plugins": {"datasette-ftclassify": ours}}}}


async def sql(datasette: Datasette, query: str, who: str | None = None, form: str = "json") -> Any:
    page = {"json": "town.json", "csv": "town.csv", "html": "town"}[form]
    if not is_065():
        page = page.replace("town", "town/-/query")
    if query.startswith("/"):
        return await datasette.client.get(query, cookies=cookies(datasette, who))
    asked = urlencode({"sql": query, "_shape": "arrays"})
    return await datasette.client.get(f"/{page}?{asked}", cookies=cookies(datasette, who))


async def test_sql_of_a_reader_reads_none_of_our_tables_however_it_is_written(file: Path):
    datasette = served(file)
    for query in ATTEMPTS:
        # Whoever may read them has just asked the same, in the same words and thread.
        allowed = await sql(datasette, query, ROOT)
        assert allowed.status_code == 200, (query, allowed.text)
        for form in ("json", "csv", "html"):
            refused = await sql(datasette, query, None, form)
            assert SECRET not in refused.text, query
            if form != "csv":  # which says nothing on 0.65
                assert "prohibited" in refused.text, query
        assert (await sql(datasette, query, ROOT)).status_code == 200, query
    assert SECRET in (await sql(datasette, ATTEMPTS[0], ROOT)).text


async def test_parts_of_a_table_page_read_none_of_our_tables(file: Path):
    datasette = served(file)
    for given in (
        {"_where": f"id in (select id from _ftclassify_jobs where settings like '%{SECRET}%')"},
        {"_where": "1 = (select count(*) from _ftclassify_jobs where kind = 'predict')"},
    ):
        response = await sql(datasette, f"/town/messages.json?{urlencode(given)}")
        assert response.status_code in (400, 500), given
        assert "prohibited" in response.text, given
    for path in ("/town/jobs_of_all.json", "/town/jobs_of_all.csv", "/town/sought.json",
                 "/town/jobs_of_all.json?_facet=settings"):  # fmt: skip
        response = await sql(datasette, path)
        assert SECRET not in response.text, path


async def test_what_else_readers_do_goes_on(file: Path):
    """Functions read our tables themselves, row by row, and do not open them to their query."""
    datasette = served(file)

    async def answers() -> list[Any]:
        query = "select ft_classify(message), ft_score(message) from messages limit 50"
        told = (await sql(datasette, query)).json()
        return list(told["rows"] if isinstance(told, dict) else told)

    rows = await answers()
    assert len(rows) > 40
    assert all(label and score for label, score in rows)
    for path in ("/", "/town", "/town.json", "/town/messages", "/town/messages.json?_facet=topic",
                 "/town/-/ftclassify", "/town/-/ftclassify/classifiers/topics",
                 "/town/-/ftclassify/classifiers/topics/try?text=water"):  # fmt: skip
        assert (await sql(datasette, path)).status_code == 200, path
        refused = await sql(datasette, "select name from _ftclassify_classifiers")
        assert "prohibited" in refused.text, path
        # Datasette looks at tables with sqlite-utils, whose plugins have the functions as well.
        assert await answers() == rows, path
    for query in (
        "select name, sql from sqlite_master",
        "select * from pragma_table_info('messages')",
    ):
        assert (await sql(datasette, query)).status_code == 200, query


async def test_functions_keep_their_limits_when_sqlite_utils_takes_the_connection(file: Path):
    datasette = served(file, settings={"sql_time_limit_ms": 2_000})
    await sql(datasette, "select 1")
    await datasette.get_database("town").execute_fn(lambda conn: sqlite_utils.Database(conn) and 1)
    told = await sql(datasette, "select ft_classify('a blocked drain')")
    assert told.json()["rows"][0] != [None]
    endless = "with recursive n(i) as (select 1 union all select i + 1 from n)"
    slow = await sql(datasette, f"{endless} select sum(ft_classify('a' || i) is 1) from n")
    assert slow.status_code == 400
    assert "nterrupted" in slow.text or "took too long" in slow.text


@pytest.mark.parametrize("threads", [0, 1, 3])
async def test_however_many_threads_read(file: Path, threads: int):
    datasette = served(file, settings={"num_sql_threads": threads})
    for query in (*ATTEMPTS[:4], "select ft_classify_json(message) from messages", *ATTEMPTS[-4:]):
        page = await sql(datasette, "/town/-/ftclassify/classifiers/topics")
        assert page.status_code == 200
        response = await sql(datasette, query)
        assert SECRET not in response.text
        assert ("prohibited" in response.text) == (query in ATTEMPTS), query


async def test_whom_the_configuration_names_reads_them(file: Path):
    datasette = served(file, granting(RAW, "ann"))
    for who, right in (("ann", True), ("vic", False), (ROOT, True), (None, False)):
        for query in (ATTEMPTS[0], "/town/_ftclassify_jobs.json", "/town/_ftclassify_jobs.csv"):
            found = await sql(datasette, query, who)
            assert (SECRET in found.text) == right, (who, query)
        assert ((await sql(datasette, "/town.db", who)).status_code == 200) == right, who


async def test_one_table_that_is_opened_is_open_to_sql_and_no_other_is(file: Path):
    config = {"databases": {"town": {"tables": {"_ftclassify_jobs": {"allow": {"id": "vic"}}}}}}
    datasette = served(file, config)
    assert SECRET in (await sql(datasette, ATTEMPTS[0], "vic")).text
    assert "prohibited" in (await sql(datasette, "select * from _ftclassify_tasks", "vic")).text
    assert "prohibited" in (await sql(datasette, ATTEMPTS[0])).text


async def test_databases_that_are_attached_to_each_other_stay_closed(file: Path, tmp_path: Path):
    other = Path(shutil.copy(file, tmp_path / "other.db"))
    config = granting(RAW, "ann")
    datasette = served(file, config, crossdb=True, opened={"files": [str(file), str(other)]})
    page = "/_memory.json?" if is_065() else "/_memory/-/query.json?"
    for who, database, right in ((None, "town", False), ("ann", "town", True),
                                 ("ann", "other", False), (ROOT, "other", True)):  # fmt: skip
        query = urlencode({"sql": f"select settings from [{database}]._ftclassify_jobs"})
        found = await sql(datasette, page + query, who)
        assert (SECRET in found.text) == right, (who, database)


async def test_the_file_itself_is_for_those_who_may_read_our_tables(file: Path, tmp_path: Path):
    datasette = served(file)
    assert (await sql(datasette, "/town.db")).status_code == 403
    assert (await sql(datasette, "/town.db", "vic")).status_code == 403
    assert SECRET.encode() in (await sql(datasette, "/town.db", ROOT)).content


async def test_a_copy_that_was_made_for_readers_can_be_downloaded_until_it_holds_more(
    file: Path, tmp_path: Path
):
    copy = tmp_path / "town.db"
    publish_copy(file, copy, tables=["messages"])
    assert (await sql(served(copy), "/town.db")).status_code == 200
    with closing(connect(copy)) as conn, conn:
        add_job(conn, "predict", {"table": "messages", "host": SECRET})
    assert (await sql(served(copy), "/town.db")).status_code == 403


async def test_a_permitted_download_does_not_fail_because_the_server_is_busy(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    copy = tmp_path / "town.db"
    publish_copy(file, copy, tables=["messages"])

    def kept_waiting(conn: sqlite3.Connection) -> bool:
        threading.Event().wait(2 * PART_SECONDS)  # others have the processor
        return holds_more(conn)

    monkeypatch.setattr(permissions, "holds_more", kept_waiting)
    monkeypatch.setattr(time_limit, "_STEPS", 1)  # the clock is looked at all the time
    assert (await sql(served(copy), "/town.db")).status_code == 200
    assert (await sql(served(file), "/town.db")).status_code == 403


async def test_a_file_without_tables_of_ours_is_nobody_s_concern(tmp_path: Path):
    path = tmp_path / "town.db"
    with closing(sqlite3.connect(path)) as conn, conn:
        conn.execute("create table _ftclassified (a)")
        conn.execute("create table messages (a)")
    datasette = served(path)
    assert (await sql(datasette, "/town.db")).status_code == 200
    assert (await sql(datasette, "select * from _ftclassified")).status_code == 200


async def test_notes_of_migrations_are_hidden(file: Path):
    listed = (await served(file).client.get("/town.json")).json()["tables"]
    shown = {table["name"] for table in listed if not table["hidden"]}
    assert "messages" in shown
    assert not shown & {*TABLES, "_sqlite_migrations"}


async def test_a_token_with_restrictions_of_root_reads_none(file: Path):
    datasette = served(file)
    actor = {
        "id": ROOT,
        "_r": {"a": ["view-instance", "view-database", "execute-sql", "es", "vi", "vd"]},
    }
    signed = datasette.sign({"a": actor}, "actor")
    asked = ("/town.json?" if is_065() else "/town/-/query.json?") + urlencode({"sql": ATTEMPTS[0]})
    response = await datasette.client.get(asked, cookies={"ds_actor": signed})
    assert SECRET not in json.dumps(response.json())


async def test_a_query_of_our_tables_is_offered_only_to_who_may_run_it(file: Path):
    for who, offered in ((None, False), ("ann", True), (ROOT, True)):
        page = await sql(served(file, granting(RAW, "ann")), CARD, who)
        assert ("Which rows it was trained on" in page.text) == offered, who


@fault_of_the_oldest
@pytest.mark.skipif(is_065(), reason="Datasette 0.65 lets nobody write with SQL of their own")
async def test_who_may_write_with_sql_copies_none_of_our_tables(file: Path, tmp_path: Path):
    path = Path(shutil.copy(file, tmp_path / "town.db"))
    writes = ("execute-write-sql", "execute-sql", "insert-row", "update-row", "delete-row")
    config = {"permissions": dict.fromkeys((*writes, "create-view"), True)}
    datasette = served(path, config, opened={"files": [str(path)], "immutables": []})
    for query, status in (
        ("insert into messages (message) values ('hello')", 200),
        ("insert into messages (message) select settings from _ftclassify_jobs", 403),
        ("create view all_jobs as select * from _ftclassify_jobs", 403),
    ):
        response = await datasette.client.post(
            "/town/-/execute-write", json={"sql": query}, cookies=cookies(datasette, "vic"),
            headers={"sec-fetch-site": "same-origin", "accept": "application/json"},
        )  # fmt: skip
        assert response.status_code == status, (query, response.text)
