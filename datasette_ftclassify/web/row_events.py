"""Datasette's own event of an edited row, where it has them."""

from __future__ import annotations

from ..core.database import Key
from .page_request import PageRequest
from .permissions import is_modern


async def tell_edited(ask: PageRequest, table: str, key: Key) -> None:
    """Tells other plugins that the visitor has edited a row. Nothing on Datasette 0.65."""
    if not is_modern(ask.datasette):
        return
    from datasette.events import UpdateRowEvent

    await ask.datasette.track_event(
        UpdateRowEvent(actor=ask.actor, database=ask.database, table=table, pks=list(key))
    )
