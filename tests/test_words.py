"""Pages, messages and help use the words of CONTRIBUTING, and not the ones beside them."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from folders import ROOT
from jinja2 import Environment, FileSystemLoader

from datasette_ftclassify.cli import ftclassify

PACKAGE = ROOT / "datasette_ftclassify"


def word_list() -> dict[str, list[str]]:
    """{what we say: [what we do not say, …]}, from the table in CONTRIBUTING.md."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    table = text.partition("| we say | not |\n|---|---|\n")[2].partition("\n\n")[0]
    rows = (line.strip("| ").split(" | ") for line in table.splitlines())
    return {said: re.split(r", ", unsaid) for said, unsaid in rows}


UNSAID = {word: said for said, words in word_list().items() for word in words}


def strings(path: Path) -> Iterator[str]:
    """What a module may say: its texts, without docstrings but those of commands, their help."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    commands = path.is_relative_to(PACKAGE / "cli")
    skipped = {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and not commands
    }
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and id(node) not in skipped
        ):
            yield node.value


def found(text: str) -> list[str]:
    plain = " ".join(re.sub(r"<[^>]*>", " ", text).split()).casefold()
    return [word for word in UNSAID if word in plain]


def test_the_list_is_read() -> None:
    assert UNSAID["least score"] == "minimum score"
    assert found("The <b>least\n score</b>") == ["least score"]


FILES = [
    *sorted((ROOT / "templates").rglob("*.html")),
    *sorted((ROOT / "static").glob("*.js")),
    *sorted(
        path for path in PACKAGE.rglob("*.py") if not {"templates", "static"} & set(path.parts)
    ),
]


DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def test_nobody_says_it_otherwise() -> None:
    said = []
    for path in [*FILES, *DOCUMENTS]:
        texts = strings(path) if path.suffix == ".py" else [path.read_text(encoding="utf-8")]
        words = ((word, text) for text in texts for word in found(text))
        said += [f"{path.name}: {UNSAID[word]}, not {word}: {text[:80]}" for word, text in words]
    assert said == []


def chosen_by_number(node: ast.AST) -> bool:
    """Whether it takes one text or another by whether a number is 1."""
    if not (isinstance(node, ast.IfExp) and isinstance(node.test, ast.Compare)):
        return False
    other, sides = node.test.comparators[0], (node.body, node.orelse)
    texts = [
        isinstance(side, ast.JoinedStr) or isinstance(getattr(side, "value", None), str)
        for side in sides
    ]
    # `f" (and {n} more)" if n > 1 else ""` is no plural.
    optional = isinstance(sides[0], ast.JoinedStr) and getattr(sides[1], "value", None) == ""
    return repr(getattr(other, "value", None)) == "1" and all(texts) and not optional


def test_plurals_are_made_by_one_helper() -> None:
    found = [
        f"{path.name}:{node.lineno}"
        for path in PACKAGE.rglob("*.py")
        if path.name != "humanize.py"
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if chosen_by_number(node)
    ]
    for path in (ROOT / "templates").rglob("*.html"):
        written = re.findall(r'"[^"]*" if [^}]*[!=>]=? 1 [^}]*', path.read_text(encoding="utf-8"))
        found += [f"{path.name}: {plural}" for plural in written]
    assert found == []


NUMBER = r"\{\{ *(?:ft\.number\([^{}]*\)|[^{}]*\|length) *\}\}"
NOUN = (
    r"(?:(?:more|other|earlier|training|different) )?"
    r"(?:rows|labels|requests|tokens|events|tables|texts|jobs)"
)


def amounts_of_its_own(template: str) -> list[str]:
    """Numbers that a template formats by itself, and plurals after a number that may be 1. What is
    in a style is for a browser, not for people."""
    plain = re.sub(r'style="[^>]*"', "", template)
    return [
        *re.findall(r'"\{:,\}"\.format|"%\.[3]f"\|format', plain),
        *re.findall(rf"{NUMBER} {NOUN}\b", plain),
    ]


def test_amounts_of_a_template_are_found() -> None:
    assert amounts_of_its_own('{{ "{:,}".format(n) }} and {{ "%.3f"|format(share) }}')
    assert amounts_of_its_own("{{ ft.number(n) }} rows")
    assert amounts_of_its_own("{{ labels|length }} labels")
    assert not amounts_of_its_own(
        '<b style="width: {{ "%.3f"|format(x) }}%">{{ ft.number(n) }}</b>'
    )


def test_templates_write_amounts_by_one_helper() -> None:
    templates = (ROOT / "templates").rglob("*.html")
    found = {path.name: amounts_of_its_own(path.read_text(encoding="utf-8")) for path in templates}
    assert {name: amounts for name, amounts in found.items() if amounts} == {}


def test_a_sentence_of_a_page_ends_once() -> None:
    templates = Environment(loader=FileSystemLoader(ROOT / "templates"), autoescape=True)
    words: Any = templates.get_template("ftclassify/words.html").module
    assert words.sentence("not evaluated.") == words.sentence("not evaluated") == "Not evaluated."


def test_headings_name_the_thing() -> None:
    """And ask no riddle, such as "How good it is"."""
    headings = [
        heading
        for path in (ROOT / "templates").rglob("*.html")
        for heading in re.findall(r"<h[1-6][^>]*>([^<{]+)", path.read_text(encoding="utf-8"))
    ]
    riddles = ("How", "Its", "What", "Where", "Who", "Why")
    assert len(headings) > 30
    assert [heading for heading in headings if heading.startswith(riddles)] == []


def commands(command: click.Command, name: str) -> Iterator[tuple[str, click.Command]]:
    yield name, command
    for each, inner in getattr(command, "commands", {}).items():
        yield from commands(inner, f"{name} {each}")


HELP = dict(commands(ftclassify, "ftclassify"))


@pytest.mark.parametrize("name", HELP)
def test_the_help_of_each_option_is_one_short_sentence(name: str) -> None:
    """With the default behind it: `Seconds to wait. [60]`."""
    for option in HELP[name].params:
        if not isinstance(option, click.Option):
            continue
        sentence = (option.help or "").partition(" [")[0]
        assert sentence.endswith("."), option.opts
        assert len(sentence) < 125, option.opts
        assert not sentence[:1].islower() or ":" in sentence, option.opts
        # A type that is a function is called after it, which says nothing.
        shown = option.make_metavar(click.Context(HELP[name]))
        assert shown not in ("READ", "FUNCTION"), option.opts


@pytest.mark.parametrize("name", HELP)
def test_the_help_of_a_command_begins_with_what_it_does(name: str) -> None:
    """A sentence in the imperative, as click, pip and git have it, and not a noun."""
    first = str(HELP[name].help).split()[0]
    assert first[:1].isupper(), first
    assert first not in ("A", "All", "An", "Everything", "One", "The", "Who"), first
