"""A classifier that is asked for the first time is loaded beside the reads, whose time limit is for
answers: who asked is answered all the same, and nobody else waits."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from datasette.app import Datasette
from visiting import get, is_065, seen, serve

from datasette_ftclassify.sql import loading
from datasette_ftclassify.trainers.local.trainer import LocalTrainer

TRY = "/town/-/ftclassify/classifiers/topics/try"
QUERY = "/town.json" if is_065() else "/town/-/query.json"
ASK = "select ft_classify('the street lamp is dark', 'topics') as answer"


class HeldLoads:
    """Loads that begin, and end when they are let go."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.begun, self._go, self.count = threading.Event(), threading.Event(), 0
        load = LocalTrainer.load

        def held(*arguments):
            self.count += 1
            self.begun.set()
            self._go.wait(60)
            return load(*arguments)

        monkeypatch.setattr(LocalTrainer, "load", held)

    def let_go(self) -> None:
        self._go.set()


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> Iterator[HeldLoads]:
    loads = HeldLoads(monkeypatch)
    yield loads
    loads.let_go()


async def ask(datasette: Datasette, path: str, **params: str):
    return await asyncio.wait_for(get(datasette, path, params=params), 30)


@pytest.mark.parametrize(
    ("path", "params"),
    [(f"{TRY}.json", {"text": "the street lamp is dark"}), (QUERY, {"sql": ASK})],
    ids=["try", "sql"],
)
async def test_who_asks_first_is_answered_and_holds_up_nobody(
    trained: Path, loads: HeldLoads, path: str, params: dict[str, str]
):
    datasette = serve(trained)
    # One more than Datasette has threads to read.
    waiting = [asyncio.create_task(ask(datasette, path, **params)) for _ in range(4)]
    while not loads.begun.is_set():
        await asyncio.sleep(0.01)
    assert (await ask(datasette, QUERY, sql="select 2")).status_code == 200
    assert not any(task.done() for task in waiting)
    loads.let_go()
    for found in await asyncio.gather(*waiting):
        assert found.status_code == 200, found.text
        assert "Street lig" in found.text
    assert loads.count == 1


async def test_who_cannot_wait_any_longer_is_told_what_is_done(
    trained: Path, loads: HeldLoads, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(loading, "LOAD_SECONDS", 0.0)
    datasette = serve(trained)
    for end in ("", ".json"):
        refused = await ask(datasette, TRY + end, text="a drain")
        assert refused.status_code == 503
        assert refused.headers["retry-after"]
        said = refused.json()["error"] if end else seen(refused.text)
        assert "still being loaded" in said
    assert (await ask(datasette, QUERY, sql=ASK)).status_code == 400
    loads.let_go()
    monkeypatch.undo()
    assert (await ask(datasette, f"{TRY}.json", text="a drain")).status_code == 200
    assert loads.count == 1


async def test_an_error_of_a_query_is_said_as_ever_once_its_classifier_is_loaded(
    trained: Path, loads: HeldLoads
):
    datasette = serve(trained)
    task = asyncio.create_task(ask(datasette, QUERY, sql=f"{ASK}, abs(-9223372036854775807 - 1)"))
    while not loads.begun.is_set():
        await asyncio.sleep(0.01)
    loads.let_go()
    refused = await task
    assert refused.status_code == 400
    assert "overflow" in refused.text
