"""What people did with rows of review queues: the record of each change of a label, and what was
kept or skipped."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, fields
from typing import Any, Literal

from ..core.database import Cell, Key, relation
from ..core.errors import ArtifactError
from ..core.labels import is_blank
from ..core.text import text_hash
from ..core.typed_json import read_stored
from .cell_size import at_most, cut
from .classifiers import now
from .reviews import QueuedRow, cells_text, read_cells, set_state
from .tables import has_table

MOST_CHANGES = 500
"""Changes that are listed."""

Action = Literal["label", "keep", "skip", "answer", "pass"]


@dataclass(frozen=True)
class Change:
    """What somebody did with a row.

    action:        answer, pass: see `shared_answers`; the table is not written
    before, after: cells of the label columns; equal where the label was kept, or the row skipped
    why:           why the row was shown
    """

    id: int
    job_id: int
    place: int
    source: str
    key: Key
    action: Action
    before: tuple[Cell, ...]
    after: tuple[Cell, ...]
    why: str
    note: str
    who: str
    created_at: str
    undone_by: str | None
    undone_at: str | None

    @classmethod
    def read(cls, cells: Sequence[Any]) -> Change:
        """From the columns of CHANGE. Raises ArtifactError."""
        known = dict(zip((field.name for field in fields(cls)), cells, strict=True))
        for name in ("key", "before", "after"):
            known[name] = read_cells(known[name])
        return read_stored(cls, known, "A record of a change was", "undo it by hand")


def add_change(
    conn: sqlite3.Connection,
    row: QueuedRow,
    *,
    job_id: int,
    source: str,
    action: Action,
    before: Sequence[Cell],
    after: Sequence[Cell],
    note: str,
    who: str,
) -> int:
    """Records what was done with a row, and that the row is done with, unless that was an answer
    (see `shared_answers.settle`); gives the record's number. Call inside the transaction that
    changes the row."""
    cursor = conn.execute(
        "insert into _ftclassify_label_changes (job_id, place, source, row_key, action,"
        " cells_before, cells_after, why, note, who, created_at)"
        " values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            job_id, row.place, source, cells_text(row.key), action, cells_text(before),
            cells_text(after), row.why, note, who, now(),
        ],
    )  # fmt: skip
    if action not in ("answer", "pass"):
        set_state(conn, job_id, row.place, "skipped" if action == "skip" else "done")
    return int(cursor.lastrowid or 0)


CHANGE = ", ".join([
    "id", "job_id", "place", cut("source"), at_most("row_key"), cut("action"),
    at_most("cells_before"), at_most("cells_after"),
    *map(cut, ("why", "note", "who", "created_at", "undone_by", "undone_at")),
])  # fmt: skip
"""What `Change.read` takes, for a SELECT."""


def get_change(conn: sqlite3.Connection, change_id: int) -> Change | None:
    sql = f"select {CHANGE} from _ftclassify_label_changes where id = ?"
    found = conn.execute(sql, [change_id]).fetchone()
    return None if found is None else Change.read(found)


def last_change(conn: sqlite3.Connection, job_id: int, who: str) -> Change | None:
    """What that person did last in the queue, and has not undone."""
    sql = (
        f"select {CHANGE} from _ftclassify_label_changes where job_id = ? and who = ?"
        " and undone_at is null order by id desc limit 1"
    )
    found = conn.execute(sql, [job_id, who]).fetchone()
    return None if found is None else Change.read(found)


def times_changed(conn: sqlite3.Connection, source: str, key: Key) -> tuple[int, int]:
    """How often something was done with a row, in whatever queue, and undone: another answer means
    that somebody was here meanwhile, also where the label was kept. Answers that people give each
    for themselves are not told."""
    sql = (
        "select count(*), count(undone_at) from _ftclassify_label_changes"
        " where source = ? and row_key = ? and action in ('label', 'keep', 'skip')"
    )
    done, undone = conn.execute(sql, [source, cells_text(key)]).fetchone()
    return int(done), int(undone)


def list_changes(
    conn: sqlite3.Connection, job_id: int, *, place: int | None = None, most: int = MOST_CHANGES
) -> list[Change]:
    """The newest first."""
    sql = (
        f"select {CHANGE} from _ftclassify_label_changes where job_id = ?1"
        " and place = coalesce(?2, place) order by id desc limit ?3"
    )
    return [Change.read(row) for row in conn.execute(sql, [job_id, place, most]).fetchall()]


def cells_given(conn: sqlite3.Connection, job_id: int) -> list[tuple[Cell, ...]]:
    """What label cells held after the changes of a queue, each once, the oldest first: as many as
    it has labels, or combinations of them, however long it is. Raises ArtifactError."""
    sql = (
        f"select {at_most('cells_after')} from _ftclassify_label_changes where job_id = ?"
        " group by cells_after order by min(id) limit ?"
    )
    found = conn.execute(sql, [job_id, MOST_CHANGES]).fetchall()
    return [read_cells(cells) for (cells,) in found]


def mark_undone(conn: sqlite3.Connection, change: Change, who: str) -> None:
    """And opens the row again. Call inside the transaction that writes the old value back."""
    conn.execute(
        "update _ftclassify_label_changes set undone_by = ?, undone_at = ? where id = ?",
        [who, now(), change.id],
    )
    set_state(conn, change.job_id, change.place, "open")


def changed_since(conn: sqlite3.Connection, source: str, since: str) -> dict[int, int]:
    """{queue: rows} of a table whose labels were changed since a time as `now` gives it, and not
    changed back."""
    if not has_table(conn, "label_changes"):
        return {}
    sql = (
        "select job_id, count(distinct row_key) from _ftclassify_label_changes where source = ?"
        " and action = 'label' and undone_at is null and created_at > ? group by job_id"
    )
    return {int(job): int(rows) for job, rows in conn.execute(sql, [source, since]).fetchall()}


@dataclass(frozen=True)
class ChosenRows:
    """Rows that have a label because a model chose them for a queue, rather than chance: a figure
    measured on them would say nothing of the others.

    keys:  of a table, as JSON
    texts: of a view or a table without a primary key, whose rows have no lasting keys: hashes, see
           `text_hash`
    """

    keys: frozenset[str] = frozenset()
    texts: frozenset[int] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.keys or self.texts)

    def has(self, key: Key, text: str | None) -> bool:
        if self.keys:
            return cells_text(key) in self.keys
        return bool(self.texts) and text_hash(text or "") in self.texts


NO_ROWS = ChosenRows()


def chosen_rows(conn: sqlite3.Connection, source: str) -> ChosenRows:
    """Those of a table. Of a view, rows with the text of such a row of any table: where it makes
    another text of them, they are not found. Rows that had a label before are where they were."""
    if not has_table(conn, "label_changes"):
        return NO_ROWS
    table = relation(conn, source)
    has_keys = bool(table.primary_key)
    sql = (
        f"select c.row_key, r.text_hash, {at_most('c.cells_before')} from _ftclassify_label_changes"
        " c join _ftclassify_review_rows r on r.job_id = c.job_id and r.place = c.place"
        " where (c.source = ? or ?) and c.action = 'label' and c.undone_at is null"
        " and not r.at_random"
    )
    with closing(conn.execute(sql, [source, table.is_view])) as found:
        rows = [row for row in found if all(map(is_blank, _cells(row[2])))]
    if has_keys:
        return ChosenRows(keys=frozenset(str(key) for key, _, _ in rows))
    return ChosenRows(texts=frozenset(hashed for _, hashed, _ in rows if isinstance(hashed, int)))


def _cells(text: object) -> tuple[Cell, ...]:
    try:
        return read_cells(text)
    except ArtifactError:
        return (0,)
