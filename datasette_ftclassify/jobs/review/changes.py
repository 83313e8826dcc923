"""Changing the labels of reviewed rows: each by one UPDATE that holds only while the row is as it
was shown, in one transaction with the record of who did it and why."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

from ...core.database import Cell, NotUtf8, Relation, quote, quote_all, row_condition
from ...core.errors import LabelError, ReviewError, RowChanged
from ...core.label_notations import label_reader
from ...core.labels import LabelSet, LabelValue, is_blank, label_name, variant_key
from ...core.sqlite_errors import SQLITE_ERRORS
from ...core.task import Task
from ...store.jobs.job import Job
from ...store.label_changes import (
    Action,
    Change,
    add_change,
    cells_given,
    get_change,
    last_change,
    mark_undone,
)
from ...store.reviews import QueuedRow, claim, claim_next, row_at, set_state
from ...store.schema import ensure_schema, transaction
from ...store.shared_answers import answers_of, next_unanswered, settle
from ..row_updates import is_about_the_file
from .build import queue_facts
from .cells import as_cells
from .rows import (
    OpenQueue,
    RowNow,
    exact,
    find_source,
    offered_labels,
    read_row,
    row_gone,
    with_added,
)

MOST_NOTE = 2_000
"""Characters of a note."""


@dataclass(frozen=True)
class Changed:
    """change: its record; wrote: whether the table was written; next: the place of the row that is
    now this person's; None: none is left; decided: whether it decided between several answers"""

    change: Change
    wrote: bool
    next: int | None
    decided: bool = False


def people_of(job: Job) -> int:
    """How many label each row of a queue, each for themselves. Raises as `open_queue` does."""
    return queue_facts(job)[1].people


def open_queue(conn: sqlite3.Connection, job: Job) -> OpenQueue:
    """Raises ReviewError, SourceError or ArtifactError when it cannot be worked in."""
    _, settings, made = queue_facts(job)
    source = find_source(conn, settings.task)
    offered = offered_labels(conn, settings.task, made.labels)
    labels = with_added(offered, _added(conn, job, settings.task))
    return OpenQueue(job, settings.task, source, labels, settings.people)


def _added(conn: sqlite3.Connection, job: Job, task: Task) -> list[LabelValue]:
    """Labels that were given in this queue, the oldest first."""
    read = label_reader(task.label_reading, task.labels)
    given = (read(cells).values or () for cells in cells_given(conn, job.id))
    return [label for labels in given for label in labels]


def start(conn: sqlite3.Connection, job: Job, who: str) -> int | None:
    """The place of the first row that nobody else has in front of them; where several people
    label each row, of the first that this person has not. Raises as `open_queue` does."""
    ensure_schema(conn)
    with exact(conn), transaction(conn):
        return _next(conn, open_queue(conn, job), who)


def _next(conn: sqlite3.Connection, queue: OpenQueue, who: str) -> int | None:
    """Rows that are gone count as skipped."""
    find = next_unanswered if queue.people > 1 else claim_next
    while (place := find(conn, queue.job.id, who)) is not None:
        if read_row(conn, queue, _queued(conn, queue.job, place)) is not None:
            break
        set_state(conn, queue.job.id, place, "skipped")
    return place


def change_row(
    conn: sqlite3.Connection,
    job: Job,
    place: int,
    chosen: Sequence[str] | None,
    *,
    seen: str,
    who: str,
    note: str = "",
    new_label: str = "",
) -> Changed:
    """Gives a row the labels with these names, or keeps those that it has, or skips it (None).

    Where several people label each row, this is the person's own answer, in the place of an earlier
    one, and writes nothing into the table; once all have answered, it is the decision, which does.
    seen:      of the row as it was shown, see `RowNow`
    new_label: the name of one that is not among those offered, added on purpose
    Raises RowChanged when the row is another one by now, ReviewError when the choice makes no sense
    or the table refuses it; nothing is changed then.
    """
    ensure_schema(conn)
    with exact(conn), transaction(conn):
        queue = open_queue(conn, job)
        queued = _queued(conn, job, place)
        now = _as_shown(conn, queue, queued, seen)
        own = queue.people > 1 and queued.state == "open"
        action: Action = "pass" if own else "skip"
        after = now.cells
        if chosen is not None:
            values = _values(queue, chosen, new_label)
            if own:
                action = "answer"
                after = _as_cells(conn, queue, values, now)
            elif set(values) == set(now.labels or ()) and now.labels is not None:
                action = "keep"
            else:
                action = "label"
                wanted = _as_cells(conn, queue, values, now)
                after = write_row(conn, queue, queued, now.cells, wanted)
        if own:
            for earlier in answers_of(conn, job.id, place):
                if earlier.who == who:
                    mark_undone(conn, earlier, who)
        number = add_change(
            conn, queued, job_id=job.id, source=queue.source.name, action=action, before=now.cells,
            after=after, note=note.strip()[:MOST_NOTE], who=who,
        )  # fmt: skip
        change = get_change(conn, number)
        assert change is not None
        if own:
            settle(conn, job.id, place, queue.people)
        if queue.people > 1 and not own:
            return Changed(change, action == "label", None, decided=True)
        return Changed(change, action == "label", _next(conn, queue, who))


def undo(conn: sqlite3.Connection, job: Job, who: str, change_id: int | None = None) -> Changed:
    """Takes back a change, or what that person did last: writes the old value where the row still
    holds the new one, and shows the row again. Raises RowChanged when it does not, ReviewError when
    there is nothing to undo."""
    ensure_schema(conn)
    with exact(conn), transaction(conn):
        change = (
            last_change(conn, job.id, who) if change_id is None else get_change(conn, change_id)
        )
        if change is None or change.job_id != job.id:
            raise ReviewError("You have nothing to undo in this queue.")
        if change.undone_at is not None:
            raise ReviewError(f"{change.undone_by} has undone that already.")
        queue = open_queue(conn, job)
        queued = _queued(conn, job, change.place)
        if change.action in ("answer", "pass"):
            _check_own(change, queued, who)
        if change.action == "label":
            if read_row(conn, queue, queued) is None:
                raise row_gone(queue.source)
            write_row(conn, queue, queued, change.after, change.before, undoing=True)
        mark_undone(conn, change, who)
        if queue.people > 1:
            settle(conn, job.id, change.place, queue.people)
        else:  # it is in front of this person again
            claim(conn, job.id, change.place, who)
        return Changed(change, change.action == "label", change.place)


def _check_own(change: Change, queued: QueuedRow, who: str) -> None:
    """Raises ReviewError for an answer that this person cannot take back."""
    if change.who != who:
        raise ReviewError(f"That is the answer of {change.who}, who alone can take it back.")
    if queued.state in ("done", "skipped"):
        raise ReviewError(
            f"Row {queued.place} has been decided since: undo that first, in the list of changes."
        )


def _queued(conn: sqlite3.Connection, job: Job, place: int) -> QueuedRow:
    queued = row_at(conn, job.id, place)
    if queued is None:
        raise ReviewError(f"The queue has no row {place}.", fields=("place",))
    return queued


def _as_shown(conn: sqlite3.Connection, queue: OpenQueue, queued: QueuedRow, seen: str) -> RowNow:
    now = read_row(conn, queue, queued)
    if now is None:
        raise row_gone(queue.source)
    if now.seen != seen:
        raise RowChanged(
            "Somebody has changed or reviewed this row in the meantime, so nothing was written: "
            "look at it again."
        )
    return now


def _values(queue: OpenQueue, chosen: Sequence[str], new_label: str) -> tuple[LabelValue, ...]:
    labels = queue.labels
    by_name = dict(zip(labels.names, labels.values, strict=True))
    unknown = [name for name in chosen if name not in by_name]
    if unknown:
        raise ReviewError(f"There is no label {unknown[0][:100]}.", fields=("label",))
    values = [by_name[name] for name in dict.fromkeys(chosen)]
    if new_label:
        values.append(added_label(queue.task, labels, new_label))
        if queue.task.exclusive:
            values = values[-1:]
    return tuple(values)


def added_label(task: Task, labels: LabelSet, name: str) -> LabelValue:
    """A label that is not there yet. Raises ReviewError where it is, or cannot be one."""
    if is_blank(name):
        raise ReviewError("A label needs at least one letter or sign.", fields=("new_label",))
    if labels.lookup is not None:
        raise ReviewError(
            f"The labels are the rows of {labels.lookup}: add one there first.",
            fields=("new_label",),
        )
    if task.named_labels:
        where = "places in a list of 0 and 1" if task.label_names else "columns of their own"
        raise ReviewError(
            f"The labels have {where}, so none can be added here: change the table first.",
            fields=("new_label",),
        )
    known = {variant_key(value): label_name(value) for value in labels.values}
    if (same := known.get(variant_key(name))) is not None:
        raise ReviewError(f"There is the label {same} already: choose it.", fields=("new_label",))
    return name


def _as_cells(
    conn: sqlite3.Connection, queue: OpenQueue, values: Sequence[LabelValue], now: RowNow
) -> tuple[Cell, ...]:
    try:
        labels = with_added(queue.labels, values)
    except LabelError as error:
        raise ReviewError(str(error), fields=("new_label",)) from error
    return as_cells(conn, queue.task, queue.source, labels, values, now.cells)


def write_row(
    conn: sqlite3.Connection,
    queue: OpenQueue,
    queued: QueuedRow,
    before: Sequence[Cell],
    after: Sequence[Cell],
    *,
    undoing: bool = False,
) -> tuple[Cell, ...]:
    """Writes the label cells of a row that still holds `before`; gives what they hold then, which
    a trigger may have changed. Raises RowChanged or ReviewError, and has changed nothing."""
    source, columns = queue.source, queue.task.labels
    condition = row_condition(source, queued.key)
    if condition is None:
        raise row_gone(queue.source)
    where, key = condition
    changed = write_cells(conn, source, columns, condition, before, after)
    held = conn.execute(
        f"select {quote_all(columns)} from {quote(source.name)} where {where}", key
    ).fetchone()
    if held is None:
        if changed:
            return tuple(after)  # a trigger has moved the row, as the table wants it
        raise row_gone(queue.source)
    if not changed:
        if tuple(held) == tuple(before):
            raise ReviewError(
                f"A trigger of {source.name} leaves this row unchanged. Nothing was changed."
            )
        what = "undone" if undoing else "changed"
        raise RowChanged(
            f"This row holds {_said(held)} by now, which somebody else wrote: nothing was {what}."
        )
    return tuple(held)


def write_cells(
    conn: sqlite3.Connection,
    source: Relation,
    labels: Sequence[str],
    rows: tuple[str, Sequence[Cell]],
    before: Sequence[Cell],
    after: Sequence[Cell],
) -> int:
    """Writes the label cells of rows that hold `before`; gives how many these are.

    rows: a condition, and its values
    Raises ReviewError where the table refuses it, and has changed nothing.
    """
    where, values = rows
    columns = list(map(quote, labels))
    assignments = ", ".join(f"{c} = {_mark(v)}" for c, v in zip(columns, after, strict=True))
    still, held = cells_are(labels, before)
    sql = f"update {quote(source.name)} set {assignments} where {where} and {still}"
    try:
        return conn.execute(sql, [*map(_bound, after), *values, *held]).rowcount
    except SQLITE_ERRORS as error:
        if is_about_the_file(error):
            raise
        raise ReviewError(
            f"The table {source.name} refuses this label: {str(error).rstrip('.')}. Nothing was "
            "changed.",
            fields=("label",),
        ) from error


def cells_are(labels: Sequence[str], cells: Sequence[Cell]) -> tuple[str, list[Cell]]:
    """The condition for rows whose label cells are exactly these, and its values."""
    columns = list(map(quote, labels))
    sql = " and ".join(
        f"{c} is {_mark(v)} collate binary" for c, v in zip(columns, cells, strict=True)
    )
    return sql, list(map(_bound, cells))


def _said(cells: Sequence[Cell]) -> str:
    shown = ["nothing" if c is None else "BLOB" if isinstance(c, bytes) else str(c) for c in cells]
    return ", ".join(text[:100] for text in shown)


def _mark(cell: Cell) -> str:
    # The bytes of a label that is not UTF-8 can only be bound as a BLOB.
    return "cast(? as text)" if isinstance(cell, NotUtf8) else "?"


def _bound(cell: Cell) -> Cell:
    return cell.raw if isinstance(cell, NotUtf8) else cell
