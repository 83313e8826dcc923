"""Readers are led to a classifier from Datasette's own pages, and none is shown a box that cannot
answer."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from datasette.app import Datasette
from stored import add
from visiting import ROOT, get, is_065, seen, serve

from datasette_ftclassify.core.database import connect
from datasette_ftclassify.core.settings import PROXIES
from datasette_ftclassify.web.pages import try_text

modern = pytest.mark.skipif(is_065(), reason="Datasette 0.65 has no place on top of its pages")
BOX = 'class="ft-box"'


@modern
async def test_the_box_is_on_the_pages_of_table_and_database_and_answers(trained: Path):
    datasette = serve(trained)
    for path in ("/town", "/town/messages"):
        page = await get(datasette, path)
        assert BOX in page.text, path
        assert "/town/-/ftclassify/classifiers/topics~401/try" in page.text
    tried = await get(datasette, "/town/-/ftclassify/classifiers/topics~401/try?text=the+lamp")
    assert tried.status_code == 200
    assert BOX not in (await get(datasette, "/town/_ftclassify_jobs", ROOT)).text


@modern
async def test_the_box_is_off_by_configuration_and_for_who_may_not_see_the_classifier(
    trained: Path,
):
    for settings, shown in (({"try_box": False}, False), ({"try_box": "no"}, False), ({}, True)):
        datasette = Datasette(
            [str(trained)], config={"plugins": {"datasette-ftclassify": settings}}
        )
        assert (BOX in (await get(datasette, "/town/messages")).text) == shown, settings
    hidden = serve(trained, grants={"ftclassify-view": {"id": "ann"}})
    assert BOX not in (await get(hidden, "/town/messages")).text
    assert BOX in (await get(hidden, "/town/messages", "ann")).text


async def test_the_card_is_in_the_menu_of_its_table(trained: Path):
    page = await get(serve(trained), "/town/messages")
    assert "Model card of topics@1" in page.text
    assert "/town/-/ftclassify/classifiers/topics~401/card" in page.text


@pytest.fixture
def paid(tmp_path: Path) -> Path:
    path = tmp_path / "town.db"
    with closing(connect(path, must_exist=False)) as conn:
        with conn:
            conn.execute("create table t (id integer primary key, text, label, guess)")
        header = {"model": "ft:gpt-4.1-mini:a::b", "host": "models.example"}
        add(conn, "paid", trainer="openai", header=header, parts={})
        with conn:
            conn.execute("insert into _ftclassify_columns values ('t', 'guess', 'paid', 'label')")
    return path


async def test_a_paid_classifier_shows_its_stored_answers_and_no_box(paid: Path):
    card = "/town/-/ftclassify/classifiers/paid"
    datasette = serve(paid)
    page = await get(datasette, card)
    assert "Only stored answers are shown here" in seen(page.text)
    assert "t.guess" in page.text
    assert '<form class="ft-form ft-try"' not in page.text
    assert '<form class="ft-form ft-try"' in (await get(datasette, card, ROOT)).text
    if not is_065():
        page = await get(datasette, "/town/t")
        assert "shows only stored answers here" in seen(page.text)
        assert "<textarea" not in page.text


# The rate limit behind proxies

ASK = "/town/-/ftclassify/classifiers/topics/try?text=noise"


async def tried(datasette: Any, times: int, forwarded: str) -> list[int]:
    headers = {"x-forwarded-for": forwarded}
    found = [await datasette.client.get(ASK, headers=headers) for _ in range(times)]
    return [response.status_code for response in found]


def behind(trained: Path, proxies: object) -> Any:
    settings = {} if proxies is None else {"proxies": proxies}
    where = "metadata" if is_065() else "config"
    return Datasette([str(trained)], **{where: {"plugins": {"datasette-ftclassify": settings}}})


@pytest.mark.parametrize(
    ("proxies", "first", "second", "counted_apart"),
    [
        (None, "1.1.1.1", "2.2.2.2", False),  # never believed unasked
        (0, "1.1.1.1", "2.2.2.2", False),
        (1, "1.1.1.1", "2.2.2.2", True),
        (1, "9.9.9.9, 1.1.1.1", "8.8.8.8, 1.1.1.1", False),  # the visitor's own invention
        (2, "1.1.1.1, 10.0.0.1", "2.2.2.2, 10.0.0.1", True),
        ("1", "1.1.1.1", "2.2.2.2", True),
        (3, "1.1.1.1", "2.2.2.2", False),  # not by way of these proxies
        ("many", "1.1.1.1", "2.2.2.2", False),
    ],
)
async def test_visitors_behind_proxies_are_told_apart_as_the_operator_says(
    trained: Path, monkeypatch: pytest.MonkeyPatch, proxies: object, first: str, second: str,
    counted_apart: bool,
):  # fmt: skip
    monkeypatch.setattr(try_text, "_limit", try_text.RateLimit(2))
    datasette = behind(trained, proxies)
    assert await tried(datasette, 3, first) == [200, 200, 429]
    assert await tried(datasette, 1, second) == [200 if counted_apart else 429]


def test_what_makes_no_sense_as_a_number_of_proxies_is_said():
    for wrong in ("many", -1, 21, 1.5, True):
        with pytest.raises(Exception, match="whole number from 0 to 20"):
            PROXIES.of({"proxies": wrong}, {})
