"""JSON out of a file that somebody else made, within bounds.

A short text of JSON can take hundreds of times its size in memory, go so deep that whoever walks
through it fails, or hold numbers that no arithmetic survives. What comes out of here does none of
that, so that the code behind need not expect it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, NoReturn

from .errors import ArtifactError
from .text import is_utf8

JsonObject = Mapping[str, Any]
"""JSON of somebody else, in a file or from a network: nothing is known of what is in it until it is
read, by `typed_json` or by a class's own `read` or `from_dict`."""

MOST_BYTES = 4_000_000
MOST_ITEMS = 400_000
"""Values and commas. A matrix of 500 labels has 250,000."""
MOST_DEPTH = 16
MOST_CHARACTERS = 1_000_000
"""Of one text."""
MOST_SHOWN = 100_000
"""Of one text in what is written on pages, perhaps several times: a task, settings of a job."""
LARGEST = 2**63
"""Of a whole number: what SQLite can hold."""


def read_json(
    text: object,
    what: str,
    *,
    most_bytes: int = MOST_BYTES,
    most_items: int = MOST_ITEMS,
    most_depth: int = MOST_DEPTH,
    most_characters: int = MOST_CHARACTERS,
) -> Any:
    """What the JSON says: finite numbers, texts that can be encoded, lists and objects.

    Raises ArtifactError, which names `what`, for anything else. Takes a few tenths of a second and
    100 MB at the usual bounds.
    """
    if not isinstance(text, str):
        raise ArtifactError(f"The {what} is no text.")
    size = len(text) if text.isascii() else len(text.encode("utf-8", "replace"))
    if size > most_bytes:
        raise ArtifactError(f"The {what} has {size:,} bytes: more than {most_bytes:,}.")
    # Before the memory is taken: no value goes without one of these, but for the first.
    if text.count(",") + text.count("[") + text.count("{") > most_items:
        raise ArtifactError(f"The {what} holds more than {most_items:,} values.")
    try:
        data = json.loads(text, parse_constant=_not_finite)
        # Texts without escapes are what they seem to be, which is nearly always so.
        plain = size <= most_characters and "\\u" not in text and is_utf8(text)
        _check(data, most_depth, None if plain else most_characters)
    except (ValueError, RecursionError) as error:
        said = "it is too deep" if isinstance(error, RecursionError) else str(error)[:200]
        raise ArtifactError(f"The {what} is damaged: {said}.") from None
    return data


def read_object(text: object, what: str, **bounds: int) -> dict[str, Any]:
    """As `read_json`, of an object."""
    data = read_json(text, what, **bounds)
    if not isinstance(data, dict):
        raise ArtifactError(f"The {what} is damaged: it is no JSON object.")
    return data


def text_or_none(value: object) -> str | None:
    return value if isinstance(value, str) else None


def object_or_empty(value: object) -> JsonObject:
    return value if isinstance(value, Mapping) else {}


def texts_of(value: object) -> dict[str, str]:
    """The texts in an object, without empty ones and what is none."""
    found = object_or_empty(value).items()
    return {str(name): text for name, text in found if isinstance(text, str) and text}


def figure_or_none(value: object) -> float | None:
    """A finite number."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value) if math.isfinite(value) else None


def _not_finite(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")


def _check(data: Any, most_depth: int, longest: int | None) -> None:
    """Raises ValueError for what would trip somebody up later. longest: characters of a text; None:
    texts are not looked at"""
    level: list[Any] = [data]
    for _ in range(most_depth):
        inner: list[Any] = []
        for value in level:
            if isinstance(value, dict):
                if longest is not None:
                    for name in value:
                        _check_text(name, longest)
                inner += value.values()
            elif isinstance(value, list):
                inner += value
            elif isinstance(value, str):
                if longest is not None:
                    _check_text(value, longest)
            elif isinstance(value, float):
                if not math.isfinite(value):
                    raise ValueError("a number is too large")
            elif isinstance(value, int) and not -LARGEST <= value < LARGEST:
                raise ValueError("a whole number is too large")
        if not inner:
            return
        level = inner
    raise ValueError(f"it is more than {most_depth} levels deep")


def _check_text(text: str, longest: int) -> None:
    if len(text) > longest:
        raise ValueError(f"a text has more than {longest:,} characters")
    if not is_utf8(text):
        raise ValueError("a text has half a character")
