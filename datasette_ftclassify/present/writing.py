"""What pages and commands say before rows are written."""

from __future__ import annotations

from collections.abc import Sequence

from ..core.humanize import one_or_more

_MOST = 10


def triggers_sentence(table: str, triggers: Sequence[str]) -> str:
    """What else happens when a row is written; empty without triggers."""
    if not triggers:
        return ""
    what = one_or_more(len(triggers), "this trigger", "these triggers")
    more = f" and {len(triggers) - _MOST} more" if len(triggers) > _MOST else ""
    return (
        f"Writing a row sets off {what} of {table}, like any edit of the row: "
        f"{', '.join(triggers[:_MOST])}{more}."
    )
