"""The text that a classifier reads, from the arguments of a SQL function."""

from __future__ import annotations

from ..core.text import Read
from .registration import CutText


def text_for(value: object, read: Read) -> str | None:
    """The text of a cell as a classifier reads it; None where a row would have no text."""
    plain = classifiable(value)
    if plain is None:
        return None
    text = read(plain)
    if text is plain:
        return plain
    if not text or text.isspace():
        return None
    return CutText(text) if isinstance(plain, CutText) else text


def classifiable(value: object) -> str | None:
    """The text of a cell; None where a row of a table would have no text either: NULL, BLOB,
    nothing but white space."""
    plain = value if isinstance(value, str) else as_text(value)
    return None if not plain or plain.isspace() else plain


def as_text(value: object) -> str | None:
    """A cell as text: numbers as Python shows them; None for NULL and BLOB."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return str(value)
