"""The jobs that a person on this machine has agreed to.

A job is known by its database and a random number in its row, and what it would do by a digest: a
job that a file brought along has none, and one that was changed since has another digest.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from datetime import datetime, timezone

from .keys import JobKey

_COLUMNS = "job, nonce, digest, limit_usd, expected_usd, agreed_at"


@dataclass(frozen=True)
class Agreement:
    """What a person saw and agreed to.

    digest:       of what the job does
    limit_usd:    for the job in all; None: none was set
    expected_usd: what it was said to cost; None: not known, or nothing
    """

    digest: str
    limit_usd: float | None = None
    expected_usd: float | None = None
    agreed_at: str = ""


def add_agreement(db: sqlite3.Connection, key: JobKey, agreement: Agreement) -> None:
    """From now on; `agreed_at` is now."""
    now = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    db.execute(
        f"insert or replace into agreements (database, {_COLUMNS}) values (?, ?, ?, ?, ?, ?, ?)",
        [
            *(key.database, key.job, key.nonce),
            *(agreement.digest, agreement.limit_usd, agreement.expected_usd, now),
        ],
    )


def agreements_in(db: sqlite3.Connection, database: str) -> dict[JobKey, Agreement]:
    """Of all jobs of a database."""
    sql = f"select {_COLUMNS} from agreements where database = ?"
    rows = db.execute(sql, [database]).fetchall()
    return {JobKey(database, job, nonce): Agreement(*row) for job, nonce, *row in rows}
