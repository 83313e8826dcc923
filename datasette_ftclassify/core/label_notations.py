"""How several labels are written into one cell: recognised, read, and questioned.

Data sets and labelling tools each have a notation of their own. Taken as it stands, `['a', 'b']` is
one odd label and `[0, 1, 0]` a row with the labels 0 and 1; so what the cells look like is proposed
from many of them, shown before anything is learnt, and stored with the task.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from .label_cells import UNLABELLED, Labels, is_label, json_array, read_labels, split_list
from .label_kinds import BINARY, KINDS, MULTICLASS, MULTILABEL
from .labels import Kind, LabelValue, is_blank, trimmed, variant_key
from .notations import BITS, NOTATIONS, vector

DELIMITERS = ("|", ";", "#", ";#", "\n", ",")
_CACHED, _CACHED_CHARACTERS = 20_000, 1_000


LabelReader = Callable[[Sequence[object]], Labels]


@dataclass(frozen=True)
class Reading:
    """How label cells are read.

    delimiter: between labels in one column; None: a JSON array, or the notation
    notation:  None for the plain ones (one label, JSON arrays, delimited lists)
    names:     of vectors: the labels, in the order of their 0s and 1s; empty until named
    merged:    labels each of which stands for all its variants (see labels.variant_key)
    """

    kind: Kind
    delimiter: str | None = None
    notation: str | None = None
    names: tuple[str, ...] = ()
    merged: tuple[LabelValue, ...] = ()

    @property
    def exclusive(self) -> bool:
        """Whether a row has exactly one label."""
        return KINDS[self.kind].exclusive

    @property
    def words(self) -> str:
        """`, labels separated by ;`, to go on after the kind; empty for plain cells."""
        if self.notation:
            return f", read from {NOTATIONS[self.notation].words}"
        if self.delimiter is None:
            return ""
        return f", labels separated by {delimiter_words(self.delimiter)}"


def delimiter_words(delimiter: str) -> str:
    """A delimiter as people are told it."""
    return {"\n": "line breaks", "\t": "tabs", " ": "spaces"}.get(delimiter, delimiter)


def label_reader(reading: Reading, columns: Sequence[str]) -> LabelReader:
    """Reads the label cells of a row, as `read_labels` does: never raises."""
    read = _cell_reader(reading, columns)
    if not reading.merged:
        return read
    canonical = {variant_key(label): label for label in reading.merged}
    known: dict[tuple[type, LabelValue], LabelValue] = {}

    def one(label: LabelValue) -> LabelValue:
        key = (type(label), label)
        if key not in known and len(known) < _CACHED:
            known[key] = canonical.get(variant_key(label), label)
        return known[key] if key in known else canonical.get(variant_key(label), label)

    def merged(cells: Sequence[object]) -> Labels:
        labels = read(cells)
        if not labels.values:
            return labels
        return replace(labels, values=tuple(dict.fromkeys(map(one, labels.values))))

    return merged


def _cell_reader(reading: Reading, columns: Sequence[str]) -> LabelReader:
    """Remembers what short texts and flags mean, since labels come back."""
    several = len(columns) > 1
    known: dict[object, Labels] = {}

    def read(cells: Sequence[object]) -> Labels:
        # 1 and 1.0 are the same flag and the same key, and two labels.
        key = tuple(cells) if several else cells[0]
        if not several and not isinstance(key, str):
            return _read(reading, cells, columns)
        labels = known.get(key)
        if labels is None:
            labels = _read(reading, cells, columns)
            if len(known) < _CACHED and all(map(_is_short, cells)):
                known[key] = labels
        return labels

    return read


def _is_short(cell: object) -> bool:
    """Whether it may be remembered: a text with signs may be the reading of bytes that are none."""
    if type(cell) is str:
        return len(cell) <= _CACHED_CHARACTERS and "\ufffd" not in cell
    return cell is None or type(cell) in (int, float)


def _read(reading: Reading, cells: Sequence[object], columns: Sequence[str]) -> Labels:
    cell = cells[0]
    if reading.notation is None or is_blank(cell) or type(cell) not in (str, int, float):
        return read_labels(cells, reading.kind, columns, reading.delimiter)
    text, notation = trimmed(str(cell)), NOTATIONS[reading.notation]
    if notation.flags:
        flags = notation.parse(text)
        if not reading.names:
            return Labels(None, notation.name)
        if flags is None or len(flags) != len(reading.names):
            return Labels(None, "invalid")
        chosen = zip(reading.names, flags, strict=True)
        return Labels(tuple(name for name, flag in chosen if flag))
    items = json_array(text)
    if not _are_labels(items):
        items = notation.parse(text)
    if items is None and notation.alone and text[:1] not in notation.alone:
        items = [cell]  # Label Studio writes a single choice as it is
    if items == [] and text[:1] == "{" and '"answer"' in text:
        return UNLABELLED
    if items is None or not _are_labels(items):
        return Labels(None, "invalid")
    return Labels(tuple(dict.fromkeys(items)))


def passed_over_sql(cell: str) -> str:
    """The condition for cells of a labelling tool that say that nobody chose a label, which are
    read as UNLABELLED. cell: an expression"""
    return (
        f"case when typeof({cell}) = 'text' and json_valid({cell}) then"
        f" json_type({cell}, '$.answer') is not null and"
        f" (json_extract({cell}, '$.answer') is not 'accept' or"
        f" (json_type({cell}, '$.accept') = 'array' and json_array_length({cell}, '$.accept') = 0))"
        " else 0 end"
    )


def propose_reading(cells: Iterable[LabelValue]) -> Reading:
    """How distinct label cells are to be read, as far as they say.

    A list notation is one that most cells are written in: a few may be damaged. A delimiter is one
    whose parts recombine: the cells are made of no more different parts than there are cells, and
    half of the parts come back. Of commas, which also stand in names and in numbers, lists must
    differ in length, too.
    """
    values = [v for v in cells if not is_blank(v)]
    texts = [trimmed(v) for v in values if isinstance(v, str)]
    if texts and all(map(_OF_NUMBERS.fullmatch, texts)):
        # A column for numbers has made one of a label that is alone: 3 beside '1;2'.
        texts += [str(v) for v in values if isinstance(v, int)]
    if texts and len(texts) == len(values):
        if (notation := _notation(texts)) is not None:
            return Reading(MULTILABEL.name, notation=notation)
        if sum(json_array(text) is not None for text in texts) * 2 > len(texts):
            return Reading(MULTILABEL.name)
        # Another delimiter leaves pieces of the right one at its parts, which makes more of them.
        parts = {d: n for d in DELIMITERS if (n := _recombining(texts, d))}
        if parts:
            return Reading(MULTILABEL.name, min(parts, key=lambda d: parts[d]))
    return Reading((BINARY if len(values) == 2 else MULTICLASS).name)


_OF_NUMBERS = re.compile(r"[\d\s|;#,]+")


def _notation(texts: list[str]) -> str | None:
    if _are_vectors(texts):
        return "vector"
    if sum(_are_labels(json_array(text)) for text in texts) * 2 > len(texts):
        return None
    for notation in NOTATIONS.values():
        if notation.flags:
            continue
        read = [text for text in texts if _are_labels(notation.parse(text))]
        inside = [text[1:-1] for text in read]
        if len(read) * 2 > len(texts) and (
            notation.between is None or _recombining(inside, notation.between)
        ):
            return notation.name
        # Of a damaged cell that begins with a quote, the others still say what they are.
        alone = [text for text in texts if text[:1] not in notation.alone.strip('"')]
        if notation.alone and len(read) >= 2 and len(read) + len(alone) == len(texts):
            return notation.name
    return None


def _are_labels(items: list[Any] | None) -> bool:
    return items is not None and all(map(is_label, items))


def _are_vectors(texts: list[str]) -> bool:
    """Whether nearly all are as long as each other: three flags at least, two in brackets."""
    vectors = [vector(text) or [] for text in texts if not BITS.fullmatch(text) and vector(text)]
    if len(vectors) < 2 or len(vectors) < 0.9 * len(texts):
        return False
    lengths = {len(flags) for flags in vectors}
    least = 2 if all(text[:1] in ("[", "(", "a") for text in texts) else 3
    return len(lengths) == 1 and min(lengths) >= least


def _recombining(texts: Sequence[str], delimiter: str) -> int:
    """Of how many different parts `texts` are made, where they are lists; 0 where they are names
    that happen to hold the character."""
    lists = [text for text in texts if delimiter in text]
    if len(lists) < 2 or (delimiter == "," and len({t.count(",") for t in texts}) < 2):
        return 0
    parts = [{p.strip() for p in split_list(text, delimiter) if p.strip()} for text in lists]
    singles = {text.strip() for text in texts if delimiter not in text}
    uses: dict[str, int] = dict.fromkeys(singles, 1)
    for part in (p for group in parts for p in group):
        uses[part] = uses.get(part, 0) + 1
    vocabulary = set().union(*parts)
    again = sum(uses[part] > 1 for part in vocabulary)
    count = len(vocabulary)
    return count if count <= max(len(texts), 2) and again * 2 >= count else 0


_TORN = re.compile(
    r"""^[\[{(]\s*["'] | ["']\s*[\]})]$ | ["']\s*:\s | ^"[^"]*"$ | ^'[^']*'$ |
        ^[\[{][^\]}]*$ | ^[^\[{]*[\]}]$ | ^\([^)]*$ | \\["']""",
    re.VERBOSE,
)


def torn(names: Iterable[str]) -> list[str]:
    """Those that look like a piece of another notation: `['bill'`, `"a"`, `{"choices": ["a"`."""
    return [name for name in names if _TORN.search(name[:1_000])]


def vector_problem(column: str, cell: str) -> tuple[str, str]:
    """What to say of vectors that nobody has named, and what to do."""
    flags = vector(trimmed(cell)) or []
    shown = cell if len(cell) <= 60 else f"{cell[:60]}…"
    return (
        f"The cells of {column} look like vectors of 0 and 1 for {len(flags)} labels, such as "
        f"{shown}, and the names of the labels are not known.",
        "Give the label names in the order of the 0s and 1s.",
    )


def name_list(text: str) -> list[str]:
    """Label names as people write them: `a, b, c`, or a JSON array of texts."""
    items = json_array(text)
    if items is not None and all(isinstance(item, str) for item in items):
        return items
    return [name for name in map(trimmed, text.split(",")) if name]
