"""Where a table comes from, as Datasette's metadata say."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..present.model_card import SOURCE_KEYS
from .permissions import is_modern

if TYPE_CHECKING:
    from datasette.app import Datasette


async def table_origin(datasette: Datasette, database: str, table: str) -> dict[str, Any]:
    """By SOURCE_KEYS, as far as they are said; of the table before those of its database, and those
    before what is said of all."""
    if is_modern(datasette):
        said = {
            **await datasette.get_instance_metadata(),
            **await datasette.get_database_metadata(database),
            **await datasette.get_resource_metadata(database, table),
        }
    else:
        said = {key: datasette.metadata(key, database=database, table=table) for key in SOURCE_KEYS}
    return {key: said[key] for key in SOURCE_KEYS if said.get(key)}
