"""Options that several commands share."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any, TypeVar

import click

from ..core.database import relation
from ..core.errors import PredictError, ReviewError, TaskError
from ..core.label_kinds import KINDS
from ..core.label_notations import name_list
from ..core.markup import MARKUPS
from ..core.numbers import LIMIT_USD, SHARE, WRONG_SHARE, Range
from ..core.splits import SPLIT_SHARE, SplitPlan
from ..core.strengths import PROMISES
from ..core.task import Task, define, unnamed_vectors, with_variants_merged
from ..jobs.columns import ROLES, Columns, usual_columns
from ..jobs.load_classifier import TrainedModel
from ..store.classifiers import find_classifier
from ..store.tables import open_database as opened
from ..trainers.options import DECLARED, Kind, Option
from ..trainers.registry import list_own_options
from .output import friendly
from .parameters import params_from

Command = TypeVar("Command", bound=Callable[..., Any])

Given = dict[str, Any]
"""The values of a command's options by their names, as click has read them."""

database_argument = click.argument("database", metavar="DB", type=click.Path(dir_okay=False))
json_option = click.option(
    "--json", "as_json", is_flag=True, help="One JSON object on standard output."
)


def json_command(command: Command) -> Command:
    """A command with --json, whose errors are a line as `friendly` says them."""
    return json_option(friendly(command))


queue_option = click.option(
    "--queue", is_flag=True, help="Only queue the job; datasette ftclassify work runs it."
)
base_url_option = click.option(
    "--base-url",
    metavar="URL",
    help="Address of the service, in place of OPENAI_BASE_URL or AZURE_OPENAI_ENDPOINT.",
)


def together(*options: Callable[[Any], Any]) -> Callable[[Command], Command]:
    """One decorator of several options, which the help lists in their order."""

    def decorate(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


def typed(allowed: Range) -> Callable[[str], float]:
    """An option's type: a number of the range, which forms read in the same way. click's FloatRange
    takes NaN and infinity."""

    def read(text: str) -> float:
        found = allowed.read(text)
        if found is None:
            raise click.BadParameter(allowed.refusal("It", text))
        return found

    return read


def number_option(
    *names: str, within: Range = SHARE, metavar: str = "P", **more: Any
) -> Callable[[Command], Command]:
    """An option for a number of a range."""
    return click.option(*names, type=typed(within), metavar=metavar, **more)


def usd_option(help_: str, **more: Any) -> Callable[[Command], Command]:
    return number_option("--limit-usd", within=LIMIT_USD, metavar="USD", help=help_, **more)


limit_option = usd_option("Spending limit, in USD.")
yes_option = click.option(
    "--yes", is_flag=True, help="Agree to the estimated cost without being asked."
)
despite_option = click.option(
    "--despite-findings",
    is_flag=True,
    help="Continue although the checks found errors in the rows.",
)
wrong_option = number_option(
    "--wrong-at-most",
    "wrong",
    within=WRONG_SHARE,
    metavar="SHARE",
    help="Instead of a score: the share of answers that may be wrong, such as 5%.",
)
strength_option = click.option(
    "--strength",
    type=click.Choice(PROMISES),
    default="likely",
    show_default=True,
    help="likely: about that share is wrong; guaranteed: no more is, in nine of ten trainings.",
)
known_option = click.option(
    "--known", is_flag=True, help="Also write P_known, how much a text is like the training rows."
)
min_known_option = number_option(
    "--min-known",
    help="Write no label, and P_reason, for a text that is less like the training rows than P.",
)
min_score_option = number_option(
    "--min-score",
    "threshold",
    help="Write no label whose score is below P; the score is kept. [the classifier's, or 0]",
)


column_options = together(
    click.option(
        "--columns-prefix", metavar="P", help="Write P_label, P_score, P_logprob and so on."
    ),
    click.option(
        "--column",
        type=(click.Choice(ROLES), str),
        multiple=True,
        metavar="ROLE NAME",
        help="Name of the column for a role, such as score; an empty name leaves it out.",
    ),
    click.option(
        "--label-scores",
        is_flag=True,
        help="Also write P_score_LABEL, the probability of each label.",
    ),
)
"""Which columns are written, and by which names; see `columns_from`."""


def columns_from(model: TrainedModel, given: Given, *, fingerprint: bool = True) -> Columns:
    """The columns that `column_options`, `--known` and `--min-known` describe. Raises PredictError
    where all are left out."""
    columns = usual_columns(
        model,
        given["columns_prefix"] or "",
        known=given["known"],
        min_known=given["min_known"],
        label_scores=given["label_scores"],
        fingerprint=fingerprint,
    )
    columns = columns.renamed(dict(given["column"]))
    if not any(role != "fingerprint" for role, _ in columns.items()):
        raise PredictError("Every column is left out: choose at least one.")
    return columns


where_option = click.option("--where", metavar="SQL", help="Only rows that meet this condition.")
param_option = click.option(
    "-p",
    "--param",
    type=(str, str),
    multiple=True,
    metavar="NAME VALUE",
    help="Value of :NAME in --where; repeat for more.",
)


def described(*, label: bool) -> Callable[[Command], Command]:
    """The options that say what the text and the labels are. label: a label column must be named"""
    return together(
        click.option("--text", multiple=True, metavar="COL", help="Text column; repeat for more."),
        click.option(
            "--template",
            help="Makes one text of columns, e.g. 'Ad: {{ ad }}\\nFor: {{ product }}'.",
        ),
        click.option(
            "--label",
            multiple=True,
            required=label,
            metavar="COL",
            help="Label column; repeat for several 0/1 columns.",
        ),
        click.option("--kind", type=click.Choice(list(KINDS)), help="Kind of labels. [detected]"),
        where_option,
        param_option,
        click.option(
            "--split-column", metavar="COL", help="Column that says train, validation or test."
        ),
        click.option(
            "--delimiter", metavar="CHAR", help="Separates several labels in a cell, such as ';'."
        ),
        click.option(
            "--label-names",
            metavar="A,B,C",
            help="Names for cells such as 0,1,0, in order; a JSON array if one has a comma.",
        ),
        click.option(
            "--markup",
            type=click.Choice(["none", *MARKUPS]),
            default="none",
            help="html: read only the words of HTML texts. [none]",
        ),
        click.option(
            "--merge-variants",
            is_flag=True,
            help="Count labels that differ only in case, white space, accents and the like as"
            " one: the most frequent.",
        ),
    )


task_options = together(database_argument, click.argument("table"), described(label=True))
"""What describes a task: the source, the text, the labels."""


plan_options = together(
    click.option("--seed", default=0, show_default=True, help="Random seed."),
    number_option(
        "--validation",
        within=SPLIT_SHARE,
        metavar="SHARE",
        default=0.1,
        show_default=True,
        help="Share of the labelled rows for validation, from 0 to 0.9.",
    ),
    number_option(
        "--test",
        within=SPLIT_SHARE,
        metavar="SHARE",
        default=0.1,
        show_default=True,
        help="Share of the labelled rows for the test, from 0 to 0.9.",
    ),
)
"""How rows are split."""


_TYPES: dict[Kind, Any] = {"whole": int, "number": float, "meanings": (str, str)}


def trainer_option(declared: Option, *, trainer: str = "") -> Callable[[Command], Command]:
    """A declared option of trainers as one of a command. trainer: whose own it is"""
    choices = [value for value, _ in declared.choices]
    several = declared.kind == "meanings"
    empty = f" [{declared.empty}]" if declared.empty else ""
    help_ = (
        f"{declared.help or declared.label + '.'}{' Repeat for more.' if several else ''}{empty}"
    )
    return click.option(
        declared.command_line,
        declared.name,
        type=click.Choice(choices) if choices else _TYPES.get(declared.kind),
        multiple=several,
        metavar={"meanings": "LABEL TEXT", "object": "JSON"}.get(declared.kind, declared.metavar),
        help=f"{help_} ({trainer})" if trainer else help_,
    )


class TrainingCommand(click.Command):
    """A command with `training_options`, which has besides those that are one trainer's own."""

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        known = super().get_params(ctx)
        if "own" not in ctx.meta:
            taken = {flag for parameter in known for flag in parameter.opts}
            bare = click.Command(None)
            for trainer, option in reversed(list_own_options()):
                if option.command_line not in taken:
                    trainer_option(option, trainer=trainer)(bare)
            ctx.meta["own"] = bare.params
        return [*known[:-1], *ctx.meta["own"], *known[-1:]]


training_options = together(
    *map(trainer_option, DECLARED),
    click.option(
        "--curve/--no-curve",
        default=True,
        help="Learning curve of the local trainer: whether more labels would help. [on]",
    ),
    base_url_option,
    click.option(
        "--continue-from",
        metavar="CLASSIFIER",
        help="Fine-tune the model of this classifier further; same labels.",
    ),
    limit_option,
    yes_option,
    despite_option,
    click.option(
        "--follow/--no-follow",
        default=True,
        help="Wait for the end, or only queue the job, as --queue does. [follow]",
    ),
    queue_option,
)
"""What a trainer may be told, and how the command goes about it."""


@contextmanager
def open_database(path: str) -> Iterator[sqlite3.Connection]:
    with closing(opened(path)) as conn:
        yield conn


def unescape(text: str | None) -> str | None:
    """Line breaks and tabs for the two characters that a shell passes on for them."""
    return None if text is None else text.replace("\\n", "\n").replace("\\t", "\t")


def task_from(conn: sqlite3.Connection, given: Given, *, checks: bool = False) -> Task:
    """The task that the options of `task_options` describe; takes them out of `given`.

    checks: whether the task is checked, so that a finding says what cannot be learnt
    """
    template, table, where = given.pop("template"), given.pop("table"), given.pop("where")
    task = define(
        conn,
        table,
        text=given.pop("text"),
        template=unescape(template),
        labels=given.pop("label"),
        kind=given.pop("kind"),
        where=where,
        params=params_from(conn, table, where, given.pop("param")),
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


def task_of(conn: sqlite3.Connection, table: str, given: Given, needed: Sequence[str]) -> Task:
    """The task of the classifier that is named, or the one that `described` options describe.

    needed: what these must say where no classifier is named
    Raises ReviewError for a classifier of another table, for both, and for neither.
    """
    source = relation(conn, table).name
    said = [name for name in _DESCRIBED if given.get(name) not in (None, (), False, "none")]
    if given["classifier"] is None:
        if not set(needed) <= {"text" if name == "template" else name for name in said}:
            raise ReviewError(
                f"Name a classifier, or the {' and the '.join(needed)} column.",
                fields=("classifier", *needed),
            )
        return task_from(conn, {**_DESCRIBED, **given, "table": source}, checks=True)
    found = find_classifier(conn, given["classifier"])
    if found.task.source != source:
        raise ReviewError(f"{found.title} was trained on {found.task.source}, not on {source}.")
    if said:
        raise ReviewError(
            f"{found.title} already chooses the columns of {source}: leave out what else says it.",
            fields=tuple(said),
        )
    return found.task


_DESCRIBED: Given = {
    "text": (), "template": None, "label": (), "kind": None, "where": None, "param": (),
    "split_column": None, "delimiter": None, "label_names": None, "markup": "none",
    "merge_variants": False,
}  # fmt: skip
"""The options of `described`, none of them given."""


def plan_from(given: Given) -> SplitPlan:
    """The split plan of `plan_options`; takes them out of `given`."""
    return SplitPlan(given.pop("seed"), given.pop("validation"), given.pop("test"))
