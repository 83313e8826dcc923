"""The page that says what a published copy holds, and what the command then makes."""

from __future__ import annotations

import re
import shlex
import shutil
from contextlib import closing
from html import unescape
from pathlib import Path

import pytest
from commands import run_json
from visiting import ROOT, get, seen, serve

from datasette_ftclassify.core.database import connect
from datasette_ftclassify.web.permissions import TRAIN

PAGE = "/town/-/ftclassify/classifiers/topics/publish"


@pytest.fixture
def town(trained: Path) -> Path:
    with closing(connect(trained)) as conn, conn:
        conn.execute(
            "create table plain (id integer primary key, text, who references hidden_people)"
        )
        conn.execute("insert into plain (text) values ('write to ann@example.org')")
        conn.execute("create table hidden_people (name)")
    return trained


async def test_the_page_says_what_the_command_makes(
    town: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    page = f"{PAGE}.json?with=messages&with=plain"
    plan = (await get(serve(town), page, ROOT)).json()
    assert "plain" in {found["table"] for found in plan["private"]}
    words = shlex.split(plan["commands"]["copy"])
    assert words[:3] == ["datasette", "ftclassify", "publish-copy"]
    before = town.read_bytes()
    monkeypatch.chdir(town.parent)
    made = run_json(*words[2:])
    for name in ("classifiers", "default", "tables", "views", "ours", "left_out", "private",
                 "referred", "packages", "bytes_before"):  # fmt: skip
        assert plan[name] == made[name], name
    assert {k: v for k, v in plan["commands"].items() if k != "copy"} == made["commands"]
    if plan["bytes_after"] is not None:  # where this SQLite can say
        assert plan["bytes_after"] == pytest.approx(made["bytes_after"], rel=0.2)
    assert town.read_bytes() == before


async def test_it_shows_the_commands_of_each_host_and_what_texts_reveal(town: Path):
    page = await get(serve(town), f"{PAGE}?with=messages&with=plain", ROOT)
    assert page.status_code == 200
    commands = [unescape(found) for found in re.findall(r"<pre[^>]*>(.*?)</pre>", page.text, re.S)]
    assert shlex.split(commands[0])[1:3] == ["ftclassify", "publish-copy"]
    assert [shlex.split(c)[1:3] for c in commands[1:5]] == [
        ["publish", host] for host in ("cloudrun", "heroku", "fly", "vercel")
    ]
    assert "pip install datasette datasette-ftclassify-serve" in commands[5]
    assert "datasette-ftclassify-serve beside Datasette, which answers and shows" in seen(page.text)
    assert "1 of 1 sampled rows of plain have an e-mail address" in seen(page.text)
    card = await get(serve(town), "/town/-/ftclassify/classifiers/topics", ROOT)
    assert f"{PAGE.removesuffix('/publish')}@1/publish".replace("@", "~40") in card.text


async def test_it_names_no_table_that_the_visitor_may_not_see(town: Path):
    tables = {"hidden_people": {"allow": {"id": ROOT}}}
    datasette = serve(town, tables=tables, grants={TRAIN: {"id": "tom"}})
    for page in (PAGE, f"{PAGE}.json?with=plain", f"{PAGE}.json?with=hidden_people"):
        response = await get(datasette, page, "tom")
        assert response.status_code == 200, page
        assert "hidden_people" not in response.text
        assert str(town.parent) not in response.text
    assert (await get(datasette, PAGE, "vic")).status_code == 403
    card = await get(datasette, PAGE.removesuffix("/publish"), "vic")
    assert "/publish" not in card.text


async def test_a_classifier_whose_table_is_gone_is_published_with_another(town: Path):
    with closing(connect(town)) as conn, conn:
        conn.execute("drop table messages")
    refused = await get(serve(town), f"{PAGE}.json", ROOT)
    assert refused.status_code == 400
    assert "no other table was chosen" in refused.json()["error"]
    plan = (await get(serve(town), f"{PAGE}.json?with=plain", ROOT)).json()
    assert plan["tables"] == {"plain": 1}
    assert plan["ours"]["evaluation_rows"]["after"] == 0


async def test_a_file_that_nobody_can_write_is_planned_as_well(town: Path, tmp_path: Path):
    path = Path(shutil.copy(town, tmp_path / "sub.db"))
    path.chmod(0o444)
    response = await get(serve(immutables=(path,)), PAGE.replace("/town", "/sub"), ROOT)
    assert response.status_code == 200
