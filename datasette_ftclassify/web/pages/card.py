"""The model card of a classifier, as a page, as Markdown and as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING

from datasette.utils.asgi import Response

from ...present.card_markdown import card_markdown
from ...present.model_card import model_card
from ..permissions import VIEW
from ..registry import page
from ..responses import show
from ..table_origin import table_origin

if TYPE_CHECKING:
    from ..page_request import PageRequest


@page("/classifiers/{name}/card", "classifier", "ftclassify_card.html", reads=VIEW, writes=None)
async def model_card_page(ask: PageRequest) -> Response:
    """GET /DB/-/ftclassify/classifiers/NAME/card; `format=md` for Markdown."""
    classifier = ask.classifier
    assert classifier is not None
    origin = await table_origin(ask.datasette, ask.database, classifier.task.source)
    card = await ask.read(lambda conn: model_card(conn, classifier, origin))
    if ask.argument("format") == "md" and not ask.wants_json:
        kind = "text/markdown; charset=utf-8"
        return Response(card_markdown(card), headers={"content-type": kind}, content_type=kind)
    here = ("classifiers", classifier.title)
    more = {
        "card": card,
        "links": {
            "classifier": ask.url(*here),
            "source": str(ask.datasette.urls.table(ask.database, classifier.task.source)),
            "markdown": ask.url(*here, "card", format="md"),
            "json": f"{ask.url(*here, 'card')}.json",
        },
    }
    return await show(ask, card.to_dict(), more=more)
