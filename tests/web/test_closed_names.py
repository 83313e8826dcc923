"""What is behind a table that somebody may train on, and that they may not see: names of labels in
another table, rows of our own tables."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import quote_plus

import pytest
from datasette.app import Datasette
from lookup_tables import desk
from visiting import ROOT, get, send, serve

from datasette_ftclassify.core.splits import SplitPlan
from datasette_ftclassify.core.task import define
from datasette_ftclassify.jobs.check import submit_check
from datasette_ftclassify.jobs.runner import run_job
from datasette_ftclassify.web import datasette_reads
from datasette_ftclassify.web.datasette_reads import find_ours_behind
from datasette_ftclassify.web.permissions import may_view_table

OURS = "/town/-/ftclassify"
CHOSEN = "table=mails&text=message&label=topic"
TELLING = (
    f"{OURS}/train.json?{CHOSEN}&preview=1",
    f"{OURS}/export?{CHOSEN}&download=1&split=train",
    f"{OURS}/merge-labels.json?table=mails&label=topic",
)
"""Pages that tell the names where somebody chooses the column."""
PROPOSING = (
    f"{OURS}/train.json?table=mails",
    f"{OURS}/train.json?table=mails&check=1",
    f"{OURS}/export.json?table=mails",
    f"{OURS}/merge-labels.json?table=mails",
    f"{OURS}/review.json?table=mails",
    f"{OURS}/sweep.json?table=mails",
)
NAME = "xyzzy"
GRANTED = {f"ftclassify-{what}": {"id": "tom"} for what in ("train", "review", "predict")}


@pytest.fixture
def town(tmp_path: Path) -> Path:
    path = tmp_path / "town.db"
    with closing(desk(path)) as conn:
        with conn:
            conn.execute(f"update topics set name = '{NAME} ' || id")
        task = define(conn, "mails", text=["message"], labels=["topic"])
        assert run_job(conn, submit_check(conn, task, SplitPlan()).id).state == "finished"
    return path


def served(town: Path) -> Datasette:
    grants = {what: {"id": ["tom", ROOT]} for what in GRANTED}
    closed = {"topics": {"allow": {"id": ROOT}}}
    return serve(town, tables=closed, grants=grants, writers="tom")


async def test_no_page_tells_a_name_of_a_table_that_is_closed(town: Path) -> None:
    datasette = served(town)
    for page in TELLING:
        assert NAME in (await get(datasette, page, ROOT)).text, page
        refused = await get(datasette, page, "tom")
        assert (refused.status_code, NAME in refused.text) == (403, False), page
    for page in PROPOSING:
        shown = await get(datasette, page, "tom")
        assert (shown.status_code, NAME in shown.text) == (200, False), page
    assert NAME in (await get(datasette, PROPOSING[1], ROOT)).text


@pytest.mark.parametrize("page", ["train", "review", "merge-labels", "sweep"])
async def test_nothing_is_begun_with_such_a_column(town: Path, page: str) -> None:
    body = {"table": "mails", "text": "message", "label": "topic", "queue": "audit", "into": "a",
            "action": "preview" if page == "merge-labels" else "check"}  # fmt: skip
    for given in (body, {**body, "label": ["topic"]}):
        refused = await send(served(town), f"{OURS}/{page}.json", given, "tom")
        assert refused.status_code == 403
        assert "holds keys of a table that names them" in refused.json()["error"]


async def test_other_columns_of_the_table_are_chosen_as_ever(town: Path) -> None:
    page = f"{OURS}/train.json?table=mails&text=message&label=id&preview=1"
    assert (await get(served(town), page, "tom")).status_code == 200


OVER_OURS = {
    "plain": "create view plain as select * from _ftclassify_jobs",
    'o "dd': 'create view "o ""dd" as select * from plain union select * from "_FTclassify_JOBS"',
    "sought": "create virtual table sought using fts5(settings, kind, content='_ftclassify_jobs')",
    "behind": "create view behind as select 'a text' as settings, 'a' as kind"
    " union all select settings, kind from sought",
}


@pytest.mark.parametrize("name", [*OVER_OURS, "_FTCLASSIFY_jobs", " _ftclassify_jobs"])
async def test_no_page_tells_rows_of_our_tables_by_whatever_they_are_read(
    town: Path, name: str
) -> None:
    with closing(sqlite3.connect(town)) as conn, conn:
        for sql in OVER_OURS.values():
            conn.execute(sql)
    datasette = served(town)
    chosen = f"table={quote_plus(name)}&text=settings&label=kind"
    pages = [
        f"{page}{chosen}"
        for page in (
            "train.json?preview=1&", "train?preview=1&", "train.json?check=1&", "review.json?",
            "export?download=1&split=train&", "merge-labels.json?", "sweep.json?",
        )
    ]  # fmt: skip
    for page in pages:
        refused = await get(datasette, f"{OURS}/{page}", "tom")
        assert (refused.status_code, "message" in refused.text) == (404, False), page
    body = {"table": name, "text": "settings", "label": "kind", "action": "check"}
    for page in ("train", "review", "sweep"):
        refused = await send(datasette, f"{OURS}/{page}.json", body, "tom")
        assert refused.status_code == 404, page
    if name in OVER_OURS:
        shown = await get(datasette, f"{OURS}/{pages[0]}", ROOT)
        assert (shown.status_code, "message" in shown.text) == (200, True)


async def test_what_cannot_be_looked_behind_is_shown_to_who_may_read_all_of_ours(
    town: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def locked(*_: object) -> None:
        raise sqlite3.OperationalError("database is locked")

    datasette = served(town)
    await datasette.invoke_startup()
    monkeypatch.setattr(datasette_reads, "ours_behind", locked)
    for who, shown in ((ROOT, True), ("tom", False)):
        assert await may_view_table(datasette, {"id": who}, "town", "mails") is shown


async def test_of_very_many_tables_all_can_be_told_at_once(town: Path) -> None:
    names = {f"t{number}" for number in range(4_000)}
    with closing(sqlite3.connect(town)) as conn, conn:
        for sql in (*OVER_OURS.values(), *(f"create table {name} (message)" for name in names)):
            conn.execute(sql)
    datasette = serve(town)
    await datasette.invoke_startup()
    found = await find_ours_behind(datasette.get_database("town"), {*names, *OVER_OURS})
    assert {name for name, ours in found.items() if ours} == set(OVER_OURS)
    assert all(found[name] == set() for name in names)
