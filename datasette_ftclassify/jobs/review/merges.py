"""Labels of a column that are made one: what that would change, the change, as one record that is
undone as one, and labels of which it is likely."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256

from ...core.database import Cell, Key, Relation, quote, quote_text
from ...core.errors import FtclassifyError, LabelError, ReviewError, RowChanged
from ...core.humanize import label_text, percent, rows_text
from ...core.label_kinds import MULTICLASS
from ...core.label_notations import label_reader
from ...core.labels import LabelSet, LabelValue, label_name, variant_groups
from ...core.task import Task
from ...core.typed_json import NOT_IN_JSON
from ...metrics.counts import confusion_cells
from ...metrics.intervals import wilson_interval
from ...store.change_batches import add_batch, add_changes, set_rows
from ...store.classifiers import Classifier, list_classifiers
from ...store.evaluations import OUT_OF_FOLD, evaluation_text, metrics_of
from ...store.minimum_scores import find_minimum
from ...store.schema import ensure_schema, transaction
from .cells import as_cells
from .changes import added_label, cells_are, write_cells
from .rows import exact, find_source, offered_labels

MOST_ROWS = 100_000
"""That one merge changes: each is recorded, so that it can be undone."""

MOST_CELLS = 50_000
"""Different cells, or combinations of them, of the label columns."""

CONFUSED, LEAST_CONFUSED = 0.3, 10
"""Of the rows of two labels that got one of them while they were held out, the share that got the
other (0.5 is what guessing gives): at least CONFUSED for sure, on at least so many rows."""


@dataclass(frozen=True)
class StaleClassifier:
    """A classifier that knows a label which would be gone; minimum: whether a minimum score was
    chosen for it, which is of the old labels"""

    title: str
    labels: list[str]
    minimum: bool


@dataclass(frozen=True)
class MergePlan:
    """What a merge would change.

    rows:    by the name of each label that would be gone, the rows that have it
    into:    the name of the label that stays; new: whether no row has it yet
    changed: rows that the UPDATE changes
    empty:   label columns that no row would have any more
    seen:    names this state of the column; to be sent back with the merge
    updates: cells before and after, and rows of each
    """

    rows: dict[str, int]
    into: str
    new: bool
    changed: int
    empty: list[str]
    stale: list[StaleClassifier]
    seen: str
    updates: list[tuple[tuple[Cell, ...], tuple[Cell, ...], int]] = field(metadata=NOT_IN_JSON)

    @property
    def said(self) -> str:
        return f"{', '.join(map(label_text, self.rows))} became {label_text(self.into)}"


@dataclass(frozen=True)
class Merged:
    """batch: by which it is undone; keys: of the rows that were changed"""

    batch: int
    keys: list[Key]


@dataclass(frozen=True)
class Suggestion:
    """Labels that may be one: the rarer ones, the one that they would become, and why."""

    old: list[str]
    into: str
    why: str


class _Column:
    """The label column or columns as they are now."""

    def __init__(self, conn: sqlite3.Connection, task: Task) -> None:
        self.task = replace(task, merged=(), text=(), template=None)
        self.source = find_source(conn, self.task)
        columns = [quote(name) for name in self.task.labels]
        # By type and bytes: a column may call labels equal that are not.
        by = ", ".join(f"typeof({c}), {c} collate binary" for c in columns)
        sql = f"select {', '.join(columns)}, count(*) from {quote(self.source.name)} group by {by}"
        found = conn.execute(f"{sql} limit {MOST_CELLS + 1}").fetchall()
        if len(found) > MOST_CELLS:
            raise ReviewError(
                f"The label columns of {self.source.name} have more than {MOST_CELLS:,} different "
                "cells: these are no labels that can be merged here."
            )
        read = label_reader(self.task.label_reading, self.task.labels)
        self.counts: Counter[LabelValue] = Counter()
        self.cells: list[tuple[tuple[Cell, ...], tuple[LabelValue, ...], int]] = []
        for *cells, rows in found:
            values = read(cells).values
            if values is not None:
                self.cells.append((tuple(cells), tuple(values), rows))
                self.counts.update(dict.fromkeys(values, rows))

    def names(self, conn: sqlite3.Connection) -> dict[LabelValue, str]:
        """Of each label, the most frequent first."""
        values = [value for value, _ in self.counts.most_common()]
        if not values:
            raise ReviewError(f"No row of {self.source.name} has a label.")
        by_name = list({label_name(value): value for value in reversed(values)}.values())
        offered = self.label_set(conn, by_name)
        known = dict(zip(offered.values, offered.names, strict=True))
        more = [value for value in offered.values if value not in self.counts]
        return {value: known.get(value, label_name(value)) for value in [*values, *more]}

    def label_set(self, conn: sqlite3.Connection, values: Collection[LabelValue]) -> LabelSet:
        kind = MULTICLASS.name if self.task.exclusive else self.task.kind
        try:
            return offered_labels(conn, self.task, LabelSet(tuple(values), kind))
        except LabelError as error:
            raise ReviewError(str(error)) from error


def labels_now(conn: sqlite3.Connection, task: Task) -> dict[str, int]:
    """Rows by the name of each label, the most frequent first. Raises ReviewError or SourceError
    where labels cannot be changed there."""
    with exact(conn):
        column = _Column(conn, task)
        found: dict[str, int] = {}
        for value, name in column.names(conn).items():
            found[name] = found.get(name, 0) + column.counts[value]
        return found


def plan_merge(conn: sqlite3.Connection, task: Task, old: Sequence[str], into: str) -> MergePlan:
    """What it would change to give all rows with the labels of these names the label `into`, which
    may be a new one: then it is a renaming. Raises ReviewError where that makes no sense."""
    with exact(conn):
        return _plan(conn, _Column(conn, task), old, into.strip())


def _plan(conn: sqlite3.Connection, column: _Column, old: Sequence[str], into: str) -> MergePlan:
    names = column.names(conn)
    target = next((value for value, name in names.items() if name == into), None)
    unknown = [name for name in old if name not in names.values()]
    if unknown:
        raise ReviewError(f"There is no label {unknown[0][:100]}.", fields=("old",))
    gone = {value for value, name in names.items() if name in old and value != target}
    if not gone or not any(column.counts[value] for value in gone):
        raise ReviewError("Choose the labels that become another one.", fields=("old",))
    rest = [value for value in names if value not in gone]
    labels = column.label_set(conn, rest) if rest else None
    new = target is None
    if target is None:
        target = _new_label(conn, column, labels, into)
        labels = column.label_set(conn, [*rest, target])
    assert labels is not None
    updates, left = [], Counter(column.counts)
    for cells, values, rows in column.cells:
        if gone.isdisjoint(values):
            continue
        wanted = list(dict.fromkeys(target if v in gone else v for v in values))
        after = as_cells(conn, column.task, column.source, labels, wanted, cells)
        updates.append((cells, after, rows))
        left.subtract({v: rows for v in gone if v in values})
    several = len(column.task.labels) > 1
    told = {names[value]: 0 for value in column.counts if value in gone}
    for value in gone:
        told[names[value]] = told.get(names[value], 0) + column.counts[value]
    state = repr((sorted(map(str, gone)), str(target), [(str(b), n) for b, _, n in updates]))
    return MergePlan(
        rows=told,
        into=label_name(target) if new else into,
        new=new,
        changed=sum(rows for _, _, rows in updates),
        empty=sorted(str(v) for v in gone) if several else [],
        stale=_stale(conn, column, set(told)),
        seen=sha256(state.encode("utf-8", "surrogatepass")).hexdigest()[:32],
        updates=updates,
    )


def _new_label(
    conn: sqlite3.Connection, column: _Column, labels: LabelSet | None, name: str
) -> LabelValue:
    known = labels or column.label_set(conn, list(column.counts))
    given = added_label(column.task, known, name) if labels else name
    if labels is None and (column.task.named_labels or known.lookup):
        added_label(column.task, known, name)  # says why there can be none
    numbers = all(type(value) is int for value in column.counts)
    if not (numbers and name.isascii() and name.isdigit()):
        return given
    if int(name) in column.counts:
        raise ReviewError(
            f"The labels are numbers, of which {name} is {int(name)}: choose that, or make them "
            "texts first.",
            fields=("into",),
        )
    return int(name)


def merge_labels(
    conn: sqlite3.Connection, task: Task, old: Sequence[str], into: str, *, seen: str, who: str
) -> Merged:
    """Gives the rows their new label, all or, where the table refuses one, none; records each.

    seen: of the plan that somebody agreed to
    Raises RowChanged where the column is another one by now, and as `plan_merge`.
    """
    ensure_schema(conn)
    with exact(conn), transaction(conn):
        column = _Column(conn, task)
        plan = _plan(conn, column, old, into.strip())
        if plan.seen != seen:
            raise RowChanged(
                f"The labels were changed meanwhile: {rows_text(plan.changed)} would get "
                f"{plan.into} now. Look at it again; nothing was changed."
            )
        if plan.changed > MOST_ROWS:
            raise ReviewError(
                f"{rows_text(plan.changed)} would be changed, and {MOST_ROWS:,} at once can be "
                "recorded and undone: keep the more frequent label, or write the UPDATE yourself."
            )
        source, labels = column.source, column.task.labels
        batch = add_batch(
            conn, job_id=None, source=source.name, columns=labels, said=plan.said, who=who
        )
        keys: list[Key] = []
        for before, after, rows in plan.updates:
            keys += _update(conn, source, labels, (before, after, rows), batch, plan.said, who)
        set_rows(conn, batch, len(keys))
        return Merged(batch, keys)


def _update(
    conn: sqlite3.Connection,
    source: Relation,
    labels: Sequence[str],
    update: tuple[tuple[Cell, ...], tuple[Cell, ...], int],
    batch: int,
    why: str,
    who: str,
) -> list[Key]:
    before, after, rows = update
    # 1 and 1.0 are equal to SQLite, and two cells here.
    numbers = [(c, v) for c, v in zip(labels, before, strict=True) if isinstance(v, (int, float))]
    kinds = [f"typeof({quote(c)}) = {quote_text(_KINDS[type(v)])}" for c, v in numbers]
    alike = " and ".join(kinds) or "1"
    condition, values = cells_are(labels, before)
    condition += f" and {alike}"
    table, n = quote(source.name), len(source.identity)
    own = list(map(quote, source.identity)) + ([source.rowid] if source.rowid else [])
    sql = f"select {', '.join(own)} from {table} where {condition}"
    keys: list[Key] = [
        tuple(key[:n]) if None not in key[:n] or not source.rowid else tuple(key)
        for key in conn.execute(sql, values).fetchall()
    ]
    changed = write_cells(conn, source, labels, (alike, []), before, after)
    left = conn.execute(f"select count(*) from {table} where {condition}", values).fetchone()[0]
    if changed != rows or len(keys) != rows or left:
        raise ReviewError(
            f"A trigger of {source.name}, or the type of the column, leaves rows unchanged: "
            "nothing was changed."
        )
    add_changes(conn, batch, source.name, ((key, before, after) for key in keys), why=why, who=who)
    return keys


_KINDS: dict[type, str] = {int: "integer", float: "real"}


def _stale(
    conn: sqlite3.Connection, column: _Column, gone: Collection[str]
) -> list[StaleClassifier]:
    found = []
    for classifier in list_classifiers(conn):
        known = sorted(set(gone) & set(classifier.labels.names))
        if known and _is_of(classifier, column.task):
            try:
                minimum = find_minimum(conn, classifier) is not None
            except FtclassifyError:
                minimum = True
            found.append(StaleClassifier(classifier.title, known, minimum))
    return found


def _is_of(classifier: Classifier, task: Task) -> bool:
    return classifier.task.source == task.source and classifier.task.labels == task.labels


def suggest_merges(
    conn: sqlite3.Connection, task: Task, classifiers: Sequence[Classifier] | None = None
) -> list[Suggestion]:
    """Labels that are written in several ways, and labels that the newest classifier of the column
    hardly tells apart, of all, or of those that somebody may know of. Raises as `labels_now`."""
    with exact(conn):
        column = _Column(conn, task)
        names = column.names(conn)
    found = []
    for first, *others in variant_groups(column.counts):
        if others:
            same = {names[value] for value in others}
            found.append(Suggestion(sorted(same), names[first], "Written in several ways."))
    known = list_classifiers(conn) if classifiers is None else classifiers
    return found + _confused(conn, column, set(names.values()), known)


def _confused(
    conn: sqlite3.Connection,
    column: _Column,
    known: Collection[str],
    classifiers: Sequence[Classifier],
) -> list[Suggestion]:
    own = [c for c in classifiers if _is_of(c, column.task) and c.labels.exclusive]
    if not own:
        return []
    newest = max(own, key=lambda classifier: classifier.id)
    text = evaluation_text(conn, newest, OUT_OF_FOLD) or evaluation_text(conn, newest)
    confusion = None if text is None else metrics_of(newest, text).get("confusion")
    if confusion is None:
        return []
    names = newest.labels.names
    counts = {(a, b): n for a, b, n in confusion_cells(confusion) if max(a, b) < len(names)}
    found = []
    for a, b in {(min(pair), max(pair)) for pair in counts if pair[0] != pair[1]}:
        other = counts.get((a, b), 0) + counts.get((b, a), 0)
        rows = other + counts.get((a, a), 0) + counts.get((b, b), 0)
        if not {names[a], names[b]} <= set(known) or other < LEAST_CONFUSED:
            continue
        if wilson_interval(other, rows)[0] < CONFUSED:
            continue
        more, less = (a, b) if _rows_of(counts, a) >= _rows_of(counts, b) else (b, a)
        why = (
            f"Of {rows_text(rows)} with one of them, held out of {newest.title}, "
            f"{percent(other / rows)} were answered with the other."
        )
        found.append((other / rows, Suggestion([names[less]], names[more], why)))
    return [suggestion for _, suggestion in sorted(found, key=lambda one: -one[0])]


def _rows_of(counts: dict[tuple[int, int], int], label: int) -> int:
    return sum(n for (a, _), n in counts.items() if a == label)
