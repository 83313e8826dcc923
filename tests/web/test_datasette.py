"""Inside Datasette, on either line: functions in queries, the page, permissions."""

from __future__ import annotations

import asyncio
import cProfile
import html
import json
import pstats
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

from datasette.app import Datasette
from visiting import get, is_065, serve

from datasette_ftclassify.core.database import connect
from datasette_ftclassify.core.task import define
from datasette_ftclassify.jobs.train import train_classifier
from datasette_ftclassify.jobs.train_request import TrainRequest
from datasette_ftclassify.store.schema import TABLES

DRAIN = "The drain on Mill Lane is blocked and the road floods"


async def query(datasette: Datasette, sql: str, database: str = "town", **params: str) -> list:
    """The rows of a query through the JSON API."""
    path = f"/{database}.json" if is_065(datasette) else f"/{database}/-/query.json"
    asked = {"sql": sql, "_shape": "arrays", **params}
    response = await datasette.client.get(path, params=asked)
    assert response.status_code == 200, response.text
    return response.json()["rows"]


async def test_functions_in_a_query(trained: Path):
    datasette = Datasette([str(trained)])
    rows = await query(datasette, "select ft_classify(:text), ft_score(:text)", text=DRAIN)
    assert rows[0][0] == "Water and drains"
    assert 0.5 < rows[0][1] <= 1


async def test_an_immutable_file_with_nothing_else_around_it(trained: Path):
    datasette = Datasette(immutables=[str(trained)])
    assert await query(datasette, "select ft_classify(:text)", text=DRAIN) == [["Water and drains"]]


async def test_crossdb_queries_find_the_attached_classifier(trained: Path):
    datasette = Datasette([str(trained)], crossdb=True)
    rows = await query(datasette, "select ft_classify(:text)", database="_memory", text=DRAIN)
    assert rows == [["Water and drains"]]


async def test_a_classifier_trained_while_the_server_runs_is_seen(trained: Path):
    datasette = Datasette([str(trained)])
    sql = "select ft_classify('x', 'wards')"
    assert await query(datasette, sql) == [[None]]
    with closing(connect(trained)) as conn:
        task = define(conn, "messages", text=["message"], labels=["ward"])
        train_classifier(conn, task, TrainRequest(name="wards", curve=False))
    assert await query(datasette, sql) != [[None]]


async def test_a_train_in_the_write_thread_is_seen(trained: Path):
    datasette = Datasette([str(trained)])
    database = datasette.get_database("town")

    def train(conn: sqlite3.Connection) -> None:
        task = define(conn, "messages", text=["message"], labels=["ward"])
        train_classifier(conn, task, TrainRequest(name="wards", curve=False))

    await database.execute_write_fn(train)
    assert await query(datasette, "select ft_classify('x', 'wards')") != [[None]]


async def test_many_queries_at_once_share_one_loaded_classifier(trained: Path):
    datasette = Datasette([str(trained)])
    sql = "select count(*), count(distinct ft_classify(message)) from messages"
    answers = await asyncio.gather(*(query(datasette, sql) for _ in range(6)))
    assert len({json.dumps(answer) for answer in answers}) == 1


async def test_a_page_of_a_view_with_a_function_column(trained: Path):
    with closing(connect(trained)) as conn, conn:
        conn.execute("create view guesses as select id, ft_classify(message) guess from messages")
    datasette = Datasette([str(trained)])
    response = await datasette.client.get("/town/guesses?_facet=guess&_size=200")
    assert response.status_code == 200
    assert "Water and drains" in response.text


async def test_the_page_lists_the_classifiers(trained: Path):
    datasette = Datasette([str(trained)])
    response = await datasette.client.get("/town/-/ftclassify")
    assert response.status_code == 200
    for name in ("topics", "urgent", "subjects"):
        assert name in response.text
    assert "ccuracy 0." in response.text
    assert "/-/static-plugins/datasette_ftclassify/ftclassify.css" in response.text
    css = await datasette.client.get("/-/static-plugins/datasette_ftclassify/ftclassify.css")
    assert css.status_code == 200


async def test_the_page_as_json_links_to_a_query_that_works(trained: Path):
    datasette = Datasette([str(trained)])
    data = (await datasette.client.get("/town/-/ftclassify.json")).json()
    topics = next(c for c in data["classifiers"] if c["classifier"] == "topics")
    assert topics["default"]
    url = topics["urls"]["try"].replace("text=", "text=a+blocked+drain")
    page = await datasette.client.get(url, follow_redirects=True)
    assert "Water and drains" in html.unescape(page.text)


async def test_the_database_menu_leads_there(trained: Path, tmp_path: Path):
    other = tmp_path / "other.db"
    sqlite3.connect(other).execute("create table t (x)")
    datasette = Datasette([str(trained), str(other)])
    assert "/town/-/ftclassify" in (await datasette.client.get("/town")).text
    assert "/other/-/ftclassify" not in (await datasette.client.get("/other")).text
    empty = await datasette.client.get("/other/-/ftclassify")
    assert "no classifiers here yet" in empty.text
    assert (await datasette.client.get("/nowhere/-/ftclassify")).status_code == 404


async def test_who_may_not_see_the_database_gets_no_page(trained: Path):
    where = "metadata" if is_065() else "config"
    config = {where: {"databases": {"town": {"allow": {"id": "root"}}}}}
    datasette = Datasette([str(trained)], **config)
    assert (await datasette.client.get("/town/-/ftclassify")).status_code == 403


async def test_damaged_metrics_do_not_take_the_page_down(trained: Path):
    with closing(connect(trained)) as conn, conn:
        conn.execute("update _ftclassify_evaluations set metrics = '{\"n_test\": []}'")
    response = await Datasette([str(trained)]).client.get("/town/-/ftclassify")
    assert response.status_code == 200
    assert "evaluate it again" in response.text


async def test_what_the_configuration_says_of_a_database_is_said_of_no_other(
    trained: Path, tmp_path: Path
):
    other = Path(shutil.copy(trained, tmp_path / "village.db"))
    datasette = serve(trained, other, tables={"messages": {"allow": {"id": "ann"}}})
    for who, path, status in (
        ("ann", "/town/messages", 200),
        (None, "/town/messages", 403),
        (None, "/village/messages", 200),
    ):
        assert (await get(datasette, path, who)).status_code == status, (who, path)


async def test_a_page_costs_little_more_with_many_databases_beside_it(
    trained: Path, tmp_path: Path
):
    """Counted, not timed: what a plugin says of all databases is merged for each permission."""
    paths = [Path(shutil.copy(trained, tmp_path / f"d{i}.db")) for i in range(12)]

    async def calls(*served: Path) -> int:
        datasette, profile = serve(*served), cProfile.Profile()
        for _ in range(2):  # what is done once in a process or a file is left out
            await get(datasette, "/d0/messages")
        profile.enable()
        await get(datasette, "/d0/messages")
        profile.disable()
        return int(pstats.Stats(profile).total_calls)  # type: ignore[attr-defined]

    assert await calls(*paths) < 1.5 * await calls(paths[0])


async def test_our_tables_are_hidden(trained: Path):
    datasette = Datasette([str(trained)])
    hidden = set(await datasette.get_database("town").hidden_table_names())
    with closing(connect(trained)) as conn:
        ours = conn.execute(
            "select name from sqlite_master where type = 'table' and name like '\\_ft%' escape '\\'"
        ).fetchall()
    assert {name for (name,) in ours} == set(TABLES)
    assert set(TABLES) <= hidden
    assert "messages" not in hidden
    page = await datasette.client.get("/town.json")
    shown = {table["name"] for table in page.json()["tables"] if not table["hidden"]}
    assert "messages" in shown
    assert not shown & set(TABLES)
