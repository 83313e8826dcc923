"""One price, one statement: whoever tells what something costs tells the same."""

from __future__ import annotations

import html
import json
import re
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner
from commands import run
from hypothesis import given
from hypothesis import strategies as st
from openai_server import OpenAIServer
from remote_classifier import access_to, add_asked, estimate_predict, report_table, train_at
from service_training import MODEL, environment, estimate_train
from visitor import Visitor

from datasette_ftclassify.cli import ftclassify
from datasette_ftclassify.core.database import connect
from datasette_ftclassify.core.humanize import price
from datasette_ftclassify.core.task import define
from datasette_ftclassify.jobs.estimates import agreed, usual_limit
from datasette_ftclassify.jobs.train_request import TrainRequest
from datasette_ftclassify.store.jobs.state import get_job
from datasette_ftclassify.trainers.base import TrainerOptions
from datasette_ftclassify.web.pages.classify import result_url


@pytest.mark.parametrize(("rows", "epochs"), [(20, 7), (60, 3), (12_000, 2)])
def test_check_names_the_price_that_train_asks_for(
    rows: int, epochs: int, tmp_path: Path, openai_server: OpenAIServer
) -> None:
    with closing(report_table(tmp_path / "r.db", rows)) as conn:
        task = define(conn, "reports", text=["body"], labels=["topic"], kind="multiclass")
        request = TrainRequest(trainer="openai", options=TrainerOptions(model=MODEL))
        asked = estimate_train(conn, task, request, access_to(openai_server))
    words = ["check", str(tmp_path / "r.db"), "reports", "--text", "body", "--label", "topic"]
    words += ["--kind", "multiclass", "--model", MODEL, "--quick", "--json"]
    result = run(*words)
    told = json.loads(result.stdout)
    assert asked is not None
    assert told["estimate"]["epochs"] == asked.epochs == epochs
    assert told["tokens"]["training_tokens"] == asked.training_tokens
    assert told["estimate"]["usd"] == pytest.approx(asked.training_usd)


@given(st.floats(0, 1e4), st.floats(0, 1e4))
def test_a_usual_limit_is_whole_cents_and_leaves_room(usd: float, spent: float) -> None:
    limit = usual_limit(usd, spent)
    assert limit >= spent + 1.5 * usd + 0.01 - 1e-6
    assert limit == pytest.approx(round(limit, 2))
    assert limit < spent + 1.5 * usd + 0.0201


def test_an_estimate_and_its_bound_are_told_in_one_way() -> None:
    assert price(0.0381, 0.07) == "about $0.0381, at most $0.07"
    assert price(0.5823, 0.5823) == "at most $0.5823"
    assert price(None, None) == "an unknown amount"


async def test_every_face_names_the_same_estimate_and_the_same_bound(
    tmp_path: Path, tuned: tuple, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = tuned[0]
    path = tmp_path / "r.db"
    for name, setting in environment(server).items():
        monkeypatch.setenv(name, setting)
    with closing(report_table(path, 40)) as conn:
        classifier = add_asked(conn, server, train_at(server))
        estimate = estimate_predict(conn, classifier, access_to(server))
    assert estimate.usd is not None
    assert agreed(estimate, None, 0.0)["limit_usd"] == estimate.most_usd
    told = estimate.price
    assert re.fullmatch(r"about \$0\.\d+, at most \$0\.\d\d", told)
    result = CliRunner().invoke(ftclassify, ["predict", str(path), "reports"])
    assert told in result.stderr
    visitor = Visitor(path, usd_per_day=1)
    fields = {"classifier": "topics", "rows": "all"}
    assert told in (await visitor.post_json("reports", **fields)).json()["error"]
    page = html.unescape((await visitor.post("reports", **fields)).text)
    assert told in page
    assert f'name="limit_usd" min="0" step="any" required value="{estimate.most_usd}"' in page
    words = ["predict", str(path), "reports", "--yes", "--queue"]
    result = CliRunner().invoke(ftclassify, words)
    assert f"--limit-usd {estimate.most_usd:.2f}" in result.stdout
    with closing(connect(path)) as conn:
        assert (get_job(conn, 1).estimate or {})["limit_usd"] == estimate.most_usd


async def test_the_page_proposes_the_rows_without_a_label(trained: Path) -> None:
    visitor = Visitor(trained)
    page = (await visitor.get()).text
    assert re.search(r'value="unlabelled" checked', page)
    assert (await visitor.choices())["proposed_rows"] == "unlabelled"
    with closing(connect(trained)) as conn, conn:
        conn.execute("update messages set topic = 'Other' where topic is null")
    assert re.search(r'value="all" checked', (await visitor.get()).text)
    # Who says what is wanted gets it.
    assert re.search(r'value="all" checked', (await visitor.get(rows="all")).text)


async def test_the_least_sure_come_first(trained: Path) -> None:
    visitor = Visitor(trained)
    job = visitor.job(await visitor.post(classifier="topics", rows="unlabelled"))
    address = result_url(visitor.datasette, "town", job, arrays=False)
    rows = (await visitor.datasette.client.get(address.replace("?", ".json?_shape=array&"))).json()
    scores = [row["topics_score"] for row in rows]
    assert scores == sorted(scores)
    assert len(scores) == job.done == 69
