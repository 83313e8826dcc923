"""The whole path in a browser: from a table to a trained classifier and back to the table."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from browsing import chromium, needs_browser, served, signed_in, sync_api, tab_to, visit
from openai_server import OpenAIServer
from sample_databases import town_database, value
from visiting import is_065

from datasette_ftclassify.core.database import connect

pytestmark = needs_browser
expect = sync_api.expect
TRAIN = re.compile("^Train a classifier on this table")
MODEL = "gpt-4.1-mini"
UNLABELLED = 40
"""Rows of the town below."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as found:
        yield found


@pytest.fixture
def town(tmp_path: Path) -> Path:
    """Half of the messages: they teach the topics as well, in half the time."""
    with closing(town_database(tmp_path / "town.db")) as conn, conn:
        conn.execute("delete from messages where id % 2 = 0")
    return tmp_path / "town.db"


def open_menu(page: Any) -> None:
    page.locator("details.actions-menu-links > summary").click()


def item(page: Any, name: re.Pattern[str]) -> Any:
    """Of a menu: its items have a role of their own on Datasette 1.0."""
    return page.get_by_role("link", name=name).or_(page.get_by_role("menuitem", name=name))


def test_from_the_table_to_classified_rows(browser: Any, town: Path):
    with served(town) as server, visit(browser, base_url=server.url) as context:
        page = context.new_page()
        page.goto(server.login)
        page.goto("/town/messages")
        open_menu(page)
        item(page, TRAIN).click()
        examples = page.locator("ft-preview tbody tr")
        expect(examples.first).to_be_visible()
        prepare(page)
        look_at_a_finding(page)
        train(page)
        look_at_a_cell_of_the_matrix(page)
        try_a_text(page)
        choose_a_least_score(page)
        classify(page)


def prepare(page: Any) -> None:
    """The preview follows what is chosen; the check says what it found."""
    page.get_by_label("message is text").uncheck()
    page.get_by_label("ward is text").check()
    expect(page.locator("ft-preview .ft-text").first).to_have_text(re.compile(r"^\w+$"))
    page.get_by_label("ward is text").uncheck()
    page.get_by_label("message is text").check()
    expect(page.locator("ft-preview .ft-text").first).to_have_text(re.compile(r"^\w+ .+ \w+"))
    page.get_by_label("Name of the classifier").fill("topics")
    page.get_by_role("button", name="Check the rows").click()
    expect(page.get_by_role("heading", name="Findings")).to_be_visible()


def look_at_a_finding(page: Any) -> None:
    """The number that a finding names is the number of the rows that it leads to."""
    for code, rows in (("unlabelled", None), ("conflicting-labels", "tbody td:first-child")):
        link = page.get_by_role("link", name=f"See the rows of {code}", exact=True)
        text = page.locator(".ft-findings li", has=link).locator("span").first.inner_text()
        said = int(re.findall(r"\d+", text)[0])
        link.click()
        if rows:
            expect(page.locator(rows)).to_have_count(said)
        else:
            expect(page.locator("h1, h2, h3", has_text=f"{said} row")).to_be_visible()
        page.go_back()


def train(page: Any) -> None:
    """Its job is followed to the end without loading the page again."""
    expect(page.get_by_role("radio", name="local")).to_be_checked()
    page.get_by_role("button", name="Train", exact=True).click()
    page.wait_for_url("**/jobs/*")
    page.evaluate("window.same = true")
    expect(page.locator(".ft-state")).to_have_text("Finished")
    assert page.evaluate("window.same")
    expect(page.locator("[data-events] li").last).to_contain_text("finished")
    page.get_by_role("link", name="See the classifier topics").click()
    expect(page.locator("h1")).to_contain_text("topics")


def look_at_a_cell_of_the_matrix(page: Any) -> None:
    cell = page.locator(".ft-confusion td a").first
    count = int(cell.inner_text())
    cell.click()
    expect(page.locator("tbody tr")).to_have_count(count)
    expect(page.get_by_text(f"{count} row")).to_be_visible()
    page.go_back()
    expect(page.locator(".ft-confusion")).to_be_visible()


def try_a_text(page: Any) -> None:
    page.get_by_label("Try a text of your own").fill("the lamp outside our house flickers")
    page.get_by_role("button", name="Classify").click()
    expect(page.locator(".ft-said")).to_contain_text("Street lighting")
    expect(page.locator(".ft-said")).to_contain_text("Words that spoke for")


def choose_a_least_score(page: Any) -> None:
    """What it would give is said, and it is taken along to the form."""
    slider = page.get_by_label("Minimum score")
    said = page.locator(".ft-threshold-said")
    expect(said).to_contain_text("100.0% of the test rows")
    slider.press("End")
    expect(said).not_to_contain_text("100.0% of the test rows")
    assert page.locator("output").inner_text() == "0.933"
    page.get_by_role("link", name="Classify rows with this minimum score").click()
    # Not rounded: at 0.93 other rows would pass than those that were counted.
    expect(page.get_by_label("Minimum score")).to_have_value(str(14 / 15))
    page.go_back()


def classify(page: Any) -> None:
    page.get_by_role("link", name="Classify the rows of messages").click()
    page.get_by_label("Unlabelled rows").check()
    page.get_by_role("button", name="Classify", exact=True).click()
    page.wait_for_url("**/jobs/*")
    expect(page.locator(".ft-state")).to_have_text("Finished")
    page.get_by_role("link", name="See the labels in messages").click()
    facet = page.locator(".facet-info", has_text="topics_label")
    link = facet.get_by_role("link").filter(has_text="Street lighting")
    link.click()
    expect(page.locator("td.col-topics_label").first).to_have_text("Street lighting")
    expect(page.locator("td.col-topics_score .ft-score").first).to_be_visible()


@pytest.mark.usefixtures("vocabularies", "no_certificates")
def test_a_training_at_a_service_that_fails_and_is_tried_again(
    browser: Any, town: Path, openai_server: OpenAIServer
):
    openai_server.faults.add("POST /fine_tuning/jobs", "insufficient_quota")
    openai_server.settings.pace = 0.001
    own = {"api_key": openai_server.api_key, "base_url": openai_server.base_url}
    with (
        served(town, openai=own, usd_per_job=5, usd_per_day=20) as server,
        signed_in(browser, server) as page,
    ):
        page.goto("/town/-/ftclassify/train?table=messages&name=tuned&text=message&label=topic")
        assert openai_server.api_key not in page.content()
        page.get_by_role("radio", name="openai", exact=True).check()
        settings = page.locator(
            "fieldset", has=page.get_by_role("radio", name="openai", exact=True)
        )
        settings.get_by_text("Settings").click()
        settings.get_by_label("Model to fine-tune").fill(MODEL)
        settings.get_by_label("Epochs").fill("1")
        page.get_by_role("button", name="Train", exact=True).click()
        expect(page.get_by_role("heading", name="This costs")).to_be_visible()
        expect(page.get_by_text("will leave this machine")).to_be_visible()
        assert not [r for r in openai_server.log if r.method == "POST"]
        page.get_by_role("button", name="Agree, and train").click()
        page.wait_for_url("**/jobs/*")
        expect(page.locator(".ft-error, .ft-note").first).to_contain_text("quota")
        again = page.locator("input[value=Retry], input[value=Resume]")
        again.click()
        expect(page.locator(".ft-state")).to_have_text("Finished")
        expect(page.locator("svg.ft-chart").first).to_be_visible()
        page.get_by_role("link", name="See the classifier tuned").click()
        expect(page.locator(".ft-headline")).to_contain_text("on 23 test rows")
        ask_the_service(page)
    assert openai_server.jobs_created == 1
    with closing(connect(town)) as conn:
        written = "select count(*) from messages where tuned_label is not null and topic is null"
        assert value(conn, written) == UNLABELLED
        assert value(conn, "select count(tuned_label) from messages") == UNLABELLED


def ask_the_service(page: Any) -> None:
    page.get_by_role("link", name="Classify the rows of messages").click()
    page.get_by_label("Unlabelled rows").check()
    page.get_by_role("button", name="See what it costs").click()
    expect(page.locator(".ft-price")).to_contain_text("requests")
    page.get_by_role("button", name="Agree and start").click()
    page.wait_for_url("**/jobs/*")
    expect(page.locator(".ft-state")).to_have_text("Finished")
    page.get_by_role("link", name="See the labels in messages").click()
    expect(page.locator(".facet-info", has_text="tuned_label")).to_be_visible()


def test_by_keyboard_alone_from_the_table_to_a_trained_classifier(browser: Any, town: Path):
    with served(town) as server, signed_in(browser, server) as page:
        page.goto("/town/messages")
        tab_to(page, "Table actions")
        page.keyboard.press("Enter")
        # Datasette 1.0 walks through its menus with arrows, as menus are walked through.
        tab_to(page, "Train a classifier", key="Tab" if is_065() else "ArrowDown", most=20)
        page.keyboard.press("Enter")
        page.wait_for_url("**/train?*")
        tab_to(page, "Check the rows")
        page.keyboard.press("Space")
        expect(page.get_by_role("heading", name="Findings")).to_be_visible()
        tab_to(page, lambda text: text.startswith("Train") and "classifier" not in text)
        page.keyboard.press("Enter")
        page.wait_for_url("**/jobs/*")
        expect(page.get_by_role("link", name="See the classifier")).to_be_visible()
        tab_to(page, "See the classifier")
        page.keyboard.press("Enter")
        page.wait_for_url("**/classifiers/*")
        tab_to(page, lambda text: "Try a text" in text or not text)
