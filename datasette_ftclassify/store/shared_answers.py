"""Answers of people who label the rows of a queue each for themselves. They are records of the kind
`answer`, or `pass` where somebody has none, and no change of the table."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Collection

from .label_changes import CHANGE, Change
from .reviews import claim, set_state

_LIVE = "action in ('answer', 'pass') and undone_at is null"


def answers_of(conn: sqlite3.Connection, job_id: int, place: int | None = None) -> list[Change]:
    """Those that were not taken back, the oldest first. Raises ArtifactError."""
    sql = (
        f"select {CHANGE} from _ftclassify_label_changes where job_id = ?1"
        f" and place = coalesce(?2, place) and {_LIVE} order by place, id"
    )
    return [Change.read(row) for row in conn.execute(sql, [job_id, place]).fetchall()]


def settle(conn: sqlite3.Connection, job_id: int, place: int, people: int) -> None:
    """Makes the row one that waits for a decision once so many people have answered it, or open.
    Call inside the transaction that has added or taken back an answer, or a decision."""
    sql = (
        "select count(distinct who) from _ftclassify_label_changes where job_id = ? and place = ?"
        f" and {_LIVE}"
    )
    (found,) = conn.execute(sql, [job_id, place]).fetchone()
    set_state(conn, job_id, place, "answered" if found >= people else "open")


def next_unanswered(conn: sqlite3.Connection, job_id: int, who: str) -> int | None:
    """The place of the first open row that this person has not answered; None: none is left. Rows
    are not claimed, since several people are to answer each."""
    row = conn.execute(
        "select place from _ftclassify_review_rows r where job_id = ?1 and state = 'open'"
        " and not exists (select 1 from _ftclassify_label_changes c"
        f" where c.job_id = r.job_id and c.place = r.place and c.who = ?2 and {_LIVE})"
        " order by place limit 1",
        [job_id, who],
    ).fetchone()
    return None if row is None else int(row[0])


def next_undecided(
    conn: sqlite3.Connection, job_id: int, who: str, places: Collection[int]
) -> int | None:
    """The first of these places that waits for a decision and is in front of nobody else, which
    becomes this person's. Call inside a transaction."""
    row = conn.execute(
        "select place from _ftclassify_review_rows where job_id = ? and state = 'answered'"
        " and place in (select value from json_each(?))"
        " and (claimed_by is null or claimed_by = ? or claimed_until < ?) order by place limit 1",
        [job_id, json.dumps(sorted(places)), who, time.time()],
    ).fetchone()
    if row is None:
        return None
    claim(conn, job_id, int(row[0]), who)
    return int(row[0])


def left_for(conn: sqlite3.Connection, job_id: int, who: str) -> int:
    """Open rows that this person has not answered."""
    sql = (
        "select count(*) from _ftclassify_review_rows r where job_id = ?1 and state = 'open'"
        " and not exists (select 1 from _ftclassify_label_changes c where c.job_id = r.job_id"
        f" and c.place = r.place and c.who = ?2 and {_LIVE})"
    )
    return int(conn.execute(sql, [job_id, who]).fetchone()[0])
