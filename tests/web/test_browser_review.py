"""From a check by way of a review to a new version, in a browser and with the keyboard."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

from browsing import chromium, needs_browser, served, signed_in, wide
from checking import clean_rows

from datasette_ftclassify.core.database import connect
from datasette_ftclassify.core.task import define
from datasette_ftclassify.jobs.train import train_classifier
from datasette_ftclassify.jobs.train_request import TrainRequest

WRONG = {31: "port", 92: "garden"}


def make(path: Path) -> None:
    with closing(connect(path, must_exist=False)) as conn:
        with conn:
            conn.execute("create table letters (id integer primary key, text, label)")
            conn.executemany("insert into letters (text, label) values (?, ?)", clean_rows(60))
            for key, label in WRONG.items():
                conn.execute("update letters set label = ? where id = ?", [label, key])
        task = define(conn, "letters", text=["text"], labels=["label"])
        train_classifier(conn, task, TrainRequest(name="letters", curve=False))


def labels(path: Path) -> dict[int, Any]:
    with closing(connect(path)) as conn:
        return dict(conn.execute("select id, label from letters"))


@needs_browser
def test_a_check_leads_to_a_review_and_that_to_a_new_version(tmp_path: Path) -> None:
    path = tmp_path / "town.db"
    make(path)
    right = dict(enumerate((label for _, label in clean_rows(60)), 1))
    ours = "/town/-/ftclassify"
    with served(path) as server, chromium() as browser, signed_in(browser, server) as page:
        page.goto(f"{ours}/train?table=letters&text=text&label=label")
        page.get_by_role("button", name="Check the rows").click()
        page.get_by_role("link", name="review them one by one").click()
        page.get_by_role("button", name="Make the queue").click()
        page.get_by_role("button", name="Start").click()
        page.get_by_text("row 1 of").wait_for()
        # The labels have keys in their own order: garden, house, port.
        queue = page.url.split("?")[0]
        for place in range(1, len(WRONG) + 1):
            key = page.locator("button.ft-suggested").get_attribute("data-key")
            page.keyboard.press(str(key))
            page.wait_for_url(lambda url, now=place: url.partition("place=")[2] != str(now))
        assert labels(path) == right
        page.goto(queue)
        page.get_by_text("2 of them corrected").wait_for()
        page.goto(f"{ours}/classifiers/letters")
        page.get_by_role("link", name="Train a new version with 2 corrections").click()
        page.get_by_text("2 labels were corrected in reviews").wait_for()
        page.get_by_role("button", name="Train a new version with 2 corrections").click()
        page.get_by_role("link", name="See the classifier letters").click()
        page.get_by_text("version 2").wait_for()
        page.get_by_text("letters@1").first.wait_for()


@needs_browser
def test_everything_of_a_review_has_a_key_and_fits_a_phone(tmp_path: Path) -> None:
    path = tmp_path / "town.db"
    make(path)
    phone = {"viewport": {"width": 390, "height": 800}}
    with served(path) as server, chromium() as browser, signed_in(browser, server, **phone) as page:
        page.goto("/town/-/ftclassify/review?table=letters&queue=audit&classifier=letters")
        assert wide(page) <= 0
        page.get_by_label("A random sample").check()
        page.get_by_role("button", name="Make the queue").click()
        page.get_by_role("button", name="Start").click()
        page.get_by_text("row 1 of").wait_for()
        assert wide(page) <= 0
        before = labels(path)
        page.keyboard.press("n")
        page.keyboard.type("1 s u")  # is typed, and no key
        page.keyboard.press("Escape")
        page.keyboard.press("s")
        page.get_by_text("row 2 of").wait_for()
        page.keyboard.press("ArrowLeft")
        page.get_by_text("row 1 of").wait_for()
        page.get_by_text("1 s u").wait_for()
        page.keyboard.press("ArrowRight")
        page.get_by_text("row 2 of").wait_for()
        page.keyboard.press("u")
        page.get_by_text("row 1 of").wait_for()
        assert labels(path) == before


def slowly(page: Any, route: Any) -> None:
    page.wait_for_timeout(400)
    route.continue_()


@needs_browser
def test_quick_keys_reach_the_row_that_is_seen_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "town.db"
    make(path)
    before = labels(path)
    with served(path) as server, chromium() as browser, signed_in(browser, server) as page:
        page.goto("/town/-/ftclassify/review?table=letters&queue=audit&classifier=letters")
        page.get_by_label("A random sample").check()
        page.get_by_role("button", name="Make the queue").click()
        page.get_by_role("button", name="Start").wait_for()
        # A slow line: the script comes after the text, and the next row long after the key.
        page.route("**/review.js", lambda route: slowly(page, route))
        page.get_by_role("button", name="Start").click(no_wait_after=True)
        page.get_by_text("row 1 of").wait_for()
        page.keyboard.press("s")
        page.get_by_text("row 2 of").wait_for()
        page.route("**/review/*", lambda route: slowly(page, route))
        for key in "s12":
            page.keyboard.press(key)
        page.get_by_text("row 3 of").wait_for()
        assert labels(path) == before
