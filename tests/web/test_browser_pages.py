"""Every page as those see it who have a small window, a dark theme, no mouse or no JavaScript."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from browsing import (
    DARK,
    Server,
    chromium,
    faults,
    fetch_axe,
    needs_browser,
    served,
    signed_in,
    sync_api,
    wide,
)
from running_jobs import wait_for

from datasette_ftclassify.demo.build import run

pytestmark = needs_browser
expect = sync_api.expect
OURS = "/ftclassify-demo/-/ftclassify"
CARD = f"{OURS}/classifiers/topics@1"
PREPARE = f"{OURS}/train?table=messages&text=message&label=topic&name=topics"
EXPORT = f"{OURS}/export?table=messages&text=message&label=topic"
CLASSIFY = f"{OURS}/classify?table=messages"
KEYS = {"openai": {"api_key": "sk-test", "base_url": "http://127.0.0.1:9/v1"}, "usd_per_job": 5}
"""A service that nobody asks: its trainers are offered, and a price is told."""


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Any, Server]]:
    """A browser, and the demo's database served."""
    path = tmp_path_factory.mktemp("demo") / "ftclassify-demo.db"
    run(path)
    with ExitStack() as stack:
        server = stack.enter_context(served(path, **KEYS))
        yield stack.enter_context(chromium()), server


def visit_all(page: Any) -> Iterator[str]:
    """Stands on each of our pages in turn, and says which."""
    page.goto(PREPARE)
    page.get_by_role("button", name="Check the rows").click()
    expect(page.get_by_role("heading", name="Findings")).to_be_visible()
    checked = page.url
    yield "train, checked"
    page.get_by_role("radio", name="openai", exact=True).check()
    settings = page.locator("fieldset", has=page.get_by_role("radio", name="openai", exact=True))
    settings.get_by_text("Settings").click()
    settings.get_by_label("Model to fine-tune").fill("gpt-4.1-mini")
    page.get_by_role("button", name="Train", exact=True).click()
    expect(page.get_by_role("heading", name="This costs")).to_be_visible()
    yield "train, estimate"
    page.goto(checked)
    job = page.request.get(f"{OURS}/jobs.json").json()["jobs"][0]["url"]
    for address in (
        job, f"{OURS}/jobs/1", f"{OURS}/jobs", OURS, "/-/ftclassify", CARD,
        f"{job}/finding/0", f"{CARD}/rows?wrong=1", f"{CARD}/try?text=the+lamp+flickers",
        CLASSIFY, f"{CLASSIFY}&ward__exact=Northgate", EXPORT,
        f"{PREPARE}&template={{{{+nothing+}}}}&test=7",  # with errors beside their fields
    ):  # fmt: skip
        response = page.goto(address)
        assert response.ok, address
        yield address


def test_axe_finds_no_serious_fault_in_light_or_dark(demo: Any, tmp_path: Path):
    axe = fetch_axe(tmp_path)
    browser, server = demo
    found = []
    with signed_in(browser, server) as page:
        page.set_content("<input type=text>")
        assert faults(page, axe), "axe-core sees nothing at all"
        for address in visit_all(page):
            found += [f"{address}: {fault}" for fault in faults(page, axe)]
            page.add_style_tag(content=DARK)
            # A theme changes no more than colours.
            dark = faults(page, axe, "color-contrast")
            found += [f"{address}, dark: {fault}" for fault in dark]
            page.locator("style").last.evaluate("style => style.remove()")
    assert found == []


def test_no_page_scrolls_sideways_on_a_phone(demo: Any):
    browser, server = demo
    small = {"width": 390, "height": 800}
    with signed_in(browser, server, viewport=small, has_touch=True) as page:
        found = {address: wide(page) for address in visit_all(page)}
    assert {address: pixels for address, pixels in found.items() if pixels > 0} == {}
    assert len(found) >= 14


def test_no_number_of_a_confusion_matrix_is_broken_on_a_phone(demo: Any):
    browser, server = demo
    rows = """links => links.map(link => {
        const range = document.createRange();
        range.selectNodeContents(link);
        return [link.innerText, new Set([...range.getClientRects()].map(r => r.top)).size];
    })"""
    with signed_in(browser, server, viewport={"width": 390, "height": 800}) as page:
        page.goto(CARD)
        cells = page.locator(".ft-confusion td a")
        page.locator(".ft-scroll", has=cells).evaluate("e => e.classList.add('ft-upright')")
        cells.first.evaluate("link => link.innerText = '1234'")  # as with more labels and rows
        found = cells.evaluate_all(rows)
    assert [text for text, lines in found if lines != 1] == []


def test_without_javascript(demo: Any):
    browser, server = demo
    with signed_in(browser, server, java_script_enabled=False) as page:
        page.goto(f"{OURS}/train?table=messages")
        page.get_by_label("message is text").uncheck()
        page.get_by_label("ward is text").check()
        page.get_by_role("button", name="Preview").click()
        expect(page.locator(".ft-examples .ft-text").first).not_to_contain_text(".")
        page.goto(f"{PREPARE}&id__lte=280")
        expect(page.get_by_text("id ≤ 280")).to_be_visible()
        page.get_by_role("button", name="Check the rows").click()
        wait_for_newest_job(page)
        again = page.get_by_role("button", name="See how far it is")
        if again.count():  # it had not ended before the page was there
            again.click()
        expect(page.get_by_role("heading", name="Findings")).to_be_visible()
        page.get_by_role("button", name="Train", exact=True).click()
        wait_until_finished(page)
        page.get_by_role("link", name="See the classifier topics").click()
        page.get_by_label("Try a text of your own").fill("the lamp outside flickers")
        page.get_by_role("button", name="Classify").click()
        expect(page.get_by_text("Words that spoke for")).to_be_visible()
        page.goto(CLASSIFY)
        page.get_by_label("Prefix").fill("again")
        page.get_by_label("Unlabelled rows").check()
        page.get_by_role("button", name="Classify", exact=True).click()
        wait_until_finished(page)
        page.get_by_role("link", name="See the labels in messages").click()
        expect(page.locator("td.col-again_label").first).to_be_visible()


def wait_until_finished(page: Any) -> None:
    """On the job's page, which reloads itself."""
    page.wait_for_url("**/jobs/*")
    expect(page.locator(".ft-state")).to_have_text("Finished")


def wait_for_newest_job(page: Any) -> None:
    def is_finished() -> bool:
        return page.request.get(f"{OURS}/jobs.json").json()["jobs"][0]["state"] == "finished"

    wait_for(is_finished, "the newest job")
