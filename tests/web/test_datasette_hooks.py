"""Hooks that Datasette 1.0 has and 0.65 has not: its jump menu, the menu of a query, events."""

from __future__ import annotations

import json
import re
from contextlib import closing
from dataclasses import fields, replace
from html import unescape
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from datasette import hookimpl
from datasette.plugins import pm
from folders import ROOT as ROOT_FOLDER
from running_jobs import queue_predict, wait_for
from serving import serving
from stored import add
from visiting import ROOT, get, is_065, send, serve, submit

from datasette_ftclassify.core.database import connect
from datasette_ftclassify.store.classifiers import find_classifier
from datasette_ftclassify.store.jobs.state import get_job
from datasette_ftclassify.web.events import EVENTS

pytestmark = pytest.mark.skipif(is_065(), reason="Datasette 1.0 has these hooks")


async def jumps(datasette, who: str | None = None, q: str = "") -> dict[str, str]:
    found = (await get(datasette, f"/-/jump.json?q={q}", who)).json()
    items = found["matches"] if "matches" in found else found["items"]
    return {item["name"]: item["url"] for item in items if "/-/ftclassify/" in item["url"]}


async def test_a_classifier_is_jumped_to_by_its_name(trained: Path):
    datasette = serve(trained)
    found = await jumps(datasette)
    assert set(found) == {"town: topics", "town: urgent", "town: subjects"}
    assert set(await jumps(datasette, q="urg")) == {"town: urgent"}
    assert (await get(datasette, found["town: urgent"])).status_code == 200


async def test_the_version_in_use_is_jumped_to_and_asked(trained: Path):
    """A newer one that reads another column is not what the name of the classifier stands for."""
    with closing(connect(trained)) as conn:
        task = replace(find_classifier(conn, "topics").task, text=("ward",))
        add(conn, "topics", task=task, report={"not_used": "topics@1 stays in use."})
    datasette = serve(trained)
    assert (await jumps(datasette))["town: topics"].endswith("/topics~401")
    assert "Classify these rows with topics" in await items(
        datasette, "select message from messages"
    )


async def test_what_may_not_be_seen_is_not_jumped_to(trained: Path):
    closed = {"messages": {"allow": {"id": "ann"}}}
    datasette = serve(trained, tables=closed)
    assert await jumps(datasette) == {}
    assert len(await jumps(datasette, "ann")) == 3


async def test_tables_that_are_not_ours_break_no_jump_menu(trained: Path, tmp_path: Path):
    other = tmp_path / "other.db"
    with closing(connect(other, must_exist=False)) as conn:
        conn.execute(
            "create view _ftclassify_classifiers as"
            " with recursive n(i) as (select 1 union all select i + 1 from n) select i from n"
        )
        assert len(await jumps(serve(trained, other))) == 3


async def items(datasette, sql: str, who: str | None = None, **params: str) -> dict[str, str]:
    path = f"/town/-/query?{urlencode({'sql': sql, **params})}"
    page = (await get(datasette, path, who)).text
    found = re.findall(r'<a [^>]*href="([^"]*)"[^>]*>\s*(Classify these rows[^<]*?)\s*<', page)
    return {unescape(label): unescape(href) for href, label in found}


async def test_the_rows_of_a_query_are_classified_by_a_link(trained: Path):
    datasette = serve(trained)
    sql = "select id, message from messages where ward = :ward order by id desc limit 3; "
    found = await items(datasette, sql, ward="Abbey")
    assert set(found) == {f"Classify these rows with {n}" for n in ("topics", "urgent", "subjects")}
    href = found["Classify these rows with topics"]
    assert parse_qs(urlsplit(href).query)["ward"] == ["Abbey"]
    path = href.replace("/-/query?", "/-/query.json?_shape=array&")
    rows = (await get(datasette, path)).json()
    assert [set(row) for row in rows] == [{"id", "message", "topics_label"}] * 3
    assert all(row["topics_label"] for row in rows)
    assert [row["id"] for row in rows] == sorted((row["id"] for row in rows), reverse=True)
    again = await items(datasette, parse_qs(urlsplit(href).query)["sql"][0], ward="Abbey")
    assert set(again) == {f"Classify these rows with {n}" for n in ("urgent", "subjects")}


@pytest.mark.parametrize(
    "sql",
    [
        "select id, ward from messages",  # no text
        "select message from nowhere",
        "select message from messages -- with a comment at its end",
        "select message as topics_label, message from messages",
        "with recursive n(message) as (select 1 union all select message + 1 from n)"
        " select message from n",
        "explain select message from messages",
    ],
)
async def test_the_page_of_any_query_is_shown_and_what_is_offered_works(trained: Path, sql: str):
    datasette = serve(trained)
    assert (await get(datasette, f"/town/-/query?{urlencode({'sql': sql})}")).status_code < 500
    for href in (await items(datasette, sql)).values():
        if "recursive" not in sql:
            path = href.replace("/-/query?", "/-/query.json?_shape=array&")
            assert "_label" in json.dumps((await get(datasette, path)).json()[0])


async def test_nothing_is_offered_to_who_may_not_see_it_or_write_sql(trained: Path):
    sql = "select 'lamp' as message"
    closed = serve(trained, tables={"messages": {"allow": {"id": "ann"}}})
    assert await items(closed, sql) == {}
    assert len(await items(closed, sql, "ann")) == 3


async def test_the_menu_reads_no_more_for_a_visitor_than_the_query_may(trained: Path):
    sql = "select kind as message from _ftclassify_jobs"
    assert await items(serve(trained), sql) == {}
    assert len(await items(serve(trained), sql, ROOT)) == 3


TYPED = {
    "answers": {
        "column_types": {
            "said": {"type": "ftclassify-label", "config": {"labels": ["Lights", "Noise"]}},
            "sure": "ftclassify-score",
        }
    }
}


def answers(path: Path) -> Path:
    """Somebody's own table of labels and scores, which no prediction of ours has written."""
    with closing(connect(path)) as conn, conn:
        conn.execute("create table answers (id integer primary key, said text, sure real)")
        conn.executemany(
            "insert into answers (said, sure) values (?, ?)",
            [("Lights", 0.25), ('["Lights", "<b>"]', 7), (None, None)],
        )
    return path


async def test_columns_that_are_said_to_hold_labels_and_scores_are_drawn_as_ours(town: Path):
    page = (await get(serve(answers(town), tables=TYPED), "/town/answers")).text
    assert 'href="/town/answers?said__exact=Lights"' in page
    assert 'href="/town/answers?said__arraycontains=%3Cb%3E"' in page
    assert "<b>" not in page
    assert page.count('class="ft-score"') == 1  # 7 is none
    assert "ftclassify.css" in page
    assert "ftclassify.css" not in (await get(serve(town), "/town/answers")).text


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"said": "Lihgts"}, "Lihgts is none of the labels Lights, Noise"),
        ({"said": '["Noise", "Bins"]'}, "Bins is none of the labels"),
        ({"sure": 1.5}, "A score is a number from 0 to 1"),
        ({"sure": "much"}, "A score is a number from 0 to 1"),
        ({"said": '["Noise", "Lights"]', "sure": 1}, None),
        ({"said": None, "sure": None}, None),
    ],
)
async def test_what_is_no_label_of_the_column_is_not_written(
    town: Path, row: dict, said: str | None
):
    datasette = serve(answers(town), tables=TYPED)
    done = await send(datasette, "/town/answers/1/-/update", {"update": row}, ROOT)
    if said is None:
        assert done.json() == {"ok": True}
    else:
        assert done.status_code == 400
        assert said in done.text


class Recorder:
    """A plugin that keeps what it is told."""

    __name__ = "recorder"

    def __init__(self) -> None:
        self.events: list[tuple[str, object, dict]] = []

    @hookimpl
    def track_event(self, datasette, event):
        self.events.append((event.name, event.actor, event.properties()))


async def test_other_plugins_hear_of_a_deleted_classifier(trained: Path):
    recorder = Recorder()
    pm.register(recorder, name="recorder")
    try:
        page = "/town/-/ftclassify/classifiers/urgent@1"
        await submit(serve(trained, writers=ROOT), page, ROOT, action="delete")
    finally:
        pm.unregister(recorder)
    (told,) = [event for event in recorder.events if event[0] == "ftclassify-delete-classifier"]
    assert told[1] == {"id": ROOT}
    assert told[2] == {"database": "town", "classifier": "urgent@1"}


PLUGIN = """
import json
from datasette import hookimpl

@hookimpl
def track_event(datasette, event):
    with open({path!r}, "a") as file:
        print(json.dumps([event.name, event.properties()]), file=file)
"""


def test_other_plugins_hear_of_the_end_of_a_job(town: Path, tmp_path: Path):
    plugins, told = tmp_path / "plugins", tmp_path / "told"
    plugins.mkdir()
    (plugins / "listens.py").write_text(PLUGIN.format(path=str(told)))
    job_id = queue_predict(town)
    with serving(town, "--plugins-dir", plugins):
        wait_for(lambda: told.exists() and told.read_text().endswith("\n"), "the event")
    with closing(connect(town)) as conn:
        assert get_job(conn, job_id).state == "finished"
    (event,) = [json.loads(line) for line in told.read_text().splitlines()]
    assert event == [
        "ftclassify-finish-job",
        {
            "database": "town",
            "job": job_id,
            "kind": "predict",
            "state": "finished",
            "classifier": "topics@1",
        },
    ]


def test_the_documents_list_the_events_with_their_properties():
    text = (ROOT_FOLDER / "docs" / "hooks.md").read_text(encoding="utf-8")
    listed = {
        name: set(re.findall(r"`(\w+)`", properties))
        for name, properties in re.findall(
            r"^\| `(ftclassify-\w+-[\w-]+)` \|.*\| (.*) \|$", text, re.M
        )
    }
    inherited = {"created", "actor"}
    assert listed == {e.name: {f.name for f in fields(e)} - inherited for e in EVENTS}
