"""What models cost as their providers made them, from the library genai-prices.

Its data come with the package, and nothing is fetched. It knows no price of training, no dates, and
only a few fine-tunes by the beginnings of their names, so it is asked for nothing but plain models,
and believed only for the very model that was asked for.
"""

from __future__ import annotations

import re
from functools import lru_cache
from importlib.metadata import version
from typing import Any

from .price import Price

_DATED = re.compile(r"-\d{4}-\d{2}-\d{2}$")

_TOKENS = 1_000
"""For which prices are computed: below every tier of them that begins at long prompts."""


@lru_cache(maxsize=256)
def published_price(
    model: str, host: str | None, usual_host: str | None, *, decisions: bool = False
) -> Price | None:
    """USD for a million tokens at `host`; where the library does not know that host, at
    `usual_host`, whose price it then is. None for a model that it does not know there.

    decisions: for closed questions, which are priced apart
    """
    for asked in dict.fromkeys(name for name in (host, usual_host) if name):
        found = _price(model, asked, decisions=decisions)
        if found is not None:
            return found
    return None


def _price(model: str, host: str, *, decisions: bool) -> Price | None:
    try:
        from genai_prices import Usage, calc_price
    except ImportError:  # where only what answers is installed, and nothing is paid
        return None
    where: dict[str, Any] = {"provider_api_url": f"https://{host}/"}
    if decisions:
        where = {"provider_id": "openai-decisions"}
    fresh = Usage(input_tokens=_TOKENS, output_tokens=_TOKENS)
    cached = Usage(input_tokens=_TOKENS, cache_read_tokens=_TOKENS, output_tokens=0)
    try:
        price, read = (calc_price(usage, model, **where) for usage in (fresh, cached))
    except (LookupError, ValueError):
        return None
    if price.model.id.lower() not in (model, _DATED.sub("", model)):
        return None  # one that only begins like it
    per_million = 1_000_000 / _TOKENS
    return Price(
        model=model,
        input=float(price.input_price) * per_million,
        cached_input=float(read.input_price) * per_million,
        output=float(price.output_price) * per_million,
        sources=(f"https://pypi.org/project/genai-prices/{version('genai-prices')}/",),
        origin=f"by genai-prices {version('genai-prices')}",
        host=host,
    )
