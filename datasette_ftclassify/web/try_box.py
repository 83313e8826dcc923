"""A box that tries a classifier, on top of Datasette's own pages of a table and a database.

Datasette 1.0 has a place for it; on 0.65 the menus lead there.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from datasette.app import Datasette

from ..core.errors import AccessError, FtclassifyError
from ..core.settings import TRY_BOX
from ..jobs.load_classifier import service_of
from ..store.classifiers import Classifier, default_name, find_classifier, list_classifiers
from ..store.columns import label_columns_of
from ..store.published import why_unasked
from .classifier_names import seen_ids
from .datasette_reads import read_or
from .filters import facet_of
from .operator_settings import plugin_settings
from .page_request import page_url
from .permissions import SPEND, may, may_view_table

MOST = 3
"""Classifiers of a table that are shown."""


@dataclass(frozen=True)
class StoredAnswers:
    """A column with a classifier's labels."""

    name: str
    href: str


@dataclass(frozen=True)
class TryBox:
    """asks:    whether it answers texts of the visitor's; else it shows its stored answers alone
    columns: that it reads, where there are several
    stored:  columns with its answers, in tables that the visitor may see
    """

    title: str
    href: str
    card: str
    action: str
    asks: bool
    columns: tuple[str, ...]
    stored: tuple[StoredAnswers, ...]


async def try_box(
    datasette: Datasette, actor: Any, database: str, table: str | None = None
) -> str | None:
    """The HTML, of the classifiers of a table, or of the default of a database; None: nothing."""
    try:
        shown = TRY_BOX.of(plugin_settings(datasette), {}) is not False
    except AccessError:  # said in the log at the start
        shown = False
    boxes = await boxes_of(datasette, actor, database, table) if shown else []
    if not boxes:
        return None
    return str(await datasette.render_template("ftclassify/try_box.html", {"boxes": boxes}))


async def boxes_of(
    datasette: Datasette, actor: Any, database: str, table: str | None
) -> list[TryBox]:
    db = datasette.get_database(database)
    found = await read_or(db, lambda conn: _classifiers(conn, table), ())
    seen = await seen_ids(datasette, actor, database, (classifier for classifier, _ in found))
    return [
        await _box(datasette, actor, database, classifier, columns)
        for classifier, columns in found
        if classifier.id in seen
    ]


def _classifiers(
    conn: sqlite3.Connection, table: str | None
) -> list[tuple[Classifier, list[tuple[str, str]]]]:
    """Those that answer to their names, each with the columns that hold its labels."""
    if table is None:
        name = default_name(conn)
        names = [] if name is None else [name]
    else:
        every = list_classifiers(conn)
        newest = sorted(every, key=lambda c: -c.id)
        names = list(dict.fromkeys(c.name for c in newest if c.task.source == table))[:MOST]
    found = [find_classifier(conn, name) for name in names]
    return [(one, list(label_columns_of(conn, one.name))) for one in found]


async def _box(
    datasette: Datasette,
    actor: Any,
    database: str,
    classifier: Classifier,
    columns: Iterable[tuple[str, str]],
) -> TryBox:
    here = ("classifiers", classifier.title)
    several = classifier.task.template is not None or len(classifier.task.text) > 1
    return TryBox(
        classifier.title,
        page_url(datasette, database, *here),
        page_url(datasette, database, *here, "card"),
        page_url(datasette, database, *here, "try"),
        await answers_texts(datasette, actor, database, classifier),
        classifier.task.text if several else (),
        await stored_answers(datasette, actor, database, classifier, columns),
    )


async def stored_answers(
    datasette: Datasette,
    actor: Any,
    database: str,
    classifier: Classifier,
    columns: Iterable[tuple[str, str]],
) -> tuple[StoredAnswers, ...]:
    """columns: (table, column) with its labels; those of tables that the visitor may see"""
    arrays = not classifier.labels.exclusive
    found = [
        StoredAnswers(
            f"{table}.{column}",
            f"{datasette.urls.table(database, table)}?{urlencode(facet_of(column, arrays=arrays))}",
        )
        for table, column in columns
        if await may_view_table(datasette, actor, database, table)
    ]
    return tuple(found)


async def answers_texts(
    datasette: Datasette, actor: Any, database: str, classifier: Classifier
) -> bool:
    """Whether the visitor can have it answer texts that nobody has asked about: one whose model is
    in the file, or one at a service that they may pay."""
    try:
        if service_of(classifier) is None:
            return True
    except FtclassifyError:  # of a trainer that is not installed here
        return False
    if why_unasked(classifier) is not None or not datasette.get_database(database).is_mutable:
        return False
    return await may(datasette, actor, SPEND, database, classifier.task.source)
