"""Two people label a queue on pages, each for themselves, and a third one decides."""

from __future__ import annotations

import re
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from checking import clean_rows
from commands import run, run_json
from visiting import get, seen, send, serve, submit

from datasette_ftclassify.core.database import connect

OURS = "/town/-/ftclassify"
PEOPLE: Any = ["rita", "sam", "eve"]
GRANTS = {"ftclassify-review": {"id": PEOPLE}}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The queue for two people was made in a terminal, by which the first row is listed blind."""
    path = tmp_path_factory.mktemp("agreement") / "town.db"
    with closing(sqlite3.connect(path)) as conn, conn:
        conn.execute("create table messages (id integer primary key, text, label)")
        conn.executemany("insert into messages (text, label) values (?, ?)", clean_rows(8))
    listed = run_json(
        "review", path, "messages", "--text", "text", "--label", "label", "--queue", "audit",
        "--people", 2, "--rows", 3, "--list",
    )  # fmt: skip
    assert listed["people"] == 2
    assert [(r["blind"], r["labels"], r["why"]) for r in listed["rows"]] == [(True, None, "")] * 3
    return path


@pytest.fixture
def path(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(made, tmp_path / "town.db"))


def table(path: Path) -> dict[int, Any]:
    with closing(connect(path)) as conn:
        return dict(conn.execute("select id, label from messages"))


async def test_two_answer_and_a_third_decides_by_plain_forms(path: Path) -> None:
    before = table(path)
    datasette = serve(path, grants=GRANTS, writers=PEOPLE)
    queue, agreed = f"{OURS}/jobs/1/review", f"{OURS}/jobs/1/agreement"
    answers = {"rita": ["garden", "house", "port"], "sam": ["garden", "port", "port"]}
    for who, labels in answers.items():
        page = await submit(datasette, queue, who, action="next")
        for label in labels:
            page = await get(datasette, page.headers["location"], who)
            text = seen(page.text)
            assert "other answers are shown once" in text
            assert "Suggested" not in text
            assert "rita" not in text or who == "rita"
            fields = dict(re.findall(r'name="(place|seen)" value="(\w+)"', page.text))
            page = await submit(datasette, queue, who, **fields, label=label)
    assert table(path) == before
    page = await get(datasette, agreed, "eve")
    text = seen(page.text)
    assert "2 of 3 rows" in text
    forms = re.findall(r'method="post" action="([^"]*)"', page.text)
    assert {form for form in forms if "logout" not in form} == {agreed}
    assert "rita, sam" in text
    assert "rita : house ; sam : port" in text
    done = await submit(datasette, agreed, "eve", action="accept")
    assert done.headers["location"] == agreed
    page = await submit(datasette, agreed, "eve", action="decide")
    assert page.headers["location"] == f"{queue}?place=2"
    page = await get(datasette, page.headers["location"], "eve")
    assert "Everyone has answered" in seen(page.text)
    fields = dict(re.findall(r'name="(place|seen)" value="(\w+)"', page.text))
    await submit(datasette, queue, "eve", **fields, label="house")
    found = (await get(datasette, f"{agreed}.json", "eve")).json()
    assert (found["to_accept"], found["to_decide"]) == (0, 0)
    places = {
        row["place"]: row
        for row in (await get(datasette, f"{queue}.json?list=1", "eve")).json()["rows"]
    }
    after = {places[1]["key"][0]: "garden", places[2]["key"][0]: "house",
             places[3]["key"][0]: "port"}  # fmt: skip
    assert table(path) == {**before, **after}
    batch = found["accepted"]["id"]
    undone = await send(datasette, agreed, {"action": "undo", "batch": batch}, "eve")
    assert undone.json()["ok"]
    decided = places[2]["key"][0]
    assert table(path) == {**before, decided: "house"}
    wrong = await send(datasette, agreed, {"action": "undo", "batch": 99}, "eve")
    assert wrong.status_code == 400


def test_the_same_in_a_terminal(path: Path) -> None:
    before = table(path)
    base = ("review", path, "messages", "--text", "text", "--label", "label", "--queue", "audit",
            "--people", 2)  # fmt: skip
    assert "answered by 2 people yet" in run("agreement", path).output
    run(*base, "--as", "ann", "--set", 1, "garden", "--set", 2, "house", "--set", 3, "port")
    run(*base, "--as", "bob", "--set", 1, "garden", "--set", 2, "port", "--set", 3, "port")
    assert table(path) == before
    told = run("agreement", path).output
    assert "2 of 3 rows have the same labels" in told
    assert "ann: house; bob: port" in told
    assert "1 disagreement to decide, 2 agreed rows to accept" in told
    done = run_json("agreement", path, "--decide", 2, "house", "--accept", "--as", "eve")
    assert (done["to_accept"], done["to_decide"]) == (0, 0)
    assert sorted(set(table(path).values())) == ["garden", "house", "port"]
    number = re.search(r"--undo (\d+)", " ".join(done["said"]))
    if number:
        run("agreement", path, "--undo", number[1])
        changed = {i for i, label in table(path).items() if label != before[i]}
        assert len(changed) <= 1
    assert "does not wait" in run("agreement", path, "--decide", 9, "port", code=1).output
