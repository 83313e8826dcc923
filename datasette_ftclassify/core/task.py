"""What to learn: which rows, which text, which labels.

A task is plain data. It is stored with every classifier trained on it, so that the same rows can
be read again and the same text rendered, years later and by another trainer.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from .database import Params, Relation, check_condition, condition, quote, reading, relation
from .errors import TaskError
from .label_cells import is_label
from .label_kinds import BINARY, KINDS, MULTICLASS, MULTILABEL
from .label_notations import (
    DELIMITERS,
    Reading,
    label_reader,
    passed_over_sql,
    propose_reading,
    vector_problem,
)
from .labels import Kind, LabelSet, LabelValue, unlabelled_sql, variant_groups
from .markup import MARKUPS, Markup
from .notations import NOTATIONS
from .rendering import Renderer, renderer, template_columns
from .text import TEXT_FORM, Read, reading_of
from .typed_json import read_fields
from .untrusted_json import JsonObject


@dataclass(frozen=True)
class Other:
    """Unlabelled rows that count as one label more: what is none of the others (see `other_class`).

    where: the condition that they meet, SQL, with the task's parameters
    """

    label: str
    where: str


_SAMPLE = 5_000
"""Distinct label cells looked at when the kind is proposed."""


@dataclass(frozen=True)
class Task:
    """A labelled source and how to read it. Make one with `define`, which checks it.

    source:       name of a table or view
    text:         columns that make up the text, in order
    labels:       one label column, or several 0/1 columns, one for each label
    kind:         one of `label_kinds.KINDS`
    template:     renders the text columns; None: one column as it is, several as `name: value`
    where:        condition that the rows must meet, SQL, with `params` as its named parameters
    split_column: holds train, validation or test for each row; None: a seeded split
    delimiter:    between several labels in one column; None: a JSON array
    text_form:    how texts are read, see `text`
    notation:     of several labels in one column, where it is another one (see notations)
    label_names:  the labels of vectors of 0 and 1, in their order
    markup:       html: of texts in HTML the words are read; None: all texts as they are
    merged:       labels that stand for all their variants, such as `spam` for `Spam ` (see labels)
    other:        unlabelled rows that count as a label of their own; None: none do
    """

    source: str
    text: tuple[str, ...]
    labels: tuple[str, ...]
    kind: Kind
    template: str | None = None
    where: str | None = None
    params: Params = field(default_factory=dict)
    split_column: str | None = None
    delimiter: str | None = None
    text_form: int = TEXT_FORM
    notation: str | None = None
    label_names: tuple[str, ...] = ()
    markup: Markup | None = None
    merged: tuple[LabelValue, ...] = ()
    other: Other | None = None

    def to_dict(self) -> dict[str, Any]:
        data = {**asdict(self), "params": dict(self.params)}
        # As they were before there were these, so that the same task is the same text.
        unused = [name for name in ("notation", "label_names", "merged", "other") if not data[name]]
        return {name: value for name, value in data.items() if name not in unused}

    @classmethod
    def from_dict(cls, data: JsonObject) -> Task:
        """Reads `to_dict`'s form, also from a stranger's file.

        Raises TaskError when anything in it has the wrong type.
        """
        try:
            known = {n: data[n] for n in cls.__dataclass_fields__ if data.get(n) is not None}
            params = _params(known.pop("params", {}))
            known["text_form"] = data.get("text_form", 0)
            task = replace(read_fields(cls, known), params=params)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise TaskError("A stored task is damaged: train the classifier again.") from error
        several = len(task.labels) > 1 or task.delimiter is not None
        if (
            not task.text
            or not task.labels
            or task.kind not in KINDS
            or not 0 <= task.text_form <= TEXT_FORM
            or not all(map(is_label, task.merged))
            or (several and task.exclusive)
            or task.notation not in (None, *NOTATIONS)
            or (task.notation is not None and (several or task.exclusive))
            or bool(task.label_names and task.notation != "vector")
            or task.delimiter == ""
            or (task.other is not None and not task.exclusive)
        ):
            raise TaskError("A stored task is damaged: train the classifier again.")
        return task

    @property
    def exclusive(self) -> bool:
        """Whether a row has exactly one label."""
        return KINDS[self.kind].exclusive

    @property
    def read(self) -> Read:
        """From a text put together of a row's cells to the one that is learnt and asked."""
        return reading_of(self.text_form, self.markup)

    def renderer(self) -> Renderer:
        """A function from the cells of the text columns to the text that is learnt and asked.

        Raises TemplateError."""
        return renderer(self.text, self.template, self.read)

    @property
    def named_labels(self) -> tuple[str, ...]:
        """Labels that are there whether a row has them or not: of several columns, or a vector."""
        return self.labels if len(self.labels) > 1 else self.label_names

    @property
    def label_reading(self) -> Reading:
        """How the label cells are read."""
        return Reading(self.kind, self.delimiter, self.notation, self.label_names, self.merged)

    def unlabelled_sql(self, table: str | None = None) -> str:
        """The condition for rows that nobody has labelled, as `labels.unlabelled_sql` says, or has
        passed over in a labelling tool."""
        blank = unlabelled_sql(self.labels, table)
        if self.notation != "tool":
            return blank
        before = f"{quote(table)}." if table else ""
        return f"({blank} or {passed_over_sql(before + quote(self.labels[0]))})"

    def label_set(self, values: Iterable[LabelValue]) -> LabelSet:
        """The label set, from the labels of all examples. Raises LabelError (see LabelSet).

        Named labels keep the order the user gave them, as their 0/1 strings do.
        """
        if self.named_labels:
            return LabelSet(self.named_labels, self.kind)
        return LabelSet.of(values, self.kind)


def _params(values: JsonObject) -> Params:
    if not all(v is None or isinstance(v, (str, int, float)) for v in values.values()):
        raise TypeError(values)
    return dict(values)


def define(
    conn: sqlite3.Connection,
    source: str,
    *,
    text: Sequence[str] = (),
    labels: Sequence[str],
    template: str | None = None,
    kind: Kind | None = None,
    where: str | None = None,
    params: Params | None = None,
    split_column: str | None = None,
    delimiter: str | None = None,
    label_names: Sequence[str] = (),
    markup: str | None = None,
    merged: Sequence[LabelValue] = (),
    cells: Iterable[LabelValue] | None = None,
) -> Task:
    """A checked task; the kind is proposed from the data when None.

    merged: labels that stand for their variants; see `with_variants_merged` for all there are
    cells: label cells that are known already, to propose the kind from; None: those of all rows
    Raises SourceError for a source, column or condition that is not there or does not run,
    TaskError for contradictions, TemplateError for a bad template.
    """
    source_relation = relation(conn, source)
    columns = _text_columns(source_relation, text, template)
    _check_columns(source_relation, columns, labels, split_column)
    where = (where or "").strip() or None
    check_condition(conn, source_relation, where, params or {})
    if delimiter is not None and (not delimiter or len(labels) > 1):
        raise TaskError(
            "A delimiter separates the labels of one column: choose one column.",
            fields=("delimiter",),
        )
    draft = Task(
        source=source_relation.name,
        text=columns,
        labels=tuple(labels),
        kind=kind or MULTICLASS.name,
        template=template,
        where=where,
        params=dict(params or {}),
        split_column=split_column,
        delimiter=delimiter,
        merged=tuple(merged),
        label_names=_checked_names(label_names, draft_of=labels, delimiter=delimiter),
        markup=known_markup(markup),
    )
    renderer(columns, template)
    return _with_kind(conn, source_relation, draft, kind, cells)


def _checked_names(
    names: Sequence[str], *, draft_of: Sequence[str], delimiter: str | None
) -> tuple[str, ...]:
    if not names:
        return ()
    if len(draft_of) > 1 or delimiter is not None:
        raise TaskError(
            "Label names go with vectors of 0 and 1 in one column, undelimited.",
            fields=("label_names",),
        )
    if len(set(names)) < len(names) or not all(name.strip() for name in names):
        raise TaskError("A label name is empty or given twice.", fields=("label_names",))
    return tuple(names)


def known_markup(name: str | None) -> Markup | None:
    """None for none. Raises TaskError for another word."""
    if not name or name == "none":
        return None
    found = next((markup for markup in MARKUPS if markup == name), None)
    if found is None:
        known = ", ".join(MARKUPS)
        raise TaskError(f"The markup must be one of none, {known}, not {name}.", fields=("markup",))
    return found


def _text_columns(source: Relation, text: Sequence[str], template: str | None) -> tuple[str, ...]:
    if template is not None and text:
        raise TaskError(
            "Give either text columns or a template, not both.", fields=("text", "template")
        )
    if template is not None:
        return template_columns(template, source.columns)
    if not text:
        raise TaskError(
            f"Choose text columns or a template. The columns are {', '.join(source.columns)}.",
            fields=("text", "template"),
        )
    return tuple(text)


def _check_columns(
    source: Relation, text: Sequence[str], labels: Sequence[str], split_column: str | None
) -> None:
    if not labels:
        raise TaskError(
            f"Choose a label column. The columns are {', '.join(source.columns)}.",
            fields=("label",),
        )
    split = [split_column] if split_column else []
    source.require_columns([*text, *labels, *split])
    for name in [*labels, *split]:
        if name in text:
            field = "label" if name in labels else "split_column"
            raise TaskError(
                f"Column {name} cannot be both text and label or split.", fields=(field,)
            )
    if split_column in labels:
        raise TaskError(
            f"Column {split_column} cannot be both label and split.", fields=("split_column",)
        )
    if len(set(labels)) < len(labels) or len(set(text)) < len(text):
        raise TaskError("A column is named twice.", fields=("text", "label"))


def _with_kind(
    conn: sqlite3.Connection,
    source: Relation,
    draft: Task,
    kind: Kind | None,
    cells: Iterable[LabelValue] | None,
) -> Task:
    if kind is not None and kind not in KINDS:
        raise TaskError(
            f"The kind must be one of {', '.join(KINDS)}, not {kind}.", fields=("kind",)
        )
    several = len(draft.labels) > 1 or draft.delimiter is not None
    of_several = kind or MULTILABEL.name
    if several and KINDS[of_several].exclusive:
        raise TaskError(
            f"Several label columns, or a delimiter, mean {MULTILABEL.name}, not {kind}.",
            fields=("kind",),
        )
    data = draft.to_dict()
    if draft.label_names:
        if KINDS[of_several].exclusive:
            raise TaskError(f"Label names mean {MULTILABEL.name}, not {kind}.", fields=("kind",))
        return Task.from_dict({**data, "kind": of_several, "notation": "vector"})
    if several:
        return Task.from_dict({**data, "kind": of_several})
    if kind is not None and KINDS[kind].exclusive:
        return Task.from_dict({**data, "kind": kind})
    known = _distinct_labels(conn, source, draft) if cells is None else list(cells)
    proposed = propose_reading(known)
    delimiter = proposed.delimiter
    if kind is not None and proposed.exclusive:  # the user knows better
        delimiter = next((d for d in DELIMITERS if any(d in str(c) for c in known)), None)
    read = {"kind": kind or proposed.kind, "delimiter": delimiter, "notation": proposed.notation}
    return Task.from_dict({**data, **read})


def _distinct_labels(conn: sqlite3.Connection, source: Relation, task: Task) -> list[LabelValue]:
    """Different labels, not more than a sample; a column may declare that case is no difference."""
    column = quote(task.labels[0])
    sql = (
        f"select distinct {column} collate binary from {quote(task.source)}"
        f" where {condition(task.where)} and not ({unlabelled_sql(task.labels)}) limit {_SAMPLE}"
    )
    with reading(source, task.where):
        cells = [row[0] for row in conn.execute(sql, dict(task.params))]
    return [v for v in cells if not isinstance(v, bytes)]


def unnamed_vectors(conn: sqlite3.Connection, task: Task) -> tuple[str, str] | None:
    """What is wrong with label cells that are vectors of 0 and 1 whose labels nobody has named, and
    what to do; None when they are not."""
    if task.notation != "vector" or task.label_names:
        return None
    column = quote(task.labels[0])
    sql = (
        f"select {column} from {quote(task.source)} where {condition(task.where)}"
        f" and not ({unlabelled_sql(task.labels)}) limit 1"
    )
    row = conn.execute(sql, dict(task.params)).fetchone()
    return vector_problem(task.labels[0], str(row[0]) if row else "")


def with_variants_merged(conn: sqlite3.Connection, task: Task) -> Task:
    """The task with the labels that its rows write in several ways merged, each into the commonest
    of them. Reads the label cells of all rows."""
    if len(task.labels) > 1:
        return task
    column = quote(task.labels[0])
    sql = (
        f"select {column}, count(*) from {quote(task.source)} where {condition(task.where)}"
        f" group by typeof({column}), {column} collate binary"
    )
    read = label_reader(replace(task.label_reading, merged=()), task.labels)
    counts: Counter[LabelValue] = Counter()
    kept: dict[str, LabelValue] = {}  # 1 and 1.0 are one key, and two labels
    with reading(relation(conn, task.source), task.where):
        for cell, rows in conn.execute(sql, dict(task.params)):
            for label in read((cell,)).values or ():
                counts[kept.setdefault(repr(label), label)] += rows
    groups = variant_groups(counts)
    merged = tuple(group[0] for group in groups if len(group) > 1)
    binary = task.kind == MULTICLASS.name and len(groups) == 2 and bool(merged)
    return replace(task, merged=merged, kind=BINARY.name if binary else task.kind)
