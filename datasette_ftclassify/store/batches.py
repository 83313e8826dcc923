"""Batches of questions at a service, written down before the service hears of them.

A row says how far its batch has come, so that a process which takes a job over neither sends the
same questions a second time nor leaves answers behind that were paid for.

prepared: its questions are chosen; a file named by the tag may be at the service
uploaded: the file is there, and a batch with the tag may have been made of it
running:  the service works on it
ended:    its answers are there to be read
done:     they are kept, and its files deleted; or it came to nothing, as `detail` says
"""

from __future__ import annotations

import json
import sqlite3
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from .classifiers import now

_COLUMNS = (
    "id, job_id, tag, state, requests, after_position, position, file_id, batch_id, done, detail"
)


@dataclass(frozen=True)
class Batch:
    """A row; fields as described in the schema. `done` counts the answers that were kept."""

    id: int
    job_id: int
    tag: str
    state: str
    requests: int
    after_position: list[Any] | None
    position: list[Any] | None
    file_id: str | None = None
    batch_id: str | None = None
    done: int = 0
    detail: str | None = None


def add_batch(
    conn: sqlite3.Connection,
    job_id: int,
    requests: int,
    after_position: Sequence[Any] | None,
    position: Sequence[Any] | None,
) -> Batch:
    """A prepared batch, with a tag of its own."""
    values = [job_id, f"ftclassify-{uuid.uuid4().hex}", "prepared", requests]
    cursor = conn.execute(
        "insert into _ftclassify_batches"
        " (job_id, tag, state, requests, after_position, position, created_at, updated_at)"
        " values (?, ?, ?, ?, ?, ?, ?, ?)",
        [*values, _packed(after_position), _packed(position), now(), now()],
    )
    sql = f"select {_COLUMNS} from _ftclassify_batches where id = ?"
    return _batch(conn.execute(sql, [cursor.lastrowid]).fetchone())


def change_batch(conn: sqlite3.Connection, batch: Batch, **changes: Any) -> Batch:
    """Writes the changes down and gives the batch with them.

    changes: of state, file_id, batch_id, done and detail
    Call in a transaction that proves the job's lease.
    """
    assignments = ", ".join(f"{name} = ?" for name in changes)
    conn.execute(
        f"update _ftclassify_batches set {assignments}, updated_at = ? where id = ?",
        [*changes.values(), now(), batch.id],
    )
    return replace(batch, **changes)


def open_batches(conn: sqlite3.Connection, job_id: int) -> list[Batch]:
    """Those that are not done, oldest first."""
    rows = conn.execute(
        f"select {_COLUMNS} from _ftclassify_batches where job_id = ? and state <> 'done'"
        " order by id",
        [job_id],
    )
    return [_batch(row) for row in rows.fetchall()]


def _packed(position: Sequence[Any] | None) -> str | None:
    return None if position is None else json.dumps(list(position), ensure_ascii=False)


def _batch(row: tuple[Any, ...]) -> Batch:
    values = [*row]
    values[5:7] = map(_unpacked, row[5:7])
    return Batch(*values)


def _unpacked(text: object) -> list[Any] | None:
    """None for a damaged one: then the rows of the batch are looked for from the beginning."""
    try:
        position = json.loads(text) if isinstance(text, str) else None
    except (ValueError, RecursionError):
        return None
    return position if isinstance(position, list) else None
