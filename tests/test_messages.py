"""What is said reaches pages, commands and programs alike: it must fit all of them."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import click
from click.testing import CliRunner
from folders import ROOT
from terminal_words import words_of_the_terminal

from datasette_ftclassify.cli.output import friendly
from datasette_ftclassify.core.errors import LimitReached

PACKAGE = ROOT / "datasette_ftclassify"
COMMANDS = {"cli", "demo", "publish_commands.py"}
"""What is typed into a terminal, the last as a page shows it to be copied."""
SCRIPT = PACKAGE / "export" / "numpy_scorer.py"
"""Run as a command of its own, beside an exported model."""
SOURCES = sorted(
    p
    for p in PACKAGE.rglob("*.py")
    if not COMMANDS & set(p.relative_to(PACKAGE).parts) and p != SCRIPT
)
PAGES = sorted([*PACKAGE.glob("templates/**/*.html"), *PACKAGE.glob("static/*.js")])


def literals(path: Path) -> Iterator[tuple[int, str]]:
    """The strings of a module that may be shown to somebody; no docstrings."""
    tree = ast.parse(path.read_text())
    silent = {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and id(node) not in silent
        ):
            yield node.lineno, node.value


def test_what_a_page_may_show_names_no_option_and_no_command():
    assert not [
        (str(path.relative_to(PACKAGE)), line, word, text)
        for path in SOURCES
        for line, text in literals(path)
        for word in words_of_the_terminal(text)
    ]


def test_no_template_or_script_names_an_option_or_a_command():
    found = {path.name: words_of_the_terminal(path.read_text()) for path in PAGES}
    assert not {name: words for name, words in found.items() if words}


@click.command()
@click.option("--where")
@click.option("-n", "--limit-usd")
@friendly
def _costs(where: str | None, limit_usd: str | None) -> None:
    fields = ("where", "epochs", "limit_usd") if where is None else ()
    raise LimitReached("It would cost $2. Train on fewer rows, or raise the limit.", fields=fields)


def test_a_command_adds_those_of_its_own_options_that_an_error_is_about():
    told = CliRunner().invoke(_costs)
    assert told.exit_code == 1
    said = (
        "Error: It would cost $2. Train on fewer rows, or raise the limit (--where, --limit-usd)."
    )
    assert told.output.strip() == said
    assert "(" not in CliRunner().invoke(_costs, ["--where", "1"]).output


def test_every_field_that_an_error_is_about_is_an_option_or_a_field_of_a_form():
    """A misspelled one would be shown nowhere."""
    from datasette_ftclassify.cli import ftclassify

    names = {"columns_prefix"}
    commands = [ftclassify]
    for command in commands:
        commands += getattr(command, "commands", {}).values()
        names |= {str(param.name) for param in command.params}
    for path in PAGES:
        names |= set(re.findall(r'name="(\w+)"', path.read_text()))
    given = [
        (path.name, name.value)
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.keyword) and node.arg == "fields"
        for name in getattr(node.value, "elts", ())
        if isinstance(name, ast.Constant)
    ]
    assert len(given) > 20
    assert not [pair for pair in given if pair[1] not in names]
