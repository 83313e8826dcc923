"""The notations in which data sets and labelling tools write several labels into one cell.

Each is declared once, by the function that reads a cell: recognising it, reading it, what is said
of it and the table in docs/checks.md follow. Nothing raises, and nothing is executed.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from .flags import flag

_MOST_CHARACTERS = 20_000
"""Of a cell that is no JSON array: more is no list of labels."""

Parse = Callable[[str], "list[Any] | None"]
_P = TypeVar("_P", bound=Parse)


@dataclass(frozen=True)
class Notation:
    """One notation.

    name:     as tasks store it
    words:    what the cells are, in sentences
    examples: cells, as Markdown; `more` goes on after the words there
    parse:    from a cell without white space around it to its labels, or None for another notation
    flags:    whether `parse` gives a flag for each label, whose names have to be told
    alone:    characters with which a cell of it begins, where a single label is written as it is
    between:  what stands between the labels, where names may look like lists as well, so that the
              parts have to come back in other cells; None: they look like nothing else
    """

    name: str
    words: str
    examples: str
    parse: Parse
    flags: bool = False
    alone: str = ""
    between: str | None = None
    more: str = ""


NOTATIONS: dict[str, Notation] = {}
"""All by name; the first that most cells are written in is proposed."""


def notation(
    name: str,
    words: str,
    examples: str,
    *,
    flags: bool = False,
    alone: str = "",
    between: str | None = None,
    more: str = "",
) -> Callable[[_P], _P]:
    """Declares a function as the reader of a notation."""

    def declare(parse: _P) -> _P:
        NOTATIONS[name] = Notation(name, words, examples, parse, flags, alone, between, more)
        return parse

    return declare


@notation(
    "vector",
    "vectors of 0 and 1",
    '`[0, 1, 0]`, `0,1,0`, `[[0. 1. 0.]]`, `[true, false]`, `{t,f}`, `["yes", "no"]`, '
    "`tensor([0, 1])`",
    flags=True,
    more="an error until somebody names the labels in order (*Label names*)",
)
def vector(text: str) -> list[bool] | None:
    """The flags of `[0, 1, 0]`, `0,1,0`, `[[0. 1.]]`, `{t,f}`, `["yes", "no"]`, `01`, `TF`; None
    for any other text."""
    if len(text) > _MOST_CHARACTERS:
        return None
    call = _CALL.fullmatch(text)
    bare = call[1].strip() if call else text
    while bare[:1] + bare[-1:] in ("[]", "()", "{}", "<>"):
        bare = bare[1:-1].strip()
    parts = list(bare) if BITS.fullmatch(bare) else _BETWEEN_FLAGS.split(bare.strip(" ,"))
    flags = [flag(_NUMPY.sub(r"\1", part.strip("'\""))) for part in parts]
    return None if None in flags else [bool(on) for on in flags]


BITS = re.compile("(?i)[01]{2,}|[tf]{2,}|[yn]{2,}|[jn]{2,}|[x-]{2,}|[+-]{2,}")
"""Flags with nothing between them."""
_BETWEEN_FLAGS = re.compile(r"\s*[,;|/\s]\s*")
_NUMPY = re.compile(r"^np\.(?:\w+\()?([^()]*?)_?\)?$")


_LITERAL = re.compile(
    r"""\s*(?:np\.str_\()?[ub]?(?:(?P<text>'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*")
    |(?P<number>[+-]?\d+(?:\.\d+)?))\)?\s*,?""",
    re.VERBOSE,
)
_CALL = re.compile(
    r"""(?s)(?:np\.)?(?:array|tensor|set|frozenset)\((.*?)(?:,\s*\w+=[\w<>'":.]+)*\s*\)"""
)


@notation(
    "python",
    "lists as Python writes them",
    "`['a', 'b']`, `('a',)`, `{'a'}`, `array(['a'], dtype=object)`, `['a' 'b']`",
)
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


_KEYS = (
    "choices", "taxonomy", "accept", "labels", "label", "tags", "categories", "value", "result",
    "annotations", "cats", "name",
)  # fmt: skip
"""Where labelling tools keep the labels: `{"choices": ["a"]}`, `[{"value": {"choices": ["a"]}}]`,
`{"taxonomy": [["a", "b"]]}` (Label Studio), `[{"label": "a"}]` (doccano), `{"accept": ["a"],
"answer": "accept"}` (Prodigy), `{"cats": {"a": 1.0, "b": 0.0}}` (spaCy)."""


@notation(
    "tool",
    "JSON of a labelling tool",
    '`{"choices": ["a", "b"]}` beside bare texts, `[{"value": {"choices": ["a"]}}]`, '
    '`[{"label": "a"}]`, `{"accept": ["a"], "answer": "accept"}`, `{"cats": {"a": 1.0}}`, '
    '`[["a", "b"]]`',
    alone='[{"',
    more="Label Studio, doccano, Prodigy, spaCy; an answer that was ignored or rejected there is "
    "not labelled",
)
def tool_labels(text: str) -> list[Any] | None:
    """The labels in JSON of a labelling tool; none for an answer that was passed over there."""
    return _labels_in(_json(text))


_DEEPEST = 10


def _labels_in(value: Any, depth: int = 0) -> list[Any] | None:
    if isinstance(value, list) and depth < _DEEPEST:
        parts = [_labels_in(v, depth + 1) if isinstance(v, (dict, list)) else [v] for v in value]
        if any(part is None for part in parts):
            return None
        return [label for part in parts for label in part or ()]
    if not isinstance(value, dict) or depth >= _DEEPEST:
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


@notation(
    "object",
    "JSON objects of true and false",
    '`{"a": true, "b": false}`, or with 1 and 0, or yes and no',
    more="the labels are the keys that are true",
)
def object_labels(text: str) -> list[Any] | None:
    """The keys of `{"a": true, "b": false}` that are true, 1 or "1"."""
    value = _json(text)
    return _chosen(value) if isinstance(value, dict) else None


def _chosen(flags: dict[Any, Any]) -> list[Any] | None:
    on = {key: False if said is None else flag(str(said)) for key, said in flags.items()}
    return None if not on or None in on.values() else [key for key, yes in on.items() if yes]


def _json(text: str) -> Any:
    """Also of JSON that was written as a text into JSON."""
    if len(text) > _MOST_CHARACTERS or text[:1] not in ("[", "{", '"'):
        return None
    try:
        value = json.loads(text)
        return json.loads(value) if isinstance(value, str) and value[:1] in ("[", "{") else value
    except (ValueError, RecursionError):
        return None


_FLAG = re.compile(
    r"""\s*(?:(?P<key>'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*"|[+-]?\d+)
        |(?P<word>[^\W\d][\w -]{0,99}?))\s*(?::|=>?)\s*(?:np\.(?:\w+\()?)?
        (?P<flag>'\w*'|"\w*"|[^\s,;'"(){}]+?)_?\)?\s*(?:[,;\n]|$)""",
    re.VERBOSE,
)


@notation(
    "flags",
    "dictionaries of true and false as Python writes them",
    "`{'a': True, 'b': False}`, `{'a': 1, 'b': np.float64(0.0)}`, `a=1; b=0`",
    more="the labels are the keys that are true",
)
def python_flags(text: str) -> list[Any] | None:
    """The keys of `{'a': True, 'b': False}`, of 1 and 0 or of yes and no, that are true; also with
    NumPy's numbers, and of several without brackets."""
    if len(text) > _MOST_CHARACTERS:
        return None
    bare = text[:1] + text[-1:] != "{}"
    inside = text if bare else text[1:-1].strip()
    flags: dict[Any, Any] = {}
    position = 0
    while position < len(inside):
        entry = _FLAG.match(inside, position)
        if entry is None:
            return None
        try:
            key = entry["word"] or ast.literal_eval(entry["key"].lstrip("+"))
        except (ValueError, SyntaxError):
            return None
        flags[key] = None if entry["flag"] == "None" else entry["flag"].strip("'\"")
        position = entry.end()
    return None if bare and len(flags) < 2 else _chosen(flags)


_BARE = re.compile(r'\s*(?:"(?P<text>(?:[^"\\]|\\.)*)"|(?P<word>[^,"\[\]{}:]+))\s*(?:,|$)')


@notation("bare", "lists in brackets", '`{a,"b, c"}` (Postgres), `[a, b]`, `(a, b)`', between=",")
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
