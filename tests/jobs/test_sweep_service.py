"""A sweep with trainings that are paid for: one price, one limit, validation rows, no test rows."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest
from sample_databases import value
from service_training import MODEL, access_to, quick_to_ask, topics, town

from datasette_ftclassify.core.errors import LimitReached
from datasette_ftclassify.core.splits import SplitPlan
from datasette_ftclassify.jobs.runner import run_job
from datasette_ftclassify.jobs.sweep import Sweep, price_sweep, submit_sweep
from datasette_ftclassify.jobs.sweep_result import sweep_result
from datasette_ftclassify.store.spending import spent_by_job


@pytest.fixture
def conn(tmp_path: Path):
    with closing(town(tmp_path / "town.db")) as conn:
        with conn:
            conn.execute("delete from messages where id > 200")
        yield conn


def test_one_price_and_one_limit_for_all_and_no_test_row_is_sent(conn, openai_server, vocabularies):
    access = access_to(openai_server)
    variants = [f"openai model={MODEL} epochs={n}" for n in (1, 2)]
    sweep = Sweep.of(topics(conn), SplitPlan(), variants, name="t", access=access)
    price = price_sweep(conn, sweep, access)
    assert openai_server.log == []
    once, twice = (found.estimate for found in price.paid)
    assert price.usd == once.usd + twice.usd
    with pytest.raises(LimitReached, match="for all trainings together"):
        submit_sweep(conn, sweep, price, limit_usd=price.most_usd * 0.9, access=access)
    limit = price.most_usd * 1.5
    jobs = submit_sweep(conn, sweep, price, limit_usd=limit, access=access)
    limits = [job.terms.limit_usd for job in jobs]
    assert sum(each for each in limits if each is not None) == pytest.approx(limit)
    with quick_to_ask():
        for job in jobs:
            run_job(conn, job.id, access=access)
    spent = sum(spent_by_job(conn, job.id).usd for job in jobs)
    assert 0 < spent <= limit
    assert spent == pytest.approx(price.usd, rel=0.1)
    everything = sent(openai_server)
    assert sum(text in everything for text in texts_of(conn, "validation")) > 5
    assert not [text for text in texts_of(conn, "test") if text in everything]
    result = sweep_result(conn, sweep.id)
    assert result.split == "held out for validation"
    rows = {one.rows for tried in result.tried for one in tried.trained}
    assert rows == {once.requests}  # all by the same rows
    assert result.chosen is not None
    again = price_sweep(conn, sweep, access)
    assert again.usd == 0
    assert submit_sweep(conn, sweep, again, access=access) == []


def texts_of(conn, split: str) -> list[str]:
    """Those that JSON writes as they are."""
    sql = (
        "select message from messages where '[' || id || ']' in"
        " (select row_key from _ftclassify_split_rows where split = ?)"
    )
    texts = (text for (text,) in conn.execute(sql, [split]))
    return [text for text in texts if text.isascii() and not set(text) & set('"\\\n\t')]


def sent(server) -> str:
    return "\n".join(request.body.decode("utf-8", "replace") for request in server.log)


def test_a_cancelled_training_is_not_what_the_same_sweep_goes_on_with(conn, openai_server):
    access = access_to(openai_server)
    sweep = Sweep.of(topics(conn), SplitPlan(), [f"openai model={MODEL}"], access=access)
    price = price_sweep(conn, sweep, access)
    submit_sweep(conn, sweep, price, access=access)
    assert price_sweep(conn, sweep, access).usd == 0
    with conn:
        conn.execute("update _ftclassify_jobs set wanted = 'cancel'")
    assert price_sweep(conn, sweep, access).usd == price.usd
    assert value(conn, "select count(*) from _ftclassify_jobs") == 2
