"""Makes the pictures of the README from the demo's database: `python docs/make_screenshots.py`.

Needs the packages of the extra `test`, and Chromium.
"""

from __future__ import annotations

import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests" / "support"))

from browsing import chromium, served, signed_in, sync_api  # noqa: E402

from datasette_ftclassify.core.database import connect  # noqa: E402
from datasette_ftclassify.demo.build import load_messages, merge_label_variants  # noqa: E402

TARGET = HERE / "screenshots"
WIDTH = 1100
expect = sync_api.expect


@contextmanager
def visited() -> Iterator[Any]:
    """A page on the demo's table before anything is trained."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ftclassify-demo.db"
        with closing(connect(path, must_exist=False)) as conn:
            load_messages(conn)
            merge_label_variants(conn)
        with (
            served(path) as server,
            chromium() as browser,
            signed_in(browser, server, viewport={"width": WIDTH, "height": 700}) as page,
        ):
            yield page


def take(page: Any, name: str, height: int, top: Any = None) -> None:
    """The window's width, and `height` pixels from the top or from an element on."""
    page.set_viewport_size({"width": WIDTH, "height": height})
    y = 0 if top is None else top.evaluate("e => e.getBoundingClientRect().top + scrollY") - 12
    page.evaluate("y => scrollTo(0, y)", y)
    page.screenshot(path=str(TARGET / f"{name}.png"))
    page.set_viewport_size({"width": WIDTH, "height": 700})


def finish(page: Any) -> None:
    page.wait_for_url("**/jobs/*")
    expect(page.locator(".ft-state")).to_have_text("Finished")


def main() -> None:
    TARGET.mkdir(exist_ok=True)
    with visited() as page:
        page.goto("/ftclassify-demo/messages?_size=8")
        page.locator("details.actions-menu-links > summary").click()
        take(page, "menu", 430)
        page.goto("/ftclassify-demo/-/ftclassify/train?table=messages&name=topics")
        page.get_by_role("button", name="Check the rows").click()
        found = page.get_by_role("heading", name="Findings")
        expect(found).to_be_visible()
        take(page, "prepare", 570, found)
        page.get_by_role("button", name="Train", exact=True).click()
        page.wait_for_url("**/jobs/*")
        expect(page.locator(".ft-now .ft-percent")).to_have_text(re.compile(r"\d\d%"))
        take(page, "job", 600)
        finish(page)
        page.get_by_role("link", name="See the classifier topics").click()
        page.get_by_label("Minimum score").fill("8")
        page.locator("#ft-score").blur()
        take(page, "classifier", 1115, page.get_by_role("heading", name="Evaluation"))
        page.get_by_role("link", name="Classify the rows of messages").click()
        page.get_by_label("Unlabelled rows").check()
        for role in ("logprob", "logprobs"):
            page.locator(f"input[name=roles][value={role}]").uncheck()
        page.get_by_role("button", name="Classify", exact=True).click()
        finish(page)
        page.goto("/ftclassify-demo/messages?_facet=topics_label&_sort=topics_score&topics_score__notnull=1"
                  "&_nocol=received&_nocol=ward&_nocol=channel&_nocol=topic&_size=8")  # fmt: skip
        take(page, "rows", 600, page.locator(".facet-results"))


if __name__ == "__main__":
    main()
