"""From the labels that somebody chose to what stands in the row's cells, in the notation that the
table has. What cannot be written so that it is read again as it was chosen, is refused."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Sequence

from ...core.database import Cell, Relation, quote
from ...core.errors import ReviewError
from ...core.label_cells import in_list
from ...core.label_notations import label_reader
from ...core.labels import LabelSet, LabelValue, is_blank, label_name
from ...core.task import Task

_PAIRS: tuple[tuple[Cell, Cell], ...] = (
    (1, 0), ("1", "0"), ("true", "false"), ("True", "False"), ("TRUE", "FALSE"), ("yes", "no"),
    ("Yes", "No"), ("y", "n"), ("Y", "N"), ("t", "f"), ("on", "off"), ("x", None), ("X", None),
    ("\u2713", None), ("\u2714", None),
)  # fmt: skip
"""How flags are written, on and off."""

_LOOKED_AT = 1_000


def as_cells(
    conn: sqlite3.Connection,
    task: Task,
    source: Relation,
    labels: LabelSet,
    chosen: Collection[LabelValue],
    before: Sequence[Cell],
) -> tuple[Cell, ...]:
    """The cells of the label columns that say `chosen`; those that say it already, as they are.

    before: as they are now
    Raises ReviewError.
    """
    if task.exclusive:
        if len(chosen) != 1:
            raise ReviewError("Choose one label.", fields=("label",))
        (value,) = chosen
        return (labels.as_it_was(value),)
    if len(task.labels) > 1:
        cells = tuple(
            _flag(conn, source, column, column in chosen, cell, task)
            for column, cell in zip(task.labels, before, strict=True)
        )
        if all(map(is_blank, cells)):  # which would say that nobody has labelled the row
            cells = tuple(0 for _ in cells)
    else:
        cells = (_list(task, [v for v in labels.values if v in chosen], before[0]),)
    read = label_reader(task.label_reading, task.labels)(cells)
    if read.values is None or set(read.values) != set(chosen):
        raise ReviewError(
            f"The labels of {source.name} are written in a way in which these cannot be: "
            f"{', '.join(map(label_name, chosen)) or 'no label'}. Change the cell itself."
        )
    return cells


def _flag(
    conn: sqlite3.Connection, source: Relation, column: str, on: bool, cell: Cell, task: Task
) -> Cell:
    alone = label_reader(task.label_reading, task.labels)
    others: list[Cell] = [0] * len(task.labels)
    at = task.labels.index(column)
    others[at] = cell
    if cell is not None and bool((alone(others).values or ()) == (column,)) == on:
        return cell
    known = {
        value for (value,) in conn.execute(
            f"select distinct c from (select {quote(column)} as c from {quote(source.name)}"
            f" limit {_LOOKED_AT})"
        ).fetchall() if not isinstance(value, bytes)
    }  # fmt: skip
    for yes, no in _PAIRS:
        if any(type(v) is type(yes) and v == yes for v in known):
            return yes if on else no
    return 1 if on else 0


def _list(task: Task, chosen: Sequence[LabelValue], cell: Cell) -> Cell:
    names = list(map(label_name, chosen))
    if task.delimiter is not None:
        spaced = isinstance(cell, str) and f"{task.delimiter} " in cell
        between = task.delimiter + (" " if spaced or (task.delimiter == "," and not cell) else "")
        return between.join(in_list(name, task.delimiter) for name in names) or "[]"
    text = cell if isinstance(cell, str) else ""
    if task.notation == "vector":
        flags = ["1" if name in names else "0" for name in task.label_names]
        return ("[" + ", ".join(flags) + "]") if text[:1] in ("[", "") else ",".join(flags)
    if task.notation == "python":
        return repr(list(chosen))
    if task.notation == "bare":
        quoted = [json.dumps(n, ensure_ascii=False) if set(n) & set(',"\\{}') else n for n in names]
        return "{" + ",".join(quoted) + "}"
    return json.dumps(list(chosen), ensure_ascii=False)
