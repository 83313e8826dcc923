"""Who may see and do what: the one place that knows the permissions of both lines of Datasette.

Every action is asked for a table. Seeing what was learnt from a table is for whoever may see the
table, unless the configuration says otherwise; everything else is for root, and for those to whom
it is granted: with a `permissions:` block on Datasette 1.0, and on both lines in our own
configuration, `permissions: {ftclassify-train: {"id": "ann"}}`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from datasette.utils import actor_matches_allow
from datasette.utils.asgi import Forbidden

if TYPE_CHECKING:
    from datasette.app import Datasette

VIEW = "ftclassify-view"
TRAIN = "ftclassify-train"
PREDICT = "ftclassify-predict"
SPEND = "ftclassify-spend"
DELETE = "ftclassify-delete"

DESCRIPTIONS = {
    VIEW: "See the classifiers that were trained on a table, and their jobs",
    TRAIN: "Check a table, export it, train and evaluate classifiers on it",
    PREDICT: "Classify the rows of a table into columns of it",
    SPEND: "Start what costs money, within the configured limits",
    DELETE: "Rename and delete classifiers of a table, and choose the default",
}
"""Our actions, each for a table."""

WRITES = ("update-row", "alter-table")
"""What Datasette 1.0 asks of whoever writes predictions into a table. 0.65 has no such actions."""


def is_modern(datasette: Datasette) -> bool:
    """Whether this is Datasette 1.0, with actions and resources."""
    return hasattr(datasette, "allowed")


async def may_view_database(datasette: Datasette, actor: Any, database: str) -> bool:
    """Whether the actor may see the database at all."""
    if is_modern(datasette):
        from datasette.resources import DatabaseResource

        resource = DatabaseResource(database=database)
        return bool(await datasette.allowed(action="view-database", resource=resource, actor=actor))
    visible, _ = await datasette.check_visibility(
        actor, permissions=[("view-database", database), "view-instance"]
    )
    return bool(visible)


async def may_view_table(datasette: Datasette, actor: Any, database: str, table: str) -> bool:
    """Whether the actor may see the rows of the table."""
    if is_modern(datasette):
        return await _allowed(datasette, actor, "view-table", database, table)
    visible, _ = await datasette.check_visibility(
        actor,
        permissions=[
            ("view-table", (database, table)),
            ("view-database", database),
            "view-instance",
        ],
    )
    return bool(visible)


async def may(datasette: Datasette, actor: Any, action: str, database: str, table: str) -> bool:
    """Whether the actor may do one of our actions on the table. None is possible unseen."""
    if not await may_view_table(datasette, actor, database, table):
        return False
    if is_modern(datasette):
        return await _allowed(datasette, actor, action, database, table)
    granted = await datasette.permission_allowed(
        actor, action, resource=(database, table), default=action == VIEW
    )
    return bool(granted)


async def may_write(datasette: Datasette, actor: Any, database: str, table: str) -> bool:
    """Whether the actor may put predictions into columns of the table."""
    if not datasette.get_database(database).is_mutable:
        return False
    if not await may(datasette, actor, PREDICT, database, table):
        return False
    if not is_modern(datasette):
        return True
    return all([await _allowed(datasette, actor, a, database, table) for a in WRITES])


async def require(datasette: Datasette, actor: Any, action: str, database: str, table: str) -> None:
    """Raises Forbidden, naming the action, unless the actor may."""
    if not await may(datasette, actor, action, database, table):
        raise Forbidden(f"You may not do this with {table}: it needs the permission {action}.")


async def _allowed(
    datasette: Datasette, actor: Any, action: str, database: str, table: str
) -> bool:
    from datasette.resources import TableResource

    resource = TableResource(database=database, table=table)
    return bool(await datasette.allowed(action=action, resource=resource, actor=actor))


def granted(datasette: Datasette, actor: Any, action: str) -> bool | None:
    """What our own configuration says about an actor and one of our actions; None: nothing."""
    config = datasette.plugin_config("datasette-ftclassify") or {}
    blocks = config.get("permissions")
    block = blocks.get(action) if isinstance(blocks, Mapping) else None
    return None if block is None else bool(actor_matches_allow(actor, block))


def old_permission(datasette: Datasette, actor: Any, action: str) -> bool | None:
    """The answer of Datasette 0.65's permission_allowed hook; None: no opinion."""
    if action not in DESCRIPTIONS:
        return None
    said = granted(datasette, actor, action)
    if said is None and action != VIEW and actor and actor.get("id") == "root":
        return True
    return said


def new_permission(datasette: Datasette, actor: Any, action: str) -> Any:
    """The answer of Datasette 1.0's permission_resources_sql hook; None: no opinion."""
    from datasette.permissions import PermissionSQL

    if action not in DESCRIPTIONS:
        return None
    said = granted(datasette, actor, action)
    if said is None:
        # Seeing a table is asked besides, so this opens nothing that was closed.
        return PermissionSQL.allow(reason="whoever sees the table") if action == VIEW else None
    reason = "the configuration of datasette-ftclassify"
    return PermissionSQL.allow(reason=reason) if said else PermissionSQL.deny(reason=reason)


def actions() -> list[Any]:
    """Our actions for Datasette 1.0; 0.65 knows them by name alone."""
    from datasette.permissions import Action
    from datasette.resources import TableResource

    return [
        Action(name=name, description=text, resource_class=TableResource)
        for name, text in DESCRIPTIONS.items()
    ]
