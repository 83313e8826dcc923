"""Counts, money, shares and times in sentences, written alike on pages, in commands and in errors.

It stands in `core` since findings, reports of trainers and refusals of a budget say them, too.
Templates have it as `ft`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from .database import Cell, json_key

__all__ = [
    "counted", "dollars", "duration", "key_list", "number", "one_or_more", "percent", "price",
    "rows_have", "rows_text", "score", "shortened", "when",
]  # fmt: skip


def number(value: int) -> str:
    """A whole number alone, as in a table: `1,200`."""
    return f"{value:,}"


def score(value: float) -> str:
    """A score or another figure from 0 to 1: `0.934`."""
    return f"{value:.3f}"


def label_text(label: str) -> str:
    """A label for people; in quotes where it has white space that nobody would see."""
    return label if label == " ".join(label.split()) else repr(label)


def counted(count: int, one: str, more: str | None = None) -> str:
    """So many of something: `1 row`, `1,200 rows`.

    more: of several, where that is not `one` with an s
    """
    return f"{count:,} {one_or_more(count, one, more or f'{one}s')}"


def one_or_more(count: int, one: str, more: str) -> str:
    """The form of a verb or noun that goes with the number."""
    return one if count == 1 else more


def rows_text(count: int) -> str:
    return counted(count, "row")


def rows_have(count: int) -> str:
    return f"{rows_text(count)} {one_or_more(count, 'has', 'have')}"


def percent(share: float, places: int = 0) -> str:
    """A share (0-1): `95%`; `under 1%` of one that is small, but not nothing."""
    least = 10.0**-places
    return f"under {least:g}%" if 0 < 100 * share < least / 2 else f"{share:.{places}%}"


def dollars(amount: float) -> str:
    """Cents from a dollar on, else four digits that say something ("$0.0000728")."""
    if amount >= 1:
        return f"${amount:,.2f}"
    if not 0 < amount < math.inf:
        return "$0"
    places = min(max(3 - math.floor(math.log10(amount)), 2), 12)
    text = f"{amount:.{places}f}".rstrip("0")
    return f"${text + '0' * (2 - len(text.partition('.')[2]))}"


def price(usd: float | None, most_usd: float | None = None) -> str:
    """An estimate in USD with its upper bound."""
    if usd is None:
        return "an unknown amount"
    if most_usd is None:
        return f"about {dollars(usd)}"
    if most_usd == usd:
        return f"at most {dollars(usd)}"
    return f"about {dollars(usd)}, at most {dollars(most_usd)}"


def when(stamp: str) -> str:
    """A time as it is stored: `2026-11-29 10:15:00 UTC`."""
    return stamp.replace("T", " ").replace("Z", " UTC")


def bytes_text(count: int) -> str:
    """A size: `840 bytes`, `12.3 kB`, `1.2 MB`, in steps of 1,000."""
    if count < 1_000:
        return counted(count, "byte")
    size, unit = (count / 1e3, "kB") if count < 1e6 else (count / 1e6, "MB")
    return f"{size:,.1f} {unit}"


def duration(seconds: int) -> str:
    if seconds < 90:
        return f"{seconds} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def key_list(keys: Sequence[Sequence[Cell]], of: int = 0) -> str:
    """The keys of rows, of so many: as numbers or texts, compound ones in brackets."""
    cells = [["NULL" if cell is None else str(cell) for cell in json_key(key)] for key in keys[:10]]
    shown = [key[0] if len(key) == 1 else f"({', '.join(key)})" for key in cells]
    return ", ".join([*shown, *(["…"] if max(of, len(keys)) > len(shown) else [])])


def shortened(text: str, most: int) -> str:
    """The text in at most so many characters, with an ellipsis where it is cut."""
    return text if len(text) <= most else text[: most - 1] + "…"
