"""Who may see and do what: the one place that knows the permissions of both lines of Datasette.

Every action is asked for a table, but for that of reading our own. Seeing what was learnt from a
table is for whoever may see the table, unless the configuration says otherwise; everything else is
for root, and for those to whom it is granted: with a `permissions:` block on Datasette 1.0, and on
both lines in our own configuration, `permissions: {ftclassify-train: {"id": "ann"}}`, of all, a
database or a table.

Our own tables tell of all tables that something was learnt from: keys, labels, words, settings of
jobs, ids at services. So they are for root, for whom `ftclassify-raw` is granted of a database, and
for whom an `allow` block of that very table names: as pages, in SQL (`visitors`), and in a download
of the file.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from datasette.app import Datasette
from datasette.utils import actor_matches_allow

from ..core.distribution import only_answers
from ..store.published import holds_more
from ..store.schema import TABLES
from .datasette_reads import find_ours_behind, read_or

PLUGIN = "datasette-ftclassify"

VIEW = "ftclassify-view"
TRAIN = "ftclassify-train"
PREDICT = "ftclassify-predict"
SPEND = "ftclassify-spend"
MINIMUM = "ftclassify-minimum"
DELETE = "ftclassify-delete"
REVIEW = "ftclassify-review"
RAW = "ftclassify-raw"


@dataclass(frozen=True)
class Permission:
    """One of our actions.

    allows:   what may be done by whom it is granted
    open:     whether it is granted to who may see the table, where the configuration says nothing
    database: whether it is about a database, and not about a table
    """

    allows: str
    open: bool = False
    database: bool = False


PERMISSIONS = {
    VIEW: Permission("See the classifiers of a table and try them", open=True),
    TRAIN: Permission(
        "Check, export, train and evaluate; see the settings, events and service ids of jobs"
    ),
    PREDICT: Permission("Classify rows into columns of a table"),
    REVIEW: Permission("Make review queues, and change labels there"),
    SPEND: Permission(
        "Start paid work within the operator's limits (in addition to the action itself), and try "
        "texts with paid classifiers"
    ),
    MINIMUM: Permission("Choose the minimum scores of classifiers"),
    DELETE: Permission(
        "Rename and delete classifiers, choose the default and the version in use, name deployments"
    ),
    RAW: Permission(
        "Of a database: read our tables `_ftclassify_*` themselves, as pages and in SQL, and "
        "download a file that has them",
        database=True,
    ),
}

JOBS = (TRAIN, PREDICT, REVIEW, DELETE)
"""Whoever has one of these of a table is shown its jobs; to others they are not there."""

WORK = frozenset((TRAIN, PREDICT, REVIEW, SPEND))
"""What nobody may where only what answers is installed."""

WRITES = ("update-row", "alter-table")
"""What Datasette 1.0 asks of whoever writes predictions into a table. 0.65 has no such actions."""

EDITS = ("update-row",)
"""The same of whoever changes labels."""


def is_modern(datasette: Datasette) -> bool:
    """Whether this is Datasette 1.0, with actions and resources."""
    return hasattr(datasette, "allowed")


async def may_view_database(datasette: Datasette, actor: Any, database: str) -> bool:
    """Whether the actor may see the database at all."""
    if is_modern(datasette):
        return await _allowed(datasette, actor, "view-database", database)
    visible, _ = await datasette.check_visibility(
        actor, permissions=[("view-database", database), "view-instance"]
    )
    return bool(visible)


async def may_run_sql(datasette: Datasette, actor: Any, database: str) -> bool:
    """Whether the actor may send SQL of their own to the database. Only for Datasette 1.0."""
    return await _allowed(datasette, actor, "execute-sql", database)


async def may_view_instance(datasette: Datasette, actor: Any) -> bool:
    """Whether the actor may see what is about no database in particular."""
    if is_modern(datasette):
        return bool(await datasette.allowed(action="view-instance", actor=actor))
    return bool(await datasette.permission_allowed(actor, "view-instance", default=True))


async def may_view_table(datasette: Datasette, actor: Any, database: str, table: str) -> bool:
    """Whether the actor may see the rows of the table, and none of a closed table of ours there."""
    if is_modern(datasette):
        visible = await _allowed(datasette, actor, "view-table", database, table)
    else:
        needed = [("view-table", (database, table)), ("view-database", database), "view-instance"]
        visible, _ = await datasette.check_visibility(actor, permissions=needed)
    return bool(visible) and bool(await _without_ours(datasette, actor, database, {table}))


async def _without_ours(
    datasette: Datasette, actor: Any, database: str, tables: set[str]
) -> set[str]:
    """Those of the tables that show no table of ours which the actor may not read."""
    behind = await find_ours_behind(datasette.databases.get(database), tables)
    shown = {table: TABLES if ours is None else ours for table, ours in behind.items()}

    def is_open(table: str) -> bool:
        return all(may_read_ours(datasette, actor, database, t) for t in shown.get(table, ()))

    return set(filter(is_open, tables))


async def may(datasette: Datasette, actor: Any, action: str, database: str, table: str) -> bool:
    """Whether the actor may do one of our actions on the table. None is possible unseen."""
    if (action in WORK and only_answers()) or not await may_view_table(
        datasette, actor, database, table
    ):
        return False
    if is_modern(datasette):
        return await _allowed(datasette, actor, action, database, table)
    granted = await datasette.permission_allowed(
        actor, action, resource=(database, table), default=PERMISSIONS[action].open
    )
    return bool(granted)


async def may_see_jobs(datasette: Datasette, actor: Any, database: str, table: str) -> bool:
    """Whether the actor does any work on the table, and is so shown the jobs of it."""
    for action in JOBS:
        if await may(datasette, actor, action, database, table):
            return True
    return False


async def tables_allowed(
    datasette: Datasette, actor: Any, action: str, database: str, tables: Collection[str]
) -> set[str]:
    """Those of the tables on which the actor may do one of our actions."""
    if action in WORK and only_answers():
        return set()
    if not is_modern(datasette):
        return {t for t in tables if await may(datasette, actor, action, database, t)}
    db = datasette.get_database(database)
    there = {*await db.table_names(), *await db.view_names()}
    # Datasette lists only what is there; what was learnt from a table outlives it.
    gone = {t for t in set(tables) - there if await may(datasette, actor, action, database, t)}
    found = there.intersection(tables)
    for name in ("view-table", action):  # one query for all tables of a database
        if found:
            found &= await _listed(datasette, actor, name, database)
    return await _without_ours(datasette, actor, database, found) | gone


async def _listed(datasette: Datasette, actor: Any, action: str, database: str) -> set[str]:
    names: set[str] = set()
    token = None
    while True:
        page = await datasette.allowed_resources(
            action, actor, parent=database, limit=1000, next=token
        )
        names.update(resource.child for resource in page.resources)
        token = page.next
        if token is None:
            return names


async def may_write(datasette: Datasette, actor: Any, database: str, table: str) -> bool:
    """Whether the actor may put predictions into columns of the table."""
    return await _may_change(datasette, actor, (PREDICT, *WRITES), database, table)


async def may_edit(datasette: Datasette, actor: Any, database: str, table: str) -> bool:
    """Whether the actor may change labels of the table's rows."""
    return await _may_change(datasette, actor, (REVIEW, *EDITS), database, table)


async def _may_change(datasette: Datasette, actor: Any, needed: tuple[str, ...], *of: str) -> bool:
    """needed: our action, and those of Datasette 1.0; of: the database and the table"""
    mutable = datasette.get_database(of[0]).is_mutable
    if not (mutable and await may(datasette, actor, needed[0], *of)):
        return False
    modern = is_modern(datasette)
    return not modern or all([await _allowed(datasette, actor, a, *of) for a in needed[1:]])


async def _allowed(
    datasette: Datasette, actor: Any, action: str, database: str, table: str | None = None
) -> bool:
    """Of a table, or of a whole database."""
    from datasette.resources import DatabaseResource, TableResource

    of = {"database": database}
    resource = DatabaseResource(**of) if table is None else TableResource(**of, table=table)
    return bool(await datasette.allowed(action=action, resource=resource, actor=actor))


Rule = tuple["str | None", "str | None", bool]
"""Database, table, and what our configuration says there of an actor and an action."""


def _rules(datasette: Datasette, actor: Any, action: str) -> Iterator[Rule]:
    """From the whole of Datasette, by its databases, to single tables."""
    databases = _configured(datasette)
    places: list[tuple[str | None, str | None]] = [(None, None)]
    places += [(database, None) for database in databases]
    places += [(database, t) for database, block in databases.items() for t in _tables(block)]
    for database, table in places:
        said = _said(datasette, actor, action, database, table)
        if said is not None:
            yield database, table, said


def _said(
    datasette: Datasette, actor: Any, action: str, database: str | None, table: str | None = None
) -> bool | None:
    """What our configuration says of one place; None: nothing."""
    settings = datasette.plugin_config(PLUGIN, database=database, table=table, fallback=False)
    permissions = (settings or {}).get("permissions")
    said = permissions.get(action) if isinstance(permissions, Mapping) else None
    return None if said is None else bool(actor_matches_allow(actor, said))


def _configured(datasette: Datasette) -> Mapping[str, Any]:
    """What the configuration says of databases, where the line has it."""
    config = datasette.config if is_modern(datasette) else datasette.metadata()
    return (config or {}).get("databases") or {}


def _tables(block: Any) -> Mapping[str, Any]:
    return (block or {}).get("tables") or {}


def _is_root(datasette: Datasette, actor: Any) -> bool:
    known = bool(actor) and actor.get("id") == "root"
    return known and (not is_modern(datasette) or bool(datasette.root_enabled))


def _said_of(datasette: Datasette, database: str, table: str) -> list[Any]:
    """The `allow` blocks with which the configuration itself says who may see one of our tables."""
    block = _tables(_configured(datasette).get(database)).get(table) or {}
    said = [block.get("allow"), (block.get("permissions") or {}).get("view-table")]
    return [allow for allow in said if allow is not None]


def may_read_ours(datasette: Datasette, actor: Any, database: str, table: str) -> bool:
    """Whether the actor may read a table of ours; any thread may ask."""
    if _is_restricted(actor):
        return False
    if said := _said_of(datasette, database, table.lower()):
        return all(actor_matches_allow(actor, allow) for allow in said)
    return _may_read_all(datasette, actor, database)


def _is_restricted(actor: Any) -> bool:
    """Whether a token lets the actor do some actions alone."""
    return isinstance(actor, Mapping) and actor.get("_r") is not None


def _may_read_all(datasette: Datasette, actor: Any, database: str) -> bool:
    if _is_restricted(actor):
        return False
    said = [_said(datasette, actor, RAW, place) for place in (None, database)]
    if is_modern(datasette):
        for block in (datasette.config or {}, _configured(datasette).get(database) or {}):
            allow = (block.get("permissions") or {}).get(RAW)
            said.append(None if allow is None else bool(actor_matches_allow(actor, allow)))
    granted = [allow for allow in said if allow is not None]
    return granted[-1] if granted else _is_root(datasette, actor)


async def _may_download(datasette: Datasette, actor: Any, database: str) -> bool:
    """Whether the file has nothing that the actor may not read. Asked of what Datasette offers:
    files that nobody writes."""
    db = datasette.databases.get(database)
    if db is None or db.is_mutable or _may_read_all(datasette, actor, database):
        return True
    return not await read_or(db, holds_more, True)


async def _old_download(datasette: Datasette, actor: Any, database: str) -> bool | None:
    return None if await _may_download(datasette, actor, database) else False


def old_permission(datasette: Datasette, actor: Any, action: str, resource: Any) -> Any:
    """The answer of Datasette 0.65's permission_allowed hook; None: no opinion.

    The last plugin that has one is believed, so a closed table of ours stays closed.
    """
    if action == "view-database-download" and isinstance(resource, str):
        return _old_download(datasette, actor, resource)
    if action == "view-table" and resource and str(resource[1]).lower() in TABLES:
        return None if may_read_ours(datasette, actor, *resource) else False
    if action not in PERMISSIONS:
        return None
    if PERMISSIONS[action].database:
        return _may_read_all(datasette, actor, str(resource))
    database, table = resource or (None, None)
    places = ((None, None), (database, None), (database, table))
    said = [allow for *place, allow in _rules(datasette, actor, action) if tuple(place) in places]
    if said:
        return said[-1]  # what is said of the table goes before what is said of all
    return True if not PERMISSIONS[action].open and _is_root(datasette, actor) else None


def new_permission(datasette: Datasette, actor: Any, action: str) -> Any:
    """The answer of Datasette 1.0's permission_resources_sql hook; None: no opinion."""
    if action == "view-table":
        return _closed(datasette, actor)
    if action == "view-database-download":
        return _not_downloaded(datasette, actor)
    if action not in PERMISSIONS:
        return None
    rules: list[Rule] = list(_rules(datasette, actor, action))
    if PERMISSIONS[action].database:
        rules = [rule for rule in rules if rule[1] is None]
    if PERMISSIONS[action].open and not any(database is None for database, _, _ in rules):
        # Seeing a table is asked besides, so this opens nothing that was closed.
        rules.append((None, None, True))
    return _as_sql(rules, "rules", f"{PLUGIN}, {action}")


def _closed(datasette: Datasette, actor: Any) -> Any:
    """Our tables in all databases, but for those that the actor may read."""
    closed = []
    for database in datasette.databases:
        opened = _may_read_all(datasette, actor, database)
        named = _tables(_configured(datasette).get(database))
        closed += [
            (database, table)
            for table in TABLES
            if not (may_read_ours(datasette, actor, database, table) if table in named else opened)
        ]
    return _denied(closed)


async def _not_downloaded(datasette: Datasette, actor: Any) -> Any:
    names = list(datasette.databases)
    return _denied([(n, None) for n in names if not await _may_download(datasette, actor, n)])


def _denied(places: Sequence[tuple[str, str | None]]) -> Any:
    return _as_sql([(*p, False) for p in places], "closed", "tells of tables that may not be seen")


def _as_sql(rules: Sequence[Rule], name: str, reason: str) -> Any:
    """Rules as Datasette 1.0 takes them, None without any. name: of the parameters"""
    from datasette.permissions import PermissionSQL

    if not rules:
        return None
    sql = (
        "select json_extract(value, '$[0]') as parent, json_extract(value, '$[1]') as child,"
        f" json_extract(value, '$[2]') as allow, :ftclassify_{name}_reason as reason"
        f" from json_each(:ftclassify_{name})"
    )
    params = {f"ftclassify_{name}": json.dumps(rules), f"ftclassify_{name}_reason": reason}
    return PermissionSQL(sql=sql, params=params)


def actions() -> list[Any]:
    """Our actions for Datasette 1.0; 0.65 knows them by name alone."""
    from datasette.permissions import Action
    from datasette.resources import DatabaseResource, TableResource

    return [
        Action(
            name=name,
            description=permission.allows,
            resource_class=DatabaseResource if permission.database else TableResource,
        )
        for name, permission in PERMISSIONS.items()
    ]
