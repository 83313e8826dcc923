"""Reviewing labels on pages: by plain forms, as Datasette's own edits are made, and told as they
are; and never where nothing may be written."""

from __future__ import annotations

import re
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from checking import clean_rows
from commands import run
from visiting import ROOT, get, is_065, seen, send, serve, submit

from datasette_ftclassify.core.database import connect
from datasette_ftclassify.core.splits import SplitPlan
from datasette_ftclassify.core.task import define
from datasette_ftclassify.jobs.check import submit_check
from datasette_ftclassify.jobs.publish import publish_copy
from datasette_ftclassify.jobs.review.build import submit_review
from datasette_ftclassify.jobs.runner import run_job
from datasette_ftclassify.jobs.settings import ReviewSettings, settings_of
from datasette_ftclassify.jobs.train import train_classifier
from datasette_ftclassify.jobs.train_request import TrainRequest
from datasette_ftclassify.present.publishing import goes
from datasette_ftclassify.store.jobs.state import get_job
from datasette_ftclassify.store.label_changes import list_changes

OURS = "/town/-/ftclassify"
QUEUE = f"{OURS}/jobs/1/review"
GRANTS = {"ftclassify-review": {"id": ["rita", "sam", "root"]}}


@pytest.fixture(scope="module")
def reviewed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table `messages` with wrong labels in rows 31 and 150, and the queue of those: job 1."""
    path = tmp_path_factory.mktemp("reviewed") / "town.db"
    with closing(connect(path, must_exist=False)) as conn:
        with conn:
            conn.execute("create table messages (id integer primary key, text, label)")
            rows = clean_rows(60)
            conn.executemany("insert into messages (text, label) values (?, ?)", rows)
            conn.execute("update messages set label = 'port' where id = 31")
            conn.execute("update messages set label = 'house' where id = 150")
        task = define(conn, "messages", text=["text"], labels=["label"])
        run_job(conn, submit_review(conn, ReviewSettings(task, "mislabelled")).id)
    return path


@pytest.fixture
def path(reviewed: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(reviewed, tmp_path / "town.db"))


def labels(path: Path, sql: str = "select id, label from messages") -> dict[int, Any]:
    with closing(connect(path)) as conn:
        return dict(conn.execute(sql))


def changes(path: Path) -> list[Any]:
    with closing(connect(path)) as conn:
        return list_changes(conn, 1)


def mark(page: Any) -> str:
    """What the page says of the row's state."""
    found = re.search(r'name="seen" value="(\w+)"', page.text)
    assert found, seen(page.text)[:500]
    return found[1]


async def test_a_queue_is_made_worked_through_and_undone_by_plain_forms(path: Path) -> None:
    datasette = serve(path, grants=GRANTS, writers="rita")
    page = await get(datasette, f"{OURS}/review?table=messages", "rita")
    assert "Probably mislabelled rows" in page.text
    made = await submit(
        datasette, f"{OURS}/review?table=messages", "rita",
        table="messages", queue="audit", rows="5", text="text", label="label",
    )  # fmt: skip
    assert made.headers["location"] == f"{OURS}/jobs/2/review"
    waiting = await get(datasette, made.headers["location"], "rita")
    assert "is being made" in waiting.text
    with closing(connect(path)) as conn:
        assert run_job(conn, 2).state == "finished"
        assert get_job(conn, 2).done == 5
    assert "5 rows left of 5" in seen((await get(datasette, f"{OURS}/jobs/2/review", "rita")).text)

    forms = re.findall(
        r'method="post" action="([^"]*)"', (await get(datasette, QUEUE, "rita")).text
    )
    assert {form for form in forms if "logout" not in form} == {QUEUE}
    begun = await submit(datasette, QUEUE, "rita", action="next")
    assert begun.headers["location"] == f"{QUEUE}?place=1"
    row = await get(datasette, f"{QUEUE}?place=1", "rita")
    assert f'href="{QUEUE}"' in row.text
    assert f'action="{QUEUE}"' in row.text
    said = seen(row.text)
    for wanted in (
        "row 1 of",
        "garden",
        "Suggested",
        "Similar rows",
        "Words that speak for garden",
    ):
        assert wanted in said, wanted
    chosen = await submit(
        datasette, f"{QUEUE}?place=1", "rita",
        place="1", seen=mark(row), label="garden", note="roses",
    )  # fmt: skip
    assert chosen.status_code == 302, seen(chosen.text)
    assert labels(path)[31] == "garden"
    (change,) = changes(path)
    assert (change.who, change.note, change.after) == ("rita", "roses", ("garden",))
    told = seen((await get(datasette, QUEUE, "rita")).text)
    assert "rita changed port to garden" in told
    back = await submit(datasette, QUEUE, "rita", action="undo")
    assert back.headers["location"] == f"{QUEUE}?place=1"
    assert labels(path)[31] == "port"


@pytest.mark.skipif(is_065(), reason="Datasette 0.65 has no events")
async def test_a_change_is_an_edit_like_datasettes_own(path: Path, monkeypatch) -> None:
    datasette = serve(path, grants=GRANTS, writers="rita")
    await datasette.invoke_startup()
    events: list[Any] = []

    async def track(event: Any) -> None:
        events.append(event)

    monkeypatch.setattr(datasette, "track_event", track)
    row = await get(datasette, f"{QUEUE}?place=1", "rita")
    body = {"place": 1, "seen": mark(row), "label": "garden"}
    await send(datasette, QUEUE, body, "rita")
    await send(datasette, QUEUE, {"action": "undo"}, "rita")
    kept = {"place": 1, "seen": mark(await get(datasette, f"{QUEUE}?place=1", "rita"))}
    await send(datasette, QUEUE, {**kept, "label": "port"}, "rita")  # as it is: nothing is written
    assert [(e.name, e.actor, e.table, e.pks) for e in events] == [
        ("update-row", {"id": "rita"}, "messages", [31])
    ] * 2


async def test_datasettes_own_permission_is_needed_besides(path: Path) -> None:
    """Sam may review by our permission, and not update rows, which 1.0 asks for."""
    datasette = serve(path, grants=GRANTS, writers="rita")
    row = await get(datasette, f"{QUEUE}?place=1", "sam")
    assert row.status_code == 200
    changed = await send(datasette, QUEUE, {"action": "next"}, "sam")
    made = await send(datasette, f"{OURS}/review", {"table": "messages", "queue": "audit"}, "sam")
    if is_065():
        assert changed.status_code == 200
    else:
        assert changed.status_code == made.status_code == 403
        assert "update-row" in changed.json()["error"]
        assert "may view this page but not change" in seen(
            (await get(datasette, QUEUE, "sam")).text
        )
    assert (await send(datasette, QUEUE, {"action": "next"}, "vic")).status_code == 404


async def test_a_row_that_changed_meanwhile_is_shown_again(path: Path) -> None:
    datasette = serve(path, grants=GRANTS, writers="rita")
    before = await get(datasette, f"{QUEUE}?place=1", "rita")
    with closing(connect(path)) as conn, conn:
        conn.execute("update messages set label = 'house' where id = 31")
    late = await submit(
        datasette, f"{QUEUE}?place=1", "rita",
        place="1", seen=mark(before), label="garden", note="typed",
    )  # fmt: skip
    assert late.status_code == 409
    assert "changed or reviewed this row in the meantime" in seen(late.text)
    assert mark(late) != mark(before)
    assert 'value="typed"' in late.text
    assert labels(path)[31] == "house"
    as_json = await send(
        datasette, QUEUE, {"place": 1, "seen": mark(before), "label": "garden"}, "rita"
    )
    assert as_json.status_code == 409
    again = {"place": 1, "seen": mark(late), "label": "garden"}
    assert (await send(datasette, QUEUE, again, "rita")).json()["action"] == "label"


async def test_a_new_label_is_asked_about_and_what_was_typed_stays(path: Path) -> None:
    datasette = serve(path, grants=GRANTS, writers="rita")
    fields = {"place": "1", "new_label": "ship", "note": "a ferry"}
    before = await get(datasette, f"{QUEUE}?place=1", "rita")
    asked = await submit(datasette, f"{QUEUE}?place=1", "rita", seen=mark(before), **fields)
    assert asked.status_code == 400
    assert "ship would be a new label" in seen(asked.text)
    assert 'value="ship"' in asked.text
    assert 'value="a ferry"' in asked.text
    assert labels(path)[31] == "port"
    fields["add"] = "1"
    await submit(datasette, f"{QUEUE}?place=1", "rita", seen=mark(before), **fields)
    assert labels(path)[31] == "ship"


async def test_programs_read_the_queue_and_work_in_it(path: Path) -> None:
    datasette = serve(path, grants=GRANTS, writers="rita")
    listed = (await get(datasette, f"{QUEUE}.json?list=1", "rita")).json()
    first = listed["rows"][0]
    assert (first["key"], first["labels"], first["suggested"]) == ([31], ["port"], ["garden"])
    assert listed["queue"]["progress"]["open"] == len(listed["rows"])
    on = (await send(datasette, QUEUE, {"action": "next"}, "rita")).json()
    assert on["row"] == {**on["row"], "place": 1, "key": [31]}
    body = {"place": 1, "seen": on["row"]["seen"], "label": ["garden"]}
    changed = (await send(datasette, QUEUE, body, "rita")).json()
    assert (changed["action"], changed["place"]) == ("label", 2)
    for bad in (
        {}, {"place": "x"}, {"place": 1, "seen": "", "label": []}, {"action": "burn"},
        {"place": 10**14, "seen": "", "label": "port"}, {"action": "undo", "change": 99},
        {"place": 1, "seen": first["seen"], "label": ["port", "garden"]},
    ):  # fmt: skip
        response = await send(datasette, QUEUE, bad, "rita")
        assert response.status_code in (400, 409), (bad, response.text)


@pytest.mark.parametrize("kind", ["classifier", "check"])
async def test_a_queue_is_of_what_a_classifier_or_a_check_was_about(path: Path, kind: str) -> None:
    with closing(connect(path)) as conn:
        task = define(conn, "messages", text=["text"], labels=["label"], where="id < 150")
        if kind == "classifier":
            train_classifier(conn, task, TrainRequest(name="letters", curve=False))
        else:
            run_job(conn, submit_check(conn, task, SplitPlan()).id)
    datasette = serve(path, writers=ROOT)
    named = {"classifier": "letters"} if kind == "classifier" else {"check": 2}
    body = {"table": "messages", "queue": "mislabelled", **named}
    made = (await send(datasette, f"{OURS}/review", body, ROOT)).json()
    assert made["job"]["settings"]["task"]["where"] == "id < 150"
    wrong = {**body, **({"classifier": "none"} if kind == "classifier" else {"check": 1})}
    assert (await send(datasette, f"{OURS}/review", wrong, ROOT)).status_code == 400
    if kind == "check":
        checked = await get(datasette, f"{OURS}/train?table=messages&check=2", ROOT)
        assert f"{OURS}/review?table=messages&amp;queue=mislabelled&amp;check=2" in checked.text
        found = re.search(rf"{OURS}/jobs/2/finding/\d+", checked.text)
        assert found
        listed = (await get(datasette, found[0], ROOT)).text
        assert "Suggested" in listed


async def test_without_a_classifier_labels_are_read_as_the_form_says(path: Path) -> None:
    with closing(connect(path)) as conn, conn:
        conn.execute("update messages set label = 'PORT ' where id in (3, 6, 9)")
    datasette = serve(path, grants=GRANTS, writers="rita")
    page = f"{OURS}/review?table=messages"
    fields = {"text": "text", "label": "label", "queue": "audit", "rows": "3"}
    ticked = {"merge_variants": "1", "markup": "html", "delimiter": ""}
    form = (await get(datasette, page, "rita")).text
    assert all(f'name="{name}"' in form for name in {**fields, **ticked})
    await submit(datasette, page, "rita", table="messages", **fields, **ticked)
    with closing(connect(path)) as conn:
        task = settings_of(get_job(conn, 2), ReviewSettings).task
    assert (task.merged, task.markup) == (("port",), "html")
    with closing(connect(path)) as conn:
        run_job(conn, submit_check(conn, task, SplitPlan()).id)
        trained = train_classifier(conn, task, TrainRequest(name="letters", curve=False))
    form = seen((await get(datasette, page, "rita")).text)
    assert "check 3: label (its variants as one) from text (HTML as its words)" in form
    card = seen((await get(datasette, f"{OURS}/classifiers/letters", ROOT)).text)
    said = "all variants of port count as one"
    assert said in card
    assert said in run("classifiers", "show", path, trained.classifier.title).stdout
    publish = seen((await get(datasette, f"{OURS}/classifiers/letters/publish", ROOT)).text)
    assert "pip install datasette 'datasette-ftclassify-serve[html]'" in publish
    merging = f"{OURS}/merge-labels?table=messages&label=label&delimiter=%20"
    listed = await get(datasette, merging, "rita")
    assert 'name="delimiter" value=" "' in listed.text


async def test_an_immutable_file_is_not_reviewed_and_says_so(path: Path) -> None:
    datasette = serve(immutables=(path,))
    for page in (f"{OURS}/review?table=messages", QUEUE):
        response = await get(datasette, page, ROOT)
        assert response.status_code == 404
        assert "cannot be changed here" in seen(response.text)


async def test_a_view_says_where_its_labels_are_reviewed(path: Path) -> None:
    with closing(connect(path)) as conn, conn:
        conn.execute("create view several as select * from messages")
    datasette = serve(path, writers=ROOT)
    page = await get(datasette, f"{OURS}/review?table=several", ROOT)
    assert "review the table behind it" in seen(page.text)
    body = {"table": "several", "queue": "audit", "text": "text", "label": "label"}
    response = await send(datasette, f"{OURS}/review", body, ROOT)
    assert response.status_code == 400
    assert "is a view" in response.json()["error"]


async def test_who_reviewed_what_does_not_go_along_with_a_published_copy(
    path: Path, tmp_path: Path
) -> None:
    datasette = serve(path, writers=ROOT)
    with closing(connect(path)) as conn:
        task = define(conn, "messages", text=["text"], labels=["label"])
        train_classifier(conn, task, TrainRequest(name="letters", curve=False))
    row = await get(datasette, f"{QUEUE}?place=1", ROOT)
    body = {"place": 1, "seen": mark(row), "label": "garden", "note": "canary note"}
    assert (await send(datasette, QUEUE, body, ROOT)).status_code == 200
    copy = tmp_path / "copy.db"
    left = list(goes(publish_copy(path, copy)))
    assert "who changed or kept which label: 1" in left
    assert any(line.startswith("rows of review queues: ") for line in left)
    assert b"canary note" not in copy.read_bytes()
    with closing(sqlite3.connect(copy)) as conn:
        for table in ("_ftclassify_review_rows", "_ftclassify_label_changes"):
            assert conn.execute(f"select count(*) from {table}").fetchone() == (0,)
