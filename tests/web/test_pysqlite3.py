"""Datasette on pysqlite3, which it prefers where that is installed, as Vercel does: what its
connections raise is no `sqlite3.Error`. `.ci/run` runs this, and others, with it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import urlencode

import pytest
from visiting import ROOT, get, is_065, serve

pytest.importorskip("pysqlite3", reason="pysqlite3 is not installed")


@pytest.fixture
def damaged(trained: Path) -> Path:
    """The pages of the file that hold classifiers are no longer a table's."""
    with closing(sqlite3.connect(trained)) as conn:
        (size,) = conn.execute("pragma page_size").fetchone()
        roots = conn.execute(
            "select rootpage from sqlite_master where tbl_name = '_ftclassify_classifiers'"
        ).fetchall()
    with trained.open("r+b") as file:
        for (root,) in roots:
            file.seek((root - 1) * size)
            file.write(b"\xff" * size)
    return trained


def query(sql: str, **more: str) -> str:
    return ("/town.json?" if is_065() else "/town/-/query.json?") + urlencode({"sql": sql, **more})


async def test_a_damaged_file_is_told_on_our_pages_and_spares_those_of_datasette(damaged: Path):
    datasette = serve(damaged)
    for path in ("/", "/town", "/town/messages", query("select ft_classify('x', 'topics')")):
        assert (await get(datasette, path, ROOT)).status_code == 200, path
    for path in ("train?table=messages", "classifiers/topics", "classifiers/topics.json"):
        page = await get(datasette, f"/town/-/ftclassify/{path}", ROOT)
        assert page.status_code < 500, page.text


async def test_a_function_whose_query_is_over_ends_it(trained: Path):
    endless = (
        "with recursive c(n) as (select 1 union all select n + 1 from c)"
        " select sum(length(ft_classify('water ' || n))) from c"
    )
    answer = await get(serve(trained), query(endless, _timelimit="300"))
    assert answer.status_code == 400, answer.text
    assert "interrupted" in answer.text or "time limit" in answer.text
