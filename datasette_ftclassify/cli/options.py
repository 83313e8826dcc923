"""Options that several commands share."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ..labels import KINDS

if TYPE_CHECKING:
    from ..splits import SplitPlan
    from ..tasks import Task

Command = TypeVar("Command", bound=Callable[..., Any])

database_argument = click.argument("database", metavar="DB", type=click.Path(dir_okay=False))
json_option = click.option(
    "--json", "as_json", is_flag=True, help="One JSON object on standard output."
)


queue_option = click.option(
    "--queue", is_flag=True, help="Only note the job; datasette ftclassify work runs it."
)
where_option = click.option("--where", metavar="SQL", help="Only rows that meet this condition.")
param_option = click.option(
    "-p",
    "--param",
    type=(str, str),
    multiple=True,
    metavar="NAME VALUE",
    help="A :NAME in the condition.",
)


def task_options(command: Command) -> Command:
    """What describes a task: the source, the text, the labels."""
    for option in reversed(
        [
            database_argument,
            click.argument("table"),
            click.option(
                "--text", multiple=True, metavar="COL", help="Text column; repeat for more."
            ),
            click.option(
                "--template",
                help="Renders columns into one text, e.g. 'Ad: {{ ad }}\\nFor: {{ product }}'.",
            ),
            click.option(
                "--label",
                multiple=True,
                required=True,
                metavar="COL",
                help="Label column; repeat for several 0/1 columns.",
            ),
            click.option(
                "--kind", type=click.Choice(KINDS), help="Proposed from the data when not given."
            ),
            where_option,
            param_option,
            click.option(
                "--split-column", metavar="COL", help="Column that says train, validation or test."
            ),
            click.option(
                "--delimiter", metavar="CHAR", help="Between several labels in one column."
            ),
        ]
    ):
        command = option(command)
    return command


def plan_options(command: Command) -> Command:
    """How rows are split."""
    for option in reversed(
        [
            click.option("--seed", default=0, show_default=True, help="Of everything random."),
            click.option(
                "--validation",
                type=click.FloatRange(0, 0.9),
                default=0.1,
                show_default=True,
                help="Share of the labelled rows for validation.",
            ),
            click.option(
                "--test",
                type=click.FloatRange(0, 0.9),
                default=0.1,
                show_default=True,
                help="Share of the labelled rows for the test.",
            ),
        ]
    ):
        command = option(command)
    return command


@contextmanager
def open_database(path: str) -> Iterator[sqlite3.Connection]:
    from ..sql import connect

    conn = connect(path)
    try:
        yield conn
    finally:
        conn.close()


def unescape(text: str | None) -> str | None:
    """Line breaks and tabs for the two characters that a shell passes on for them."""
    return None if text is None else text.replace("\\n", "\n").replace("\\t", "\t")


def task_from(conn: sqlite3.Connection, given: dict[str, Any]) -> Task:
    """The task that the options of `task_options` describe; takes them out of `given`."""
    from ..tasks import define

    template = given.pop("template")
    return define(
        conn,
        given.pop("table"),
        text=given.pop("text"),
        template=unescape(template),
        labels=given.pop("label"),
        kind=given.pop("kind"),
        where=given.pop("where"),
        params=dict(given.pop("param")),
        split_column=given.pop("split_column"),
        delimiter=given.pop("delimiter"),
    )


def plan_from(given: dict[str, Any]) -> SplitPlan:
    """The split plan of `plan_options`; takes them out of `given`."""
    from ..splits import SplitPlan

    return SplitPlan(given.pop("seed"), given.pop("validation"), given.pop("test"))
