"""The ledger as the rest of the package uses it."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterator
from contextlib import closing, contextmanager
from dataclasses import astuple, dataclass, replace
from pathlib import Path

from ..store.classifiers import now
from ..store.spending import Spent, today
from .keys import JobKey
from .limits import (
    TODAY,
    Limits,
    Room,
    add_spent,
    hold,
    record_lost,
    rooms,
    spent_where,
    tightest,
    usd_under_way,
)
from .place import LedgerError, connect, default_path, file_at, transaction


@dataclass(frozen=True)
class Agreement:
    """What a person saw and agreed to.

    digest:       of what the job does, so that one that was changed since has another
    limit_usd:    for the job in all; None: none was set
    expected_usd: what it was said to cost; None: not known, or nothing
    """

    digest: str
    limit_usd: float | None = None
    expected_usd: float | None = None


class Ledger:
    """Of this installation. Cheap to make; opened when it is first used, for one thread.

    path: None: where `default_path` says
    Every method raises LedgerError when the ledger cannot be used.
    """

    def __init__(self, path: str | Path | None = None) -> None:
        self.path = default_path() if path is None else Path(path)
        self._conn: sqlite3.Connection | None = None
        self._file: tuple[int, int] | None = None

    def close(self) -> None:
        if self._conn is not None:
            self._conn.close()
            self._conn = None

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """A transaction, on a connection that stays open. What it would write into a file that
        somebody has deleted meanwhile, or replaced, nobody else would know of."""
        if self._conn is None:
            self._conn = connect(self.path)
            self._file = file_at(self.path)
        elif file_at(self.path) != self._file:
            raise LedgerError(
                f"The ledger {self.path}, which keeps what is spent here, was deleted or replaced "
                "while it was in use, so nothing that costs money is done with it. Restart what "
                "used it once the right file is back."
            )
        with transaction(self._conn, self.path) as db:
            yield db

    @contextmanager
    def _once(self, *, writes: bool = True) -> Iterator[sqlite3.Connection]:
        """A transaction, on a connection of its own: pages ask from many threads."""
        with closing(connect(self.path)) as conn, transaction(conn, self.path, writes=writes) as db:
            yield db

    # Agreements

    def agree(self, key: JobKey, agreement: Agreement) -> None:
        """Notes that a person on this machine wants the job done: one that a file brought along
        has no agreement."""
        with self._once() as db:
            db.execute(
                "insert or replace into agreements (database, job, nonce, digest, limit_usd,"
                " expected_usd, agreed_at) values (?, ?, ?, ?, ?, ?, ?)",
                [*astuple(key), *astuple(agreement), now()],
            )

    def agreements(self, database: str) -> dict[JobKey, Agreement]:
        """To all jobs of a database."""
        columns = "job, nonce, digest, limit_usd, expected_usd"
        with self._once(writes=False) as db:
            sql = f"select {columns} from agreements where database = ?"
            rows = db.execute(sql, [database]).fetchall()
        return {JobKey(database, job, nonce): Agreement(*row) for job, nonce, *row in rows}

    # Models

    def note_base(self, host: str, names: Collection[str], base: str) -> None:
        """Notes from which model those were tuned that are asked by these names at a host."""
        with self._once() as db:
            sql = "insert or replace into models (host, name, base) values (?, ?, ?)"
            db.executemany(sql, [[host, name, base] for name in names])

    def base_of(self, host: str, name: str) -> str | None:
        """None: this installation does not know it."""
        with self._once(writes=False) as db:
            sql = "select base from models where host = ? and name = ?"
            row: tuple[str] | None = db.execute(sql, [host, name]).fetchone()
            return None if row is None else row[0]

    # Spending

    def take_over(self, key: JobKey) -> Spent:
        """Call for a job that this process has claimed, before any request: what the last process
        had under way counts as spent. Gives that."""
        with self._once() as db:
            return record_lost(db, key)

    def spent(self, key: JobKey) -> Spent:
        """By a job, over all days."""
        where = "database = :database and nonce = :nonce"
        with self._once(writes=False) as db:
            return spent_where(db, where, vars(key))

    def spent_today(self, *, functions: bool = False) -> Spent:
        """By everything, or by SQL functions alone."""
        only = " and nonce = ''" if functions else ""
        with self._once(writes=False) as db:
            return spent_where(db, f"{TODAY}{only}", {"day": today()})

    def under_way(self) -> float:
        """USD that may come to be spent by what is under way."""
        with self._once(writes=False) as db:
            return usd_under_way(db, "1", {})

    def rooms(self, key: JobKey | None, limits: Limits) -> list[Room]:
        """What each limit leaves; of a job that is still to be (None), all of its own."""
        with self._once(writes=False) as db:
            return rooms(db, key or JobKey("", 0, "new"), limits, "")

    # Batches and trainings, which outlive their process

    def hold(
        self, key: JobKey, name: str, usd: float, requests: int, limits: Limits, digest: str = ""
    ) -> Room | None:
        """Sets aside what a batch or a training costs at most. None when that is done; else the
        limit that leaves no room for it.

        name: of no other one of the job; held again, the last figures count
        """
        with self._once() as db:
            room = tightest(db, key, limits, holder := _holder(key, name))
            if usd > room.left:
                return room
            hold(db, holder, key, usd, requests, digest=digest)
        return None

    def held(self, key: JobKey, name: str, digest: str = "") -> tuple[float, int] | None:
        """(USD, requests) that were set aside for it and are not settled; None: nothing was, by
        that name and digest."""
        with self._once(writes=False) as db:
            row: tuple[float, int] | None = db.execute(
                "select usd, requests from under_way where holder = ? and digest = ?",
                [_holder(key, name), digest],
            ).fetchone()
            return row

    def settle(self, key: JobKey, name: str, spent: Spent, *, priced: bool = True) -> Spent:
        """Replaces a part of a reservation, of so many requests, by what was spent.

        priced: False: the cost is not known, and counts as expected
        Gives what was spent.
        """
        holder = _holder(key, name)
        with self._once() as db:
            row = db.execute("select usd, requests from under_way where holder = ?", [holder])
            usd, requests = row.fetchone() or (0.0, 0)
            share = usd * min(spent.requests / requests, 1.0) if requests else usd
            if not priced:
                spent = replace(spent, usd=share)
            add_spent(db, key, spent)
            left = [usd - share, max(requests - spent.requests, 0), holder]
            db.execute("update under_way set usd = ?, requests = ? where holder = ?", left)
        return spent

    def end(self, key: JobKey, name: str, *, unbilled: int = 0) -> None:
        """Nothing more comes of it. unbilled: of its requests, those that cost nothing"""
        with self._once() as db:
            sql = "delete from under_way where holder = ?"
            if db.execute(sql, [_holder(key, name)]).rowcount:
                add_spent(db, key, Spent(), unbilled=unbilled)

    def lose_others(self, key: JobKey, names: Collection[str]) -> None:
        """What the job holds beside those counts as spent: its file knows no more of it, as when a
        backup was put back, and it may be at the service."""
        sql = (
            "select holder, day, usd, requests from under_way"
            " where owner is null and database = ? and nonce = ?"
        )
        kept = {_holder(key, name) for name in names}
        with self._once() as db:
            for holder, day, usd, requests in db.execute(sql, [key.database, key.nonce]).fetchall():
                if holder not in kept:
                    add_spent(db, key, Spent(usd, requests), day=day, repeats=requests)
                    db.execute("delete from under_way where holder = ?", [holder])


def _holder(key: JobKey, name: str) -> str:
    """A batch or a training of this very job: those of its copies have the same name."""
    return f"{name} {key.nonce} {key.database}"
