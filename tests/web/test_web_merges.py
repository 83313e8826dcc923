"""Labels are merged on a page and in a terminal: previewed, done, told and undone."""

from __future__ import annotations

import re
import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest
from commands import run, run_json
from visiting import get, seen, send, serve, submit

OURS = "/town/-/ftclassify"
PAGE = f"{OURS}/merge-labels"
GRANTS = {"ftclassify-review": {"id": ["rita"]}}
LABELS = ["spam", "spam", "spam", "Spam ", "Spam ", "ham", "junk"]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "town.db"
    with closing(sqlite3.connect(path)) as conn, conn:
        conn.execute("create table messages (id integer primary key, text, label)")
        conn.executemany("insert into messages values (null, 'text', ?)", zip(LABELS, strict=True))
    return path


def labels(path: Path) -> Counter[str]:
    with closing(sqlite3.connect(path)) as conn:
        return Counter(label for (label,) in conn.execute("select label from messages"))


async def test_variants_are_previewed_merged_and_undone_by_plain_forms(path: Path) -> None:
    datasette = serve(path, grants=GRANTS, writers="rita")
    asked = f"{PAGE}?table=messages&label=label"
    page = await get(datasette, asked, "rita")
    assert "Written in several ways." in seen(page.text)
    forms = re.findall(r'method="(?:post|get)" action="([^"]*)"', page.text)
    addresses = {form.partition("?")[0] for form in forms if "logout" not in form}
    assert addresses == {PAGE}
    given = {"table": "messages", "label": "label", "old": ["Spam ", "junk"], "into": "spam"}
    page = await submit(datasette, asked, "rita", action="preview", **given)
    assert page.status_code == 200
    assert labels(path) == Counter(LABELS)
    text = seen(page.text)
    assert "3 rows of messages" in text
    state = re.search(r'name="seen" value="(\w+)"', page.text)
    assert state
    done = await submit(datasette, asked, "rita", action="merge", seen=state[1], **given)
    assert done.status_code == 302
    assert labels(path) == Counter(spam=6, ham=1)
    found = (await get(datasette, f"{PAGE}.json?table=messages&label=label", "rita")).json()
    (merge,) = found["merges"]
    assert (merge["who"], merge["rows"], merge["said"]) == ("rita", 3, "'Spam ', junk became spam")
    late = await send(datasette, PAGE, {**given, "action": "merge", "seen": state[1]}, "rita")
    assert late.status_code == 400  # there are no such labels any more
    body = {"table": "messages", "action": "undo", "batch": merge["id"]}
    undone = await send(datasette, PAGE, body, "rita")
    assert undone.json()["restored"] == 3
    assert labels(path) == Counter(LABELS)


async def test_labels_that_differ_by_a_space_are_told_apart_where_html_shows_one(
    path: Path,
) -> None:
    with closing(sqlite3.connect(path)) as conn, conn:
        conn.execute("update messages set label = 'no  spam' where label = 'junk'")
        conn.execute("update messages set label = 'no spam' where label = 'ham'")
    datasette = serve(path, grants=GRANTS, writers="rita")
    given = {"table": "messages", "label": "label"}
    merge = {**given, "old": "no  spam", "into": "no spam"}
    preview = await submit(datasette, PAGE, "rita", action="preview", **merge)
    state = re.search(r'name="seen" value="(\w+)"', preview.text)
    assert state
    await submit(datasette, PAGE, "rita", action="merge", seen=state[1], **merge)
    page = await get(datasette, f"{PAGE}?table=messages&label=label", "rita")
    message = "'no  spam' / 'no spam'"
    merges = (await get(datasette, f"{PAGE}.json?table=messages&label=label", "rita")).json()
    undone = run("merge-labels", path, "messages", "--undo", merges["merges"][0]["id"])
    assert "Undone: 1 row has its old label again." in undone.output
    env = getattr(datasette, "_jinja_env", None) or datasette.jinja_env
    called = "{% from 'ftclassify/review.html' import finding %}{{ finding(f, none) }}"
    told = await env.from_string(called).render_async(f={"message": message})
    for html in (preview.text, page.text, told):
        assert "no\xa0\xa0spam" in html


async def test_nobody_else_merges_and_a_stale_preview_is_shown_again(path: Path) -> None:
    datasette = serve(path, grants=GRANTS, writers="rita")
    given = {"table": "messages", "label": "label", "old": "junk", "into": "spam"}
    preview = await send(datasette, PAGE, {**given, "action": "preview"}, "rita")
    plan = preview.json()["preview"]
    assert (plan["changed"], plan["rows"], plan["stale"]) == (1, {"junk": 1}, [])
    with closing(sqlite3.connect(path)) as conn, conn:
        conn.execute("insert into messages (text, label) values ('more', 'junk')")
    before = labels(path)
    wanted = {**given, "action": "merge", "seen": plan["seen"]}
    assert (await send(datasette, PAGE, wanted, "vic")).status_code == 403
    late = await send(datasette, PAGE, wanted, "rita")
    assert late.status_code == 409
    assert "2 rows would get spam now" in late.json()["error"]
    assert labels(path) == before


def test_the_same_in_a_terminal(path: Path) -> None:
    base = ("merge-labels", path, "messages", "--label", "label")
    listed = run_json(*base)
    assert listed["suggestions"][0] | {"why": ""} == {"old": ["Spam "], "into": "spam", "why": ""}
    assert "'Spam ' may be 'spam'" in run(*base).output
    told = run(*base, "Spam ", "junk", "--into", "spam", "--preview").output
    assert "3 rows of messages get 'spam'." in told
    assert labels(path) == Counter(LABELS)
    done = run_json(*base, "Spam ", "junk", "--into", "spam", "--yes", "--as", "ann")
    assert labels(path) == Counter(spam=6, ham=1)
    assert "3 rows have their old labels" in run(*base, "--undo", done["batch"]).output
    assert labels(path) == Counter(LABELS)
    renamed = run_json(*base, "ham", "--into", "fine", "--yes")
    assert renamed["new"]
    assert labels(path)["fine"] == 1
    for wrong, said in (
        (("spam",), "the label that they become"),
        (("nothing", "--into", "spam"), "no label nothing"),
        (("--undo", 99), "no change 99"),
    ):
        assert said in run(*base, *wrong, code=1).output
