"""What the label cells of one row say: one label, flags, or a list."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from .database import NotUtf8
from .flags import flag
from .label_kinds import KINDS
from .labels import Kind, LabelValue, is_blank, label_of_bytes, trimmed
from .text import is_utf8


@dataclass(frozen=True)
class Labels:
    """What the label cells of one row say.

    `values` is None for a row that is not (or not properly) labelled, a tuple of one where labels
    exclude each other, else of any length. `problem` names what is wrong with the cells:
    `empty` (not labelled, as NULL is, but in blank text), `blob`, `undecodable`, `invalid`,
    `vector` (0s and 1s that nobody has named); None when nothing is, and for NULL.
    partly_blank: of several flags, some are blank, which counts as off
    """

    values: tuple[LabelValue, ...] | None
    problem: str | None = None
    partly_blank: bool = field(default=False, compare=False)

    @property
    def blank(self) -> bool:
        """Whether nobody has labelled the row."""
        return self.values is None and self.problem in (None, "empty")


UNLABELLED = Labels(None)
_EMPTY = Labels(None, "empty")


def read_labels(
    cells: Sequence[object], kind: Kind, columns: Sequence[str], delimiter: str | None
) -> Labels:
    """Reads the label cells of one row; never raises."""
    if all(map(is_blank, cells)):
        return UNLABELLED if all(cell is None for cell in cells) else _EMPTY
    if any(isinstance(cell, bytes) for cell in cells):
        return Labels(None, "blob")
    exclusive = KINDS[kind].exclusive
    if any(isinstance(cell, NotUtf8) for cell in cells):
        # What a list is made of cannot be told from the bytes of the whole.
        one = cells[0] if exclusive else None
        values = (label_of_bytes(one.raw),) if isinstance(one, NotUtf8) else None
        return Labels(values, "undecodable")
    if exclusive:
        return _single(cells[0])
    if len(columns) > 1:
        return _from_flags(cells, columns)
    return _from_list(trimmed(str(cells[0])), delimiter)


def _single(cell: object) -> Labels:
    if isinstance(cell, float) and not math.isfinite(cell):
        return Labels(None, "invalid")
    assert isinstance(cell, (str, int, float))
    return Labels((cell,))


def _from_flags(cells: Sequence[object], columns: Sequence[str]) -> Labels:
    """A blank beside a flag is off: many sheets only mark what applies."""
    chosen: list[LabelValue] = []
    partly_blank = False
    for cell, column in zip(cells, columns, strict=True):
        on = None if cell is None else flag(trimmed(str(cell)))
        if on is None and is_blank(cell):
            on, partly_blank = False, True
        if on is None:
            return Labels(None, "invalid")
        if on:
            chosen.append(column)
    return Labels(tuple(chosen), partly_blank=partly_blank)


def _from_list(text: str, delimiter: str | None) -> Labels:
    """A JSON array, or a delimited list; `[]` is a row with none of the labels."""
    if delimiter is not None and text != "[]":
        parts = map(trimmed, split_list(text, delimiter))
        return Labels(tuple(dict.fromkeys(part for part in parts if part)))
    items = json_array(text)
    if items is None or not all(map(is_label, items)):
        return Labels(None, "invalid")
    return Labels(tuple(dict.fromkeys(items)))


def split_list(text: str, delimiter: str) -> list[str]:
    """The parts of a delimited list. In double quotes one may hold the delimiter, as in CSV; quotes
    around any other are part of it."""
    if '"' not in text:
        return text.split(delimiter)
    parts, place = [], 0
    while place <= len(text):
        quoted = _QUOTED.match(text, place)
        end = quoted.end() if quoted and delimiter in quoted[1] else -1
        if quoted and (end == len(text) or (end > 0 and text.startswith(delimiter, end))):
            parts.append(quoted[1].replace('""', '"'))
        else:
            found = text.find(delimiter, place)
            end = found if found >= 0 else len(text)
            parts.append(text[place:end])
        place = end + len(delimiter)
    return parts


_QUOTED = re.compile(r'\s*"((?:[^"]|"")*)"')


def in_list(name: str, delimiter: str) -> str:
    """A label as `split_list` reads it."""
    return '"{}"'.format(name.replace('"', '""')) if delimiter in name else name


def json_array(text: str) -> list[Any] | None:
    """The items of a JSON array; None for any other text."""
    if not text.lstrip().startswith("["):
        return None
    try:
        items = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return items if isinstance(items, list) else None


def is_label(item: object) -> bool:
    """Whether SQLite and JSON can hold it: no nested value, no NaN or infinity, no half of a
    surrogate pair."""
    if isinstance(item, str):
        return is_utf8(item)
    return type(item) is int or (isinstance(item, float) and math.isfinite(item))
