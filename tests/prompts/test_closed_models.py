"""Models that their providers train, or answer with, no more: never offered, never paid for."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from pathlib import Path

import pytest
from click.testing import CliRunner
from commands import says
from openai_server import OpenAIServer
from service_training import MODEL, town
from train_page import PAYING, look
from visiting import serve

from datasette_ftclassify.cli import ftclassify
from datasette_ftclassify.prompts import price_table

pytestmark = pytest.mark.usefixtures("quick")

TASK = ("messages", "--text", "message", "--label", "topic")


def on(day: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets all that follows happen on that day, at noon."""
    then = datetime.fromisoformat(day).replace(hour=12, tzinfo=timezone.utc)
    monkeypatch.setattr(price_table, "_now", lambda: then)


@pytest.mark.parametrize("trainer", ["openai", "prompted"])
@pytest.mark.parametrize("queue", [(), ("--queue",)])
def test_a_closed_model_is_refused_before_anything_is_sent(
    db: Path,
    openai_server: OpenAIServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    trainer: str,
    queue: tuple[str, ...],
) -> None:
    ours = {"training": 5, "input": 1, "output": 1, "shutdown": "2027-01-14"}
    table = {"date": "2026-11-29", "models": {MODEL: ours, "other": {**ours, "shutdown": None}}}
    (tmp_path / "prices.json").write_text(json.dumps(table))
    monkeypatch.setenv("FTCLASSIFY_PRICES", str(tmp_path / "prices.json"))
    on("2027-01-15", monkeypatch)
    asked = ("--trainer", trainer, "--model", MODEL, "--yes", *queue)
    said = says("train", db, *TASK, *asked, code=1)
    assert "stopped answering at 127.0.0.1" in said
    assert (
        "on 2027-01-14. Nothing was sent. There is other there, or another trainer: local" in said
    )
    assert openai_server.log == []
    assert "no job yet" in says("jobs", "list", db)


def test_a_stopped_classifier_keeps_what_it_has_answered(
    db: Path, openai_server: OpenAIServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    paid = ("--trainer", "openai", "--model", MODEL, "--epochs", 1, "--name", "paid", "--yes")
    says("train", db, *TASK, *paid)
    some = ("messages", "--classifier", "paid", "--where", "id < 20", "--yes")
    says("predict", db, *some)
    on("2099-01-14", monkeypatch)
    sent = len(openai_server.log)
    said = says("predict", db, "messages", "--classifier", "paid", "--yes", code=1)
    assert f"The model of paid@1, ft:{MODEL}" in said
    assert "on 2099-01-14. Its columns and stored answers stay" in said
    assert "move it to another trainer" in said
    # What was answered already costs nothing and asks nobody.
    says("predict", db, *some)
    assert len(openai_server.log) == sent
    assert "stopped on 2099-01-14" in says("classifiers", "list", db)
    moved = says("move", db, "paid", "--trainer", "local", "--name", "here", "--no-curve")
    assert "here@1" in moved


def test_a_queued_job_is_refused_when_its_day_has_come(
    db: Path, openai_server: OpenAIServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    says("train", db, *TASK, "--trainer", "openai", "--model", MODEL, "--name", "paid", "--yes")
    says("predict", db, "messages", "--classifier", "paid", "--yes", "--queue")
    on("2099-02-01", monkeypatch)
    sent = len(openai_server.log)
    CliRunner().invoke(ftclassify, ["work", str(db), "--limit-usd", "5"])
    assert len(openai_server.log) == sent
    assert "stopped answering" in says("jobs", "list", db)


@pytest.mark.parametrize(
    ("day", "openai", "untuned"),
    [("2026-11-29", MODEL, MODEL), ("2027-01-07", None, MODEL), ("2027-01-15", None, "gpt-6-luna")],
)
async def test_no_face_offers_what_is_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, day: str, openai: str | None, untuned: str
) -> None:
    for name in ("OPENAI_BASE_URL", "AZURE_OPENAI_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-none")
    monkeypatch.setenv("FTCLASSIFY_USD_PER_JOB", "5")
    town(tmp_path / "town.db").close()
    on(day, monkeypatch)
    listed = {t["name"]: t for t in json.loads(says("trainers", "--json"))["trainers"]}
    seen = await look(serve(tmp_path / "town.db", grants=PAYING))
    offers = {t["name"]: t for t in seen["trainers"]}
    for name, first in (("openai", openai), ("prompted", untuned)):
        proposed = offers[name]["settings"][0]["proposed"]
        assert proposed == listed[name]["models"]
        assert next(iter(proposed), None) == first
    if openai is None:
        assert "no training since 2027-01-06" in offers["openai"]["missing"]
        assert "no training since 2027-01-06" in says("trainers")
        table = ("--text", "message", "--label", "topic")
        assert (
            "$" not in says("check", tmp_path / "town.db", "messages", *table).split("gpt-4.1")[-1]
        )
