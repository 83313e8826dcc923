"""What the limits leave, and the reservations. Call in a transaction of the ledger."""

from __future__ import annotations

import math
import sqlite3
from dataclasses import dataclass

from ..store.spending import today
from .keys import JobKey
from .totals import TODAY, spent_where, usd_under_way


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
