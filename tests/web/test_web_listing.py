"""Where people meet the pages: lists, menus, the strip, and our cells on a table's page."""

from __future__ import annotations

import asyncio
import html
import re
from contextlib import closing
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from datasette.app import Datasette
from running_jobs import queue_predict, without_jobs
from visiting import ROOT, fault_of_the_oldest, get, is_065, serve

from datasette_ftclassify.core.database import connect
from datasette_ftclassify.jobs.predict import predict_rows
from datasette_ftclassify.store.classifiers import find_classifier
from datasette_ftclassify.store.jobs.state import add_job
from datasette_ftclassify.web import table_cells
from datasette_ftclassify.web.table_cells import label, labels, logprobs, score

OURS = "/town/-/ftclassify"
NASTY = "<script>alert(1)</script>\"'&{{ 7*7 }}"
modern_only = pytest.mark.skipif(is_065(), reason="Datasette 1.0 has these menus")


def links(page: str) -> dict[str, str]:
    """Addresses of ours on a page, by what their links say first."""
    found = re.findall(r'<a [^>]*href="([^"]*/-/ftclassify[^"]*)"[^>]*>\s*([^<]+?)\s*<', page)
    return {html.unescape(text): html.unescape(href) for href, text in found}


MENU = {"Train a classifier on this table", "Export for fine-tuning", "Classify rows",
        "Classifiers of this table"}  # fmt: skip


async def menu(datasette, path: str, who: str | None = None) -> dict[str, str]:
    found = links((await get(datasette, path, who)).text)
    return {text: href for text, href in found.items() if text in MENU}


async def test_the_table_menu_of_who_may_everything(trained: Path):
    items = await menu(serve(trained, writers=ROOT), "/town/messages", ROOT)
    assert set(items) == MENU
    assert items["Classify rows"] == "/town/-/ftclassify/classify?table=messages"
    assert items["Classifiers of this table"] == "/town/-/ftclassify?table=messages"


@pytest.mark.parametrize(
    ("who", "seen"),
    [
        (None, {"Classifiers of this table"}),
        ("tom", MENU - {"Classify rows"}),
        ("pat", {"Classify rows", "Classifiers of this table"}),
    ],
)
async def test_the_table_menu_of_others(trained: Path, who: str | None, seen: set[str]):
    grants = {"ftclassify-train": {"id": "tom"}, "ftclassify-predict": {"id": "pat"}}
    datasette = serve(trained, grants=grants, writers="pat")
    assert set(await menu(datasette, "/town/messages", who)) == seen


async def test_our_own_tables_have_no_menu(trained: Path):
    page = await get(serve(trained, writers=ROOT), "/town/_ftclassify_jobs", ROOT)
    assert page.status_code == 200
    assert not set(links(page.text)) & MENU


async def test_an_immutable_table_can_be_exported_and_not_trained_on(trained: Path):
    datasette = serve(immutables=(trained,), writers=ROOT)
    items = await menu(datasette, "/town/messages", ROOT)
    assert set(items) == {"Export for fine-tuning", "Classifiers of this table"}


async def test_a_table_without_classifiers_offers_a_training_alone(tmp_path: Path):
    path = tmp_path / "town.db"
    with closing(connect(path, must_exist=False)) as conn:
        conn.execute("create table messages (x)")
        datasette = serve(path)
        assert set(await menu(datasette, "/town/messages", ROOT)) == {
            "Train a classifier on this table", "Export for fine-tuning",
        }  # fmt: skip
        assert links((await get(datasette, "/town/messages")).text) == {}


async def test_the_filters_of_the_page_go_along(trained: Path):
    path = "/town/messages?topic=Noise+%26+more&ward__contains=a&_sort=id&_facet=ward&_search=x"
    items = await menu(serve(trained, writers=ROOT), path, ROOT)
    for text in MENU - {"Classifiers of this table"}:
        assert parse_qs(urlsplit(items[text]).query) == {
            "table": ["messages"],
            "topic__exact": ["Noise & more"],
            "ward__contains": ["a"],
            "_search": ["x"],
        }


async def test_a_view_can_be_trained_on_and_not_written(trained: Path):
    with closing(connect(trained)) as conn, conn:
        conn.execute("create view some as select id, message, topic from messages")
    items = await menu(serve(trained, writers=ROOT), "/town/some", ROOT)
    assert set(items) == {"Train a classifier on this table", "Export for fine-tuning"}


@modern_only
async def test_a_row_can_be_classified_alone(trained: Path):
    with closing(connect(trained)) as conn, conn:
        conn.execute("create table pairs (a text, [b c] integer, primary key (a, [b c]))")
        conn.execute("insert into pairs values ('x/y', 7)")
        conn.execute("create table bare (x)")
        conn.execute("insert into bare values (1)")
    datasette = serve(trained, writers=ROOT)
    found = {}
    for path in ("messages/5", "pairs/x~2Fy,7", "bare/1"):
        page = (await get(datasette, f"/town/{path}", ROOT)).text
        href = links(page)["Classify this row"]
        found[path] = parse_qs(urlsplit(href).query)
    assert found["messages/5"] == {"table": ["messages"], "id__exact": ["5"]}
    assert found["pairs/x~2Fy,7"] == {
        "table": ["pairs"], "a__exact": ["x/y"], "b c__exact": ["7"],
    }  # fmt: skip
    assert found["bare/1"] == {"table": ["bare"], "rowid__exact": ["1"]}
    assert "Classify this row" not in links((await get(datasette, "/town/messages/5")).text)


async def test_the_main_menu_leads_to_all_databases(trained: Path, tmp_path: Path):
    other = tmp_path / "other.db"
    with closing(connect(other, must_exist=False)) as conn:
        conn.execute("create table t (x)")
    assert links((await get(serve(other), "/")).text) == {}
    datasette = serve(trained, other)
    assert links((await get(datasette, "/")).text) == {"Classifiers": "/-/ftclassify"}
    data = (await get(datasette, "/-/ftclassify.json")).json()
    counts = {d["database"]: (d["classifiers"], d["active_jobs"]) for d in data["databases"]}
    assert counts["town"] == (3, 0)
    assert counts["other"] == (0, 0)
    page = (await get(datasette, "/-/ftclassify")).text
    assert "/town/-/ftclassify" in page


async def test_damaged_tables_of_ours_leave_other_pages_alone(trained: Path):
    with closing(connect(trained)) as conn, conn:
        for name in ("classifiers", "jobs", "columns"):
            conn.execute(f"drop table _ftclassify_{name}")
            conn.execute(f"create table _ftclassify_{name} (x)")
    datasette = serve(trained)
    for path in ("/", "/town", "/town/messages", "/town/messages/1", "/-/ftclassify"):
        assert (await get(datasette, path, ROOT)).status_code == 200, path


async def test_the_list_of_databases_counts_what_the_visitor_may_see(trained: Path):
    queue_predict(trained)
    datasette = serve(trained, tables={"messages": {"allow": {"id": ROOT}}})
    for who, counts in ((None, (0, 0)), (ROOT, (3, 1))):
        data = (await get(datasette, "/-/ftclassify.json", who)).json()
        town = next(d for d in data["databases"] if d["database"] == "town")
        assert (town["classifiers"], town["active_jobs"]) == counts


async def test_the_database_page_shows_classifiers_jobs_and_where_to_train(trained: Path):
    datasette = serve(trained)
    data = (await get(datasette, "/town/-/ftclassify.json", ROOT)).json()
    assert [j["state"] for j in data["jobs"]] == ["finished"] * 3
    assert data["train"] == [
        {"table": "messages", "url": "/town/-/ftclassify/train?table=messages"}
    ]
    assert (await get(datasette, "/town/-/ftclassify.json")).json()["train"] == []
    page = (await get(datasette, "/town/-/ftclassify", ROOT)).text
    assert "Training of topics@1" in page
    assert "/town/-/ftclassify/classifiers/topics~401" in page


async def test_the_database_page_of_one_table(trained: Path):
    with closing(connect(trained)) as conn, conn:
        conn.execute("create table other (x)")
        add_job(conn, "predict", {"table": "other", "classifier": "topics@1"})
    datasette = serve(trained)
    other = (await get(datasette, "/town/-/ftclassify.json?table=other", ROOT)).json()
    assert other["classifiers"] == []
    assert [job["table"] for job in other["jobs"]] == ["other"]
    assert [row["table"] for row in other["train"]] == ["other"]
    messages = (await get(datasette, "/town/-/ftclassify.json?table=messages", ROOT)).json()
    assert len(messages["classifiers"]) == 3
    assert {job["table"] for job in messages["jobs"]} == {"messages"}


@fault_of_the_oldest
async def test_a_hostile_table_name_in_lists_and_menus(trained: Path):
    with closing(connect(trained)) as conn, conn:
        conn.execute('create table "' + NASTY.replace('"', '""') + '" (x)')
        add_job(conn, "predict", {"table": NASTY, "classifier": NASTY})
    datasette = serve(trained, writers=ROOT)
    from datasette.utils import tilde_encode

    for path in ("/town/-/ftclassify", "/town/-/ftclassify/jobs",
                 f"/town/{tilde_encode(NASTY)}"):  # fmt: skip
        response = await get(datasette, path, ROOT)
        assert response.status_code == 200
        assert "<script>alert" not in response.text
        assert "ftclassify" in response.text
    assert "strip.js" in (await get(datasette, f"/town/{tilde_encode(NASTY)}", ROOT)).text


async def test_the_strip_comes_where_a_job_is_at_work(trained: Path):
    path = without_jobs(trained)
    with closing(connect(path)) as conn, conn:
        conn.execute("create table other (x)")
    datasette = serve(path, tables={"other": {"allow": {"id": ROOT}}})

    async def strip(table: str, who: str = ROOT) -> str | None:
        page = (await get(datasette, f"/town/{table}", who)).text
        found = re.search(r'src="([^"]*strip\.js[^"]*)"', page)
        return found and html.unescape(found[1])

    assert await strip("messages") is None
    queue_predict(path)
    source = await strip("messages")
    assert source is not None
    assert await strip("other") is None
    (jobs,) = parse_qs(urlsplit(source).query)["jobs"]
    listed = (await get(datasette, jobs, ROOT)).json()["jobs"]
    assert [job["state"] for job in listed] == ["queued"]
    script = await get(datasette, source)
    assert script.status_code == 200
    assert "javascript" in script.headers["content-type"]


async def test_many_jobs_of_other_tables_do_not_hide_the_one_at_work(trained: Path):
    path = without_jobs(trained)
    queue_predict(path)
    with closing(connect(path)) as conn:
        for n in range(60):
            add_job(conn, "predict", {"table": "other", "uid": str(n)})
    page = (await get(serve(path), "/town/messages", ROOT)).text
    assert "strip.js" in page


def classified(path: Path) -> None:
    with closing(connect(path)) as conn:
        for name in ("topics", "subjects"):
            predict_rows(conn, find_classifier(conn, name), "messages")


async def test_scores_are_bars_and_labels_are_links(trained: Path):
    classified(trained)
    datasette = serve(trained)
    page = (await get(datasette, "/town/messages?_size=5")).text
    assert page.count('class="ft-score"') == 2 * 5
    assert "/town/messages?topics_label__exact=" in page
    assert "/town/messages?subjects_label__arraycontains=" in page
    assert "ftclassify.css" in page
    hrefs = re.findall(r'href="(/town/messages\?(?:topics|subjects)_label__[^"]+)"', page)
    for href in hrefs[:6]:
        assert (await get(datasette, html.unescape(href))).status_code == 200
    row = (await get(datasette, "/town/messages/1")).text
    assert 'class="ft-score"' in row
    assert "ftclassify.css" in row


async def test_programs_get_what_they_got_before(trained: Path):
    classified(trained)
    datasette = serve(trained)
    for path in ("/town/messages.json?_shape=array&_size=2", "/town/messages.csv?_size=2"):
        text = (await get(datasette, path)).text
        assert "topics_score" in text
        assert "ft-score" not in text
        assert "<a " not in text
    sql = "/town/-/query?sql=select+*+from+messages" if not is_065() else (
        "/town?sql=select+*+from+messages"
    )  # fmt: skip
    assert 'class="ft-score"' not in (await get(datasette, sql)).text


async def test_a_table_without_our_columns_gets_nothing_of_ours(trained: Path):
    page = (await get(serve(without_jobs(trained)), "/town/messages")).text
    assert "ftclassify.css" not in page
    assert "strip.js" not in page


async def test_columns_made_while_the_server_runs_are_seen_soon(trained: Path):
    datasette = serve(trained)
    await get(datasette, "/town/messages?_size=1")
    classified(trained)
    await asyncio.sleep(table_cells.FRESH)  # as long as it is allowed to take
    assert 'class="ft-score"' in (await get(datasette, "/town/messages?_size=1")).text


def test_scores_that_are_none_are_left_alone():
    assert "0.931" in str(score(0.93123))
    assert "--ft-share: 93.1%" in str(score(0.93123))
    for other in (2, -0.1, float("nan"), "0.5", b"x", {"value": 1}):
        assert score(other) is None


def test_probabilities_of_all_labels_are_folded():
    drawn = str(logprobs('{"a": -0.1, "<b>": -2.4}'))
    assert "2 labels" in drawn
    assert "0.905" in drawn
    assert "<b>" not in drawn
    for other in ("{}", "[1]", '{"a": 5}', '{"a": "x"}', "no json", None, 3):
        assert logprobs(other) is None


def test_labels_of_any_content():
    assert str(label("/t", "c__exact", "a b")) == '<a href="/t?c__exact=a+b" dir="auto">a b</a>'
    assert str(label("/t", "c__exact", 0)) == '<a href="/t?c__exact=0" dir="auto">0</a>'
    nasty = str(label("/t", 'c"<>__exact', NASTY))
    assert "<script" not in nasty
    assert nasty.count("<") == 2
    assert len(str(label("/t", "c", "x" * 300))) < 700
    for other in ("", True, b"x", {"label": "x"}):
        assert label("/t", "c", other) is None
    assert str(labels("/t", "c", '["a", "b"]')).count("<a ") == 2
    for other in ("[]", "x", "[[1]]", "{}", 3, "[" * 100_000):
        assert labels("/t", "c", other) is None


@pytest.mark.parametrize("immutable", [True, False])
async def test_a_file_of_the_first_version_can_be_looked_at(trained: Path, immutable: bool):
    since = (
        "answers", "spending", "batches", "batch_keys", "following", "evaluation_rows",
        "minimum_scores",
    )  # fmt: skip
    with closing(connect(trained)) as conn, conn:
        for table in since:
            conn.execute(f"drop table _ftclassify_{table}")
    datasette = serve(immutables=(trained,)) if immutable else serve(trained)
    for path in (
        OURS, f"{OURS}/jobs", f"{OURS}/jobs/1", f"{OURS}/jobs/1.json", f"{OURS}/classifiers/topics",
        f"{OURS}/classifiers/topics/rows", f"{OURS}/classifiers/topics/try?text=noise",
        f"{OURS}/classify?table=messages", f"{OURS}/export?table=messages", "/town/messages",
    ):  # fmt: skip
        assert (await get(datasette, path, ROOT)).status_code == 200, path


async def test_what_sqlite_has_against_our_tables_is_told(trained: Path):
    with closing(connect(trained)) as conn, conn:
        conn.execute("drop table _ftclassify_job_events")
    for path in ("/town/-/ftclassify/jobs/1", "/town/-/ftclassify/jobs/1.json"):
        response = await get(serve(trained), path, ROOT)
        assert response.status_code == 400
        assert "no such table: _ftclassify_job_events" in response.text
        assert "may be damaged" in response.text


@pytest.mark.parametrize("who", [None, ROOT])
async def test_every_address_of_ours_is_below_the_base_url(trained: Path, who: str | None):
    queue_predict(trained)
    datasette = Datasette([str(trained)], settings={"base_url": "/in/here/"})
    if not is_065():
        datasette.root_enabled = True
    found = set()
    for path in (
        "/-/ftclassify", "/town", "/town/messages", OURS, f"{OURS}/jobs", f"{OURS}/jobs/1",
        f"{OURS}/classifiers/topics", f"{OURS}/classifiers/topics/rows",
        f"{OURS}/train?table=messages", f"{OURS}/export?table=messages",
        f"{OURS}/classify?table=messages",
    ):  # fmt: skip
        page = (await get(datasette, path, who)).text
        found |= set(re.findall(r'="(/[^"]*ftclassify[^"]*)"', page))
        found |= set(re.findall(r'="(/[^"]*/messages[^"]*)"', page))
    assert len(found) > 20
    assert not [address for address in found if not address.startswith("/in/here/")]
    if who is None:
        return  # readers are told of no job
    script = next(address for address in found if "strip.js" in address)
    asked = parse_qs(urlsplit(html.unescape(script)).query)["jobs"]
    assert asked == [f"/in/here{OURS}/jobs.json?table=messages&active=1"]
