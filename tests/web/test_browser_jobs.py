"""The live part of the job page and the strip on a table's page, in a browser."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browsing import Server, chromium, needs_browser, served, signed_in, sync_api

from datasette_ftclassify.core.job_events import FIGURES, SERVICE
from datasette_ftclassify.store.jobs.job import Job
from datasette_ftclassify.store.jobs.state import (
    add_event,
    add_job,
    ask_job,
    claim_job,
    end_job,
    get_job,
    save_progress,
)
from datasette_ftclassify.store.schema import transaction

pytestmark = needs_browser
ELSEWHERE = "another-machine:1:token"
TASK = {"source": "messages", "text": ["message"], "labels": ["topic"], "kind": "multiclass"}


@pytest.fixture
def base(town: Path) -> Iterator[Server]:
    """A server that runs no jobs itself."""
    with served(town, worker=False) as server:
        yield server


@pytest.fixture(scope="module")
def chrome() -> Iterator[Any]:
    with chromium() as found:
        yield found


@pytest.fixture
def browser(base: Server, chrome: Any) -> Iterator[Any]:
    """A context in which root is signed in; whatever the console complains of fails the test."""
    with signed_in(chrome, base) as page:
        yield page.context


def begin(conn: sqlite3.Connection, kind: str, settings: dict[str, Any]) -> Job:
    job = claim_job(conn, add_job(conn, kind, settings).id, ELSEWHERE)
    return advance(conn, job, 10) if kind == "predict" else job


def advance(conn: sqlite3.Connection, job: Job, done: int) -> Job:
    job.total, job.done = 100, done
    with transaction(conn):
        save_progress(conn, job)
    return job


def test_a_prediction_is_followed_paused_and_seen_to_its_end(base, browser, conn):
    columns = {"label": "topics_label"}
    job = begin(conn, "predict", {"table": "messages", "classifier": "x", "columns": columns})
    page, table = browser.new_page(), browser.new_page()
    table.goto("/town/messages")
    page.goto(f"/town/-/ftclassify/jobs/{job.id}")
    page.evaluate("window.same = true")
    sync_api.expect(table.locator("ft-strip")).to_contain_text("10%")
    advance(conn, job, 55)
    sync_api.expect(page.locator(".ft-percent")).to_have_text("55%")
    sync_api.expect(page.locator(".ft-now")).to_contain_text("55 of 100 rows")
    sync_api.expect(table.locator("ft-strip")).to_contain_text("55%")
    assert page.evaluate("window.same")  # it was never loaded again
    page.focus("input[value=Cancel]")
    page.click("input[value=Pause]")
    sync_api.expect(page.get_by_role("status")).to_contain_text("Was asked to pause")
    assert get_job(conn, job.id).wanted == "pause"
    end_job(conn, advance(conn, job, 100), "finished", result={})
    link = page.get_by_role("link", name="See the labels in messages")
    sync_api.expect(link).to_have_attribute(
        "href", "/town/messages?_facet=topics_label&topics_label__notnull=1"
    )
    sync_api.expect(page.get_by_role("status")).to_contain_text("Finished")
    sync_api.expect(page.locator("[data-events]")).to_contain_text("finished")
    sync_api.expect(page.locator("dl", has_text="Duration")).to_contain_text(" s")
    sync_api.expect(table.locator("ft-strip")).to_contain_text("reload this page")


def test_curves_and_events_grow(base, browser, conn):
    job = begin(conn, "train", {"task": TASK, "name": "tuned", "trainer": "openai"})
    page = browser.new_page()
    page.goto(f"/town/-/ftclassify/jobs/{job.id}")
    sync_api.expect(page.locator("svg.ft-chart")).to_have_count(0)
    for step in range(1, 6):
        add_event(
            conn, job, FIGURES, f"<b>step</b> {step}", data={"step": step, "train_loss": 1 / step}
        )
    items = page.locator("[data-events] li")
    sync_api.expect(items).to_have_count(1 + 5)
    sync_api.expect(items.last).to_contain_text("<b>step</b> 5")
    sync_api.expect(page.locator("svg.ft-chart")).to_have_count(1)
    end_job(conn, job, "failed", error="The service said no.")
    sync_api.expect(page.locator(".ft-error")).to_have_text("The service said no.")
    sync_api.expect(page.locator("input[value=Retry]")).to_be_visible()


def test_a_page_that_lost_its_server_says_so_and_goes_on(base, browser, conn):
    job = begin(conn, "predict", {"table": "messages", "classifier": "x"})
    page = browser.new_page()
    page.goto(f"/town/-/ftclassify/jobs/{job.id}")
    page.route("**/jobs/*.json*", lambda route: route.fulfill(status=200, body="no json"))
    sync_api.expect(page.get_by_text("No answer from the server")).to_be_visible()
    page.unroute("**/jobs/*.json*")
    advance(conn, job, 70)
    page.evaluate("window.dispatchEvent(new Event('online'))")
    sync_api.expect(page.locator(".ft-percent")).to_have_text("70%")
    sync_api.expect(page.get_by_text("No answer from the server")).to_be_hidden()


def test_what_happened_while_the_computer_slept_is_all_there_afterwards(base, browser, conn):
    job = begin(conn, "train", {"task": TASK, "name": "tuned", "trainer": "openai"})
    page = browser.new_page()
    page.goto(f"/town/-/ftclassify/jobs/{job.id}")
    page.route("**/jobs/*.json*", lambda route: route.fulfill(status=200, body="no json"))
    sync_api.expect(page.get_by_text("No answer from the server")).to_be_visible()
    with transaction(conn):  # more than one answer holds
        for step in range(1, 701):
            add_event(conn, job, SERVICE, f"step {step}")
    end_job(conn, job, "paused")
    page.unroute("**/jobs/*.json*")
    page.evaluate("window.dispatchEvent(new Event('online'))")
    sync_api.expect(page.locator("[data-events] li").last).to_contain_text("paused")
    sync_api.expect(page.locator("[data-events] li")).to_have_count(1 + 700 + 1)
    sync_api.expect(page).to_have_title("Job 1: Training of tuned: paused")
    ask_job(conn, job.id, "resume")  # by somebody else
    claim_job(conn, job.id, ELSEWHERE)
    page.evaluate("window.dispatchEvent(new Event('pageshow'))")
    sync_api.expect(page.locator(".ft-state")).to_have_text("Running")


def test_whoever_comes_back_while_an_older_answer_is_on_its_way_sees_the_newer_state(
    base, browser, conn
):
    job = begin(conn, "predict", {"table": "messages", "classifier": "x"})
    end_job(conn, job, "paused")
    page = browser.new_page()
    page.goto(f"/town/-/ftclassify/jobs/{job.id}")
    sync_api.expect(page.locator(".ft-state")).to_have_text("Paused")
    paused = page.request.get(f"/town/-/ftclassify/jobs/{job.id}.json?since=999").text()
    held: list[Any] = []
    page.route("**/jobs/*.json*", lambda route: held.append(route), times=1)
    with page.expect_request("**/jobs/*.json*"):
        page.evaluate("window.dispatchEvent(new Event('pageshow'))")
    ask_job(conn, job.id, "resume")  # by somebody else
    claim_job(conn, job.id, ELSEWHERE)
    page.evaluate("window.dispatchEvent(new Event('pageshow'))")
    held.pop().fulfill(body=paused, content_type="application/json")
    sync_api.expect(page.locator(".ft-state")).to_have_text("Running")


def test_without_javascript_the_page_can_be_read_and_reloaded(base, chrome, conn):
    job = begin(conn, "predict", {"table": "messages", "classifier": "x"})
    with signed_in(chrome, base, java_script_enabled=False) as page:
        page.goto(f"/town/-/ftclassify/jobs/{job.id}")
        sync_api.expect(page.get_by_text("10 of 100 rows")).to_be_visible()
        assert page.locator('meta[http-equiv="refresh"]').count() == 1
        advance(conn, job, 80)
        page.get_by_role("link", name="Reload it now").click()
        sync_api.expect(page.get_by_text("80 of 100 rows")).to_be_visible()
