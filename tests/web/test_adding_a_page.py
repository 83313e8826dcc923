"""A page is one file and its template: address, permissions, menu and documentation follow."""

from __future__ import annotations

import re
import runpy
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from datasette.app import Datasette
from folders import ROOT as FOLDER
from visiting import ROOT, get, is_065

import datasette_ftclassify
from datasette_ftclassify.web import pages, registry
from datasette_ftclassify.web.menus import table_menu
from datasette_ftclassify.web.permissions import PERMISSIONS, TRAIN, VIEW
from datasette_ftclassify.web.registry import page
from datasette_ftclassify.web.routes import routes

FILE = """
from ..permissions import TRAIN
from ..registry import MenuItem, page
from ..responses import show


@page(
    "/vowels",
    MenuItem("table", "Count vowels", "Those of the table's name", order=9),
    reads=TRAIN,
    writes=None,
)
async def vowels_page(ask):
    return await show(ask, {"vowels": sum(letter in "aeiou" for letter in ask.table)})
"""
TEMPLATE = (
    '{% extends "ftclassify/page.html" %}{% block content %}{{ vowels }} vowels{% endblock %}'
)


@pytest.fixture
def apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test registers is forgotten after it."""
    monkeypatch.setattr(registry, "_PAGES", list(registry._PAGES))


@pytest.fixture
def vowels(apart: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Datasette]:
    """A Datasette of a table `messages`, with one page more."""
    for folder, file, text in (
        ("pages", "vowels.py", FILE), ("templates", "ftclassify_vowels.html", TEMPLATE),
    ):  # fmt: skip
        (tmp_path / folder).mkdir()
        (tmp_path / folder / file).write_text(text, encoding="utf-8")
    monkeypatch.setattr(pages, "__path__", [*pages.__path__, str(tmp_path / "pages")])
    pages.load_pages()
    with closing(sqlite3.connect(tmp_path / "town.db")) as conn:
        conn.execute("create table messages (id integer primary key, message)")
    datasette = Datasette([str(tmp_path / "town.db")], template_dir=str(tmp_path / "templates"))
    if not is_065():
        datasette.root_enabled = True
    yield datasette
    del sys.modules["datasette_ftclassify.web.pages.vowels"]


def documented() -> str:
    text: str = runpy.run_path(str(FOLDER / "docs" / "make_tables.py"))["render"](
        "permissions.md", (FOLDER / "docs" / "permissions.md").read_text(encoding="utf-8")
    )
    return text


async def test_a_page_of_one_file_is_everywhere(vowels: Datasette) -> None:
    address = "/town/-/ftclassify/vowels"
    assert [pattern for pattern, _ in datasette_ftclassify.register_routes() if "vowels" in pattern]
    shown = await get(vowels, f"{address}?table=messages", ROOT)
    assert "3 vowels" in shown.text
    data = await get(vowels, f"{address}.json?table=messages", ROOT)
    assert data.json() == {"ok": True, "vowels": 3}
    for who, path, status in (
        (None, f"{address}?table=messages", 403),
        (ROOT, f"{address}?table=absent", 404),
    ):
        assert (await get(vowels, path, who)).status_code == status, (who, path)
    assert (await vowels.client.head(f"{address}?table=messages")).status_code == 403
    items = await table_menu(vowels, {"id": ROOT}, "town", "messages", None)
    assert items[-1] == {
        "href": f"{address}?table=messages",
        "label": "Count vowels",
        "description": "Those of the table's name",
    }
    assert await table_menu(vowels, None, "town", "messages", None) == []
    assert f"| `/DB/-/ftclassify/vowels?table=T` | `{TRAIN}` | – |" in documented()


def test_a_page_without_a_permission_of_ours_cannot_be_declared(apart: None) -> None:
    with pytest.raises(TypeError):
        page("/free")  # type: ignore[call-arg]
    for reads, writes in (("view-table", None), (VIEW, "ftclassify-everything")):
        with pytest.raises(ValueError, match="no permission of ours"):
            page("/free", reads=reads, writes=writes)(None)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="Two pages have the address"):
        page("/train", reads=VIEW, writes=None)(None)  # type: ignore[arg-type]


def test_every_permission_is_asked_for_and_no_other_is_named() -> None:
    asked = {action for route in routes() for action in (route.reads, route.writes) if action}
    package = Path(datasette_ftclassify.__file__).parent
    code = {p: p.read_text(encoding="utf-8") for p in (package / "web").rglob("*.py")}
    for name in PERMISSIONS:
        constant = name.rpartition("-")[2].upper()
        uses = [p.name for p, text in code.items() if re.search(rf"\b{constant}\b", text)]
        # One of a whole database is asked for by Datasette's pages, of which we have none.
        assert PERMISSIONS[name].database or name in asked or set(uses) - {"permissions.py"}, name
    texts = [p.read_text(encoding="utf-8") for p in FOLDER.glob("docs/*.md")]
    # Column types of Datasette 1.0 have names of the same form.
    named = re.findall(r"`(ftclassify-(?!demo|label|score)\w+)`", "".join(texts))
    assert set(named) == set(PERMISSIONS)


def test_every_template_is_of_a_page() -> None:
    package = Path(datasette_ftclassify.__file__).parent
    code = "".join(p.read_text(encoding="utf-8") for p in (package / "web").rglob("*.py"))
    shown = {route.template for route in routes()} | set(
        re.findall(r'template="(\w+\.html)"', code)
    )
    assert shown == {p.name for p in (package / "templates").glob("ftclassify_*.html")}
