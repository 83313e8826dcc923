"""The classifiers of a database, as a page and as JSON."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from ..store.summaries import summaries
from .permissions import VIEW
from .showing import show

if TYPE_CHECKING:
    from datasette.utils.asgi import Response

    from .routing import Ask


async def database_page(ask: Ask) -> Response:
    """GET /DB/-/ftclassify: the classifiers whose source table the visitor may see."""
    rows = await ask.read(_read)
    shown = [{**row, "urls": _urls(ask, row)} for row in rows if await ask.may(VIEW, row["source"])]
    data = {"database": ask.database, "classifiers": shown}
    return await show(ask, "ftclassify_classifiers.html", data)


def _read(conn: sqlite3.Connection) -> list[dict[str, Any]]:
    return [{**summary.to_dict(), "quality": summary.headline()} for summary in summaries(conn)]


def _urls(ask: Ask, row: dict[str, Any]) -> dict[str, str]:
    title = f"{row['classifier']}@{row['version']}".replace("'", "''")
    sql = f"select ft_classify_json(:text, '{title}') as answer"
    database = ask.datasette.urls.database(ask.database)
    return {
        "source": str(ask.datasette.urls.table(ask.database, row["source"])),
        "try": f"{database}?{urlencode({'sql': sql, 'text': ''})}",
    }
