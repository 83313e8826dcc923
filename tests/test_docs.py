"""What the documents say is what the software does."""

from __future__ import annotations

import re
import runpy
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner
from folders import ROOT

from datasette_ftclassify.cli import ftclassify
from datasette_ftclassify.core.database import connect
from datasette_ftclassify.sql.functions import register
from datasette_ftclassify.trainers.service import Service


def blocks(document: str, language: str) -> list[str]:
    text = (ROOT / document).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def test_the_reference_of_commands_is_up_to_date():
    made = runpy.run_path(str(ROOT / "docs" / "make_cli.py"))["render"]()
    assert (ROOT / "docs" / "cli.md").read_text(encoding="utf-8") == made, (
        "run python docs/make_cli.py"
    )


@pytest.mark.parametrize("document", ["README.md", "docs/sql.md"])
def test_every_query_in_the_documents_runs_and_answers(document: str, trained: Path):
    found = 0
    with closing(connect(trained)) as conn:
        register(conn)
        for block in blocks(document, "sql"):
            for statement in re.sub(r"^--.*$", "", block, flags=re.MULTILINE).split(";"):
                if statement.strip():
                    rows = conn.execute(statement).fetchall()
                    assert rows, statement
                    assert any(cell is not None for row in rows for cell in row), statement
                    found += 1
    assert found >= 3


def test_every_command_of_the_readme_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    commands = re.findall(r"^    datasette ftclassify (.*)$", text, re.MULTILINE)
    assert len(commands) >= 5
    for line in ["demo", *commands]:
        result = CliRunner().invoke(ftclassify, line.split())
        assert result.exit_code == 0, f"{line}: {result.output}"


MADE = runpy.run_path(str(ROOT / "docs" / "make_tables.py"))


@pytest.mark.parametrize("document", MADE["TABLES"])
def test_tables_made_from_the_code_are_up_to_date(document: str):
    text = (ROOT / "docs" / document).read_text(encoding="utf-8")
    assert text == MADE["render"](document, text), "run python docs/make_tables.py"


def test_what_a_service_may_define_has_the_names_that_it_is_documented_with():
    text = (ROOT / "docs" / "trainers.md").read_text(encoding="utf-8")
    table = text.partition("| what | says | unless you do |")[2].partition("\n\n")[0]
    named = re.findall(r"^\| `(\w+)", table, re.MULTILINE)
    named += re.findall(r"\(`(\w+)`\)", text.partition("A trainer that works somewhere else")[2])
    assert len(named) > 12
    assert [name for name in named if not hasattr(Service, name)] == []


def test_every_test_that_the_documents_name_exists():
    """As `tests/test_x.py::test_y`, `test_x.py::test_y`, `::test_y` of the same file, or alone."""
    tests = {
        path.name: path.read_text(encoding="utf-8") for path in ROOT.glob("tests/**/test_*.py")
    }
    named = 0
    for document in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        text = document.read_text(encoding="utf-8")
        words = re.findall(r"`(?:([\w/]+\.py)|)(?:::)?(test_\w+)`", text)
        for file, name in words:
            places = [tests[Path(file).name]] if file else tests.values()
            assert any(f"def {name}(" in place for place in places), f"{document.name}: {name}"
            named += 1
    assert named > 60


def test_links_between_the_documents_lead_somewhere():
    for document in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)\)", document.read_text(encoding="utf-8")):
            assert (document.parent / target).exists(), f"{document.name}: {target}"


def test_the_picture_of_the_layers_is_up_to_date():
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    made = runpy.run_path(str(ROOT / "docs" / "make_architecture.py"))["render"](text)
    assert text == made, "run python docs/make_architecture.py"


def test_the_files_of_the_walks_exist():
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    named = re.findall(r"`((?:\w+/)+(?:\w+\.py)?)`", text)
    assert len(named) > 40
    package = ROOT / "datasette_ftclassify"
    folders = [package, package / "trainers", ROOT]
    assert not [name for name in named if not any((f / name).exists() for f in folders)]


def test_every_document_has_a_place_on_the_site():
    index = (ROOT / "docs" / "index.md").read_text(encoding="utf-8").split()
    documents = {path.stem for path in (ROOT / "docs").glob("*.md")} - {"index"}
    assert documents == documents.intersection(index)
