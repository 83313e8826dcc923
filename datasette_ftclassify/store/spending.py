"""Spending by day and job, from the usage that services report."""

from __future__ import annotations

import sqlite3
from dataclasses import asdict, astuple, dataclass
from datetime import datetime, timezone
from operator import add
from typing import cast

from ..metrics.result import Spending
from .tables import has_table

SQL_FUNCTIONS = 0
"""Stands for the job's id where a SQL function asked."""


@dataclass(frozen=True)
class Spent:
    """Money and what it was spent on. usd counts nothing for a model whose price is not known."""

    usd: float = 0.0
    requests: int = 0
    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    trained_tokens: int = 0

    def __add__(self, other: Spent) -> Spent:
        return Spent(*map(add, astuple(self), astuple(other)))

    def to_dict(self) -> Spending:
        return cast(Spending, asdict(self))


_FIELDS = tuple(Spent.__dataclass_fields__)
# A file that somebody else made may hold anything, and less than nothing makes room for no more.
_SUMS = ", ".join(f"coalesce(sum(max({name} + 0, 0)), 0)" for name in _FIELDS)


def today() -> str:
    """The day (UTC) as stored."""
    return datetime.now(timezone.utc).strftime("%Y-%m-%d")


def add_spending(conn: sqlite3.Connection, job_id: int, spent: Spent) -> None:
    """Adds to today's. Call in the transaction that stores what was paid for."""
    changes = ", ".join(f"{name} = {name} + excluded.{name}" for name in _FIELDS)
    conn.execute(
        f"insert into _ftclassify_spending (day, job_id, {', '.join(_FIELDS)})"
        f" values (?, ?{', ?' * len(_FIELDS)}) on conflict (day, job_id) do update set {changes}",
        [today(), job_id, *astuple(spent)],
    )


def spent_by_job(conn: sqlite3.Connection, job_id: int) -> Spent:
    """Over all days; nothing in a file of a version that spent nothing."""
    if not has_table(conn, "spending"):
        return Spent()
    row = conn.execute(f"select {_SUMS} from _ftclassify_spending where job_id = ?", [job_id])
    return Spent(*row.fetchone())


def spent_by_each_job(conn: sqlite3.Connection) -> dict[int, Spent]:
    """As `spent_by_job`, of all jobs that spent anything."""
    if not has_table(conn, "spending"):
        return {}
    rows = conn.execute(f"select job_id, {_SUMS} from _ftclassify_spending group by job_id")
    return {job_id: Spent(*sums) for job_id, *sums in rows.fetchall()}


def spent_on_classifier(conn: sqlite3.Connection, classifier_id: int) -> Spent:
    """By all jobs that made or used a classifier, but not by SQL functions."""
    row = conn.execute(
        f"select {_SUMS} from _ftclassify_spending where job_id in"
        " (select id from _ftclassify_jobs where classifier_id = ?)",
        [classifier_id],
    )
    return Spent(*row.fetchone())
