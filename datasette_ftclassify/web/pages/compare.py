"""Classifiers of one task side by side, on the same test rows."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from datasette.utils.asgi import Response

from ...core.database import Relation
from ...core.errors import EvaluationError, FtclassifyError, TrainingError
from ...jobs.compare import MOST_COMPARED, Comparison, compare, is_comparable
from ...jobs.train_version import require_own_condition
from ...present import comparison as words
from ...store.classifiers import Classifier, list_classifiers
from ...store.evaluations import row_results
from ...trainers.access import Access
from ..background_reads import read_aside
from ..classifier_names import seen_classifiers
from ..operator_settings import access_or_why
from ..page_request import PageRequest
from ..permissions import VIEW
from ..registry import page
from ..responses import show
from .check import row_url
from .evaluation_rows import table_of_texts, text_of_row

USUAL = 3
"""Others that are compared where none was chosen."""
OFFERED = 50
"""Others to choose from."""
SHOWN_ROWS = 25
"""Rows with different answers that are shown with their texts."""


@dataclass(frozen=True)
class _Found:
    """problem: why there is no comparison; `texts` of the rows with different answers"""

    comparison: Comparison | None = None
    texts: list[str | None] = field(default_factory=list)
    source: Relation | None = None
    problem: str | None = None


@page("/classifiers/{name}/compare", reads=VIEW, writes=None)
async def compare_page(ask: PageRequest) -> Response:
    classifier = ask.classifier
    everyone = await ask.read(list_classifiers)
    alike = [c for c in everyone if c.id != classifier.id and is_comparable(classifier, c)]
    seen = await seen_classifiers(*ask.visitor, alike)
    others = sorted(seen, key=lambda c: -c.id)
    chosen = _chosen(others, ask.arguments("with"))
    # It may take its time: of rows that no evaluation has stored, answers are computed here.
    access, _ = await access_or_why(ask.datasette)
    found = await read_aside(ask, lambda conn: _compared(conn, classifier, others, chosen, access))
    titles, compared = [c.title for c in others], [c.title for c in chosen]
    data = {
        "database": ask.database,
        "title": classifier.title,
        "others": titles,
        "comparison": found.comparison.to_dict() if found.comparison else None,
        "problem": found.problem,
    }
    more = {"offered": titles[:OFFERED], "chosen": compared, **_more(ask, found, compared)}
    return await show(ask, data, more=more)


def _chosen(others: Sequence[Classifier], titles: Sequence[str]) -> list[Classifier]:
    if not titles:
        newest = {c.name: c for c in reversed(others)}  # a name's newest version comes last
        first = [*newest.values()][::-1] + [c for c in others if newest[c.name] is not c]
        return sorted(first[:USUAL], key=lambda c: c.id)
    chosen = []
    for title in dict.fromkeys(titles):
        found = next((c for c in others if title in (c.title, c.name)), None)
        if found is None:
            raise FtclassifyError(
                f"There is no classifier {title} of the same task here, or you may not see it."
            )
        chosen.append(found)
    if len(chosen) >= MOST_COMPARED:
        raise FtclassifyError(f"At most {MOST_COMPARED} classifiers are compared at once.")
    return chosen


def _compared(
    conn: sqlite3.Connection,
    classifier: Classifier,
    others: Sequence[Classifier],
    chosen: Sequence[Classifier],
    access: Access,
) -> _Found:
    if not chosen:
        return _Found(problem="There is no other classifier of this task yet.")
    known = {c.id for c in others} | {classifier.id}

    def may(one: Classifier) -> bool:
        with suppress(TrainingError):
            _require_answers(conn, one, access)
            return one.id in known
        return False

    try:
        for one in (classifier, *chosen):
            _require_answers(conn, one, access)
        found = compare(conn, classifier, *chosen, may=may)
    except (EvaluationError, TrainingError) as error:
        return _Found(problem=str(error))
    source = table_of_texts(conn, classifier)
    texts = [
        text_of_row(conn, classifier, source, row.key) for row in found.disagreements[:SHOWN_ROWS]
    ]
    return _Found(found, texts, source)


def _require_answers(conn: sqlite3.Connection, classifier: Classifier, access: Access) -> None:
    """Raises as `require_own_condition` where what it answers would be found out by that."""
    if not row_results(conn, classifier, limit=0)[1]:
        require_own_condition(conn, classifier, access)


def _more(ask: PageRequest, found: _Found, chosen: Sequence[str]) -> dict[str, Any]:
    comparison, here = found.comparison, ask.url("classifiers", ask.classifier.title, "compare")
    json = f"{here}.json?{urlencode({'with': chosen}, doseq=True)}"
    links = {"links": {"self": here, "json": json}}
    if comparison is None:
        return links
    return links | {
        "found": comparison,
        "words": words,
        "pages": [ask.url("classifiers", c.classifier.title) for c in comparison.compared],
        "rows": [
            {
                "row": row,
                "text": text,
                "url": row_url(ask, found.source, row.key),
            }
            for row, text in zip(comparison.disagreements, found.texts, strict=False)
        ],
    }
