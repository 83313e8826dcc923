"""The rows behind a figure of an evaluation: what they say, what is true, what was answered."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, replace

from datasette.utils.asgi import Response

from ...core.database import (
    JsonKey,
    Key,
    Relation,
    json_key,
    key_text,
    quote,
    quote_all,
    relation,
    row_condition,
)
from ...core.errors import FtclassifyError, SourceError
from ...store.classifiers import Classifier
from ...store.evaluations import OUT_OF_FOLD, TEST, RowResult, row_results
from ...store.splits import splits_of_rows
from ..page_request import PageRequest
from ..permissions import VIEW
from ..registry import page
from ..responses import show
from .check import row_url

PAGE = 50
_LONGEST = 2_000
"""Characters of a text that are shown."""


@dataclass(frozen=True)
class _JudgedRow:
    """Labels by name; chosen: None: it got no answer; split: `new` where it had none"""

    key: Key | JsonKey
    text: str | None
    truth: list[str]
    chosen: list[str] | None
    score: float | None
    split: str
    url: str | None = None


@page("/classifiers/{name}/rows", reads=VIEW, writes=None)
async def judged_page(ask: PageRequest) -> Response:
    classifier, page = ask.classifier, _number(ask.argument("page", "1"))
    names = ("truth", "chosen", "abstained", "wrong", "held_out")
    asked = {name: value for name in names if (value := ask.argument(name))}

    def read(conn: sqlite3.Connection) -> tuple[list[_JudgedRow], int, Relation | None]:
        """The rows, how many there are, and the table; None when it is gone."""
        found, total = row_results(
            conn,
            classifier,
            truth=classifier.position_of(asked["truth"]) if "truth" in asked else None,
            chosen=classifier.position_of(asked["chosen"]) if "chosen" in asked else None,
            abstained="abstained" in asked,
            wrong="wrong" in asked,
            split=OUT_OF_FOLD if "held_out" in asked else TEST,
            limit=PAGE,
            offset=(page - 1) * PAGE,
        )
        source = table_of_texts(conn, classifier)
        splits = splits_of_rows(conn, classifier.split_id, [row.key for row in found])
        return [_shown(conn, classifier, source, row, splits) for row in found], total, source

    rows, total, source = await ask.read(read)
    data = {
        "total": total,
        "page": page,
        "rows": [
            replace(row, url=row_url(ask, source, row.key), key=json_key(row.key)) for row in rows
        ],
    }
    here = ("classifiers", classifier.title, "rows")
    more = {
        "asked": asked,
        "previous": ask.url(*here, **asked, page=page - 1) if page > 1 else None,
        "next": ask.url(*here, **asked, page=page + 1) if page * PAGE < total else None,
    }
    return await show(ask, data, more=more)


def _number(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) < 10_000_000:
        raise FtclassifyError("The page must be a number from 1.")
    return int(text)


def _shown(
    conn: sqlite3.Connection,
    classifier: Classifier,
    source: Relation | None,
    row: RowResult,
    splits: Mapping[str, str],
) -> _JudgedRow:
    names = classifier.labels.names
    return _JudgedRow(
        key=row.key,
        text=text_of_row(conn, classifier, source, row.key),
        truth=[names[i] for i in row.truth if i < len(names)],
        chosen=None if row.chosen is None else [names[i] for i in row.chosen if i < len(names)],
        score=row.score,
        split=splits.get(key_text(row.key), "new"),
    )


def table_of_texts(conn: sqlite3.Connection, classifier: Classifier) -> Relation | None:
    """That it was trained on; None where it is gone, or lacks a column of the texts."""
    try:
        source = relation(conn, classifier.task.source)
        source.require_columns(classifier.task.text)
    except SourceError:
        return None
    return source


def text_of_row(
    conn: sqlite3.Connection, classifier: Classifier, source: Relation | None, key: Key
) -> str | None:
    """As the row is now; None when it is gone."""
    condition = None if source is None else row_condition(source, key)
    if source is None or condition is None:
        return None
    task, (where, values) = classifier.task, condition
    cells = conn.execute(
        f"select {quote_all(task.text)} from {quote(source.name)} where {where}", values
    ).fetchone()
    text = None if cells is None else task.renderer()(cells).text
    return text if text is None or len(text) <= _LONGEST else text[:_LONGEST] + "…"
