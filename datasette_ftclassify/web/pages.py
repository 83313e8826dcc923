"""The classifiers of a database, as a page and as JSON."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from datasette.utils.asgi import Forbidden, NotFound, Response

from ..store.summaries import summaries
from .permissions import may_view_database, may_view_table

if TYPE_CHECKING:
    from datasette.app import Datasette
    from datasette.utils.asgi import Request


def classifiers_path(datasette: Datasette, database: str) -> str:
    return str(datasette.urls.database(database)) + "/-/ftclassify"


async def classifiers_page(request: Request, datasette: Datasette) -> Response:
    """GET /DB/-/ftclassify and /DB/-/ftclassify.json

    Lists the classifiers whose source table the visitor may see.
    """
    from datasette.utils import tilde_decode

    name = tilde_decode(request.url_vars["database"])
    if name not in datasette.databases:
        raise NotFound(f"Database not found: {name}")
    if not await may_view_database(datasette, request.actor, name):
        raise Forbidden("You may not see this database.")
    rows = await datasette.get_database(name).execute_fn(_read)
    shown = [
        {**row, "urls": _urls(datasette, name, row)}
        for row in rows
        if await may_view_table(datasette, request.actor, name, row["source"])
    ]
    if request.url_vars.get("format"):
        return Response.json({"ok": True, "database": name, "classifiers": shown})
    html = await datasette.render_template(
        "ftclassify_classifiers.html",
        {"database": name, "classifiers": shown},
        request=request,
    )
    return Response.html(html)


def _read(conn: sqlite3.Connection) -> list[dict[str, Any]]:
    return [{**summary.to_dict(), "quality": summary.headline()} for summary in summaries(conn)]


def _urls(datasette: Datasette, database: str, row: dict[str, Any]) -> dict[str, str]:
    title = f"{row['classifier']}@{row['version']}".replace("'", "''")
    sql = f"select ft_classify_json(:text, '{title}') as answer"
    return {
        "source": str(datasette.urls.table(database, row["source"])),
        "try": f"{datasette.urls.database(database)}?{urlencode({'sql': sql, 'text': ''})}",
    }
