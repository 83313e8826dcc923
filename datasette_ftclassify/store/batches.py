"""Batches of requests at a service, each stored before anything is sent.

A row holds the state of its batch, so that a process which takes a job over neither sends the same
requests a second time nor loses answers that were paid for.

prepared: its requests are chosen; a file named by the tag may be at the service
uploaded: the file is there, and a batch with the tag may have been made of it
running:  the service works on it
ended:    its answers are there to be read
done:     they are kept, and its files deleted; or it came to nothing, as `detail` says
"""

from __future__ import annotations

import sqlite3
import uuid
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, TypedDict

from .cell_size import at_most, cut
from .classifiers import now
from .tables import has_table

if TYPE_CHECKING:
    from typing_extensions import Unpack

_KEY = 16
MOST_OPEN = 20
"""Of one job; we have four at a time."""

_COLUMNS = (
    f"id, job_id, {cut('tag')}, {cut('state')}, requests, usd, {cut('file_id')}, {cut('batch_id')},"
    f" done, {cut('detail')},"
    f" (select {at_most('keys')} from _ftclassify_batch_keys where batch_id = b.id)"
)


State = Literal["prepared", "uploaded", "running", "ended", "done"]


class Changes(TypedDict, total=False):
    """What may change of a batch."""

    state: State
    file_id: str | None
    batch_id: str | None
    done: int
    detail: str | None


@dataclass(frozen=True)
class Batch:
    """A row; fields as described in the schema. `done` counts the answers that were kept, and
    `keys` is None when they are not known, as of a batch that an older version made."""

    id: int
    job_id: int
    tag: str
    state: State
    requests: int
    usd: float | None = None
    file_id: str | None = None
    batch_id: str | None = None
    done: int = 0
    detail: str | None = None
    keys: frozenset[bytes] | None = None


def new_tag() -> str:
    """Names a batch, also to the service."""
    return f"ftclassify-{uuid.uuid4().hex}"


def add_batch(
    conn: sqlite3.Connection, job_id: int, keys: Collection[bytes], usd: float | None, tag: str
) -> Batch:
    """A prepared batch.

    keys: of its requests, see answers.input_key
    usd:  what it may cost; None: no price is known
    tag:  of no other one, see `new_tag`
    """
    cursor = conn.execute(
        "insert into _ftclassify_batches"
        " (job_id, tag, state, requests, usd, created_at, updated_at)"
        " values (?, ?, ?, ?, ?, ?, ?)",
        [job_id, tag, "prepared", len(keys), usd, now(), now()],
    )
    conn.execute(
        "insert into _ftclassify_batch_keys (batch_id, keys) values (?, ?)",
        [cursor.lastrowid, b"".join(keys)],
    )
    sql = f"select {_COLUMNS} from _ftclassify_batches b where id = ?"
    return _batch(conn.execute(sql, [cursor.lastrowid]).fetchone())


def change_batch(conn: sqlite3.Connection, batch: Batch, **changes: Unpack[Changes]) -> Batch:
    """Writes the changes down and gives the batch with them.

    Call in a transaction that proves the job's lease.
    """
    assignments = ", ".join(f"{name} = ?" for name in changes)
    conn.execute(
        f"update _ftclassify_batches set {assignments}, updated_at = ? where id = ?",
        [*changes.values(), now(), batch.id],
    )
    if changes.get("state") == "done":
        conn.execute("delete from _ftclassify_batch_keys where batch_id = ?", [batch.id])
    return replace(batch, **changes)


def open_batches(conn: sqlite3.Connection, job_id: int) -> list[Batch]:
    """Those that are not done, oldest first, MOST_OPEN at most."""
    rows = conn.execute(
        f"select {_COLUMNS} from _ftclassify_batches b where job_id = ? and state <> 'done'"
        f" order by id limit {MOST_OPEN}",
        [job_id],
    )
    return [_batch(row) for row in rows.fetchall()]


def has_open_batches(conn: sqlite3.Connection, job_id: int) -> bool:
    """Whether any is not done; of a file of a version that had no batches: no."""
    if not has_table(conn, "batches"):
        return False
    sql = "select 1 from _ftclassify_batches where job_id = ? and state <> 'done'"
    return conn.execute(sql, [job_id]).fetchone() is not None


def _batch(row: tuple[Any, ...]) -> Batch:
    return replace(Batch(*row[:-1]), keys=_unpacked(row[-1]))


def _unpacked(keys: object) -> frozenset[bytes] | None:
    if not isinstance(keys, bytes) or len(keys) % _KEY:
        return None
    return frozenset(keys[i : i + _KEY] for i in range(0, len(keys), _KEY))
