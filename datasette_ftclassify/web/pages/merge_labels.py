"""The page on which labels of a table are merged or renamed: what it would change first."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from datasette.utils.asgi import Response

from ...core.errors import FtclassifyError, ReviewError
from ...core.humanize import rows_text
from ...core.task import Task
from ...core.typed_json import as_json
from ...jobs.review.merges import MergePlan, labels_now, merge_labels, plan_merge, suggest_merges
from ...store.change_batches import list_batches
from ...store.classifiers import Classifier
from ..background_reads import read_aside, require_file
from ..column_suggestions import preview_table
from ..page_request import PageRequest
from ..permissions import REVIEW, may_edit
from ..registry import MenuItem, page
from ..responses import done, form_page, show
from ..train_form import Choices
from .review import named, require_edit, table_classifiers
from .review_rows import track_edits, undo_many, who_is

MOST_ROWS = 20_000
"""That are changed from a page: other plugins are told of each, and other writers wait."""

_LISTED = 200
_MERGE = ("id", "said", "rows", "who", "created_at", "undone_by")


@page(
    "/merge-labels",
    MenuItem(
        "table",
        "Merge or rename labels of this table",
        "Merge or rename labels, with a preview and undo",
        order=3,
        when=lambda subject: subject.on_disk and subject.mutable,
        filtered=False,
    ),
    reads=REVIEW,
    writes=REVIEW,
)
async def merge_labels_page(ask: PageRequest) -> Response:
    require_file(ask, "no label can be merged in it: use the original file.")
    return await form_page(ask, _shown, _act)


async def _act(ask: PageRequest) -> Response:
    await require_edit(ask)
    action, table, who = ask.action("preview", "merge", "undo"), ask.table, who_is(ask)
    here = ask.url("merge-labels", table=table, **_column(ask))
    if action == "undo":
        return await undo_many(ask, table, here)
    own = await table_classifiers(ask, table)
    old, into, seen = list(ask.many("old")), ask.one("new") or ask.one("into"), ask.one("seen")
    if not into.strip():
        raise ReviewError("Choose the label that they become, or name a new one.", fields=("into",))

    def plan_of(conn: sqlite3.Connection) -> tuple[Task, MergePlan]:
        task = _task(conn, ask, own)
        return task, plan_merge(conn, task, old, into)

    task, plan = await read_aside(ask, plan_of)
    if action == "preview":
        return await _shown(ask, plan)
    if plan.changed > MOST_ROWS:
        raise ReviewError(
            f"{rows_text(plan.changed)} would be changed, and {MOST_ROWS:,} can be from a page: "
            "keep the more frequent label, or ask the operator of this Datasette to merge them in "
            "the file."
        )
    merged = await ask.edit(lambda conn: merge_labels(conn, task, old, into, seen=seen, who=who))
    await track_edits(ask, merged.keys)
    made = {"batch": merged.batch, "changed": len(merged.keys), "into": plan.into}
    said = f"{plan.said} in {rows_text(len(merged.keys))}."
    return await done(ask, here, made, said)


def _column(ask: PageRequest) -> dict[str, str]:
    return {
        name: ask.one(name) or ask.argument(name) for name in ("classifier", "label", "delimiter")
    }


def _task(conn: sqlite3.Connection, ask: PageRequest, own: Sequence[Classifier]) -> Task:
    """Whose labels are meant: a classifier's, or those of a column; else the newest classifier's,
    or the column that looks like one of labels."""
    table, given = ask.table, _column(ask)
    if given["classifier"]:
        return named(own, given["classifier"], table).task
    if not given["label"] and own:
        return max(own, key=lambda classifier: classifier.id).task
    look = preview_table(conn, Choices(table), closed=ask.closed)
    label = given["label"] or next(iter(look.choices.label), "")
    if not label:
        raise ReviewError("Choose the column of the labels.", fields=("label",))
    text = next((c.name for c in look.columns if c.name != label), "")
    choices = {"text": text, "label": label, "delimiter": given["delimiter"]}
    return Choices.read(table, choices).task(conn)


async def _shown(ask: PageRequest, plan: MergePlan | None = None) -> Response:
    table = ask.table
    own = await table_classifiers(ask, table)

    def look(conn: sqlite3.Connection) -> dict[str, Any]:
        found: dict[str, Any] = {"labels": {}, "suggestions": [], "columns": [], "problem": None}
        columns = [c.name for c in preview_table(conn, Choices(table)).columns]
        try:
            task = _task(conn, ask, own)
            found["labels"] = labels_now(conn, task)
            found["columns"] = list(task.labels)
            found["suggestions"] = [asdict(one) for one in suggest_merges(conn, task, own)]
        except FtclassifyError as error:
            found["problem"] = str(error)
        batches = [{n: getattr(b, n) for n in _MERGE} for b in list_batches(conn, table)]
        return {**found, "merges": batches, "all_columns": columns}

    found = await read_aside(ask, look)
    all_columns = found.pop("all_columns")
    preview = None if plan is None else as_json(plan)
    if preview is not None:  # of classifiers that the visitor may know of
        titles = {c.title for c in own}
        preview["stale"] = [one for one in preview["stale"] if one["title"] in titles]
    data = {"database": ask.database, "table": table, **found, "preview": preview}
    more = {
        "all_columns": all_columns,
        "column": _column(ask),
        "chosen": {"old": list(ask.many("old")) or ask.arguments("old"),
                   "into": ask.one("into") or ask.argument("into"), "new": ask.one("new")},
        "listed": _LISTED,
        "may_edit": await may_edit(*ask.visitor, table),
        "page_url": ask.url("merge-labels", table=table),
        "table_url": ask.table_url(table),
        "retrain": {c.title: ask.url("classifiers", c.title, "retrain") for c in own},
    }  # fmt: skip
    return await show(ask, data, more=more)
