"""Who may see what: the one place that knows both lines of Datasette."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datasette.app import Datasette


async def may_view_table(datasette: Datasette, actor: Any, database: str, table: str) -> bool:
    """Whether the actor may see the table, and with it what was learnt from it."""
    if hasattr(datasette, "allowed"):  # Datasette 1.0
        from datasette.resources import TableResource

        resource = TableResource(database=database, table=table)
        return bool(await datasette.allowed(action="view-table", resource=resource, actor=actor))
    visible, _ = await datasette.check_visibility(
        actor,
        permissions=[
            ("view-table", (database, table)),
            ("view-database", database),
            "view-instance",
        ],
    )
    return bool(visible)


async def may_view_database(datasette: Datasette, actor: Any, database: str) -> bool:
    """Whether the actor may see the database at all."""
    if hasattr(datasette, "allowed"):
        from datasette.resources import DatabaseResource

        resource = DatabaseResource(database=database)
        return bool(await datasette.allowed(action="view-database", resource=resource, actor=actor))
    visible, _ = await datasette.check_visibility(
        actor, permissions=[("view-database", database), "view-instance"]
    )
    return bool(visible)
