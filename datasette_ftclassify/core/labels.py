"""Labels as SQLite holds them, and the set of those a classifier may answer.

A label is whatever stands in the cell: text, a whole number, a real number. It keeps its type on
the way through training, scores and predictions, and has one text form, its *name*, wherever a
string is needed (JSON keys, exports, pages).
"""

from __future__ import annotations

import html
import json
import math
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from .database import NotUtf8, quote
from .errors import LabelError
from .humanize import shortened
from .label_kinds import KINDS, MULTICLASS, LabelKind
from .label_kinds import LabelValue as LabelValue
from .untrusted_json import JsonObject

Kind = str
"""The name of one of `label_kinds.KINDS`."""

MAX_LABELS = 5_000
"""More distinct values than this are not a label set but free text."""
MAX_NAME = 10_000
"""Characters of a label."""
MAX_NAMES = 1_000_000
"""Characters of all labels of a set: they are on a classifier's page."""

_POSITIVE = ("1", "true", "yes", "y", "t", "positive", "pos", "spam", "match")
_WHITE_SPACE = (
    "\t\n\v\f\r\x1c\x1d\x1e\x1f \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007"
    "\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000"
)
"""What str.strip() takes away."""
INVISIBLE = "".join(
    chr(code)
    for first, last in (
        (0xAD, 0xAD), (0x34F, 0x34F), (0x61C, 0x61C), (0x115F, 0x1160), (0x17B4, 0x17B5),
        (0x180B, 0x180F), (0x200B, 0x200F), (0x202A, 0x202E), (0x2060, 0x206F), (0x3164, 0x3164),
        (0xFE00, 0xFE0F), (0xFEFF, 0xFEFF), (0xFFA0, 0xFFA0),
    )
    for code in range(first, last + 1)
)  # fmt: skip
"""Characters without a shape or a width: zero-width spaces and joiners, byte order marks, soft
hyphens, marks of direction and variation (Unicode: Default_Ignorable_Code_Point, first plane)."""
BLANKS = _WHITE_SPACE + INVISIBLE
"""A cell with nothing but these is blank, in Python and in SQL."""


def is_blank(cell: object) -> bool:
    """Whether a label cell says nothing: NULL, or a text of BLANKS. A row whose label cells are all
    blank is not labelled; see `unlabelled_sql` for the same in SQL."""
    if not isinstance(cell, str):
        return cell is None
    text = cell.strip()
    return not text or (text[0] > "\x7f" and not text.strip(BLANKS))


def unlabelled_sql(columns: Iterable[str], table: str | None = None) -> str:
    """The condition for rows that are not labelled: all label cells are blank, as `is_blank` says.

    table: before the names of the columns, where a name that is no column must not be a text
    """
    before = f"{quote(table)}." if table else ""
    names = [before + quote(column) for column in columns]
    return " and ".join(
        f"({name} is null or (typeof({name}) = 'text' and {trimmed_sql(name)} = ''))"
        for name in names
    )


def trimmed(text: str) -> str:
    """Without BLANKS at its ends."""
    text = text.strip()
    return text if text.isascii() else text.strip(BLANKS)


def trimmed_sql(expression: str) -> str:
    """`trimmed` in SQL. The characters are numbers there, which every encoding takes alike."""
    return f"trim({expression}, char({','.join(str(ord(c)) for c in BLANKS)}))"


def label_name(value: LabelValue) -> str:
    """The text form of a label: `3` for 3, `2.5` for 2.5, a text as it is."""
    return value if isinstance(value, str) else json.dumps(value)


def named(name: str, *, always: bool = False) -> str:
    """A label in a sentence of one line: cut when long, and in quotes (always, or) where it could
    be taken for several names, for quotes or for white space."""
    short = shortened(name, 40)
    plain = short.isprintable() and short == short.strip() and not set(short) & set(",\"'")
    return short if plain and short and not always else repr(short)


def label_of_bytes(raw: bytes) -> NotUtf8:
    """A label that is not UTF-8. It is shown as `P\\xe4ckchen`, so that labels of different bytes
    have different names, and goes back into cells as the bytes that it came from."""
    return NotUtf8(raw.decode("utf-8", "backslashreplace"), raw)


def folded(name: str) -> str:
    """What two labels share that differ only by case, white space, characters without a width, or
    the normal form of their accents."""
    if not name.isascii():
        name = unicodedata.normalize("NFC", name.translate(_NOTHING))
    return " ".join(name.split()).casefold().replace("i\u0307", "i").replace("\u0131", "i")


_NOTHING = dict.fromkeys(map(ord, INVISIBLE))
_NUMBER = re.compile(r"\+?(-?(?:0|[1-9][0-9]*))(?:(?:\.|,(?![0-9]{3}$))([0-9]*?)0*)?")
_AROUND_SIGNS = re.compile(r" ?([/&%+()]) ?")
_MIDNIGHT = re.compile(r"^(\d{4}-\d\d-\d\d)[ t]00:00(?::00(?:\.0+)?)?$")


def variant_key(label: LabelValue) -> str:
    """What two labels share that are one label written in two ways: `joined` names, wide letters,
    ligatures and Cyrillic letters that look like Latin ones, curved quotes and long dashes, spaces
    beside signs, quotes or a tag around all, the mark of an item of a list before it (`[x]`, `-`,
    `1.`) and a full stop after it; of numbers the value, so that 1, 1.0, '1' and '1,0' are variants
    and 1 and '01' are not; a day and its midnight. UTF-8 that was read in another encoding, bytes
    of cp1252 and entities of HTML count as what they say."""
    if isinstance(label, NotUtf8):
        name = label.raw.decode("cp1252", "backslashreplace")
    else:
        name = _mended(label_name(label)).replace("\0", "")
    name = html.unescape(name) if "&" in name else name
    name = looks_like(joined(name if name.isascii() else "".join(map(_plain, name))))
    if tagged := _TAGGED.fullmatch(name):
        name = tagged[2].strip()
    name = _LISTED.sub("", name)
    name = _MIDNIGHT.sub(r"\1", _AROUND_SIGNS.sub(r"\1", name))
    bare = name.rstrip(_AFTER)
    if quoted := _QUOTED.fullmatch(bare):
        bare = quoted[1].strip().rstrip(_AFTER)
    name = bare or name
    number = _NUMBER.fullmatch(name)
    return name if number is None else f"{number[1]}.{number[2]}" if number[2] else number[1]


def joined(name: str) -> str:
    """What `folded` names share that differ by hyphens and underscores for spaces, too."""
    name = _JOINTS.sub(" ", unicodedata.normalize("NFC", name))
    return unicodedata.normalize("NFC", folded(name))


# Not before a digit, where it may be a sign, unless it joins it to a word.
_JOINTS = re.compile(r"(?<=\w)_+(?=\w)|(?<=[^\W\d_])[-\u2010-\u2013]+(?=[^\W_])")
_TAGGED = re.compile(r"<([^<>/ ]+)(?: [^<>]*)?>([^<>]+)</\1>[.,;: ]*")
_LISTED = re.compile(r"^(?:(?:[-*•]|\d{1,3}[.)]|[☑✓✔✅]) |\[x\] ?)+(?=[^\W\d_])")
_AFTER = ".,;:…。 "
_QUOTED = re.compile("""["'`“”‘’„‚«»‹›](.+)["'`“”‘’„‚«»‹›]""")
_LOOKALIKES = str.maketrans("аеорсухіѕјيىك’‘“”‐‑‒–—―−", "aeopcyxisjییک''\"\"-------")


def looks_like(name: str) -> str:
    """What names share that look the same: accents in one form, and letters of one alphabet."""
    return unicodedata.normalize("NFC", name).translate(_LOOKALIKES)


_FORMS = ("<wide>", "<narrow>", "<compat>", "<initial>", "<medial>", "<final>", "<isolated>")


def _plain(letter: str) -> str:
    """A wide letter, an Arabic form, a ligature or a digit as it is usually written, or itself."""
    if letter.isdecimal():
        return str(unicodedata.decimal(letter))
    how = unicodedata.decomposition(letter)
    return unicodedata.normalize("NFKC", letter) if how.startswith(_FORMS) else letter


def _mended(name: str) -> str:
    """`Päckchen` for `PÃ¤ckchen`; other names as they are."""
    if name.isascii():
        return name
    for encoding in ("cp1252", "latin-1"):
        with suppress(UnicodeError):
            return _mended(name.encode(encoding).decode())
    return name


def variant_groups(counts: Mapping[LabelValue, int]) -> list[list[LabelValue]]:
    """Labels that are variants of each other together, the commonest first; most are alone. Bytes
    that are not UTF-8 are a variant of a label that is, and never of each other."""
    groups: dict[str, list[LabelValue]] = {}
    for label in counts:
        groups.setdefault(variant_key(label), []).append(label)
    found: list[list[LabelValue]] = []
    for group in groups.values():
        ordered = sorted(group, key=lambda label: _commonest(label, counts[label]))
        readable = not isinstance(ordered[0], NotUtf8)
        found += [ordered] if readable else [[label] for label in ordered]
    return found


def _commonest(label: LabelValue, rows: int) -> tuple[bool, int, bool, str]:
    name = label_name(label)
    return isinstance(label, NotUtf8), -rows, _mended(name) != name, name


@dataclass(frozen=True)
class LabelSet:
    """The labels a classifier may answer, in a fixed order: numbers by size, then texts.

    given:  their names, where the values are keys of another table (see `foreign_keys`), in the
            same order, as they were when the set was made
    lookup: that table
    Raises LabelError when it is empty, too large for its kind, or when two labels have the same
    name (the number 1 beside the text '1').
    """

    values: tuple[LabelValue, ...]
    kind: Kind
    given: tuple[str, ...] | None = None
    lookup: str | None = None

    def __post_init__(self) -> None:
        if not self.values:
            raise LabelError("There are no labels: every row of the label column is empty.")
        if len(self.values) > MAX_LABELS:
            raise LabelError(
                f"{len(self.values):,} different labels are more than the {MAX_LABELS:,} a "
                "classifier can hold: is this the right column?"
            )
        most = self.label_kind.most
        if most is not None and len(self.values) > most:
            raise LabelError(
                f"{self.kind.capitalize()} means {self.label_kind.title}, and there are "
                f"{len(self.values):,}: the kind is {MULTICLASS.name}."
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

    def named(self, names: Mapping[LabelValue, str], table: str) -> LabelSet:
        """The same labels by the names that `table` has for them, all different."""
        return LabelSet(self.values, self.kind, tuple(names[v] for v in self.values), table)

    @cached_property
    def names(self) -> tuple[str, ...]:
        if self.given is not None:
            return self.given
        return tuple(label_name(value) for value in self.values)

    def name_of(self, value: LabelValue) -> str:
        """The name of a label in the set. Raises KeyError otherwise."""
        return self.names[self._index[value]]

    @cached_property
    def _index(self) -> dict[LabelValue, int]:
        return {value: i for i, value in enumerate(self.values)}

    def index(self, value: LabelValue) -> int | None:
        """The position of a label, None when it is not in the set."""
        return self._index.get(value)

    def position_called(self, label: object) -> int | None:
        """The position of a label that somebody names by its value or by its name; None when the
        set has no such label."""
        if isinstance(label, (int, float)) and label in self._index:
            return self._index[label]
        return self._named.get(label) if isinstance(label, str) else None

    @cached_property
    def _named(self) -> dict[str, int]:
        values = {v: i for v, i in self._index.items() if isinstance(v, str)}
        return {name: i for i, name in enumerate(self.names)} | values

    def positions(self, values: Iterable[LabelValue]) -> list[int]:
        """The positions of labels that are all in the set, ascending: in which order a cell names
        its labels says nothing. Raises KeyError for a value that is not in the set."""
        return sorted({self._index[value] for value in values})

    def __len__(self) -> int:
        return len(self.values)

    @cached_property
    def label_kind(self) -> LabelKind:
        return KINDS[self.kind]

    @cached_property
    def exclusive(self) -> bool:
        """Whether a row has exactly one of them."""
        return self.label_kind.exclusive

    def cell(self, values: Sequence[LabelValue]) -> LabelValue:
        """The labels of one row as they stand in a label column."""
        return self.label_kind.cell([self.as_it_was(value) for value in values])

    @cached_property
    def positive(self) -> int | None:
        """Of two labels the one to find: 1, true, yes, spam …, else the second. None otherwise."""
        if not self.exclusive or len(self.values) != 2:
            return None
        folds = [folded(name) for name in self.names]
        return next((i for i, fold in enumerate(folds) if fold in _POSITIVE), 1)

    @cached_property
    def sqlite_type(self) -> str:
        """The type of a column that holds these labels, so that they come back as they were: none
        for labels of several types, which every other type would make alike."""
        types = {str if isinstance(v, str) else type(v) for v in self.values}
        if not self.exclusive or types == {str}:
            return "TEXT"
        return {int: "INTEGER", float: "REAL"}[types.pop()] if len(types) == 1 else ""

    def to_dict(self) -> dict[str, Any]:
        data: dict[str, Any] = {"values": list(self.values), "kind": self.kind}
        raw = {
            str(i): value.raw.hex()
            for i, value in enumerate(self.values)
            if isinstance(value, NotUtf8)
        }
        if raw:
            data["raw"] = raw
        if self.given is not None:
            data |= {"names": list(self.given), "lookup": self.lookup}
        return data

    @classmethod
    def from_dict(cls, data: JsonObject) -> LabelSet:
        """Reads `to_dict`'s form. Raises LabelError when it is not that."""
        damaged = LabelError("A stored label set is damaged: train the classifier again.")
        values, kind = data.get("values"), data.get("kind")
        if (
            not isinstance(values, list)
            or not isinstance(kind, str)
            or kind not in KINDS
            or len(values) > MAX_LABELS
            or not all(type(v) in (str, int, float) for v in values)
            or not all(math.isfinite(v) for v in values if type(v) is float)
        ):
            raise damaged
        values = list(values)  # what it is read from stays as it is
        try:
            for number, raw in dict(data.get("raw") or {}).items():
                label = label_of_bytes(bytes.fromhex(raw))
                values[values.index(label, int(number))] = label
        except (ValueError, TypeError) as error:
            raise damaged from error
        names, lookup = data.get("names"), data.get("lookup")
        if names is None:
            return cls(tuple(values), kind)
        if (
            not isinstance(names, list)
            or len(names) != len(values)
            or not all(isinstance(name, str) for name in names)
            or not isinstance(lookup, str)
        ):
            raise damaged
        return cls(tuple(values), kind, tuple(names), lookup)

    def as_it_was(self, value: LabelValue) -> LabelValue:
        """A label of the set as it stood in its cell, where only its text is known."""
        position = self.index(value)
        return value if position is None else self.values[position]

    @cached_property
    def has_raw(self) -> bool:
        """Whether a label is not UTF-8."""
        return any(isinstance(value, NotUtf8) for value in self.values)


def _order(value: LabelValue) -> tuple[bool, float, str]:
    return (True, 0.0, value) if isinstance(value, str) else (False, value, "")
