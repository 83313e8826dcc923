"""Writing a prediction's cells into the user's rows, with all that a plain UPDATE of them does.

The table may have triggers, which are part of that: they run once a row, keep rows as they are,
refuse them, move or delete them. So each row is an UPDATE by its key, what it changed is looked at,
and the columns are made with the first rows, so that a refusal of these leaves no empty ones.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Collection, Sequence
from typing import Any

from ..core.database import Cell, NotUtf8, Relation, quote, relation
from ..core.errors import PredictError
from ..core.humanize import one_or_more
from ..core.sqlite_errors import OPERATIONAL_ERRORS, SQLITE_ERRORS
from ..store.classifiers import Classifier
from .columns import Columns, check_columns, make_columns

_OURS_TO_WAIT = ("locked", "busy", "disk", "full", "readonly", "interrupted", "malformed")
"""In messages of SQLite's that are about the file, and not about the row."""


class RowUpdates:
    """Of one table.

    overwrite: whether columns of somebody else's may be written
    """

    def __init__(
        self, target: Relation, columns: Columns, classifier: Classifier, *, overwrite: bool
    ) -> None:
        self._target = target
        self._columns = columns
        self._classifier = classifier
        self._overwrite = overwrite
        self._there = False
        self._names = [name for _, name in columns.items()]
        # The bytes of a label that is not UTF-8 can only be bound as a BLOB.
        raw = classifier.labels.has_raw
        self._raw = [i for i, (role, _) in enumerate(columns.items()) if raw and role == "label"]
        marks = ["cast(? as text)" if i in self._raw else "?" for i in range(len(self._names))]
        assignments = ", ".join(
            f"{quote(name)} = {mark}" for name, mark in zip(self._names, marks, strict=True)
        )
        table = quote(target.name)
        self._matches = " and ".join(f"{table}.{quote(key)} = ?" for key in target.cursor)
        self._sql = f"update {table} set {assignments} where {self._matches}"

    def are_missing(self, conn: sqlite3.Connection) -> bool:
        """Whether the table lacks one of the columns."""
        target = relation(conn, self._target.name)
        return any(target.column(name) is None for name in self._names)

    def rehearse(self, conn: sqlite3.Connection, key: Sequence[Cell] | None) -> None:
        """Makes the columns and writes a row, and undoes both. Call inside a transaction.

        key: of the row; None where there is none
        Raises PredictError when either is refused: before anything is asked, or paid for.
        """
        conn.execute("savepoint ftclassify_rehearsal")
        self._make(conn)
        if key is not None:
            self._update(conn, [*[None] * len(self._names), *key])
        conn.execute("rollback to ftclassify_rehearsal")
        conn.execute("release ftclassify_rehearsal")

    def write(
        self, conn: sqlite3.Connection, updates: Sequence[list[Any]], changed: Collection[int] = ()
    ) -> dict[int, str]:
        """Writes rows, each given as its cells and its key, but for those whose text was `changed`;
        {position: why} of those that stayed as they were. Call inside a transaction, which has to
        be undone when this raises: with PredictError, when a trigger refuses a row, or keeps all of
        the first ones as they are."""
        first = not self._there and self.are_missing(conn)
        if not self._there:
            self._make(conn)
            # Found by a later write, they are no longer undone with a transaction; and if they
            # are gone after that, somebody took them away.
            self._there = not first
        unchanged = [
            i for i, one in enumerate(updates) if i in changed or not self._update(conn, one)
        ]
        if not unchanged:
            return {}
        kept, n = self._why_kept(conn), len(self._names)
        reasons = {i: kept if self._has(conn, updates[i][n:]) else _GONE for i in unchanged}
        reasons |= dict.fromkeys(changed, _CHANGED)
        if first and len(unchanged) == len(updates) and kept in reasons.values():
            raise PredictError(
                f"None of the first {len(updates):,} rows of {self._target.name} was written: "
                f"{kept}. Classify only rows that may be changed, by a condition."
            )
        return reasons

    def finish(self, conn: sqlite3.Connection) -> None:
        """Makes the columns where no row was there to write. Call inside a transaction."""
        self._make(conn)

    def triggers(self, conn: sqlite3.Connection) -> dict[str, str]:
        """{name: definition} of what runs when one of the table's rows is written, triggers of
        triggers included."""
        if not self.are_missing(conn):
            sql, values = self._sql, [None] * (len(self._names) + len(self._target.cursor))
        else:
            # Columns that are not there yet have no trigger of their own: any other one stands for
            # them, where there is none of ours.
            target = relation(conn, self._target.name)
            there = [n for n in self._names if target.column(n)] or [next(iter(target.columns))]
            same = ", ".join(f"{quote(name)} = {quote(name)}" for name in there)
            sql, values = f"update {quote(target.name)} set {same} where 0", []
        try:
            steps = conn.execute(f"explain {sql}", values).fetchall()
        except SQLITE_ERRORS:  # a trigger needs what this connection has not
            found = conn.execute(
                "select name, sql from sqlite_master where type = 'trigger'"
                " and tbl_name = ? collate nocase",
                [self._target.name],
            )
            return {name: definition or "" for name, definition in found.fetchall()}
        said = (re.match(r"-- TRIGGER (.*)", str(step[5]), re.DOTALL) for step in steps)
        names = dict.fromkeys(match[1] for match in said if match)
        return {name: _definition(conn, name) for name in names}

    def _make(self, conn: sqlite3.Connection) -> None:
        target = relation(conn, self._target.name)
        check_columns(conn, target, self._columns, self._classifier, self._overwrite)
        try:
            make_columns(conn, target, self._columns, self._classifier)
        except OPERATIONAL_ERRORS as error:
            if is_about_the_file(error):
                raise
            raise PredictError(
                f"Table {self._target.name} cannot get new columns: {error}."
            ) from error

    def _update(self, conn: sqlite3.Connection, update: Sequence[Any]) -> bool:
        """Whether it changed the row."""
        if self._raw:
            update = [
                cell.raw if i in self._raw and isinstance(cell, NotUtf8) else cell
                for i, cell in enumerate(update)
            ]
        try:
            return conn.execute(self._sql, update).rowcount > 0
        except SQLITE_ERRORS as error:
            names = {} if is_about_the_file(error) else self.triggers(conn)
            if not names:
                raise
            raise PredictError(
                f"{_named(_guilty(names, str(error)))} of table {self._target.name} refuses a row: "
                f"{str(error).rstrip('.')}. Nothing of these rows was written: change or drop the "
                "trigger, or leave such rows out by a condition."
            ) from error

    def _why_kept(self, conn: sqlite3.Connection) -> str:
        ignoring = {n: s for n, s in self.triggers(conn).items() if re.search(r"(?i)\bignore\b", s)}
        if not ignoring:
            return "the row was left unchanged"
        return f"{_named(list(ignoring)).lower()} leaves the row unchanged"

    def _has(self, conn: sqlite3.Connection, key: Sequence[Cell]) -> bool:
        sql = f"select 1 from {quote(self._target.name)} where {self._matches}"
        return conn.execute(sql, list(key)).fetchone() is not None


_GONE = "the row was deleted meanwhile"
_CHANGED = "the text was changed again and again meanwhile"


def _definition(conn: sqlite3.Connection, trigger: str) -> str:
    sql = "select sql from {} where type = 'trigger' and name = ?"
    for schema in ("sqlite_master", "sqlite_temp_master"):
        row = conn.execute(sql.format(schema), [trigger]).fetchone()
        if row is not None:
            return str(row[0] or "")
    return ""


def _guilty(triggers: dict[str, str], message: str) -> list[str]:
    """Those whose definition holds the message, or the name at its end; else all of them: SQLite
    does not say which it was."""
    last = re.split(r"[:\s]+", message.strip())[-1].split(".")[0]
    for text in (message.replace("'", "''"), last):
        found = [name for name, definition in triggers.items() if text and text in definition]
        if found:
            return found
    return list(triggers)


def _named(names: list[str]) -> str:
    shown = ", ".join(names[:5]) + (" ..." if len(names) > 5 else "")
    return f"{one_or_more(len(names), 'The trigger', 'One of the triggers')} {shown}"


def is_about_the_file(error: Exception) -> bool:
    return isinstance(error, OPERATIONAL_ERRORS) and any(
        word in str(error) for word in _OURS_TO_WAIT
    )
