"""Labels as SQLite holds them, and the set of those a classifier may answer.

A label is whatever stands in the cell: text, a whole number, a real number. It keeps its type on
the way through training, scores and predictions, and has one text form, its *name*, wherever a
string is needed (JSON keys, exports, pages).
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from .errors import LabelError

LabelValue = str | int | float
Kind = Literal["binary", "multiclass", "multilabel"]
KINDS: tuple[Kind, ...] = ("binary", "multiclass", "multilabel")

MAX_LABELS = 5_000
"""More distinct values than this are not a label set but free text."""
MAX_NAME = 10_000
"""Characters of a label."""
MAX_NAMES = 1_000_000
"""Characters of all labels of a set: they are on a classifier's page."""

_POSITIVE = ("1", "true", "yes", "y", "t", "positive", "pos", "spam", "match")
_ON = {
    "1": True, "1.0": True, "true": True, "yes": True,
    "0": False, "0.0": False, "false": False, "no": False, "": False,
}  # fmt: skip


def label_name(value: LabelValue) -> str:
    """The text form of a label: `3` for 3, `2.5` for 2.5, a text as it is."""
    return value if isinstance(value, str) else json.dumps(value)


def folded(name: str) -> str:
    """What two labels share that differ only by case or white space."""
    return " ".join(name.split()).casefold()


@dataclass(frozen=True)
class LabelSet:
    """The labels a classifier may answer, in a fixed order: numbers by size, then texts.

    Raises LabelError when it is empty, too large for its kind, or when two labels have the same
    name (the number 1 beside the text '1').
    """

    values: tuple[LabelValue, ...]
    kind: Kind

    def __post_init__(self) -> None:
        if not self.values:
            raise LabelError("There are no labels: every row of the label column is empty.")
        if len(self.values) > MAX_LABELS:
            raise LabelError(
                f"{len(self.values):,} different labels are more than the {MAX_LABELS:,} a "
                "classifier can hold: is this the right column?"
            )
        if self.kind == "binary" and len(self.values) > 2:
            raise LabelError(
                f"Binary means two labels, and there are {len(self.values):,}: "
                "the kind is multiclass."
            )
        longest = max(map(len, self.names))
        if longest > MAX_NAME or sum(map(len, self.names)) > MAX_NAMES:
            raise LabelError(
                f"The labels are too long: the longest has {longest:,} characters. A label has at "
                f"most {MAX_NAME:,}, and all together {MAX_NAMES:,}: is this the right column?"
            )
        if len(set(self.names)) < len(self.values):
            twin = Counter(self.names).most_common(1)[0][0]
            raise LabelError(
                f"The label {twin} stands in the column both as a number and as text: "
                "make them one type with an UPDATE … SET label = cast(label as text)."
            )

    @classmethod
    def of(cls, values: Iterable[LabelValue], kind: Kind) -> LabelSet:
        """The distinct `values` in order."""
        return cls(tuple(sorted(set(values), key=_order)), kind)

    @cached_property
    def names(self) -> tuple[str, ...]:
        return tuple(label_name(value) for value in self.values)

    @cached_property
    def _index(self) -> dict[LabelValue, int]:
        return {value: i for i, value in enumerate(self.values)}

    def index(self, value: LabelValue) -> int | None:
        """The position of a label, None when it is not in the set."""
        return self._index.get(value)

    def positions(self, values: Iterable[LabelValue]) -> list[int]:
        """The positions of labels that are all in the set. Raises KeyError otherwise."""
        return [self._index[value] for value in values]

    def __len__(self) -> int:
        return len(self.values)

    @property
    def multilabel(self) -> bool:
        return self.kind == "multilabel"

    @cached_property
    def positive(self) -> int | None:
        """Of two labels the one to find: 1, true, yes, spam …, else the second. None otherwise."""
        if self.multilabel or len(self.values) != 2:
            return None
        folds = [folded(name) for name in self.names]
        return next((i for i, fold in enumerate(folds) if fold in _POSITIVE), 1)

    @cached_property
    def sqlite_type(self) -> str:
        """The type of a column that holds these labels, so that they come back as they were."""
        if self.multilabel or any(isinstance(v, str) for v in self.values):
            return "TEXT"
        return "REAL" if any(isinstance(v, float) for v in self.values) else "INTEGER"

    def to_dict(self) -> dict[str, Any]:
        return {"values": list(self.values), "kind": self.kind}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> LabelSet:
        """Reads `to_dict`'s form. Raises LabelError when it is not that."""
        values, kind = data.get("values"), data.get("kind")
        if (
            not isinstance(values, list)
            or kind not in KINDS
            or len(values) > MAX_LABELS
            or not all(type(v) in (str, int, float) for v in values)
            or not all(math.isfinite(v) for v in values if type(v) is float)
        ):
            raise LabelError("A stored label set is damaged: train the classifier again.")
        return cls(tuple(values), kind)


def _order(value: LabelValue) -> tuple[bool, float, str]:
    return (True, 0.0, value) if isinstance(value, str) else (False, value, "")


@dataclass(frozen=True)
class Labels:
    """What the label cells of one row say.

    `values` is None for a row that is not (or not properly) labelled, a tuple of one for binary
    and multiclass, of any length for multilabel. `problem` names what is wrong with the cells:
    `empty`, `blob`, `invalid`; None when nothing is, and for NULL, which means not yet labelled.
    """

    values: tuple[LabelValue, ...] | None
    problem: str | None = None


UNLABELLED = Labels(None)


def read_labels(
    cells: Sequence[object], kind: Kind, columns: Sequence[str], delimiter: str | None
) -> Labels:
    """Reads the label cells of one row; never raises."""
    if all(cell is None for cell in cells):
        return UNLABELLED
    if any(isinstance(cell, bytes) for cell in cells):
        return Labels(None, "blob")
    if kind != "multilabel":
        return _single(cells[0])
    if len(columns) > 1:
        return _from_flags(cells, columns)
    text = str(cells[0]).strip()
    return _from_list(text, delimiter)


def _single(cell: object) -> Labels:
    if isinstance(cell, str) and not cell.strip():
        return Labels(None, "empty")
    if isinstance(cell, float) and not math.isfinite(cell):
        return Labels(None, "invalid")
    assert isinstance(cell, (str, int, float))
    return Labels((cell,))


def _from_flags(cells: Sequence[object], columns: Sequence[str]) -> Labels:
    chosen: list[LabelValue] = []
    for cell, column in zip(cells, columns, strict=True):
        on = False if cell is None else _ON.get(str(cell).strip().lower())
        if on is None:
            return Labels(None, "invalid")
        if on:
            chosen.append(column)
    return Labels(tuple(chosen))


def _from_list(text: str, delimiter: str | None) -> Labels:
    """A JSON array, or a delimited list; an empty text is a row with none of the labels."""
    if delimiter is not None:
        parts = [part.strip() for part in text.split(delimiter)]
        return Labels(tuple(dict.fromkeys(part for part in parts if part)))
    if not text:
        return Labels(())
    items = json_array(text)
    if items is None or not all(map(_is_label, items)):
        return Labels(None, "invalid")
    return Labels(tuple(dict.fromkeys(items)))


def json_array(text: str) -> list[Any] | None:
    """The items of a JSON array; None for any other text."""
    if not text.lstrip().startswith("["):
        return None
    try:
        items = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return items if isinstance(items, list) else None


def _is_label(item: object) -> bool:
    """Whether SQLite and JSON can hold it: no nested value, no NaN or infinity, no half of a
    surrogate pair."""
    if isinstance(item, str):
        return item.isascii() or not any("\ud800" <= c <= "\udfff" for c in item)
    return type(item) is int or (isinstance(item, float) and math.isfinite(item))
