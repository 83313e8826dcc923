"""Items for Datasette's own menus, each where its page has something to show."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from datasette.app import Datasette
from datasette.database import Database

from ..store.classifiers import has_store, list_classifiers
from ..store.schema import TABLES
from .datasette_reads import ReadCache, read_or
from .filters import LEFT_BEHIND, carried
from .page_request import page_url
from .permissions import may, may_view_database, may_write
from .registry import MenuItem, Subject
from .routes import items
from .routing import Route
from .try_box import boxes_of

Items = list[dict[str, str]]

REST = 30.0
"""Seconds for which the main menu believes that a database is without our tables."""

_ours = ReadCache[bool]()


async def main_menu(datasette: Datasette, actor: Any) -> Items:
    """A link to all databases' classifiers, for whoever may see a database that has some."""
    for name, database in list(datasette.databases.items()):
        if await holds_ours(database) and await may_view_database(datasette, actor, name):
            found = items("main")
            return [
                {"href": datasette.urls.path("/-/ftclassify" + route.path), "label": item.label}
                for item, route in found
            ]
    return []


async def holds_ours(database: Database) -> bool:
    """Asked for every database on every page, so it is remembered."""
    known = _ours.get(database)
    if known is not None:
        return known
    found = await read_or(database, has_store, False)
    return _ours.keep(database, found, math.inf if found else REST)


async def database_menu(datasette: Datasette, database: str) -> Items:
    """A link to the classifiers of a database that holds our tables."""
    if not await read_or(datasette.get_database(database), has_store, False):
        return []
    return [_item(datasette, database, item, route) for item, route in items("database")]


async def table_menu(
    datasette: Datasette, actor: Any, database: str, table: str, request: Any
) -> Items:
    """For a table or a view, with the filters that are set on its page; nothing for one of ours."""
    if table in TABLES:
        return []
    subject = await _subject(datasette, actor, database, table)
    found = await _items(datasette, actor, "table", database, table, subject, _filters(request))
    boxes = await boxes_of(datasette, actor, database, table) if subject.own else []
    for box in boxes:
        about = "Intended use, data, figures and limits"
        found.append(
            {"href": box.card, "label": f"Model card of {box.title}", "description": about}
        )
    return found


async def row_menu(
    datasette: Datasette, actor: Any, database: str, table: str, row: Mapping[str, Any]
) -> Items:
    """For a row, which is found again by its primary key; nothing for one of ours."""
    if table in TABLES:
        return []
    subject = await _subject(datasette, actor, database, table)
    if not subject.classifiers:
        return []
    keys = await datasette.get_database(database).primary_keys(table) or ["rowid"]
    names = set(row.keys())
    if not names.issuperset(keys) or any(row[key] is None for key in keys):
        return []
    only = {f"{key}__exact": row[key] for key in keys}
    return await _items(datasette, actor, "row", database, table, subject, only)


async def _items(
    datasette: Datasette,
    actor: Any,
    menu: str,
    database: str,
    table: str,
    subject: Subject,
    filters: Mapping[str, Any],
) -> Items:
    """Those that have something to show, of pages that the visitor may see."""
    allowed: dict[str, bool] = {}
    found = []
    for item, route in items(menu):
        action = route.reads
        if action is None or not item.when(subject):
            continue
        if action not in allowed:
            allowed[action] = await may(datasette, actor, action, database, table)
        if allowed[action]:
            query = {"table": table, **(filters if item.filtered else {})}
            found.append(_item(datasette, database, item, route, **query))
    return found


def _item(
    datasette: Datasette, database: str, item: MenuItem, route: Route, **query: Any
) -> dict[str, str]:
    href = page_url(datasette, database, *route.path.split("/")[1:], **query)
    return {"href": href, "label": item.label, "description": item.description}


async def _subject(datasette: Datasette, actor: Any, database: str, table: str) -> Subject:
    db = datasette.get_database(database)
    found = await read_or(db, list_classifiers, ())
    own = any(classifier.task.source == table for classifier in found)
    # Columns are written into tables, and not into views.
    takes = bool(found) and await may_write(datasette, actor, database, table)
    takes = takes and table not in await db.view_names()
    return Subject(bool(db.path), db.is_mutable, bool(found), own, takes)


def _filters(request: Any) -> dict[str, list[str]]:
    """The filters of a table's page, as arguments of ours; and what our pages cannot follow, so
    that they can say so."""
    if request is None:
        return {}
    given = {name: request.args.getlist(name) for name in request.args}
    return carried(given) | {name: v for name, v in given.items() if name.startswith(LEFT_BEHIND)}
