"""Labels that are keys of a table which a visitor may not see: whoever may train on the rows is
told no name that stands there."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest
from datasette.app import Datasette
from lookup_tables import desk
from visiting import ROOT, get, send, serve

from datasette_ftclassify.core.splits import SplitPlan
from datasette_ftclassify.core.task import define
from datasette_ftclassify.jobs.check import submit_check
from datasette_ftclassify.jobs.runner import run_job

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
    return serve(town, tables=closed, grants=grants, writers="tom", patient=True)


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
