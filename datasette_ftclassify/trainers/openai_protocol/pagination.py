"""Paginated lists, from a server that may only resemble OpenAI's."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

from ..service_errors import TryAgain

MOST_PAGES = 1_000
"""Of one list: 100,000 jobs."""

LIST_SECONDS = 300.0
"""For all pages of one list."""


def pages(
    call: Callable[[Callable[[], Any]], Any], first: Callable[[], Any]
) -> Iterator[list[Any]]:
    """The pages of a list, one at a time.

    call:  makes a request, and raises ServiceProblem in the place of the SDK's errors
    first: the request for the first page
    Nothing here trusts that a list ends. Raises ServiceProblem, and TryAgain when it has not ended
    within its bounds: what is looked for may be further on.
    """
    act, seen, until = first, set(), time.monotonic() + LIST_SECONDS
    for _ in range(MOST_PAGES):
        page = call(act)
        items = list(page.data)
        # A server that does not know `after` gives the first page for ever.
        if not items or items[0].id in seen:
            return
        seen.add(items[0].id)
        yield items
        if not page.has_next_page():
            return
        if time.monotonic() > until:
            break
        act = page.get_next_page
    raise TryAgain(f"A list of the service did not end within {MOST_PAGES:,} pages or 5 minutes.")
