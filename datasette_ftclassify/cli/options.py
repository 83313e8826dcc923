"""Options that several commands share."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ..core.errors import TaskError
from ..core.labels import KINDS
from ..core.markup import MARKUPS

if TYPE_CHECKING:
    from ..core.splits import SplitPlan
    from ..core.task import Task

Command = TypeVar("Command", bound=Callable[..., Any])

database_argument = click.argument("database", metavar="DB", type=click.Path(dir_okay=False))
json_option = click.option(
    "--json", "as_json", is_flag=True, help="One JSON object on standard output."
)


queue_option = click.option(
    "--queue", is_flag=True, help="Only note the job; datasette ftclassify work runs it."
)
base_url_option = click.option(
    "--base-url",
    metavar="URL",
    help="Address of the service, in place of OPENAI_BASE_URL or AZURE_OPENAI_ENDPOINT.",
)


def usd(text: str) -> float:
    """An option's type: an amount above 0. click's FloatRange takes NaN and infinity."""
    try:
        amount = float(text)
    except ValueError:
        amount = math.nan
    if not (math.isfinite(amount) and amount > 0):
        raise click.BadParameter(f"{text} is no amount above 0, such as 5 or 0.50.")
    return amount


limit_option = click.option(
    "--limit-usd",
    type=usd,
    metavar="X",
    help="Stop before it costs more than X US dollars.",
)
yes_option = click.option("--yes", is_flag=True, help="Agree to what it costs without being asked.")
despite_option = click.option(
    "--despite-findings", is_flag=True, help="Go on though the checks found errors in the rows."
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
            click.option(
                "--label-names",
                metavar="A,B,C",
                help="Labels of a column of vectors such as [0, 1, 0], in their order; a JSON array"
                " where a name has a comma.",
            ),
            click.option(
                "--markup",
                type=click.Choice(["none", *MARKUPS]),
                default="none",
                help="html: of texts in HTML read the words, without tags and styles.",
            ),
            click.option(
                "--merge-variants",
                is_flag=True,
                help="Count labels that are one but for case, white space, invisible characters,"
                " accents or the form of a number as the commonest of them.",
            ),
        ]
    ):
        command = option(command)
    return command


def plan_options(command: Command) -> Command:
    """How rows are split."""
    for option in reversed(
        [
            click.option("--seed", default=0, show_default=True, help="Random seed."),
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


def training_options(command: Command) -> Command:
    """What a trainer may be told, and how the command goes about it."""
    for option in reversed(
        [
            click.option(
                "--embeddings",
                metavar="MODEL",
                help="Folder or hub name of a static embedding model (model2vec), to try beside"
                " TF-IDF (local).",
            ),
            click.option(
                "--curve/--no-curve",
                default=True,
                help="Estimate whether more labels would help (local): a learning curve. [on]",
            ),
            click.option("--model", help="The service's model to tune, or to ask."),
            base_url_option,
            click.option("--epochs", type=int, help="Passes over the training examples."),
            click.option("--batch-size", type=int, help="Examples a step."),
            click.option("--learning-rate", type=float, help="Learning-rate multiplier."),
            click.option("--suffix", help="Goes into the tuned model's name."),
            click.option(
                "--wandb", metavar="PROJECT", help="Report to a project at Weights & Biases."
            ),
            click.option(
                "--continue-from",
                metavar="CLASSIFIER",
                help="Train the model of an earlier classifier further, with the same labels.",
            ),
            click.option(
                "--form",
                type=click.Choice(["chat", "completion"]),
                help="Form of the examples. [what suits the model]",
            ),
            click.option(
                "--labels-as",
                type=click.Choice(["text", "code"]),
                help="Answers are labels, or numbers that are one token each. [what suits them]",
            ),
            click.option(
                "--multilabel-as",
                type=click.Choice(["array", "flags"]),
                help="Several labels as a JSON array, or as 0s and 1s in a fixed order. [array]",
            ),
            click.option(
                "--system", help="System message, in place of the one that lists the labels."
            ),
            click.option(
                "--describe",
                type=(str, str),
                multiple=True,
                metavar="LABEL TEXT",
                help="What a label means, for a model that is not trained; repeat for more.",
            ),
            click.option(
                "--extra",
                metavar="JSON",
                help="Further fields of the request that creates the training.",
            ),
            limit_option,
            yes_option,
            despite_option,
            click.option(
                "--follow/--no-follow",
                default=True,
                help="Wait for the end, or only note the job, as --queue does. [follow]",
            ),
            queue_option,
        ]
    ):
        command = option(command)
    return command


@contextmanager
def open_database(path: str) -> Iterator[sqlite3.Connection]:
    from ..store.tables import open_database as opened

    with closing(opened(path)) as conn:
        yield conn


def unescape(text: str | None) -> str | None:
    """Line breaks and tabs for the two characters that a shell passes on for them."""
    return None if text is None else text.replace("\\n", "\n").replace("\\t", "\t")


def task_from(conn: sqlite3.Connection, given: dict[str, Any], *, checks: bool = False) -> Task:
    """The task that the options of `task_options` describe; takes them out of `given`.

    checks: whether the task is checked, so that a finding says what cannot be learnt
    """
    from ..core.label_notations import name_list
    from ..core.task import define, unnamed_vectors, with_variants_merged

    template = given.pop("template")
    task = define(
        conn,
        given.pop("table"),
        text=given.pop("text"),
        template=unescape(template),
        labels=given.pop("label"),
        kind=given.pop("kind"),
        where=given.pop("where"),
        params=dict(given.pop("param")),
        split_column=given.pop("split_column"),
        delimiter=unescape(given.pop("delimiter")),
        label_names=name_list(given.pop("label_names") or ""),
        markup=given.pop("markup"),
    )
    if given.pop("merge_variants"):
        task = with_variants_merged(conn, task)
    if not checks and (problem := unnamed_vectors(conn, task)):
        raise TaskError(" ".join(problem), fields=("label_names",))
    return task


def plan_from(given: dict[str, Any]) -> SplitPlan:
    """The split plan of `plan_options`; takes them out of `given`."""
    from ..core.splits import SplitPlan

    return SplitPlan(given.pop("seed"), given.pop("validation"), given.pop("test"))
