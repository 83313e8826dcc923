"""What a label cell in each notation holds: lists of Python and Postgres, JSON of labelling tools,
vectors and dictionaries of flags. Nothing raises, and nothing is executed."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable
from typing import Any, Literal

Notation = Literal["python", "tool", "object", "flags", "bare", "vector"]
_MOST_CHARACTERS = 20_000
"""Of a cell that is no JSON array: more is no list of labels."""

_FLAGS = {
    "0": False, "0.": False, "0.0": False, "false": False, "no": False,
    "1": True, "1.": True, "1.0": True, "true": True, "yes": True,
}  # fmt: skip


def vector(text: str) -> list[bool] | None:
    """The flags of `[0, 1, 0]`, `0,1,0`, `[0. 1.]`, `["yes", "no"]`, `01`; None for any other
    text."""
    if len(text) > _MOST_CHARACTERS:
        return None
    call = _CALL.fullmatch(text)
    bare = call[1].strip() if call else text
    if bare[:1] + bare[-1:] in ("[]", "()"):
        bare = bare[1:-1]
    parts = list(bare) if _BITS.fullmatch(bare) else _BETWEEN_FLAGS.split(bare.strip(" ,"))
    flags = [_FLAGS.get(part.strip("'\"").lower()) for part in parts]
    return None if None in flags else [bool(flag) for flag in flags]


_BITS = re.compile("[01]{2,}")
_BETWEEN_FLAGS = re.compile(r"\s*[,;|\s]\s*")


_LITERAL = re.compile(
    r"""\s*(?:(?P<text>'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*")|(?P<number>[+-]?\d+(?:\.\d+)?))\s*,?"""
)
_CALL = re.compile(r"(?s)(?:array|tensor|set|frozenset)\((.*?)(?:,\s*dtype=[\w<>'.]+)?\s*\)")


def python_list(text: str) -> list[Any] | None:
    """The items of `['a', 'b']`, of a tuple, a set or a NumPy array of texts or numbers."""
    if len(text) > _MOST_CHARACTERS:
        return None
    if text == "set()":
        return []
    call = _CALL.fullmatch(text)
    text = call[1].strip() if call else text
    inside = text[1:-1].strip()
    if len(text) < 2 or text[0] + text[-1] not in ("[]", "()", "{}"):
        return None
    if text[0] == "(" and inside and "," not in inside:
        return None  # a label in brackets: a tuple of one is written ('a',)
    items: list[Any] = []
    position = 0
    while position < len(inside):
        literal = _LITERAL.match(inside, position)
        if literal is None:
            return None
        try:
            items.append(ast.literal_eval((literal["text"] or literal["number"]).lstrip("+")))
        except (ValueError, SyntaxError):
            return None
        position = literal.end()
    return items


_FLAG = re.compile(
    r"""\s*(?P<key>'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*"|[+-]?\d+)\s*:
        \s*(?:np\.(?:\w+\()?)?(?P<flag>'\w*'|"\w*"|True|False|None|[01](?:\.0*)?)_?\)?\s*(?:,|$)""",
    re.VERBOSE,
)


def python_flags(text: str) -> list[Any] | None:
    """The keys of `{'a': True, 'b': False}`, of 1 and 0 or of yes and no, that are true; also with
    NumPy's numbers."""
    if len(text) > _MOST_CHARACTERS or text[:1] + text[-1:] != "{}":
        return None
    inside = text[1:-1].strip()
    flags: dict[Any, Any] = {}
    position = 0
    while position < len(inside):
        entry = _FLAG.match(inside, position)
        if entry is None:
            return None
        try:
            key = ast.literal_eval(entry["key"].lstrip("+"))
        except (ValueError, SyntaxError):
            return None
        flags[key] = None if entry["flag"] == "None" else entry["flag"].strip("'\"")
        position = entry.end()
    return _chosen(flags)


_BARE = re.compile(r'\s*(?:"(?P<text>(?:[^"\\]|\\.)*)"|(?P<word>[^,"\[\]{}:]+))\s*(?:,|$)')


def bare_list(text: str) -> list[Any] | None:
    """The items of `{a,"b, c"}`, as Postgres writes an array, and of `[a, b]` or `(a, b)`."""
    if len(text) > _MOST_CHARACTERS or text[:1] + text[-1:] not in ("{}", "[]", "()"):
        return None
    inside = text[1:-1].strip()
    items: list[Any] = []
    position = 0
    while position < len(inside):
        item = _BARE.match(inside, position)
        if item is None:
            return None
        quoted = item["text"]
        items.append(item["word"].strip() if quoted is None else re.sub(r"\\(.)", r"\1", quoted))
        position = item.end()
    return items


_KEYS = (
    "choices", "taxonomy", "accept", "labels", "label", "tags", "categories", "value", "result",
    "annotations", "cats",
)  # fmt: skip
"""Where labelling tools keep the labels: `{"choices": ["a"]}`, `[{"value": {"choices": ["a"]}}]`,
`{"taxonomy": [["a", "b"]]}` (Label Studio), `[{"label": "a"}]` (doccano), `{"accept": ["a"],
"answer": "accept"}` (Prodigy), `{"cats": {"a": 1.0, "b": 0.0}}` (spaCy)."""


def tool_labels(text: str) -> list[Any] | None:
    """The labels in JSON of a labelling tool; none for an answer that was passed over there."""
    return _labels_in(_json(text))


def _labels_in(value: Any, depth: int = 0) -> list[Any] | None:
    if isinstance(value, list) and depth < 6:
        parts = [_labels_in(v, depth + 1) if isinstance(v, (dict, list)) else [v] for v in value]
        if any(part is None for part in parts):
            return None
        return [label for part in parts for label in part or ()]
    if not isinstance(value, dict) or depth >= 6:
        return None
    if value.get("answer", "accept") != "accept":
        return []
    keys = [key for key in _KEYS if key in value]
    if not keys:
        return None
    inner = value[keys[0]]
    if keys[0] == "cats" and isinstance(inner, dict):
        return _chosen(inner)
    return _labels_in(inner, depth + 1) if isinstance(inner, (dict, list)) else [inner]


def object_labels(text: str) -> list[Any] | None:
    """The keys of `{"a": true, "b": false}` that are true, 1 or "1"."""
    value = _json(text)
    return _chosen(value) if isinstance(value, dict) else None


def _chosen(flags: dict[Any, Any]) -> list[Any] | None:
    on = {
        key: False if flag is None else _FLAGS.get(str(flag).lower()) for key, flag in flags.items()
    }
    return None if not on or None in on.values() else [key for key, flag in on.items() if flag]


def _json(text: str) -> Any:
    """Also of JSON that was written as a text into JSON."""
    if len(text) > _MOST_CHARACTERS or text[:1] not in ("[", "{", '"'):
        return None
    try:
        value = json.loads(text)
        return json.loads(value) if isinstance(value, str) and value[:1] in ("[", "{") else value
    except (ValueError, RecursionError):
        return None


PARSERS: dict[Notation, Callable[[str], list[Any] | None]] = {
    "python": python_list, "tool": tool_labels, "object": object_labels, "flags": python_flags,
    "bare": bare_list,
}  # fmt: skip
