"""Which tables have their new rows classified as they come: by which classifier, in which job."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from ...core.job_events import NEW_ROWS
from ..cell_size import fits
from ..classifiers import now
from ..schema import transaction, upsert
from ..tables import has_table
from .events import note

MOST_FOLLOWING = 1_000
"""Of one file, which the server looks at every few seconds."""

_FIT = " and ".join(fits(name) for name in ("source", "uid", "job_id"))
"""Rows of a size that we write."""


@dataclass(frozen=True)
class Following:
    """A table whose new and edited rows a classifier answers. Its job goes on whenever there are
    some."""

    source: str
    uid: str
    job_id: int


def add_following(conn: sqlite3.Connection, source: str, uid: str, job_id: int) -> None:
    """From now on, or in another job than before. Call after ensure_schema."""
    with transaction(conn):
        conn.execute(
            upsert("_ftclassify_following", ["source", "uid"], ["job_id", "created_at"]),
            [source, uid, job_id, now()],
        )


def list_following(conn: sqlite3.Connection, source: str | None = None) -> list[Following]:
    """All, or those of one table, the first MOST_FOLLOWING; none in a file of an older version."""
    if not has_table(conn, "following"):
        return []
    rows = conn.execute(
        "select source, uid, job_id from _ftclassify_following where (?1 is null or source = ?1)"
        f" and {_FIT} order by source, uid limit {MOST_FOLLOWING}",
        [source],
    )
    return [Following(*row) for row in rows.fetchall()]


def is_followed(conn: sqlite3.Connection, job_id: int) -> bool:
    """Whether the job goes on whenever there are new rows."""
    if not has_table(conn, "following"):
        return False
    sql = "select 1 from _ftclassify_following where job_id = ?"
    return conn.execute(sql, [job_id]).fetchone() is not None


def end_following(conn: sqlite3.Connection, source: str, uid: str) -> None:
    """A job that runs finishes its rows."""
    with transaction(conn):
        sql = "delete from _ftclassify_following where source = ? and uid = ?"
        conn.execute(sql, [source, uid])


def go_on(conn: sqlite3.Connection, job_id: int, *, from_the_first: bool = False) -> bool:
    """Queues a finished job again, to go on after its last row, or to look at all rows again;
    whether it was finished."""
    with transaction(conn):
        cursor = conn.execute(
            "update _ftclassify_jobs set state = 'queued', wanted = null, owner = null,"
            " lease_until = null, position = case when ? then null else position end,"
            " updated_at = ? where id = ? and state = 'finished'",
            [from_the_first, now(), job_id],
        )
        if cursor.rowcount:
            what = "goes on with new or edited rows"
            note(conn, job_id, NEW_ROWS, what, key=what)
    return cursor.rowcount > 0
