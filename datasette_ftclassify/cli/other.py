"""`classifiers other`"""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from ..core.database import relation
from ..core.humanize import key_list, percent, rows_text, score
from ..core.numbers import Range
from ..core.other_class import keys_condition
from ..store.classifiers import find_classifier
from .confirmation import confirm
from .options import (
    Given,
    database_argument,
    json_command,
    number_option,
    open_database,
    param_option,
    where_option,
)
from .output import echo, one_line, print_json, say
from .train_steps import access_for, finish_training

if TYPE_CHECKING:
    import sqlite3

    from ..core.task import Task
    from ..jobs.other_rows import OtherPreview
    from ..store.classifiers import Classifier

ROWS = Range(1, 1_000, whole=True)


@click.command()
@database_argument
@click.argument("name", required=False)
@where_option
@param_option
@number_option(
    "--least-known",
    within=ROWS,
    metavar="N",
    help="The N unlabelled rows that are least like the training rows.",
)
@number_option(
    "--below",
    default=0.05,
    show_default=True,
    help="With --least-known: only rows whose known is below P.",
)
@click.option("--label", default="other", show_default=True, help="The name of the class.")
@click.option("--preview", is_flag=True, help="Show what it would do, and train nothing.")
@click.option("--yes", is_flag=True, help="Train without asking.")
@json_command
def other(
    database: str,
    name: str | None,
    where: str | None,
    param: tuple[tuple[str, str], ...],
    as_json: bool,
    **given: Any,
) -> None:
    """Train a new version with a class for rows that have none of the labels.

    The class is made of unlabelled rows: those that meet a condition, or those that are least like
    the training rows. Cross-validation shows what it would catch and what it would misplace before
    anything is trained. Nothing is written into the label column.

    \b
      datasette ftclassify classifiers other sports.db sports --where "source = 'football.example'"
      datasette ftclassify classifiers other sports.db sports --least-known 100 --preview
    """
    from ..jobs.other_rows import new_version, preview_other
    from ..jobs.train import submit_train

    with open_database(database) as conn:
        classifier = find_classifier(conn, name)
        request = new_version(conn, classifier)
        task = _task(conn, classifier, where, dict(param), given)
        found = preview_other(conn, task)
        if as_json and given["preview"]:
            print_json({"classifier": classifier.name, "version": classifier.version,
                        **asdict(found)})  # fmt: skip
            return
        _describe(found, err=as_json)
        if given["preview"]:
            return
        confirm(
            f"Train a new version of {classifier.name} with the class {found.label}?",
            yes=given["yes"],
            otherwise="Nothing was trained.",
        )
        access = access_for(request.trainer, None)
        job = submit_train(conn, task, request, access=access)
        finish_training(conn, job, access, database, as_json=as_json)


def _task(
    conn: sqlite3.Connection,
    classifier: Classifier,
    where: str | None,
    params: dict[str, str],
    given: Given,
) -> Task:
    from ..jobs.other_rows import least_known, other_task

    if (where is None) == (given["least_known"] is None):
        raise click.UsageError("Give either --where or --least-known: which rows are of the class.")
    if where is None:
        rows = least_known(conn, classifier, given["least_known"], given["below"])
        if not rows:
            raise click.ClickException(
                f"No unlabelled row has a known below {given['below']:g}: raise --below, or mark "
                "rows by a condition (--where)."
            )
        say("Rows that are least like the training rows:")
        for row in rows[:10]:
            answer = f"known {score(row.known)}, answered with {row.answer}"
            say(f"  {key_list([row.key])}  {answer}  {one_line(row.text)}")
        keys = [row.key for row in rows]
        where = keys_condition(relation(conn, classifier.task.source), keys)
    return other_task(conn, classifier, where, params, given["label"])


def _describe(found: OtherPreview, *, err: bool) -> None:
    write = partial(echo, err=err)
    write(
        f"The class {found.label} of {rows_text(found.rows)}, beside {rows_text(found.labelled)} "
        "with a label. Each was answered while it was held out:"
    )
    caught = percent(found.caught / max(found.held_out, 1))
    write(f"  caught     {found.caught:,} of {found.held_out:,} ({caught})")
    by_label = ", ".join(f"{count:,} of {label}" for label, count in found.misplaced.items())
    misplaced = sum(found.misplaced.values())
    what = f" ({by_label})" if by_label else ""
    write(f"  misplaced  {misplaced:,} of {found.labelled:,}{what}")
    write(
        f"  right      {percent(found.now, 1)} of the rows with a label, {percent(found.before, 1)}"
        " without the class"
    )
    if found.unlabelled:
        others = f"{found.unlabelled:,} other rows without a label"
        write(f"  also       {found.also:,} of {others} would get it")
    for title, rows in (
        ("Not caught", found.missed), ("Misplaced", found.wrong), ("Also given to", found.others),
    ):  # fmt: skip
        if rows:
            write(f"{title}:")
        for row in rows:
            answer = f"{row.label or 'no label'}, answered with {row.answer}"
            write(f"  {key_list([row.key])}  {answer}  {one_line(row.text)}")
