"""What models like to put around a label: a code fence, JSON, `Label:`, the number in a list."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from ..core.labels import label_name

MOST_WRAPPED = 2_000
"""Characters of an answer within which a label is looked for: longer ones are essays."""

_FENCE = re.compile(r"```\w*\s*(.*?)\s*```", re.DOTALL)
_SAYING = re.compile(
    r"[*_\s]*(?:the\s+)?(?:(?:predicted|correct|best|final|most likely)\s+)?"
    r"(?:label|labels|category|categories|class|classification|answer|topic|output|result)"
    r"[*_\s]*(?:[:=]|\bis\b:?)[*_\s]*(.+)",
    re.IGNORECASE | re.DOTALL,
)
_NUMBERED = re.compile(r"\s*(?:#\s*)?\d{1,4}[.):]\s+(.+)|\s*[-*•]\s+(\D.*)", re.DOTALL)
_BRACKETS = re.compile(r"\s*(?:\(([^()]*)\)|\[([^][\"\'\\]*)\])[\s.]*")
_NAMED = (
    "label", "labels", "category", "categories", "class", "classification", "answer", "topic",
    "output", "result", "prediction",
)  # fmt: skip


def unwrapped(text: str) -> Iterator[str]:
    """The text, then what is left of it as what models like to put around a label is taken off, a
    layer at a time: a code fence, JSON, `Label:`, the number in a list, brackets."""
    yield text
    if len(text) > MOST_WRAPPED:
        return
    for _ in range(4):
        inner = _within(text)
        if inner is None or not inner.strip():
            return
        text = inner
        yield text


def _within(text: str) -> str | None:
    stripped = text.strip()
    if stripped[:1] in ("{", "["):
        named = _in_json(stripped)
        if named is not None:
            return named
    for pattern in (_FENCE, _SAYING, _NUMBERED, _BRACKETS):
        found = pattern.fullmatch(stripped)
        if found:
            return next((group for group in found.groups() if group is not None), None)
    return None


def _in_json(text: str) -> str | None:
    """The answer in an object with one field for it, or in a list of one; None for any other."""
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if isinstance(data, dict):
        said = [value for key, value in data.items() if key.strip().casefold() in _NAMED]
        data = said[0] if len(said) == 1 else None
        if isinstance(data, list):
            return json.dumps(data, ensure_ascii=False)
    if isinstance(data, list) and len(data) == 1:
        data = data[0]
    return label_name(data) if type(data) in (str, int, float) else None
