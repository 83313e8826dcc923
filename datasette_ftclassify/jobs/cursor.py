"""The cursor of a job in a table, and whether it still means the same row.

VACUUM gives new rowids to the rows of a table that has no INTEGER PRIMARY KEY. A job that went on
after a rowid would then leave out rows that it has not seen, and write answers to others' rows.
VACUUM also changes the schema's version, as every change of a table does: so a cursor is valid as
long as that version does not change. After that the row is looked for by its declared key; where
there is none, the job starts over.
"""

from __future__ import annotations

import sqlite3
from typing import Any

from ..core.database import Cell, Relation, quote, relation, schema_version, stored_key, unpacked
from ..core.errors import PredictError
from ..core.job_events import STARTED_OVER
from ..store.jobs.events import note
from ..store.jobs.job import Job

MOST_STARTS = 5
"""How often a process starts a job over, before it says that this leads nowhere."""


class RowsMoved(Exception):
    """The keys that were read may belong to other rows now, or to rows with other texts."""


class RowCursor:
    """Of one table. Call `begin` before rows are read, `check` and `after` in every transaction
    that writes to them."""

    def __init__(self, conn: sqlite3.Connection, target: Relation) -> None:
        self._target = target
        self._moves = target.rowid is not None and not _is_kept(conn, target)
        self._version = 0
        self._starts = 0

    def begin(self, conn: sqlite3.Connection, job: Job) -> None:
        """From now on rows are read. Puts the job's place where its last row is now, or back to
        the first row. Raises PredictError when it came to that too often."""
        before = job.position
        job.position = self.now(conn, before)
        self._version = schema_version(conn)
        if before is None or job.position is not None:
            return
        self._starts += 1
        if self._starts > MOST_STARTS:
            raise PredictError(
                f"Table {self._target.name} has no primary key, and the tables of its file are "
                "changed again and again, so that its rows cannot be told apart: give it a primary "
                "key, or predict when nothing else is done to the file."
            )
        start_over(conn, job, "its rows may have other rowids now (VACUUM)")

    def now(self, conn: sqlite3.Connection, position: list[Any] | None) -> list[Any] | None:
        """Where a job's place is now; None: before the first row, or not to be found."""
        mark = position[-1] if position else None
        if (
            not self._moves
            or not isinstance(mark, dict)
            or mark.get("schema") == schema_version(conn)
        ):
            return position
        key = mark.get("key")
        names = self._target.primary_key
        if not names or not isinstance(key, list) or len(key) != len(names):
            return None
        matches = " and ".join(f"{quote(name)} = ?" for name in names)
        sql = f"select {self._target.rowid} from {quote(self._target.name)} where {matches}"
        row = conn.execute(sql, [unpacked(cell) for cell in key]).fetchone()
        return None if row is None else self.after(conn, (row[0],))

    def check(self, conn: sqlite3.Connection) -> None:
        """Raises RowsMoved when what was read since `begin` may be about other rows, PredictError
        when the table has other keys by now, or is none."""
        if schema_version(conn) == self._version:
            return
        now = relation(conn, self._target.name)
        same = ("kind", "primary_key", "rowid")
        if any(getattr(now, name) != getattr(self._target, name) for name in same):
            raise PredictError(
                f"{now.name} was changed while the job was at it: it is a {now.kind} whose rows "
                "have other keys. If you restore it, retry the job; otherwise start a new one."
            )
        if self._moves:
            raise RowsMoved
        self.note_version(conn)

    def note_version(self, conn: sqlite3.Connection) -> None:
        """After a change of the schema by the transaction that has checked the place."""
        self._version = schema_version(conn)

    def after(self, conn: sqlite3.Connection, key: tuple[Cell, ...]) -> list[Any]:
        """The place behind a row, as JSON."""
        place = stored_key(key)
        if not self._moves:
            return place
        mark: dict[str, Any] = {"schema": schema_version(conn)}
        if names := self._target.primary_key:
            columns = ", ".join(map(quote, names))
            sql = f"select {columns} from {quote(self._target.name)} where {self._target.rowid} = ?"
            row = conn.execute(sql, key).fetchone()
            mark["key"] = None if row is None else stored_key(tuple(row))
        return [*place, mark]


def start_over(conn: sqlite3.Connection, job: Job, why: str) -> None:
    """Puts the job before its first row, and says why. Call in a transaction that saves it."""
    job.position, job.done, job.skipped, job.failed = None, 0, 0, 0
    note(conn, job.id, STARTED_OVER, f"starts over: {why}")


def _is_kept(conn: sqlite3.Connection, target: Relation) -> bool:
    """Whether the rowid is a column of the table's, and so survives a VACUUM."""
    if len(target.primary_key) != 1:
        return False
    # Any other primary key has an index of its own.
    sql = "select 1 from pragma_index_list(?) where origin = 'pk'"
    return conn.execute(sql, [target.name]).fetchone() is None
