"""The page of a sweep: from the form to the choice, its price before, and the end of all."""

from __future__ import annotations

from pathlib import Path

import pytest
from openai_server import OpenAIServer
from sample_databases import town_database, value
from service_training import MODEL
from visiting import ROOT, get, seen, send, serve, submit

from datasette_ftclassify.jobs.runner import run_job
from datasette_ftclassify.trainers.access import Access

PAGE = "/town/-/ftclassify/sweep"
TASK = {"table": "messages", "text": "message", "label": "topic", "name": "topics"}


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("small") / "town.db"
    town_database(path, 90).close()
    return path


@pytest.fixture
def path(small: Path, tmp_path: Path) -> Path:
    path = tmp_path / "town.db"
    path.write_bytes(small.read_bytes())
    return path


async def test_from_the_form_to_the_choice(path, conn):
    datasette = serve(path, writers=ROOT)
    address = f"{PAGE}?table=messages&text=message&label=topic"
    form = await get(datasette, address, ROOT)
    assert 'name="variants"' in form.text
    begun = await submit(datasette, address, ROOT, **TASK, seeds="2", action="start")
    assert begun.status_code == 302, seen(begun.text)
    where = begun.headers["location"]
    assert "2 trainings to go" in seen((await get(datasette, where, ROOT)).text)
    jobs = [n for (n,) in conn.execute("select id from _ftclassify_jobs order by id")]
    for job in jobs:
        run_job(conn, job, access=Access())
    page = seen((await get(datasette, where, ROOT)).text)
    assert "is chosen" in page
    assert "Most frequent label" in page
    found = (await get(datasette, where.replace("/sweep?", "/sweep.json?"), ROOT)).json()
    assert found["chosen"].startswith("topics-local-1@")
    assert "metrics" not in str(found)
    assert found["sweeps"][0] in (await get(datasette, address, ROOT)).text
    assert value(conn, "select count(*) from _ftclassify_evaluations where split = 'test'") == 0


async def test_all_are_cancelled_at_once(path, conn):
    datasette = serve(path, writers=ROOT)
    begun = await send(datasette, PAGE, {**TASK, "seeds": 3}, ROOT)
    sweep = begun.json()["sweep"]
    ended = await send(datasette, PAGE, {**TASK, "action": "cancel", "sweep": sweep}, ROOT)
    assert ended.json()["cancelled"] == 3
    assert value(conn, "select count(*) from _ftclassify_jobs where state = 'cancelled'") == 3
    assert (await get(datasette, f"{PAGE}?table=messages&sweep=none", ROOT)).status_code == 404
    other = {"table": "messages", "action": "cancel", "sweep": "none"}
    assert (await send(datasette, PAGE, other, ROOT)).status_code == 404


async def test_a_sweep_of_a_table_is_nothing_of_another_one(path, conn):
    """Also where a stranger's file says that both are one."""
    with conn:
        conn.execute("create table private as select * from messages")
    datasette = serve(path, writers=ROOT)
    both = {**TASK, "seeds": 2}
    await send(datasette, PAGE, {**both, "table": "private", "name": "secret"}, ROOT)
    sweep = (await send(datasette, PAGE, both, ROOT)).json()["sweep"]
    with conn:
        conn.execute(
            "update _ftclassify_jobs set settings = json_set(settings, '$.sweep', ?)", [sweep]
        )
    shown = await get(datasette, f"{PAGE}.json?table=messages&sweep={sweep}", ROOT)
    assert [one["name"] for one in shown.json()["variants"]] == ["topics-local-1"]
    cancel = {"table": "messages", "action": "cancel", "sweep": sweep}
    assert (await send(datasette, PAGE, cancel, ROOT)).json()["cancelled"] == 2
    left = "select distinct json_extract(settings, '$.name') from _ftclassify_jobs"
    assert value(conn, f"{left} where state = 'queued'") == "secret-local-1"


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"seeds": "1"}, "nothing to compare"),
        ({"seeds": "99"}, "1 to 50 trainings"),
        ({"variants": "nobody"}, "nobody"),
        ({"variants": ["local x=1"]}, "not an option"),
        ({"variants": ["local", "local encoder=/etc"]}, "names: none"),
        ({"variants": "local\nlocal embeddings=/etc"}, "names: none"),
        ({"variants": "encoder encoder=/etc"}, "names: none"),
        ({"variants": "openai model=m wandb=p"}, "command line alone"),
    ],
)
async def test_what_makes_no_sense_starts_nothing(path, conn, fields, said):
    answer = await send(serve(path, writers=ROOT), PAGE, {**TASK, **fields}, ROOT)
    assert answer.status_code == 400
    assert said in answer.json()["error"]
    made = "select count(*) from sqlite_master where name = '_ftclassify_jobs'"
    assert value(conn, made) == 0


async def test_the_price_of_all_is_agreed_to_before_anything_is_sent(
    path, conn, openai_server: OpenAIServer, vocabularies, monkeypatch
):
    monkeypatch.setenv("OPENAI_API_KEY", openai_server.api_key)
    monkeypatch.setenv("OPENAI_BASE_URL", openai_server.base_url)
    monkeypatch.setenv("FTCLASSIFY_USD_PER_JOB", "100")
    datasette = serve(path, writers=ROOT)
    asked = {**TASK, "variants": [f"openai model={MODEL} epochs={n}" for n in (1, 2)]}
    asked["despite_findings"] = True
    refused = (await send(datasette, PAGE, asked, ROOT)).json()
    assert "Together it will cost" in refused["error"]
    assert len(refused["trainings"]) == 2
    assert openai_server.log == []
    page = await submit(datasette, f"{PAGE}?table=messages", ROOT,
                        **{**asked, "variants": "\n".join(asked["variants"])})  # fmt: skip
    assert "Together this costs" in seen(page.text)
    low = await send(datasette, PAGE, {**asked, "limit_usd": refused["usd"] / 2}, ROOT)
    assert "for all trainings together" in low.json()["error"]
    agreed = {**asked, "confirm_usd": refused["usd"], "limit_usd": refused["most_usd"] * 2}
    begun = await send(datasette, PAGE, agreed, ROOT)
    assert len(begun.json()["jobs"]) == 3
    assert value(conn, "select count(*) from _ftclassify_jobs where state = 'queued'") == 3
