"""Classifiers in the menu with which Datasette 1.0 jumps to anything by its name."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from ..store.used_version import used_versions
from .classifier_names import seen_classifiers
from .datasette_reads import read_or
from .menus import holds_ours
from .page_request import page_url

if TYPE_CHECKING:
    from datasette.app import Datasette
    from datasette.jump import JumpSQL

MOST = 500
"""Classifiers of all databases that are offered."""

_SQL = """
select 'classifier' as type, json_extract(value, '$[0]') as label,
    json_extract(value, '$[1]') as description, json_extract(value, '$[2]') as url,
    json_extract(value, '$[3]') as search_text, null as display_name
from json_each(:classifiers)
"""


async def jump_items(datasette: Datasette, actor: Any) -> list[JumpSQL]:
    """The version in use of each classifier that the visitor may see.

    The files are read as our pages read them, for a short time and only if their tables are ours;
    Datasette's own SQL is given what was found.
    """
    from datasette.jump import JumpSQL

    found: list[tuple[str, str, str, str]] = []
    for name in list(datasette.databases):
        found += await _classifiers(datasette, actor, name)
    return [JumpSQL(_SQL, {"classifiers": json.dumps(found[:MOST])})] if found else []


async def _classifiers(
    datasette: Datasette, actor: Any, database: str
) -> list[tuple[str, str, str, str]]:
    db = datasette.get_database(database)
    if not await holds_ours(db):
        return []
    used = await read_or(db, used_versions, ())
    return [
        (
            f"{database}: {one.name}",
            f"Classifier of {one.task.source}",
            page_url(datasette, database, "classifiers", one.title),
            f"{database} {one.name} {one.task.source} classifier",
        )
        for one in await seen_classifiers(datasette, actor, database, used)
    ]
