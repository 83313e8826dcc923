"""Where people meet the pages: items of Datasette's own menus."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..store.classifiers import has_store
from .routing import page_url

if TYPE_CHECKING:
    from datasette.app import Datasette


async def database_menu(datasette: Datasette, database: str) -> list[dict[str, str]]:
    """A link to the classifiers of a database that holds our tables."""
    if not await datasette.get_database(database).execute_fn(has_store):
        return []
    return [
        {
            "href": page_url(datasette, database),
            "label": "Classifiers",
            "description": "What was learnt from the tables of this database",
        }
    ]
