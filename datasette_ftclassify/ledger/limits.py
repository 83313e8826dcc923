"""What was spent, what the limits leave, and the reservations. Call in a transaction of the
ledger."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

from ..store.jobs.leases import is_gone
from ..store.spending import Spent, today
from .keys import JobKey


@dataclass(frozen=True)
class Limits:
    """In USD; None: no limit.

    job:       for the job, over all its attempts
    day:       for everything that this installation spends in a day (UTC)
    functions: for what SQL functions of all databases spend in a day
    """

    job: float | None = None
    day: float | None = None
    functions: float | None = None


@dataclass(frozen=True)
class Room:
    """What the tightest limit leaves, in USD.

    scope:  job, day or functions; empty where there is no limit
    spent:  of the limit
    others: what else is under way that counts towards it
    """

    scope: str = ""
    limit: float = math.inf
    spent: float = 0.0
    others: float = 0.0

    @property
    def left(self) -> float:
        return self.limit - self.spent - self.others


def tightest(db: sqlite3.Connection, key: JobKey, limits: Limits, holder: str) -> Room:
    """holder: whose own reservations do not count"""
    return min(rooms(db, key, limits, holder), key=lambda room: room.left, default=Room())


def rooms(db: sqlite3.Connection, key: JobKey, limits: Limits, holder: str) -> list[Room]:
    """What each of the limits that are set leaves."""
    job, whose = "database = :database and nonce = :nonce", "nonce = ''"
    values = {**vars(key), "day": today(), "holder": holder}
    found = []
    for scope, limit, spent, under_way in (
        ("job", limits.job, job, job),
        ("day", limits.day, TODAY, "1"),
        ("functions", limits.functions, f"{TODAY} and {whose}", whose),
    ):
        if limit is not None:
            others = usd_under_way(db, f"{under_way} and holder <> :holder", values)
            found.append(Room(scope, limit, spent_where(db, spent, values).usd, others))
    return found


def hold(
    db: sqlite3.Connection,
    holder: str,
    key: JobKey,
    usd: float,
    requests: int,
    *,
    owner: str | None = None,
    digest: str = "",
) -> None:
    """Sets the reservation of a holder, which replaces its earlier one."""
    db.execute(
        "insert or replace into under_way (holder, owner, day, database, job, nonce, usd,"
        " requests, digest) values (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [holder, owner, today(), key.database, key.job, key.nonce, usd, requests, digest],
    )


LONGEST_DAYS = 30
"""A batch or a training that nobody has collected for so long counts as spent."""

TODAY = "day between :day and date(:day, '+7 days')"
"""What counts for a day's limit: a clock that was set back, by up to a week, makes no new room."""

_FIELDS = tuple(Spent.__dataclass_fields__)
_SUMS = ", ".join(f"coalesce(sum({name}), 0)" for name in _FIELDS)


def add_spent(
    db: sqlite3.Connection,
    key: JobKey,
    spent: Spent,
    *,
    day: str | None = None,
    repeats: int = 0,
    unbilled: int = 0,
) -> None:
    """Adds to what was spent on a day (UTC), today by default.

    repeats:  among the requests
    unbilled: requests beside them, which cost nothing
    """
    values = {**vars(spent), "repeats": repeats, "unbilled": unbilled}
    changes = ", ".join(f"{name} = {name} + excluded.{name}" for name in values)
    db.execute(
        f"insert into spending (day, database, nonce, job, {', '.join(values)})"
        f" values (?, ?, ?, ?{', ?' * len(values)})"
        f" on conflict (day, database, nonce) do update set {changes}",
        [day or today(), key.database, key.nonce, key.job, *values.values()],
    )


def spent_where(db: sqlite3.Connection, condition: str, values: Mapping[str, object]) -> Spent:
    return Spent(*db.execute(f"select {_SUMS} from spending where {condition}", values).fetchone())


def usd_under_way(db: sqlite3.Connection, condition: str, values: Mapping[str, object]) -> float:
    sql = f"select coalesce(sum(usd), 0) from under_way where {condition}"
    return float(db.execute(sql, values).fetchone()[0])


def day_before(days: int) -> str:
    """The day (UTC) so many days ago, as stored."""
    return (datetime.now(timezone.utc) - timedelta(days)).strftime("%Y-%m-%d")


def record_lost(db: sqlite3.Connection, key: JobKey | None = None) -> Spent:
    """What was under way in processes that live no more counts as spent, at what it was expected to
    cost: nobody will know. Gives how much that was.

    key: of a job that this process has taken over, whose last process has lost it
    """
    rows = db.execute(
        "select holder, owner, day, database, job, nonce, usd, requests from under_way"
    ).fetchall()
    lost, oldest = Spent(), day_before(LONGEST_DAYS)
    for holder, owner, day, database, job, nonce, usd, requests in rows:
        whose = JobKey(database, job, nonce)
        is_over = day < oldest if owner is None else whose == key or is_gone(owner)
        if not is_over:
            continue
        db.execute("delete from under_way where holder = ?", [holder])
        if requests or usd:
            spent = Spent(usd, requests)
            add_spent(db, whose, spent, day=day, repeats=requests)
            lost += spent if whose == key else Spent()
    return lost
