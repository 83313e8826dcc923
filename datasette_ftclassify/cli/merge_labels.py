"""`merge-labels`: labels of a column made one, or renamed"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from ..core import typed_json
from ..core.database import relation
from ..core.errors import ReviewError
from ..core.humanize import rows_text
from ..store.change_batches import list_batches
from .confirmation import confirm
from .options import Given, database_argument, json_command, open_database, task_of
from .output import echo, print_json, print_result
from .review import person_called

if TYPE_CHECKING:
    import sqlite3

    from ..core.task import Task
    from ..jobs.review.merges import MergePlan


@click.command()
@database_argument
@click.argument("table")
@click.argument("old", nargs=-1)
@click.option("--into", metavar="LABEL", help="Label that they become; may be a new one.")
@click.option("--classifier", metavar="NAME", help="Classifier whose label columns to use.")
@click.option("--label", multiple=True, metavar="COL", help="Label column; repeat for 0/1 ones.")
@click.option(
    "--delimiter", metavar="CHAR", help="Separates several labels in a cell, such as ';'."
)
@click.option("--preview", is_flag=True, help="Show what it would change, and change nothing.")
@click.option("--undo", "batch", type=int, metavar="N", help="Undo the merge with that number.")
@click.option(
    "--as", "person", metavar="NAME", help="Name of the person who merges. [your user name]"
)
@click.option("--yes", is_flag=True, help="Merge without asking.")
@json_command
def merge_labels(
    database: str,
    table: str,
    old: Sequence[str],
    into: str | None,
    preview: bool,
    batch: int | None,
    person: str | None,
    yes: bool,
    as_json: bool,
    **column: Any,
) -> None:
    """Merge or rename labels, after a preview of the changes.

    Every changed row is recorded, and a merge can be undone. Without OLD, lists labels that may
    belong together: variants, and labels that the newest classifier confuses.

    \b
      datasette ftclassify merge-labels mail.db messages --label folder
      datasette ftclassify merge-labels mail.db messages --label folder Spam junk --into spam
    """
    from ..jobs.review.batches import undo_batch
    from ..jobs.review.merges import merge_labels as merge
    from ..jobs.review.merges import plan_merge

    with open_database(database) as conn:
        if batch is not None:
            undone = undo_batch(conn, batch, person_called(person), table)
            back = {"batch": batch, "restored": len(undone.restored), "kept": undone.kept}
            print_result(as_json, back, f"Undone: {undone.said}.")
            return
        task = _task(conn, table, column)
        if not old:
            _suggest(conn, task, as_json)
            return
        if into is None:
            raise ReviewError("Choose the label that they become.", fields=("into",))
        plan = plan_merge(conn, task, old, into)
        if preview and as_json:
            print_json(plan)
            return
        _describe(plan, table, err=as_json)
        if preview:
            return
        confirm(f"Change {rows_text(plan.changed)}?", yes=yes, otherwise="Nothing was changed.")
        done = merge(conn, task, old, into, seen=plan.seen, who=person_called(person))
    said = f"Changed {rows_text(len(done.keys))}; --undo {done.batch} takes it back."
    print_result(as_json, {**typed_json.as_json(plan), "batch": done.batch}, said)


def _task(conn: sqlite3.Connection, table: str, given: Given) -> Task:
    if given["classifier"] is None:  # any text does: it is not read
        others = [c for c in relation(conn, table).columns if c not in given["label"]]
        given = {**given, "text": others[:1]}
    return task_of(conn, table, given, ("label",))


def _suggest(conn: sqlite3.Connection, task: Task, as_json: bool) -> None:
    from ..jobs.review.merges import labels_now, suggest_merges

    labels, found = labels_now(conn, task), suggest_merges(conn, task)
    merges = list_batches(conn, task.source)
    if as_json:
        print_json({
            "labels": labels,
            "suggestions": [asdict(suggestion) for suggestion in found],
            "merges": [asdict(merge) for merge in merges],
        })  # fmt: skip
        return
    for name, rows in labels.items():
        echo(f"{rows:8,}  {name!r}")
    for suggestion in found:
        old = " / ".join(map(repr, suggestion.old))
        echo(f"{old} may be {suggestion.into!r}: {suggestion.why}")
    for merge in merges:
        undone = f", undone by {merge.undone_by}" if merge.undone_by else ""
        echo(f"merge {merge.id}: {merge.said}, {rows_text(merge.rows)}{undone}")


def _describe(plan: MergePlan, table: str, *, err: bool) -> None:
    write = partial(echo, err=err)
    for name, having in plan.rows.items():
        write(f"{having:8,}  {name!r} becomes {plan.into!r}")
    new = ", which no row has yet" if plan.new else ""
    write(f"{rows_text(plan.changed).capitalize()} of {table} get {plan.into!r}{new}.")
    if plan.empty:
        write(f"No row has {', '.join(plan.empty)} any more; the columns stay.")
    for one in plan.stale:
        minimum = ", and its minimum score is for the old labels" if one.minimum else ""
        on = f"{one.title} goes on answering with {', '.join(one.labels)}"
        write(f"{on} until it is trained again{minimum}.")
