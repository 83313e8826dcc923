"""The tables that classifiers reveal something of: who may not see those, sees no such classifier.

A name is shared by its versions, which may have learnt from different tables.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import Any

from datasette.app import Datasette

from ..store.aliases import resolve_alias
from ..store.classifiers import Classifier, has_store, list_classifiers
from .page_request import PageRequest
from .permissions import TRAIN, VIEW, tables_allowed
from .refusals import NotAllowed


def tables_revealed(classifier: Classifier) -> frozenset[str]:
    """Tables that a classifier reveals something of: of its training rows and of its labels."""
    return frozenset(filter(None, (classifier.task.source, classifier.labels.lookup)))


async def seen_classifiers(
    datasette: Datasette, actor: Any, database: str, classifiers: Iterable[Classifier]
) -> list[Classifier]:
    """Those that reveal nothing of a table that the visitor may not see."""
    every = list(classifiers)
    tables = {table for one in every for table in tables_revealed(one)}
    seen = await tables_allowed(datasette, actor, VIEW, database, tables)
    return [one for one in every if tables_revealed(one) <= seen]


async def seen_ids(
    datasette: Datasette, actor: Any, database: str, classifiers: Iterable[Classifier]
) -> set[int]:
    """The same, their ids alone."""
    return {one.id for one in await seen_classifiers(datasette, actor, database, classifiers)}


async def tables_behind(ask: PageRequest, name: str) -> set[str]:
    """The tables that the versions of this name reveal something of."""
    return {table for one in await _versions(ask, name) for table in tables_revealed(one)}


async def may_all(ask: PageRequest, action: str, name: str) -> bool:
    """Whether the visitor may do that with what all versions of the name were trained on."""
    sources = {one.task.source for one in await _versions(ask, name)}
    return all([await ask.may(action, table) for table in sources])


async def require_may_replace(
    ask: PageRequest, name: str, instead: str = ": choose another name"
) -> None:
    """Raises NotAllowed where a new version of the name would answer in the place of one that
    belongs to a table which the visitor may not train on."""
    if not await may_all(ask, TRAIN, name):
        raise NotAllowed(f"You may not train a new version of {name}{instead}.")


async def _versions(ask: PageRequest, name: str) -> list[Classifier]:
    """Those of the classifier that answers to the name, perhaps as its earlier one."""

    def find(conn: sqlite3.Connection) -> list[Classifier]:
        found = list_classifiers(conn, name=name)
        if not found and has_store(conn):
            found = list_classifiers(conn, name=resolve_alias(conn, name))
        return found

    return await ask.read(find)
