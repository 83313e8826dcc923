"""Changes of labels that were made as one, and are undone as one."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..core.database import Cell, Key, schema_version
from ..core.errors import ReviewError
from ..core.typed_json import read_stored
from ..core.untrusted_json import read_json
from .cell_size import at_most, cut
from .classifiers import now
from .label_changes import CHANGE, Change
from .reviews import cells_text
from .tables import has_table

MOST_LISTED = 100


@dataclass(frozen=True)
class ChangeBatch:
    """Some changes.

    job_id:  of the queue; None: they were made in no queue
    columns: the label columns
    schema_version: SQLite's when the rows' keys were noted; None: not known
    said:    what was done, a sentence
    rows:    that were changed
    """

    id: int
    job_id: int | None
    source: str
    columns: tuple[str, ...]
    said: str
    rows: int
    who: str
    created_at: str
    undone_by: str | None
    undone_at: str | None
    schema_version: int | None = None


def add_batch(
    conn: sqlite3.Connection,
    *,
    job_id: int | None,
    source: str,
    columns: Sequence[str],
    said: str,
    who: str,
) -> int:
    """Call inside the transaction that makes the changes, and `set_rows` at its end."""
    cursor = conn.execute(
        "insert into _ftclassify_change_batches (job_id, source, columns, said, rows, who,"
        " created_at, schema_version) values (?, ?, ?, ?, 0, ?, ?, ?)",
        [
            job_id,
            source,
            json.dumps(list(columns), ensure_ascii=False),
            said,
            who,
            now(),
            schema_version(conn),
        ],
    )
    return int(cursor.lastrowid or 0)


def set_rows(conn: sqlite3.Connection, batch_id: int, rows: int) -> None:
    sql = "update _ftclassify_change_batches set rows = ? where id = ?"
    conn.execute(sql, [rows, batch_id])


def put_into(conn: sqlite3.Connection, batch_id: int, change_id: int) -> None:
    """A change that `add_change` has recorded."""
    sql = "update _ftclassify_label_changes set batch = ? where id = ?"
    conn.execute(sql, [batch_id, change_id])


def add_changes(
    conn: sqlite3.Connection,
    batch_id: int,
    source: str,
    changes: Iterable[tuple[Key, Sequence[Cell], Sequence[Cell]]],
    *,
    why: str,
    who: str,
) -> None:
    """Records changes of rows, which are in no queue: key, cells before and after."""
    at = now()
    conn.executemany(
        "insert into _ftclassify_label_changes (job_id, place, source, row_key, action,"
        " cells_before, cells_after, why, note, who, created_at, batch)"
        " values (0, 0, ?, ?, 'label', ?, ?, ?, '', ?, ?, ?)",
        (
            [source, cells_text(key), cells_text(before), cells_text(after), why, who, at, batch_id]
            for key, before, after in changes
        ),
    )


_TEXTS = ("source", "columns", "said", "who", "created_at", "undone_by", "undone_at")
_BATCH = ", ".join([
    "id", "job_id", "rows", *(at_most(t) if t == "columns" else cut(t, 10_000) for t in _TEXTS)
])  # fmt: skip


def get_batch(conn: sqlite3.Connection, batch_id: int) -> ChangeBatch:
    """Call after ensure_schema. Raises ReviewError for none, ArtifactError."""
    sql = f"select {_BATCH}, schema_version from _ftclassify_change_batches where id = ?"
    found = conn.execute(sql, [batch_id]).fetchone()
    if found is None:
        raise ReviewError(f"There is no change {batch_id} of many rows.")
    return replace(_batch(found[:-1]), schema_version=found[-1])


def list_batches(conn: sqlite3.Connection, source: str) -> list[ChangeBatch]:
    """Of a table, the newest first, those in queues left out."""
    if not has_table(conn, "change_batches"):
        return []
    sql = (
        f"select {_BATCH} from _ftclassify_change_batches where source = ? and job_id is null"
        " order by id desc limit ?"
    )
    return [_batch(row) for row in conn.execute(sql, [source, MOST_LISTED]).fetchall()]


def last_of_queue(conn: sqlite3.Connection, job_id: int) -> ChangeBatch | None:
    """The newest of a queue that is not undone."""
    if not has_table(conn, "change_batches"):
        return None
    sql = (
        f"select {_BATCH} from _ftclassify_change_batches where job_id = ? and undone_at is null"
        " order by id desc limit 1"
    )
    found = conn.execute(sql, [job_id]).fetchone()
    return None if found is None else _batch(found)


def changes_of(conn: sqlite3.Connection, batch_id: int) -> Iterator[Change]:
    """Those that are not undone. Raises ArtifactError."""
    sql = (
        f"select {CHANGE} from _ftclassify_label_changes"
        " where batch = ? and undone_at is null order by id"
    )
    yield from map(Change.read, conn.execute(sql, [batch_id]).fetchall())


def mark_batch_undone(conn: sqlite3.Connection, batch_id: int, who: str) -> None:
    """Call inside the transaction that writes the old values back."""
    sql = "update _ftclassify_change_batches set undone_by = ?, undone_at = ? where id = ?"
    conn.execute(sql, [who, now(), batch_id])


def merged_since(conn: sqlite3.Connection, source: str, columns: Sequence[str], since: str) -> int:
    """Rows of a table whose labels in these columns were changed in no queue since a time as `now`
    gives it, and not back."""
    if not has_table(conn, "change_batches"):
        return 0
    sql = (
        "select count(distinct c.row_key) from _ftclassify_label_changes c"
        " join _ftclassify_change_batches b on b.id = c.batch where b.job_id is null"
        " and b.source = ? and b.columns = ? and c.undone_at is null and c.created_at > ?"
    )
    named = json.dumps(list(columns), ensure_ascii=False)
    return int(conn.execute(sql, [source, named, since]).fetchone()[0])


def _batch(cells: Sequence[Any]) -> ChangeBatch:
    known = dict(zip(("id", "job_id", "rows", *_TEXTS), cells, strict=True))
    known["columns"] = read_json(known["columns"], "columns")
    return read_stored(ChangeBatch, known, "A record of changes was", "undo them by hand")
