from __future__ import annotations

import json
import re
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from datasette_ftclassify.prices import (
    Price,
    PriceError,
    base_model,
    estimate_inference,
    estimate_training,
    load_prices,
)


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
    assert json.loads(json.dumps(estimate.to_dict()))["usd"] == pytest.approx(6.0)


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
    assert table.at("api.openai.com") is table
    note = estimate_training(table.at("town.openai.azure.com"), "gpt-4.1-mini", 1_000, 1).note
    assert "for api.openai.com; town.openai.azure.com may differ." in note
    # A table of the operator's own is for whoever the operator asks.
    own = load_prices(write(tmp_path / "own.json", tiny={"training": 1}))
    assert own.at("town.openai.azure.com") is own


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
    assert estimate_inference(table, "gpt-6-luna", input_tokens=1, output_tokens=1).usd is None


def test_an_operator_replaces_the_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "own.json", **{"Our-Model": {"training": 1}})
    monkeypatch.setenv("FTCLASSIFY_PRICES", str(path))
    table = load_prices()
    assert table.get("our-model") is not None
    assert table.get("gpt-4.1-mini") is None


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
    document = Path(__file__).parent.parent / "docs" / "trainers.md"
    (example,) = re.findall(r"^```json\n(.*?)^```", document.read_text("utf-8"), re.M | re.S)
    path = tmp_path / "prices.json"
    path.write_text(example)
    table = load_prices(path)
    price = table.get("llama-3.1-8b")
    assert price is not None
    assert {f for f in Price.__dataclass_fields__ if getattr(price, f)} >= {
        "training", "input", "cached_input", "output", "batch_discount", "example_tokens",
        "shutdown",
    }  # fmt: skip
    assert estimate_training(table.at("llm.example"), "llama-3.1-8b", 10, 1).usd is not None


def test_a_missing_table_is_named(tmp_path: Path) -> None:
    with pytest.raises(PriceError, match=r"nowhere\.json"):
        load_prices(tmp_path / "nowhere.json")
