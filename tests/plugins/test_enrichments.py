"""The enrichment "Apply a classifier", in datasette-enrichments itself."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from datasette import hookimpl
from datasette.app import Datasette
from datasette.plugins import pm
from openai_server import OpenAIServer
from remote_classifier import add_asked, report_table
from sample_databases import rows, value
from stored import list_jobs
from visiting import ROOT, get, is_065, seen, serve, submit

from datasette_ftclassify.core.database import connect
from datasette_ftclassify.jobs.runner import run_job

pytest.importorskip("datasette_enrichments", reason="tests/plugins/requirements-*.txt are not here")

PAGE = "/-/enrich/town/messages/ftclassify"


def served(path: Path, **more: Any) -> Datasette:
    """A Datasette where root and ann may use enrichments, and root may write."""
    datasette = serve(path, writers=ROOT, **more)
    if not is_065():
        datasette.config.setdefault("permissions", {})["enrichments"] = {"id": [ROOT, "ann"]}
    return datasette


@pytest.fixture(autouse=True)
def ann_may_enrich() -> Iterator[None]:
    """On Datasette 0.65, where a plugin alone can say so."""

    class Grants:
        __name__ = "grants"

        @hookimpl
        def permission_allowed(self, actor, action):
            return True if action == "enrichments" and actor == {"id": "ann"} else None

    plugin = Grants()
    pm.register(plugin, name="grants")
    yield
    pm.unregister(plugin)


def queued(path: Path) -> list[Any]:
    with closing(connect(path)) as conn:
        return [job for job in list_jobs(conn) if job.kind == "predict"]


async def test_a_classifier_is_applied_to_the_filtered_rows(town: Path):
    datasette = served(town)
    picker = await get(datasette, "/-/enrich/town/messages?ward=Abbey", ROOT)
    assert f"{PAGE}?ward=Abbey" in picker.text
    page = await get(datasette, f"{PAGE}?ward=Abbey", ROOT)
    assert 'value="topics@1"' in page.text
    done = await submit(
        datasette, f"{PAGE}?ward=Abbey", ROOT, classifier="topics@1", prefix="", min_score=""
    )
    assert done.status_code == 302, seen(done.text)
    (job,) = queued(town)
    with closing(connect(town)) as conn:
        assert run_job(conn, job.id).state == "finished"
        written = "select count(*) from messages where topics_label is not null"
        abbey = value(conn, "select count(*) from messages where ward = 'Abbey'")
        assert value(conn, written) == value(conn, f"{written} and ward = 'Abbey'") == abbey > 0
        assert value(conn, "select count(*) from sqlite_master where name like '_enrichment%'") == 0


async def test_it_is_the_job_of_the_page_that_classifies_rows(town: Path):
    datasette = served(town)
    fields = {"classifier": "topics@1", "prefix": "kind", "min_score": "0.5"}
    await submit(datasette, f"{PAGE}?id__gt=200", ROOT, **fields)
    page = "/town/-/ftclassify/classify?table=messages"
    done = await submit(datasette, page, ROOT, rows="filter", id__gt="200", **fields)
    assert done.status_code == 302, seen(done.text)
    (job,) = queued(town)  # asked for twice, queued once
    assert (job.settings["threshold"], job.settings["columns"]["label"]) == (0.5, "kind_label")


async def test_one_row_is_classified_from_its_menu(town: Path):
    done = await submit(served(town), f"{PAGE}?id=3", ROOT, classifier="topics@1")
    assert done.status_code == 302
    (job,) = queued(town)
    with closing(connect(town)) as conn:
        run_job(conn, job.id)
        found = rows(conn, "select id from messages where topics_label is not null")
        assert found == [(3,)]


async def test_nothing_is_queued_for_who_may_not_write(town: Path):
    """Whoever may use enrichments may not therefore do what our page would refuse."""
    datasette = served(town, grants={"ftclassify-view": True})
    page = await get(datasette, PAGE, "ann")
    assert "You may not do this: it needs the permission ftclassify-predict" in seen(page.text)
    done = await submit(datasette, PAGE, "ann", classifier="topics@1")
    assert "ftclassify-predict" in seen(done.text)
    assert queued(town) == []
    enrichment = {one.slug: one for (one,) in pm.hook.register_enrichments(datasette=datasette)}
    with pytest.raises(Exception, match="ftclassify-predict"):  # as nobody, outside of a request
        await enrichment["ftclassify"].enqueue(
            datasette,
            datasette.get_database("town"),
            "messages",
            "",
            {"classifier": "topics"},
            ROOT,
        )
    assert queued(town) == []


@pytest.mark.parametrize(
    ("query", "fields", "said"),
    [
        ("_search=lamp", {}, "not by _search"),
        ("_where=id>3", {}, "not by _where"),
        ("", {"min_score": "7"}, "Minimum score"),
        ("", {"classifier": "other"}, "Not a valid choice"),
        ("", {"prefix": "x" * 300}, "at most 200 characters"),
    ],
)
async def test_what_cannot_be_done_is_said(town: Path, query: str, fields: dict, said: str):
    if "_search" in query:
        with closing(connect(town)) as conn:
            conn.execute("create virtual table messages_fts using fts5(message, content=messages)")
    done = await submit(
        served(town), f"{PAGE}?{query}", ROOT, **{"classifier": "topics@1", **fields}
    )
    assert done.status_code in (200, 400)
    assert said.lower() in seen(done.text).lower()
    assert queued(town) == []


async def test_a_classifier_at_a_service_is_left_to_the_page_with_its_price(
    tmp_path: Path, openai_server: OpenAIServer
):
    path = tmp_path / "town.db"
    with closing(report_table(path, 30)) as conn:
        add_asked(conn, openai_server, "ft:gpt-4.1-nano:town::1")
    datasette = served(path)
    page = await get(datasette, "/-/enrich/town/reports/ftclassify", ROOT)
    assert 'value="topics' not in page.text
    assert "applied on the page Classify rows , which shows the price" in seen(page.text)
    done = await submit(datasette, "/-/enrich/town/reports/ftclassify", ROOT, classifier="topics@1")
    assert "No classifier on this machine reads the columns of reports" in seen(done.text)
    assert queued(path) == []
