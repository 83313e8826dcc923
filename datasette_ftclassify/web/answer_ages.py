"""The fingerprints on a table's page, as words: whether an answer is older than its text, or than
the classifier."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import markupsafe
from datasette.app import Datasette
from datasette.database import Database

from ..core.database import Cell
from ..jobs.fingerprints import Age, Fingerprints
from ..jobs.stale import AGES_TEXT, answers_in
from ..store.classifiers import has_store
from .datasette_reads import ReadCache, read_or
from .page_request import page_url

FRESH = 1.0
"""Seconds for which the classifiers of a table's columns are not asked for again."""


@dataclass(frozen=True)
class _Judge:
    """Of the answers in one column of fingerprints.

    fingerprints: None: all are of an earlier version
    render: makes the text of a row from the cells of `text`
    """

    fingerprints: Fingerprints | None
    text: tuple[str, ...]
    render: Callable[[tuple[Cell, ...]], Any]

    def age(self, value: Cell, row: Mapping[str, Any]) -> Age | None:
        """None: the row is not there as a whole, so nothing can be said."""
        if self.fingerprints is None:
            return "classifier"
        try:
            cells = tuple(row[name] for name in self.text)
        except (KeyError, IndexError):  # columns are left out on the page
            return None
        return self.fingerprints.age(value, self.render(cells).text, answered=True)


_judges_of_tables = ReadCache[dict[str, _Judge]]()
"""By table and column."""


async def cell(
    datasette: Datasette, database: str, table: str, column: str, value: Any, row: Any
) -> markupsafe.Markup:
    """The cell as HTML, with a link to the stale answers where it is one."""
    db = datasette.get_database(database)
    judge = (await _judges(db, table)).get(column)
    age = None if judge is None or row is None else judge.age(value, row)
    if age in AGES_TEXT:
        href = page_url(datasette, database, "stale", table=table, column=column, age=age)
        return markupsafe.Markup('<a href="{}" title="{}">stale: {}</a>').format(
            href, value, AGES_TEXT[age]
        )
    return markupsafe.Markup('<span class="ft-quiet" title="{}">{}</span>').format(
        value, "up to date" if age == "current" else value
    )


async def _judges(db: Database, table: str) -> dict[str, _Judge]:
    known = _judges_of_tables.get(db, table)
    if known is not None:
        return known
    found = await read_or(db, lambda conn: _read(conn, table), dict[str, _Judge]())
    return _judges_of_tables.keep(db, found, FRESH, table)


def _read(conn: sqlite3.Connection, table: str) -> dict[str, _Judge]:
    if not has_store(conn):
        return {}
    found = {}
    for one in answers_in(conn, table):
        task = one.classifier.task
        found[one.column] = _Judge(one.fingerprints(conn), tuple(task.text), task.renderer())
    return found
