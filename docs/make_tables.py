"""Writes the tables of the documents that say what the code declares: `python docs/make_tables.py`.

A table stands between a comment that names it and the next `<!-- end of table -->`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path

from datasette_ftclassify import checks, metrics  # noqa: F401, which declare theirs
from datasette_ftclassify.checks.codes import Section
from datasette_ftclassify.checks.registry import registered
from datasette_ftclassify.core.job_events import EVENTS
from datasette_ftclassify.core.notations import NOTATIONS, Notation
from datasette_ftclassify.core.settings import SETTINGS
from datasette_ftclassify.metrics.registry import GROUPS, METRICS
from datasette_ftclassify.sql import functions  # noqa: F401, which declares them
from datasette_ftclassify.sql.declaration import FUNCTIONS, SqlFunction
from datasette_ftclassify.store.jobs.states import STATES
from datasette_ftclassify.trainers.base import Trainer, options_of
from datasette_ftclassify.trainers.builtin import always
from datasette_ftclassify.trainers.llm_models.trainer import LlmTrainer
from datasette_ftclassify.trainers.options import DECLARED
from datasette_ftclassify.web.permissions import PERMISSIONS, VIEW
from datasette_ftclassify.web.plugins import PLUGINS
from datasette_ftclassify.web.routes import routes

FOLDER = Path(__file__).parent
ENDPOINT = {
    "api_key": "the key",
    "base_url": "where it is, if not at its usual address",
    "api_version": "of Azure's older form of addresses",
}


def as_table(head: str, rows: Iterable[Sequence[str]]) -> str:
    """A table of Markdown; `head` has the columns between `|`."""
    columns = head.split("|")
    lines = [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    for row in rows:
        lines.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |")
    return "\n".join(lines)


def sql_functions() -> str:
    rows = ((f"`{each.name}({_arguments(each)})`", each.help) for each in FUNCTIONS.values())
    return as_table("function|answers", rows)


def _arguments(function: SqlFunction) -> str:
    """`text [, classifier [, label]]`"""
    others = "".join(f" [, {name}" for name in function.others)
    return f"{function.first}{others}{']' * len(function.others)}"


def trainers() -> list[Trainer]:
    """All that come along, by name, whatever is installed."""
    return sorted([*always(), LlmTrainer()], key=lambda trainer: trainer.name)


def codes(section: Section) -> str:
    """Of a section, in the order in which their checks run."""
    return as_table(
        "code|severity|meaning|what to do",
        (
            (f"`{code.name}`", ", ".join(code.severities), code.meaning, code.advice)
            for check in registered()
            if check.section is section
            for code in check.codes
        ),
    )


def notations() -> str:
    return as_table(
        "the cells|are read as",
        [
            ('`["a", "b"]`', "a JSON array"),
            (
                "`a;b`, `a|b`, `a#b`, `a, b`, a line each",
                "a delimited list, where the parts come back in other cells; else name the "
                'delimiter; a label that holds it stands in double quotes: `a;"b; c"`',
            ),
            *((each.examples, _read_as(each)) for each in NOTATIONS.values()),
            ("anything else", "one label"),
        ],
    )


def _read_as(notation: Notation) -> str:
    back = ", where the parts come back in other cells" if notation.between else ""
    return notation.words + back + (f": {notation.more}" if notation.more else "")


def figures() -> str:
    return as_table(
        "key|figure|of|best|says",
        (
            (
                " ".join(f"`{key}`" for key in each.keys),
                each.name,
                ", ".join(GROUPS.get(group, group) for group in each.groups),
                f"{each.best:g}",
                each.help,
            )
            for each in METRICS.values()
        ),
    )


def settings() -> str:
    """Of the operator; those of services last."""
    rows = [
        (f"`{s.name}`" if s.configured else "–", f"`{s.variable}`" if s.variable else "–", s.help)
        for s in SETTINGS
    ]
    for service in trainers():
        for field, variable in getattr(service, "variables", {}).items():
            rows.append((f"`{service.name}`: `{field}`", f"`{variable}`", ENDPOINT[field]))
    return as_table("setting|environment|says", rows)


def permissions() -> str:
    return as_table(
        "action|what it allows|default",
        (
            (f"`{name}`", each.allows, "who may see the table" if each.open else "root")
            for name, each in PERMISSIONS.items()
        ),
    )


def pages() -> str:
    rows = []
    for route in routes():
        place = route.place.replace("{name}", "NAME").replace("{id}", "ID")
        place = place.replace("{number}", "N") + ("?table=T" if route.about == "table" else "")
        reads = f"`{route.reads}`" if route.reads else "–"
        if route.about in ("instance", "database"):
            reads = f"who may see the {route.about}"
        if route.about == "job" and route.reads == VIEW:
            reads = "who works on the table"
        rows.append((f"`{place}`", reads, f"`{route.writes}`" if route.writes else "–"))
    return as_table("page|to see it|to send its form", rows)


def options() -> str:
    """Those that may be several trainers'."""
    rows = []
    for option in DECLARED:
        taken = ((trainer.name, options_of(trainer).get(option.name)) for trainer in trainers())
        bounds = {name: own.bounds for name, own in taken if own is not None}
        named = (f"{name} ({said})" if said else name for name, said in bounds.items())
        empty = f" Unless given: {option.empty}." if option.empty else ""
        rows.append((
            f"`{option.command_line}`", option.label if option.on_page else "",
            f"{option.help or f'{option.label}.'}{empty}", ", ".join(named),
        ))  # fmt: skip
    return as_table("on the command line|on a page|what it says|trainers", rows)


def job_states() -> str:
    return as_table(
        "state|meaning|what may be asked of it",
        ((name, each.means, ", ".join(each.actions) or "–") for name, each in STATES.items()),
    )


def job_events() -> str:
    return as_table(
        "kind|level|meaning|figures",
        (
            (f"`{name}`", each.level, each.means, "; ".join(
                f"`{key}`: {what}" for key, what in each.fields.items()
            ))
            for name, each in EVENTS.items()
        ),
    )  # fmt: skip


def other_plugins() -> str:
    return as_table(
        "plugin|Datasette|hook|what it gets",
        ((f"`{each.package}`", each.datasette, f"`{each.hook}`", each.gives) for each in PLUGINS),
    )


TABLES: dict[str, dict[str, Callable[[], str]]] = {
    "sql.md": {"SQL functions": sql_functions},
    "checks.md": {
        **{section.value: partial(codes, section) for section in Section},
        "notations": notations,
    },
    "metrics.md": {"figures": figures},
    "jobs.md": {"job states": job_states, "job events": job_events, "settings": settings},
    "trainers.md": {"options of trainers": options},
    "permissions.md": {"permissions": permissions, "pages": pages},
    "hooks.md": {"other plugins": other_plugins},
}
"""{document: {name of a table in it: what makes it}}"""


def render(document: str, text: str) -> str:
    """The document with its tables as the code has them now. Raises ValueError without a place for
    one of them."""
    for name, table in TABLES[document].items():
        start, end = f"<!-- {name}: made by docs/make_tables.py -->", "<!-- end of table -->"
        before, found, rest = text.partition(start)
        if not found or end not in rest:
            raise ValueError(f"{document} has no place for the table {name}.")
        text = f"{before}{start}\n{table()}\n{end}{rest.partition(end)[2]}"
    return text


if __name__ == "__main__":
    for document in TABLES:
        path = FOLDER / document
        path.write_text(render(document, path.read_text(encoding="utf-8")), encoding="utf-8")
