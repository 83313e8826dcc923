"""Turn a labelled SQLite table into a text classifier, inside Datasette."""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from datasette import hookimpl

if TYPE_CHECKING:
    import click
    from datasette.app import Datasette


@hookimpl
def prepare_connection(conn: sqlite3.Connection, database: str, datasette: Datasette) -> None:
    from .functions import register

    register(conn, time_limit=datasette.setting("sql_time_limit_ms") / 1000)


@hookimpl
def get_metadata(datasette: Datasette, database: str | None) -> dict[str, Any]:
    # Datasette 1.0 hides tables whose names begin with an underscore, and has no such hook.
    from .store.schema import TABLES

    hidden = {"tables": {table: {"hidden": True} for table in TABLES}}
    return {"databases": dict.fromkeys(datasette.databases, hidden)}


@hookimpl
def register_commands(cli: click.Group) -> None:
    from .cli import ftclassify

    cli.add_command(ftclassify)


@hookimpl
def register_routes() -> list[tuple[str, Callable[..., Any]]]:
    from .web.routes import registered

    return registered()


@hookimpl
def register_actions() -> list[Any]:  # Datasette 1.0
    from .web.permissions import actions

    return actions()


@hookimpl
def permission_resources_sql(datasette: Datasette, actor: Any, action: str) -> Any:  # 1.0
    from .web.permissions import new_permission

    return new_permission(datasette, actor, action)


@hookimpl
def permission_allowed(datasette: Datasette, actor: Any, action: str) -> bool | None:  # 0.65
    from .web.permissions import old_permission

    return old_permission(datasette, actor, action)


@hookimpl
def database_actions(
    datasette: Datasette, actor: Any, database: str
) -> Callable[[], Awaitable[list[dict[str, str]]]]:
    from .web.menus import database_menu

    return lambda: database_menu(datasette, database)
