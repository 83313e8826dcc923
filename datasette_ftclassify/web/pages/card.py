"""The model card of a classifier, as a page, as Markdown and as JSON."""

from __future__ import annotations

from typing import Any

from datasette.app import Datasette
from datasette.utils.asgi import Response

from ...present.card_markdown import card_markdown
from ...present.model_card import SOURCE_KEYS, model_card
from ..page_request import PageRequest
from ..permissions import VIEW, is_modern
from ..registry import page
from ..responses import show


@page("/classifiers/{name}/card", reads=VIEW, writes=None)
async def model_card_page(ask: PageRequest) -> Response:
    classifier = ask.classifier
    origin = await table_origin(ask.datasette, ask.database, classifier.task.source)
    card = await ask.read(lambda conn: model_card(conn, classifier, origin))
    if ask.argument("format") == "md" and not ask.wants_json:
        kind = "text/markdown; charset=utf-8"
        return Response(card_markdown(card), headers={"content-type": kind}, content_type=kind)
    here = ("classifiers", classifier.title)
    more = {
        "card": card,
        "links": {
            "source": ask.table_url(classifier.task.source),
            "markdown": ask.url(*here, "card", format="md"),
            "json": f"{ask.url(*here, 'card')}.json",
        },
    }
    return await show(ask, card.to_dict(), more=more)


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
