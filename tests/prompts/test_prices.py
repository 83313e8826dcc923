"""Prices, by models, hosts and dates; and one statement of them: whoever tells what something costs
tells the same."""

from __future__ import annotations

import html
import json
import re
from contextlib import closing
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from commands import run
from folders import ROOT
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
from datasette_ftclassify.prompts.price_table import Price, PriceTable, base_model, untuned_name
from datasette_ftclassify.prompts.prices import (
    BUILT_IN,
    PriceError,
    estimate_inference,
    estimate_training,
    load_prices,
)
from datasette_ftclassify.store.jobs.state import get_job
from datasette_ftclassify.trainers.access import Endpoint
from datasette_ftclassify.trainers.base import TrainerOptions
from datasette_ftclassify.trainers.openai_protocol.trainer import ways_on
from datasette_ftclassify.trainers.registry import list_services
from datasette_ftclassify.web.pages.classify import result_url


def write(path: Path, **models: Any) -> Path:
    table = {"date": "2027-02-01", "sources": ["https://example.com/prices"], "models": models}
    path.write_text(json.dumps(table))
    return path


def test_the_built_in_table_is_dated_and_sourced() -> None:
    table = load_prices()
    assert table.date >= date(2026, 11, 1)
    assert table.currency == "USD"
    assert all(price.sources for price in table.models.values())
    assert table.training_ends == date(2027, 1, 6)
    closed = {m for m, p in table.models.items() if not p.is_open(table.date)}
    assert closed == {"o4-mini", "gpt-3.5-turbo", "davinci-002", "babbage-002", "gpt-4.1-nano"}
    for model in ("gpt-4o", "gpt-4o-mini", "gpt-4.1", "gpt-4.1-mini"):
        price = table.get(model)
        assert price is not None
        assert price.shutdown == date(2027, 1, 14)
        assert price.file_bytes == 512 * 1024 * 1024
        # Without all of these no limit can be kept, nor a page start anything.
        assert price.training
        assert price.output
        assert 0 < price.cached_input < price.input < price.output


@pytest.mark.parametrize(
    ("name", "base"),
    [
        ("gpt-4.1-mini", "gpt-4.1-mini"),
        ("ft:gpt-4.1-mini-2025-04-14:org:suffix:id", "gpt-4.1-mini-2025-04-14"),
        ("ft:gpt-4.1-mini-2025-04-14:org:suffix:id:ckpt-step-90", "gpt-4.1-mini-2025-04-14"),
        ("gpt-4o-2024-08-06.ft-12ab-mail", "gpt-4o-2024-08-06"),
        ("my/own:model", "my/own:model"),
        ("ft:", ""),
    ],
)
def test_base_model(name: str, base: str) -> None:
    assert base_model(name) == base


def test_dated_and_tuned_models_have_the_price_of_their_base() -> None:
    table = load_prices()
    assert table.get("ft:gpt-4.1-mini-2025-04-14:org::id") is table.get("gpt-4.1-mini")
    assert table.get("gpt-4.1-mini").example_tokens == 65_536
    assert table.get("gpt-4.1-mini-turbo") is None


def test_training_costs_tokens_times_epochs(tmp_path: Path) -> None:
    table = load_prices(write(tmp_path / "p.json", tiny={"training": 4.0}))
    estimate = estimate_training(table, "tiny", 500_000, 3)
    assert estimate.tokens_billed == 1_500_000
    assert estimate.usd == pytest.approx(6.0)
    assert "2027-02-01" in estimate.note
    assert json.loads(json.dumps(asdict(estimate)))["usd"] == pytest.approx(6.0)


def test_notes_say_when_it_ends() -> None:
    note = estimate_training(load_prices(), "gpt-4.1-mini", 1_000, 1).note
    assert "2027-01-06" in note
    assert "2027-01-14" in note


def test_what_has_ended_is_told_as_that(tmp_path: Path) -> None:
    for day, verb in (("2020-01-01", "stopped"), ("2999-01-01", "stop")):
        table = load_prices(write(tmp_path / f"{verb}.json", tiny={"training": 1, "shutdown": day}))
        note = estimate_training(table, "tiny", 1_000, 1).note
        assert f"tiny and its fine-tunes {verb} on {day}." in note


def test_one_providers_prices_may_not_be_anothers(tmp_path: Path) -> None:
    table = load_prices()
    note = estimate_training(table.at("api.openai.com"), "gpt-4.1-mini", 1_000, 1).note
    assert "may differ" not in note
    note = estimate_training(table.at("town.openai.azure.com"), "gpt-4.1-mini", 1_000, 1).note
    assert "for api.openai.com; town.openai.azure.com may differ." in note
    # A table of the operator's own is for whoever the operator asks.
    own = load_prices(write(tmp_path / "own.json", tiny={"training": 1}))
    assert "differ" not in estimate_training(own.at("town.example"), "tiny", 1_000, 1).note


def test_inference_knows_cache_and_batch(tmp_path: Path) -> None:
    entry = {"input": 2.0, "cached_input": 0.5, "output": 10.0, "batch_discount": 0.5}
    table = load_prices(write(tmp_path / "p.json", tiny=entry))
    plain = estimate_inference(table, "tiny", input_tokens=1_000_000, output_tokens=100_000)
    assert plain.usd == pytest.approx(3.0)
    cached = estimate_inference(
        table, "tiny", input_tokens=1_000_000, output_tokens=100_000, cached_tokens=400_000
    )
    assert cached.usd == pytest.approx(0.6 * 2 + 0.4 * 0.5 + 1)
    batch = estimate_inference(
        table, "tiny", input_tokens=1_000_000, output_tokens=100_000, batch=True
    )
    assert batch.usd == pytest.approx(1.5)
    both = estimate_inference(
        table,
        "tiny",
        input_tokens=1_000_000,
        output_tokens=100_000,
        cached_tokens=400_000,
        batch=True,
    )
    assert both.usd == batch.usd


def test_an_unknown_model_has_no_price() -> None:
    table = load_prices()
    training = estimate_training(table, "gpt-6-luna", 1_000, 2)
    assert (training.tokens_billed, training.usd) == (2_000, None)
    assert "No price known" in training.note
    assert estimate_inference(table, "gpt-7-sol", input_tokens=1, output_tokens=1).usd is None


def test_an_operators_table_lies_on_top(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = {"Our-Model": {"training": 1}, "gpt-4o": {"training": 1.5}, "gpt-4.1": {}}
    monkeypatch.setenv("FTCLASSIFY_PRICES", str(write(tmp_path / "own.json", **ours)))
    table = load_prices()
    assert table.get("our-model").training == 1
    # An entry replaces the whole one, dates included; an empty one takes the price away.
    assert (table.get("gpt-4o").training, table.get("gpt-4o").input) == (1.5, None)
    assert table.get("gpt-4o").is_open(date(2030, 1, 1))
    assert estimate_training(table, "gpt-4.1", 1_000, 1).usd is None
    assert ask(table, untuned_name("gpt-4.1")) is None
    assert table.get("gpt-4.1-mini").training == 5


def ask(table: PriceTable, name: str) -> float | None:
    """USD for a million tokens read and none written."""
    return estimate_inference(table, name, input_tokens=1_000_000, output_tokens=0).usd


OPENAI, AZURE, OTHER = "api.openai.com", "town.openai.azure.com", "llm.example:8000"
TUNED = ["gpt-4.1", "gpt-4.1-mini", "gpt-4o", "gpt-4o-mini"]


@pytest.mark.parametrize(
    ("day", "openai", "azure", "untuned"),
    [
        ("2026-11-29", TUNED, {*TUNED, "gpt-4.1-nano"}, [*TUNED, "gpt-6-luna"]),
        ("2027-01-07", [], {*TUNED, "gpt-4.1-nano"}, [*TUNED, "gpt-6-luna"]),
        ("2027-01-15", [], {*TUNED, "gpt-4.1-nano"}, ["gpt-6-luna"]),
        ("2027-10-20", [], set(), ["gpt-6-luna"]),
    ],
)
def test_what_is_offered_is_open_on_that_day(
    day: str, openai: list[str], azure: set[str], untuned: list[str]
) -> None:
    table, now = load_prices(), date.fromisoformat(day)
    assert table.at(OPENAI).trainable(now) == openai
    assert set(table.at(AZURE).trainable(now)) == azure
    assert table.at(OPENAI).answering(now) == untuned
    # What another host has is not known, and neither until when.
    assert table.at(OTHER).trainable(now) == table.at(OTHER).answering(now) == []
    assert table.at(OTHER).why_closed("gpt-4.1", now, trains=True) is None
    services = {service.name: service for service in list_services()}
    for name, url in (("openai", OPENAI), ("azure", AZURE), ("prompted", OPENAI)):
        endpoint = Endpoint(base_url=f"https://{url}/v1")
        offered = services[name].proposed_models(endpoint, now)
        assert all(services[name].why_closed(m, endpoint, now) is None for m in offered)
        assert (services[name].why_closed(None, endpoint, now) is None) == bool(offered)
        assert not {"babbage-002", "davinci-002", "gpt-3.5-turbo", "o4-mini"} & set(offered)
    assert services["decisions"].proposed_models(Endpoint(), now) == ["gpt-6-luna"]


@pytest.mark.parametrize(
    ("model", "host", "day", "trains", "says"),
    [
        (
            "gpt-4.1-mini",
            OPENAI,
            "2027-01-07",
            True,
            "no training of gpt-4.1-mini since 2027-01-06",
        ),
        ("something-new", OPENAI, "2027-01-07", True, "since 2027-01-06"),
        ("something-new", OPENAI, "2027-01-07", False, None),
        ("gpt-4.1-mini", OPENAI, "2027-01-13", False, None),
        ("ft:gpt-4o-2024-08-06:a::b", OPENAI, "2027-01-14", False, "on 2027-01-14"),
        ("o4-mini-2025-04-16", OPENAI, "2026-11-29", False, "on 2026-10-23"),
        ("gpt-4o-mini", AZURE, "2027-04-01", True, None),
        ("gpt-4o-mini", AZURE, "2027-04-02", True, "since 2027-04-01"),
        ("gpt-4.1-mini-2025-04-14.ft-1", AZURE, "2027-10-13", False, None),
        ("gpt-4.1-mini-2025-04-14.ft-1", AZURE, "2027-10-14", False, "on 2027-10-14"),
        ("babbage-002", AZURE, "2026-11-29", True, "on 2025-01-27"),
    ],
)
def test_what_is_closed_is_said_with_its_day(
    model: str, host: str, day: str, trains: bool, says: str | None
) -> None:
    why = load_prices().at(host).why_closed(model, date.fromisoformat(day), trains=trains)
    assert why is None if says is None else says in (why or "")


def test_a_plain_model_has_the_published_price_of_its_host() -> None:
    table = load_prices().at(OPENAI)
    assert ask(table, untuned_name("gpt-6-luna")) == pytest.approx(0.1)
    assert ask(table, "gpt-6-luna-decisions") == pytest.approx(0.1)
    # Not in our table: from genai-prices, which is told, and no fine-tune's.
    untuned = table.get(untuned_name("gpt-4o-2024-08-06"))
    assert untuned.input < table.get("gpt-4o").input
    assert untuned.shutdown == date(2027, 1, 14)
    note = estimate_inference(table, "gpt-4o-untuned", input_tokens=1, output_tokens=1).note
    assert "by genai-prices" in note
    assert "gpt-4o and its fine-tunes stop on 2027-01-14" in note
    assert ask(load_prices().at("api.groq.com"), "llama-3.1-8b-instant-untuned") is not None
    assert ask(load_prices().at("api.groq.com"), "llama-3.1-8b-instant") is None
    # A name that only begins like a known one is another model.
    assert ask(table, untuned_name("gpt-6-luna-large")) is None
    assert ask(load_prices().at(OTHER), untuned_name("my-llama")) is None


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("{", "not JSON"),
        ("[]", "object"),
        ('{"date": "2027-01-01"}', "models"),
        ('{"models": {}}', "date is missing"),
        ('{"date": "soon", "models": {}}', "'soon'"),
        ('{"date": "2027-01-01", "currency": "EUR", "models": {}}', "USD"),
        ('{"date": "2027-01-01", "host": 5, "models": {}}', "host"),
        ('{"date": "2027-01-01", "models": {"m": 3}}', "m must be"),
        ('{"date": "2027-01-01", "models": {"m": {"training": "5"}}}', "m.training"),
        ('{"date": "2027-01-01", "models": {"m": {"training": true}}}', "m.training"),
        ('{"date": "2027-01-01", "models": {"m": {"input": -1}}}', "m.input"),
        ('{"date": "2027-01-01", "models": {"m": {"output": NaN}}}', "m.output"),
        ('{"date": "2027-01-01", "models": {"m": {"batch_discount": 50}}}', "m.batch_discount"),
        ('{"date": "2027-01-01", "models": {"m": {"trainning": 5}}}', "m.trainning"),
        ('{"date": "2027-01-01", "models": {"m": {"shutdown": 5}}}', "m.shutdown"),
        ('{"date": "2027-01-01", "models": {}, "others": 5}', "others must"),
        ('{"date": "2027-01-01", "models": {}, "others": [{}]}', r"others\[0\]"),
        ('{"date": "2027-01-01", "models": {}, "others": [{"hosts": 1, "models": {}}]}', "hosts"),
        (
            '{"date": "2027-01-01", "models": {}, "others": [{"hosts": ["a"], "open_to": 1, '
            '"models": {}}]}',
            "open_to",
        ),
        ('{"date": "2027-01-01", "models": {}, "closed_to": 5}', "closed_to must"),
        ('{"date": "2027-01-01", "models": {}, "closed_to": [{"whom": "a"}]}', r"closed_to\[0\]"),
        ("[" * 100_000, "nested"),
        ('{"date": "2027-01-01", "models": {"m": {"sources": "x"}}}', "m.sources"),
    ],
)
def test_errors_name_what_is_wrong(tmp_path: Path, content: str, says: str) -> None:
    path = tmp_path / "prices.json"
    path.write_text(content)
    with pytest.raises(PriceError, match=says) as caught:
        load_prices(path)
    assert "prices.json" in str(caught.value)


def test_the_documented_table_is_one(tmp_path: Path) -> None:
    document = ROOT / "docs" / "trainers.md"
    (example,) = re.findall(r"^```json\n(.*?)^```", document.read_text("utf-8"), re.M | re.S)
    path = tmp_path / "prices.json"
    path.write_text(example)
    table = load_prices(path)
    price = table.get("llama-3.1-8b")
    assert price is not None
    assert {f for f in Price.__dataclass_fields__ if getattr(price, f)} >= {
        "training", "input", "cached_input", "output", "batch_discount", "example_tokens",
        "training_ends", "shutdown",
    }  # fmt: skip
    assert estimate_training(table.at("llm.example"), "llama-3.1-8b", 10, 1).usd is not None


@pytest.mark.parametrize(
    ("host", "day", "says", "not_"),
    [
        ("api.openai.com", "2026-05-06", "nothing for anybody after 2027-01-06", "2026-05-07"),
        ("api.openai.com", "2026-11-29", r"2026-05-07\), nor for .*2026-07-02\), nor for anybody "
         r"after 2027-01-06.*On 2026-11-29.*azure.com \(for existing customers, until 2027-04-14\)",
         "api.openai.com \\(until"),
        ("api.openai.com", "2027-01-07", "anybody since 2027-01-06.*azure.com", "after"),
        ("api.openai.com", "2027-04-15", "On 2027-04-15 .*on this machine .*, or at", "azure"),
        ("r.openai.azure.com", "2027-01-02", r"at api.openai.com \(until 2027-01-06\)", "azure"),
        ("127.0.0.1:80", "2026-11-29", r"^On 2026-11-29 .*openai.com \(until.*azure", "nothing"),
    ],
)  # fmt: skip
def test_what_is_possible_for_whom_nothing_is_trained(
    host: str, day: str, says: str, not_: str
) -> None:
    said = ways_on(load_prices(BUILT_IN), host, date.fromisoformat(day))
    assert re.search(says, said), said
    assert not re.search(not_, said), said
    assert "--" not in said


def test_a_missing_table_is_named(tmp_path: Path) -> None:
    with pytest.raises(PriceError, match=r"nowhere\.json"):
        load_prices(tmp_path / "nowhere.json")


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
