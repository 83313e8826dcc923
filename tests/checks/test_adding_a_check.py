"""A check is one file: what registers itself is run, shown, documented, and held to its codes."""

from __future__ import annotations

import json
import runpy
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from checking import check, clean_rows, table
from click.testing import CliRunner
from commands import run
from folders import ROOT as FOLDER
from visiting import ROOT, get, seen, serve

from datasette_ftclassify import checks
from datasette_ftclassify.checks import CODES, registry, run_checks
from datasette_ftclassify.checks.codes import WARNING, Code, Section
from datasette_ftclassify.checks.private_data import DETECTORS
from datasette_ftclassify.checks.report import Finding
from datasette_ftclassify.checks.scan import Facts
from datasette_ftclassify.cli import ftclassify
from datasette_ftclassify.cli.check import _OPTIONS as options_of_advice
from datasette_ftclassify.core.database import connect
from datasette_ftclassify.core.splits import SplitPlan
from datasette_ftclassify.core.task import define
from datasette_ftclassify.jobs.check import submit_check
from datasette_ftclassify.jobs.runner import run_job

DOCUMENT = FOLDER / "docs" / "checks.md"
MESSAGE = "2 rows are in capitals."
FILE = """
from ..core.text import text_hash
from .codes import INFO, Code, Section
from .registry import text_check
from .row_conditions import Seen


@text_check(Section.CELLS, Code("shouting", INFO, "Texts in capitals.", "Lower your voice."))
class ShoutingTexts:
    every_text = True

    def __init__(self, facts):
        self.seen = Seen()

    def see(self, key, text, labels):
        if text.isupper():
            self.seen.add(key)

    def findings(self, facts):
        if n := self.seen.count:
            yield facts.finding("shouting", f"{n} rows are in capitals.", seen=self.seen)
"""
ROWS = [("FREE TICKETS HERE", "spam"), ("HURRY UP NOW", "spam"), *clean_rows(20)]


@pytest.fixture
def apart(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What a test registers is forgotten after it."""
    monkeypatch.setattr(registry, "_CHECKS", list(registry._CHECKS))
    codes = dict(CODES)
    yield
    CODES.clear()
    CODES.update(codes)


@pytest.fixture
def shouting(apart: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """One file more in the folder of the checks."""
    folder = tmp_path / "more"
    folder.mkdir()
    (folder / "shouting_texts.py").write_text(FILE, encoding="utf-8")
    monkeypatch.setattr(checks, "__path__", [*checks.__path__, str(folder)])
    checks.load_checks()
    yield
    del sys.modules["datasette_ftclassify.checks.shouting_texts"]


def documented() -> str:
    text: str = runpy.run_path(str(FOLDER / "docs" / "make_tables.py"))["render"](
        "checks.md", DOCUMENT.read_text(encoding="utf-8")
    )
    return text


async def test_a_check_of_one_file_is_everywhere(shouting: None, tmp_path: Path) -> None:
    path = tmp_path / "town.db"
    with closing(sqlite3.connect(path)) as conn:
        table(ROWS).backup(conn)
    with closing(connect(path)) as conn:
        task = define(conn, "t", text=["text"], labels=["label"])
        finding = run_checks(conn, task, leaves_machine=False, deep=False).finding("shouting")
        job = submit_check(conn, task, SplitPlan())
        run_job(conn, job.id)
    assert finding is not None
    assert (finding.count, finding.message, finding.advice, finding.keys, finding.where) == (
        2, MESSAGE, "Lower your voice.", ((1,), (2,)), '"id" in (1, 2)')  # fmt: skip
    words = ["check", str(path), "t", "--text", "text", "--label", "label", "--local", "--quick"]
    told = CliRunner().invoke(ftclassify, words)
    assert f"info: {MESSAGE}\n    Lower your voice.\n    rows: 1, 2" in told.output
    as_json = run(*words, "--json").stdout
    assert [f["message"] for f in json.loads(as_json)["findings"] if f["code"] == "shouting"]
    page = await get(
        serve(path, writers=ROOT), f"/town/-/ftclassify/train?table=t&check={job.id}", ROOT
    )
    assert f"{MESSAGE} See the rows" in seen(page.text)
    assert "| `shouting` | info | Texts in capitals. | Lower your voice. |" in documented()


def test_every_code_of_the_documentation_is_one(tmp_path: Path) -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line.startswith("| `") and "` | " in line]
    named = [line.split("`")[1] for line in lines if line.count(" | ") == 3]
    assert sorted(named) == sorted(CODES)


def test_every_code_is_found_in_a_test() -> None:
    """So that none is declared and never made."""
    tests = "".join(p.read_text(encoding="utf-8") for p in FOLDER.glob("tests/**/test_*.py"))
    unseen = [name for name in CODES if f'"{name}"' not in tests and name not in DETECTORS]
    assert unseen == []


def test_a_check_finds_nothing_that_it_did_not_declare(apart: None) -> None:
    @registry.check(Section.CELLS, Code("declared", WARNING, "Something.", "Do it."))
    def _undeclared(facts: Facts) -> Iterator[Finding]:
        yield facts.finding("one-text", "All texts are equal.", count=1, severity="error")

    with pytest.raises(ValueError, match="one-text without declaring it"):
        check(clean_rows(5), leaves_machine=False)


def test_a_code_belongs_to_one_check(apart: None) -> None:
    add = registry.check(Section.CELLS, Code("one-text", WARNING, "Something else.", "Do it."))
    with pytest.raises(ValueError, match="declared twice"):
        add(lambda facts: iter(()))


def test_a_finding_has_a_code_of_a_check() -> None:
    with pytest.raises(ValueError, match="the code of no check"):
        Finding("no-such-code", "info", 1, "", "")


def test_deep_checks_come_last_and_share_out_the_time() -> None:
    order = registry.registered()
    deep = [each.deep for each in order if each.deep]
    assert [each.deep for each in order][-len(deep) :] == deep
    assert len(deep) == 4


def test_the_command_line_has_options_for_codes_that_exist() -> None:
    assert set(options_of_advice) <= set(CODES)
