"""The page of the answers in a table that are older than their text or their classifier."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from datasette.utils.asgi import Response

from ...core.database import JsonKey, json_key
from ...core.errors import FtclassifyError
from ...core.time_limit import TooSlow
from ...core.untrusted_json import read_json
from ...jobs.fingerprints import STALE, Age
from ...jobs.stale import AGES_TEXT, Ages, Answers, answers_in, count_ages, stale_rows
from ...store.classifiers import has_store
from ..background_reads import read_aside
from ..classifier_names import seen_ids
from ..page_request import PageRequest
from ..permissions import PREDICT
from ..registry import MenuItem, page
from ..responses import show
from .check import row_url

PAGE = 50
_LONGEST = 2_000
"""Characters of a text that are shown."""

COUNT_SECONDS = 5.0
"""For the counts of one classifier's answers: a page is waited for. Larger tables have as many rows
counted as that allows."""


@dataclass(frozen=True)
class _Followed:
    job: int
    state: str
    url: str


@dataclass
class _AnswersOnPage:
    """Of a classifier in columns of the table. made_by: the version; column: of the fingerprints
    problem: why there are no `counts`"""

    classifier: str
    made_by: str
    column: str
    columns: Mapping[str, str]
    followed: _Followed | None
    counts: Ages | None = None
    problem: str | None = None


@dataclass(frozen=True)
class _RowOnPage:
    key: JsonKey
    url: str | None
    text: str | None
    age: Age


@page(
    "/stale",
    MenuItem(
        "table",
        "Stale answers",
        "Rows whose text or classifier is newer than their label",
        order=4,
        when=lambda subject: subject.takes_labels,
        filtered=False,
    ),
    reads=PREDICT,
    writes=None,
)
async def stale_page(ask: PageRequest) -> Response:
    table = ask.table
    every = await ask.read(lambda conn: answers_in(conn, table) if has_store(conn) else [])
    visible = await seen_ids(*ask.visitor, (one.classifier for one in every))
    seen = [one for one in every if one.classifier.id in visible]
    asked = ask.argument("age")
    age = next((one for one in STALE if one == asked), None)
    if asked and age is None:
        raise FtclassifyError(f"The age must be one of {', '.join(AGES_TEXT)}, not {asked}.")
    chosen = _chosen(seen, ask.argument("column"))
    after = ask.argument("after")
    place = read_json(after, "place") if after else None
    if place is not None and not isinstance(place, list):
        raise FtclassifyError("There is no such page: start at the first one.")
    found = await read_aside(ask, lambda conn: _read(ask, conn, seen, chosen, age, place))
    data = {"table": table, "answers": found[0], "rows": found[1], "next": found[2]}
    here = {"table": table, "column": chosen and chosen.column, "age": age}
    more = {
        "chosen": chosen and chosen.column,
        "age": age,
        "ages_text": AGES_TEXT,
        "links": {
            "table": ask.table_url(table),
            "classify": ask.url("classify"),
            "next": found[2] and ask.url("stale", **here, after=found[2]),
        },
    }
    return await show(ask, data, more=more)


def _chosen(answers: list[Answers], column: str) -> Answers | None:
    named = [one for one in answers if not column or one.column.lower() == column.lower()]
    if column and not named:
        raise FtclassifyError(f"No classifier has written a column {column} that tells of its age.")
    return named[0] if named else None


def _read(
    ask: PageRequest,
    conn: sqlite3.Connection,
    every: list[Answers],
    chosen: Answers | None,
    age: Age | None,
    after: list[Any] | None,
) -> tuple[list[_AnswersOnPage], list[_RowOnPage], str | None]:
    """What is said of each classifier's answers, rows of the chosen one's, and the next page."""
    said, rows, following = [], list[_RowOnPage](), None
    for answers in every:
        facts = _facts(ask, answers)
        said.append(facts)
        try:
            plan = answers.plan(conn)
            facts.counts = count_ages(conn, plan, COUNT_SECONDS)
            if answers is chosen:
                found, then = stale_rows(
                    conn, plan, PAGE, age=age, after=after, seconds=COUNT_SECONDS
                )
                following = None if then is None else json.dumps(then)
                rows = [
                    _RowOnPage(
                        json_key(row.key),
                        row_url(ask, plan.target, row.key),
                        None if row.text is None else row.text[:_LONGEST],
                        row.age,
                    )
                    for row in found
                ]
        except TooSlow:
            raise
        except FtclassifyError as error:
            facts.problem = str(error)
    return said, rows, following


def _facts(ask: PageRequest, answers: Answers) -> _AnswersOnPage:
    job, followed = answers.follower, None
    if job is not None:
        followed = _Followed(job.id, job.shown_state, ask.url("jobs", job.id))
    settings = answers.settings
    return _AnswersOnPage(
        answers.classifier.title, settings.classifier, answers.column,
        dict(settings.columns.items()), followed,
    )  # fmt: skip
