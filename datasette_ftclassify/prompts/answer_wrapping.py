"""What models like to put around a label: their thoughts, a code fence, JSON, `Label:`, the number
in a list."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from ..core.labels import label_name

MOST_WRAPPED = 2_000
"""Characters of an answer, without thoughts, within which a label is looked for: longer ones are
essays."""

_NAMES = (
    "label|labels|category|categories|class|classification|answer|topic|output|result|prediction"
)
_FENCE = re.compile(r"```\w*\s*(.*?)\s*```", re.DOTALL)
_SAYING = re.compile(
    r"[*_\s]*(?:the\s+)?(?:(?:predicted|correct|best|final|most (?:likely|appropriate))\s+)?"
    rf"(?:{_NAMES}|sentiment|intent|tags?|type|genre|theme|subject)[*_\s]*(?:[:=：]|->|→|\bis\b:?)[*_\s]*(.+)",
    re.IGNORECASE | re.DOTALL,
)
_FIELD = re.compile(
    rf"""\{{?\s*(["']?)(?:{_NAMES})\1\s*:\s*(?:"([^"\\]*)"|'([^'\\]*)')\s*,?\s*\}}?""",
    re.IGNORECASE,
)
"""An object that is no JSON, or not whole."""
_NUMBERED = re.compile(r"\s*(?:#\s*)?\d{1,4}[.):]\s+(.+)|\s*[-*•]\s+(\D.*)", re.DOTALL)
_BRACKETS = re.compile(
    r"\s*(?:\(([^()]*)\)|\[([^][\"\'\\]*)\]|「([^「」]*)」|【([^【】]*)】|\|([^|]*)\|)[\s.]*"
)
_THOUGHTS = re.compile(r"\s*<think(?:ing)?>.*?</think(?:ing)?>(.+)", re.DOTALL)
_TAGS = re.compile(rf"<({_NAMES}|b|strong|i|em|code)>([^<>]*)</\1>", re.IGNORECASE)
_BOXED = re.compile(r"\$*\\(?:boxed|text)\{(.*)\}\$*", re.DOTALL)
_END = re.compile(r"(.+?)\s*(?:<\|[\w-]+\|>|</s>|<end_of_turn>)+", re.DOTALL)
"""What ends an answer for the model, and a server did not take off."""
_LAYERS = (_END, _FENCE, _SAYING, _FIELD, _NUMBERED, _BRACKETS, _TAGS, _BOXED)


def unwrapped(text: str) -> Iterator[str]:
    """The text, then what is left of it as what models like to put around a label is taken off, a
    layer at a time: thoughts, a code fence, JSON, `Label:`, the number in a list, brackets."""
    yield text
    if thoughts := _THOUGHTS.match(text):
        text = thoughts[1]
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
    for pattern in _LAYERS:
        found = pattern.fullmatch(stripped)
        if found:
            return found[found.lastindex or 0]
    return None


def _in_json(text: str) -> str | None:
    """The answer in an object with one field for it, or in a list of one; None for any other."""
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return _answer_in(data)


def _answer_in(data: Any) -> str | None:
    if isinstance(data, dict):
        said = [value for key, value in data.items() if _NAME.fullmatch(key.strip())]
        data = said[0] if len(said) == 1 else None
        if isinstance(data, list):
            return json.dumps(data, ensure_ascii=False)
    elif isinstance(data, list) and len(data) == 1:
        data = data[0]
    if isinstance(data, dict):
        return _answer_in(data)
    return label_name(data) if type(data) in (str, int, float) else None


_NAME = re.compile(_NAMES, re.IGNORECASE)
