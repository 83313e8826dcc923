"""A first look at a table: which columns may be the text and the labels, and how some rows render.

A visitor waits for this, so it reads a sample of rows, never a whole table, and has a time limit: a
filter may have to search a million rows for the first that it lets through.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import TypedDict

from ..core.database import Cell, JsonKey, Relation, condition, json_key, quote, quote_all, relation
from ..core.errors import FtclassifyError, SourceError, TemplateError
from ..core.foreign_keys import find_lookup, read_names
from ..core.label_kinds import MULTICLASS, MULTILABEL
from ..core.label_notations import Reading, label_reader, name_list, propose_reading, vector_problem
from ..core.labels import Kind, LabelValue, is_blank, label_name, unlabelled_sql
from ..core.markup import MARKUPS
from ..core.rendering import renderer, template_columns
from ..core.task import Task, known_markup
from ..core.text import TEXT_FORM, reading_of
from ..core.typed_json import NOT_IN_JSON
from ..store.columns import predicted_columns
from .filters import RowFilter
from .form_fields import FieldError
from .sampling import SAMPLE_POINTS, in_a_moment, sample_conditions
from .train_form import Choices

EXAMPLES = 5
SHOWN_CHARACTERS = 400
"""Of an example on the page."""

_SAMPLE_ROWS = 1_000
_LOOK_MS = 100
_CELL_CHARACTERS = 500
_MOST_LABELS = 300
_HINTS = ("label", "class", "category", "topic", "tag", "folder", "target", "intent", "sentiment")


_TEXT_PROBLEMS = {
    "null": "no text", "empty": "an empty text", "blob": "binary data instead of a text",
}  # fmt: skip


@dataclass(frozen=True)
class Column:
    """What the sample says of a column: mean length of its texts in characters (0: none),
    different values, rows with a value, and whether others hold bytes. `ours`: predictions are
    written into it."""

    name: str
    length: int
    different: int
    filled: int
    binary: bool = False
    cells: frozenset[Cell] = field(default=frozenset(), metadata=NOT_IN_JSON)
    ours: bool = False
    is_key: bool = field(default=False, metadata=NOT_IN_JSON)


class Example(TypedDict):
    """A row as a trainer reads it. problem: why it is skipped, in words"""

    key: JsonKey
    text: str
    problem: str | None
    labels: list[str]


@dataclass
class TablePreview:
    """What the page shows before the whole table is read.

    choices:  with proposals for what was not chosen
    proposed: names of the fields that were
    reading:  of the labels, as the sample suggests; None without a label column
    errors:   by field; `rows` for what concerns no field
    """

    choices: Choices
    source: Relation
    columns: list[Column]
    sampled: int
    filter: RowFilter = field(default_factory=RowFilter)
    proposed: tuple[str, ...] = ()
    reading: Reading | None = None
    merged: list[LabelValue] = field(default_factory=list)
    examples: list[Example] = field(default_factory=list)
    errors: dict[str, str] = field(default_factory=dict)


def preview_table(
    conn: sqlite3.Connection,
    choices: Choices,
    *,
    propose: bool = True,
    closed: Collection[str] = (),
) -> TablePreview:
    """Raises SourceError when there is no such table. Everything else that is wrong is in
    `errors`, beside what could be found.

    propose: fill in text and label columns that were not chosen; False when the user cleared them
    closed:  columns that are not proposed for the labels, see `PageRequest`
    """
    source = relation(conn, choices.table)
    rows = _sample(conn, source)
    look = TablePreview(choices, source, _columns(conn, source, rows), len(rows))
    if propose:
        _propose(look, closed)
    try:
        look.merged = look.choices.merged_labels
    except FieldError as error:
        look.errors["merged"] = str(error)
    try:
        look.filter = look.choices.filter(conn)
    except SourceError as error:
        look.errors["filter"] = str(error)
    try:
        _propose_kind(look)
        look.choices.plan()
        known_markup(look.choices.markup)
    except FtclassifyError as error:
        look.errors[next(iter(error.fields), "test")] = str(error)
    columns = _text_columns(look)
    if columns and not look.errors.get("filter"):
        look.examples = _examples(conn, look, columns)
    return look


def _sample(conn: sqlite3.Connection, source: Relation) -> list[tuple[Cell, ...]]:
    """Some rows from several places, long texts cut; as many as could be read in a moment."""
    cells = [
        f"case typeof({quote(c)}) when 'blob' then x'' when 'text' then"
        f" substr({quote(c)}, 1, {_CELL_CHARACTERS}) else {quote(c)} end"
        for c in source.columns
    ]
    sql = f"select {', '.join(cells)} from {quote(source.name)}"
    rows: list[tuple[Cell, ...]] = []
    first: list[tuple[Cell, ...]] = []

    def read_samples() -> None:
        for point in sample_conditions(conn, source, _SAMPLE_ROWS):
            rows.extend(conn.execute(f"{sql} where {point} limit {_SAMPLE_ROWS // SAMPLE_POINTS}"))

    in_a_moment(conn, _LOOK_MS, read_samples)
    if len(rows) < _SAMPLE_ROWS:
        in_a_moment(
            conn, _LOOK_MS, lambda: first.extend(conn.execute(f"{sql} limit {_SAMPLE_ROWS}"))
        )
    return max(rows, first, key=len)


def _columns(
    conn: sqlite3.Connection, source: Relation, rows: Sequence[tuple[Cell, ...]]
) -> list[Column]:
    ours = predicted_columns(conn, source)
    found = []
    for index, name in enumerate(source.columns):
        cells = [c for row in rows if not is_blank(c := row[index]) and c != b""]
        texts = [cell for cell in cells if isinstance(cell, str)]
        length = round(sum(map(len, texts)) / len(texts)) if texts else 0
        found.append(
            Column(
                name,
                length=length if len(texts) * 2 > len(cells) else 0,
                different=len(set(cells)),
                filled=len(cells),
                binary=any(row[index] == b"" for row in rows),
                cells=frozenset(cells) if length <= 60 else frozenset(cells[:50]),
                ours=name in ours,
                is_key=name in source.primary_key,
            )
        )
    return found


def _propose(look: TablePreview, closed: Collection[str]) -> None:
    """Fills in the text and the label that nobody chose."""
    choices = look.choices
    free = [c for c in look.columns if c.filled and not c.ours and c.name != choices.split_column]
    if not choices.text and not choices.template:
        texts = [c for c in free if c.length and c.name not in choices.label]
        if texts:
            # A key may be long, too, and is rarely what a text is about.
            best = max(texts, key=lambda c: c.length / 4 if c.is_key else c.length)
            choices = replace(choices, text=(best.name,))
            look.proposed += ("text",)
    if not choices.label:
        used = set(choices.text)
        open_ = (c for c in free if c.name not in used and c.name.lower() not in closed)
        labels = [c for c in open_ if not c.is_key and _may_be_label(c)]
        if labels:
            best = min(labels, key=_as_label)
            choices = replace(choices, label=(best.name,))
            look.proposed += ("label",)
    look.choices = choices


def _may_be_label(column: Column) -> bool:
    most = min(_MOST_LABELS, column.filled // 2)
    return 2 <= column.different <= most and column.length <= 60


def _as_label(column: Column) -> tuple[bool, bool, int]:
    """Names that say so first, then texts before numbers, then the fewer values."""
    hinted = any(hint in column.name.lower() for hint in _HINTS)
    return not hinted, not column.length, column.different


def _propose_kind(look: TablePreview) -> None:
    choices = look.choices
    chosen = choices.proposed_kind()
    if len(choices.label) > 1 or choices.delimiter:
        look.reading = Reading(MULTILABEL.name, choices.delimiter or None)
        return
    if choices.label_names:
        names = tuple(name_list(choices.label_names))
        look.reading = Reading(MULTILABEL.name, notation="vector", names=names)
        return
    cells = next((c.cells for c in look.columns if c.name in choices.label), None)
    if cells is not None:
        proposed = propose_reading(c for c in cells if isinstance(c, (str, int, float)))
        fits = chosen in (None, proposed.kind)
        look.reading = proposed if fits else Reading(chosen or proposed.kind)
        if look.reading.notation == "vector":
            look.errors["label_names"] = vector_problem(
                choices.label[0], next(c for c in cells if isinstance(c, str) and not is_blank(c))
            )[1]


def _text_columns(look: TablePreview) -> tuple[str, ...]:
    """The columns that the text is made of; empty, with an error noted, when there are none."""
    choices, known = look.choices, look.source.columns
    for what, names in (("text", choices.text), ("label", choices.label)):
        unknown = [name for name in names if name not in known]
        if unknown:
            look.errors[what] = f"There is no column {unknown[0]}."
    if choices.split_column and choices.split_column not in known:
        look.errors["split_column"] = f"There is no column {choices.split_column}."
    both = set(choices.label) & set(choices.text)
    if both and not choices.template:
        look.errors["label"] = f"{sorted(both)[0]} cannot be both text and label."
    if not choices.label:
        look.errors.setdefault("label", "Choose the column that holds the labels.")
    if choices.template:
        try:
            return template_columns(choices.template, known)
        except TemplateError as error:
            look.errors["template"] = str(error)
            return ()
    if not choices.text:
        look.errors.setdefault("text", "Choose the column that holds the text.")
    return () if "text" in look.errors else choices.text


def _examples(
    conn: sqlite3.Connection, look: TablePreview, columns: tuple[str, ...]
) -> list[Example]:
    """The first labelled rows as a trainer reads them."""
    labels = () if "label" in look.errors else look.choices.label
    identity = look.source.identity
    labelled = f"not ({unlabelled_sql(labels)})" if labels else "1"
    sql = (
        f"select {quote_all([*identity, *columns, *labels])} from {quote(look.source.name)}"
        f" where {condition(look.filter.where)} and ({labelled}) limit {EXAMPLES}"
    )
    rows: list[tuple[Cell, ...]] = []
    params = dict(look.filter.params)
    if not in_a_moment(conn, _LOOK_MS, lambda: rows.extend(conn.execute(sql, params))):
        look.errors["rows"] = "The first rows could not be read in a moment: check the rows."
        return []
    if not rows:
        look.errors["rows"] = "No labelled row is left: remove a filter, or choose another label."
    try:
        found = [_example(look, columns, labels, row) for row in rows]
    except TemplateError as error:
        look.errors["template"] = str(error)
        return []
    names = _names_of(conn, look, {label for _, values in found for label in values})
    for example, values in found:
        example["labels"] = [names.get(value) or label_name(value) for value in values]
    return [example for example, _ in found]


def _names_of(
    conn: sqlite3.Connection, look: TablePreview, labels: set[LabelValue]
) -> dict[LabelValue, str]:
    """The names of labels that are keys of another table."""
    choices = look.choices
    kind: Kind = look.reading.kind if look.reading else MULTICLASS.name
    task = Task(look.source.name, choices.text, choices.label, kind)
    lookup = find_lookup(conn, task)
    return {} if lookup is None else read_names(conn, lookup, labels)


def _example(
    look: TablePreview, columns: tuple[str, ...], labels: tuple[str, ...], row: tuple[Cell, ...]
) -> tuple[Example, tuple[LabelValue, ...]]:
    """A row as the page shows it, without its labels, and these."""

    n_key, end = len(look.source.identity), len(look.source.identity) + len(columns)
    markup = next((m for m in MARKUPS if m == look.choices.markup), None)
    render = renderer(columns, look.choices.template or None, reading_of(TEXT_FORM, markup))
    rendered = render(row[n_key:end])
    text = rendered.text or ""
    reading = replace(look.reading or Reading(MULTICLASS.name), merged=tuple(look.merged))
    read = label_reader(reading, labels)(row[end:]) if labels else None
    values = read.values if read else None
    shown: Example = {
        "key": json_key(row[:n_key]),
        "text": text[:SHOWN_CHARACTERS] + ("…" if len(text) > SHOWN_CHARACTERS else ""),
        "problem": _TEXT_PROBLEMS.get(rendered.problem or "")
        or ("labels that cannot be read" if read and read.problem else None),
        "labels": [],
    }
    return shown, values or ()
