"""The page that prepares a training."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from visiting import get

TRAIN = {"ftclassify-train": {"id": "ann"}}
PAYING = {**TRAIN, "ftclassify-spend": {"id": "ann"}}
PAGE = "/town/-/ftclassify/train"


def page(**query: object) -> str:
    return f"{PAGE}?{urlencode({'table': 'messages', **query}, doseq=True)}"


async def look(datasette: Any, who: str | None = "ann", **query: object) -> dict[str, Any]:
    address = page(**query).replace("/train?", "/train.json?")
    response = await get(datasette, address, who)
    assert response.status_code == 200, response.text
    return response.json()
