"""Turn a labelled SQLite table into a text classifier, inside Datasette."""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable, Generator
from typing import TYPE_CHECKING, Any

from datasette import hookimpl

if TYPE_CHECKING:
    import click
    from datasette.app import Datasette


@hookimpl
def prepare_connection(conn: sqlite3.Connection, database: str, datasette: Datasette) -> None:
    from .web.connections import prepare

    prepare(conn, database, datasette)


@hookimpl(hookwrapper=True)
def actor_from_request(datasette: Datasette, request: Any) -> Generator[None, Any, None]:
    from .web.visitors import note_actor

    outcome = yield
    outcome.force_result(note_actor(request, outcome.get_result()))


@hookimpl
def get_metadata(key: str | None, database: str | None) -> dict[str, Any]:
    # Datasette 1.0 hides tables whose names begin with an underscore, and has no such hook.
    # Only what asks for hidden tables asks for all of one database. Everything else, such as each
    # permission, copies and merges whatever is said of all databases, some hundred times a page.
    if key is not None or database is None:
        return {}
    from .store.schema import TABLES
    from .store.tables import MIGRATIONS

    # A new one each time, since Datasette puts what the operator says of a database into it.
    hidden = {table: {"hidden": True} for table in (*TABLES, MIGRATIONS)}
    return {"databases": {database: {"tables": hidden}}}


@hookimpl
def prepare_jinja2_environment(env: Any) -> None:
    from .core import humanize
    from .web.static_files import static_name

    env.globals["ft"] = humanize
    env.globals["ft_static"] = static_name()


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
def permission_allowed(  # 0.65
    datasette: Datasette, actor: Any, action: str, resource: Any
) -> Any:
    from .web.permissions import old_permission

    return old_permission(datasette, actor, action, resource)


@hookimpl
def database_actions(
    datasette: Datasette, actor: Any, database: str
) -> Callable[[], Awaitable[list[dict[str, str]]]]:
    from .web.menus import database_menu

    return lambda: database_menu(datasette, database)


@hookimpl
def table_actions(
    datasette: Datasette, actor: Any, database: str, table: str, request: Any
) -> Callable[[], Awaitable[list[dict[str, str]]]]:
    from .web.menus import table_menu

    return lambda: table_menu(datasette, actor, database, table, request)


@hookimpl
def view_actions(  # Datasette 1.0; for 0.65 a view is a table
    datasette: Datasette, actor: Any, database: str, view: str, request: Any
) -> Callable[[], Awaitable[list[dict[str, str]]]]:
    from .web.menus import table_menu

    return lambda: table_menu(datasette, actor, database, view, request)


@hookimpl
def row_actions(  # Datasette 1.0
    datasette: Datasette, actor: Any, database: str, table: str, row: Any
) -> Callable[[], Awaitable[list[dict[str, str]]]]:
    from .web.menus import row_menu

    return lambda: row_menu(datasette, actor, database, table, row)


@hookimpl
def query_actions(  # Datasette 1.0
    datasette: Datasette, actor: Any, database: str, sql: str | None, params: Any
) -> Callable[[], Awaitable[list[dict[str, str]]]]:
    from .web.query_menu import query_menu

    return lambda: query_menu(datasette, actor, database, sql, params)


@hookimpl
def jump_items_sql(datasette: Datasette, actor: Any) -> Callable[[], Awaitable[list[Any]]]:  # 1.0
    from .web.jump import jump_items

    return lambda: jump_items(datasette, actor)


@hookimpl
def register_events() -> list[Any]:  # Datasette 1.0
    from .web.events import EVENTS

    return list(EVENTS)


@hookimpl
def register_column_types(datasette: Datasette) -> list[Any]:  # Datasette 1.0
    from .web.column_types import TYPES

    return list(TYPES)


@hookimpl
def top_database(  # Datasette 1.0
    datasette: Datasette, request: Any, database: str
) -> Callable[[], Awaitable[str | None]]:
    from .web.try_box import try_box

    return lambda: try_box(datasette, request.actor, database)


@hookimpl
def top_table(  # Datasette 1.0
    datasette: Datasette, request: Any, database: str, table: str
) -> Callable[[], Awaitable[str | None]]:
    from .web.try_box import try_box

    return lambda: try_box(datasette, request.actor, database, table)


@hookimpl
def menu_links(datasette: Datasette, actor: Any) -> Callable[[], Awaitable[list[dict[str, str]]]]:
    from .web.menus import main_menu

    return lambda: main_menu(datasette, actor)


@hookimpl
def extra_js_urls(
    datasette: Datasette, database: str | None, table: str | None, view_name: str, request: Any
) -> Callable[[], Awaitable[list[Any]]]:
    from .web.banner import script_urls

    return lambda: script_urls(datasette, request, view_name, database, table)


@hookimpl
def extra_css_urls(
    datasette: Datasette, database: str | None, table: str | None, view_name: str, request: Any
) -> Callable[[], Awaitable[list[Any]]]:
    from .web.banner import style_urls

    return lambda: style_urls(datasette, request, view_name, database, table)


@hookimpl
def render_cell(
    datasette: Datasette,
    database: str | None,
    table: str | None,
    column: str,
    value: Any,
    row: Any,
) -> Any:
    from .web.table_cells import cell

    return cell(datasette, database, table, column, value, row)


@hookimpl
def startup(datasette: Datasette) -> Callable[[], Awaitable[None]]:
    from datasette.plugins import pm

    from .trainers.registry import warn_of_unregistered
    from .web.operator_settings import warn_of_settings

    warn_of_unregistered(pm.get_plugins())
    warn_of_settings(datasette)

    async def after_others() -> None:
        if hasattr(datasette, "_cron_scheduler"):  # of datasette-cron, whose own start-up made it
            from .web.plugins.cron import set_up_tasks

            await set_up_tasks(datasette)

    return after_others


@hookimpl
def asgi_wrapper(datasette: Datasette) -> Callable[[Any], Any]:
    from .web.lifespan import with_worker
    from .web.visitors import with_visitors

    return lambda app: with_worker(with_visitors(app, datasette), datasette)


@hookimpl
def register_secrets() -> list[Any]:
    # A hook of the plugin datasette-secrets, which alone calls it.
    from .web.operator_settings import secrets

    return secrets()


@hookimpl
def register_enrichments(datasette: Datasette) -> list[Any]:
    # A hook of the plugin datasette-enrichments, which alone calls it.
    from .web.plugins.enrichments import ApplyClassifier

    return [ApplyClassifier()]


@hookimpl
def register_agent_tools(datasette: Datasette) -> list[Any]:
    # A hook of the plugin datasette-agent, which alone calls it.
    from .web.plugins.agent_tools import tools

    return tools()


@hookimpl
def cron_register_handlers(datasette: Datasette) -> dict[str, Callable[..., Awaitable[None]]]:
    # A hook of the plugin datasette-cron, which alone calls it.
    from .web.plugins.cron import retrain

    return {"retrain": retrain}
