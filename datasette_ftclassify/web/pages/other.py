"""The page that makes a class for what is none of a classifier's labels: what it would catch and
misplace is shown before a new version is trained."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

from datasette.utils.asgi import Response

from ...core.database import Key, Relation, json_key, relation
from ...core.errors import FtclassifyError, TaskError
from ...core.other_class import HOW, column_condition, keys_condition, with_other
from ...core.prediction import Answerer
from ...core.task import Task
from ...core.typed_json import as_json
from ...core.untrusted_json import read_json
from ...jobs.drift import MOST_ROWS, most_texts
from ...jobs.load_classifier import load_answerer
from ...jobs.other_rows import (
    LEAST_ROWS,
    OtherPreview,
    UnlikeRow,
    least_known,
    new_version,
    other_task,
    preview_other,
)
from ...jobs.train_request import TrainRequest
from ...store.classifiers import Classifier
from ...trainers.access import Access
from ..background_reads import read_aside, require_file, require_own_condition
from ..classifier_names import require_may_replace
from ..datasette_reads import page_seconds
from ..operator_settings import access_or_why
from ..page_request import PageRequest
from ..permissions import TRAIN
from ..registry import page
from ..responses import form_page, show, start_training
from .check import row_url

MOST_SHOWN = 100
"""Rows that are proposed."""

MOST_JUDGED = 4_000
"""Rows that a preview is computed from: some seconds."""

_BELOW = 0.05
_EXAMPLES = ("missed", "wrong", "others")


@page("/classifiers/{name}/other", reads=TRAIN, writes=TRAIN)
async def other_page(ask: PageRequest) -> Response:
    require_file(ask)
    return await form_page(ask, _shown, _act)


async def _act(ask: PageRequest) -> Response:
    classifier, action = ask.classifier, ask.action("preview", "train")
    access, _ = await access_or_why(ask.datasette)
    await require_own_condition(ask)

    def plan(conn: sqlite3.Connection) -> tuple[Task, TrainRequest]:
        return _task(conn, ask, classifier), new_version(conn, classifier, access)

    if action == "preview":
        found = await read_aside(
            ask, lambda conn: preview_other(conn, plan(conn)[0], max_rows=MOST_JUDGED)
        )
        if ask.wants_json:
            return await show(ask, {"preview": as_json(found)})
        return await _shown(ask, found)
    await require_may_replace(ask, classifier.name, instead="")
    task, request = await read_aside(ask, plan)
    return await start_training(ask, task, request)


def _task(conn: sqlite3.Connection, ask: PageRequest, classifier: Classifier) -> Task:
    source, given = relation(conn, classifier.task.source), ask.given.get("keys")
    if given:
        where = keys_condition(source, map(_key, given if isinstance(given, list) else [given]))
    elif ask.one("column"):
        where = column_condition(source, ask.one("column"), ask.one("how"), ask.one("value"))
    else:
        raise TaskError("Mark the rows of the class, or select them by a column.", fields=("keys",))
    return other_task(conn, classifier, where, {}, ask.one("label") or "other")


def _key(given: object) -> Key:
    key = read_json(given, "key of a row") if isinstance(given, str) else given
    if not isinstance(key, list) or not all(type(cell) in (str, int, float) for cell in key):
        raise TaskError(
            "The key of a row must be a JSON array of texts and numbers.", fields=("keys",)
        )
    return tuple(key)


@dataclass(frozen=True)
class _Proposed:
    """Rows that are least like the training rows, and why there are none, or none to mark."""

    source: Relation
    rows: Sequence[UnlikeRow] = ()
    note: str | None = None


def _propose(
    conn: sqlite3.Connection,
    classifier: Classifier,
    access: Access,
    answerer: Answerer | FtclassifyError,
) -> _Proposed:
    """answerer: of the classifier, or why there is none

    Raises FtclassifyError for a classifier that can have no such class."""
    source = relation(conn, classifier.task.source)
    new_version(conn, classifier, access)
    with_other(conn, classifier.task, "true")  # says why it can have none
    try:
        if isinstance(answerer, FtclassifyError):
            raise answerer
        found = least_known(conn, classifier, MOST_SHOWN, _BELOW, most_texts(answerer), answerer)
    except FtclassifyError as error:
        return _Proposed(source, note=str(error))
    keyed = (row for row in found if not any(isinstance(cell, bytes) for cell in row.key))
    rows = [*keyed] if source.primary_key else []
    why = (
        f"{source.name} has no primary key of texts or numbers to mark its rows by: select them by "
        "a column."
    )
    return _Proposed(source, rows, why if found and not rows else None)


async def _shown(ask: PageRequest, preview: OtherPreview | None = None) -> Response:
    classifier, problem = ask.classifier, ask.refusal
    access, _ = await access_or_why(ask.datasette)
    answerer: Answerer | FtclassifyError
    try:  # by itself: how long it takes says nothing of the rows
        answerer = await read_aside(ask, lambda conn: load_answerer(conn, classifier))
    except FtclassifyError as error:
        answerer = error
    found = None
    try:
        await require_own_condition(ask)
        found = await read_aside(
            ask,
            lambda conn: _propose(conn, classifier, access, answerer),
            page_seconds(ask.datasette),
        )
    except FtclassifyError as error:
        problem = problem or str(error)
    source, rows = (None, ()) if found is None else (found.source, found.rows)
    judged = None if preview is None else as_json(preview)
    for row in chain(*(judged[part] for part in _EXAMPLES)) if judged and source else ():
        row["url"] = row_url(ask, source, row["key"])
    data = {
        "rows": [
            {
                **as_json(row),
                "key": json_key(row.key),
                "text": row.text[:300],
                "url": row_url(ask, source, row.key),
            }
            for row in rows
        ],
        "note": None if found is None else found.note,
        "least_rows": LEAST_ROWS,
        "preview": judged,
        "problem": problem,
    }
    more = {
        "source": classifier.task.source,
        "action": ask.url("classifiers", classifier.title, "other"),
        "possible": found is not None,
        "columns": [] if source is None else source.columns,
        "how": HOW,
        "most_answered": MOST_ROWS,
        "typed": {name: ask.one(name) for name in ("label", "column", "how", "value")},
        "marked": ask.many("keys"),
    }
    return await show(ask, data, more=more, problem=problem)
