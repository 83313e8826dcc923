"""Stale answers on pages: counts, their rows, and making them again."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from sample_databases import value
from visitor import Visitor

from datasette_ftclassify.core.database import connect
from datasette_ftclassify.jobs.predict import predict_rows
from datasette_ftclassify.store.classifiers import find_classifier
from datasette_ftclassify.store.minimum_scores import MinimumScore, set_minimum

EDITED = 3


@pytest.fixture
def town(trained: Path) -> Path:
    """Messages with an odd key, of which some were edited after they were classified."""
    with closing(connect(trained)) as conn, conn:
        conn.execute('create table "the notes" (id text primary key, message text)')
        conn.execute(
            "insert into \"the notes\" select 'k/' || id, message from messages where id <= 60"
        )
        predict_rows(conn, find_classifier(conn, "topics"), "the notes")
        conn.execute(
            "update \"the notes\" set message = message || ' <b>again</b>'"
            f' where id in (select id from "the notes" order by id limit {EDITED})'
        )
    return trained


async def stale(visitor: Visitor, form: str = ".json", **query: str):
    asked = visitor.url("the notes", **query).replace("/classify?", f"/stale{form}?")
    response = await visitor.datasette.client.get(asked, cookies=visitor.cookies)
    assert response.status_code == 200, response.text
    return response.json() if form else response.text


async def test_counts_lead_to_their_rows(town: Path):
    visitor = Visitor(town)
    found = await stale(visitor)
    (answers,) = found["answers"]
    counts = answers["counts"]
    assert (counts["stale"], counts["text"], counts["current"]) == (EDITED, EDITED, 57)
    assert len(found["rows"]) == EDITED
    assert found["rows"][0]["text"].endswith("<b>again</b>")
    row = await visitor.datasette.client.get(found["rows"][0]["url"], cookies=visitor.cookies)
    assert row.status_code == 200
    page = await stale(visitor, "")
    assert "<b>again" not in page
    assert page.count("&lt;b&gt;again") == EDITED
    assert "Stale: the text was changed" in page
    assert (await stale(visitor, age="classifier"))["rows"] == []


async def test_stale_rows_are_classified_again_from_the_page(town: Path):
    visitor = Visitor(town)
    (answers,) = (await stale(visitor))["answers"]
    job = visitor.job(
        await visitor.post(
            "the notes", classifier=answers["classifier"], rows="stale", answers=answers["column"]
        )
    )
    assert job.done == EDITED
    assert (await stale(visitor))["answers"][0]["counts"]["stale"] == 0


async def test_the_tables_page_marks_them(town: Path):
    visitor = Visitor(town)
    address = f"/{town.stem}/the~20notes"
    page = await visitor.datasette.client.get(address, cookies=visitor.cookies)
    assert page.text.count("stale: the text was changed") == EDITED
    assert page.text.count("up to date") == 57
    some = await visitor.datasette.client.get(f"{address}?_col=topics_fingerprint")
    assert "stale" not in some.text.partition("<tbody")[2]
    with closing(connect(town)) as conn:
        set_minimum(conn, find_classifier(conn, "topics"), MinimumScore("fixed", 0.99))
    page = await Visitor(town).datasette.client.get(address)
    assert page.text.count("stale: an earlier version, or another minimum score") == 60


async def test_the_page_says_whether_new_rows_are_followed(town: Path):
    visitor = Visitor(town)
    visitor.job(await visitor.post("the notes", classifier="topics", follow="1"))
    followed = (await stale(visitor))["answers"][0]["followed"]
    assert followed["state"] == "finished"
    assert "New and edited rows are classified automatically" in await stale(visitor, "")
    with closing(connect(town)) as conn, conn:
        conn.execute("update _ftclassify_jobs set state = 'failed'")
    assert "New and edited rows are not being classified" in await stale(visitor, "")
    assert "are not being classified" in (await visitor.get("the notes")).text


@pytest.mark.parametrize(
    "query", [{"age": "old"}, {"column": "nope"}, {"after": "{"}, {"after": "3"}]
)
async def test_an_odd_address_is_told(town: Path, query: dict[str, str]):
    visitor = Visitor(town)
    asked = visitor.url("the notes", **query).replace("/classify?", "/stale.json?")
    response = await visitor.datasette.client.get(asked, cookies=visitor.cookies)
    assert response.status_code == 400, response.text
    assert json.loads(response.text)["error"]


def test_a_job_whose_settings_are_not_ours_is_passed_over(town: Path):
    from datasette_ftclassify.jobs.stale import answers_in

    with closing(connect(town)) as conn, conn:
        conn.execute(
            "insert into _ftclassify_jobs (kind, state, settings, created_at, updated_at)"
            " values ('predict', 'finished', '{\"table\": \"the notes\"}', '', '')"
        )
        assert [one.column for one in answers_in(conn, "the notes")] == ["topics_fingerprint"]
    assert value(sqlite3.connect(town), "select count(*) from _ftclassify_jobs") >= 2
