"""The reservations of one process for one job, within its limits.

The cost of a request is reserved in the ledger before it is sent, in one transaction that sees all
other reservations. So jobs of any databases and processes keep to the limits together, and after a
process is killed, the ledger knows of every request that it sent.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from ..core.errors import JobError
from ..store.jobs.leases import new_owner
from ..store.spending import Spent, today
from .keys import JobKey
from .ledger import Ledger
from .limits import Limits, Room, add_spent, hold, record_lost, tightest


class Account:
    """Reserves, settles, releases; amounts in USD. For one thread. Close it.

    Without the model's vocabulary an amount is an estimate: once an answer has cost more than was
    set aside for it, so much more is expected of all others.
    Methods raise LedgerError when the ledger cannot be written, JobError when another process has
    taken the job over.
    """

    def __init__(self, ledger: Ledger, key: JobKey, limits: Limits) -> None:
        """Counts first what dead processes had under way. Raises LedgerError."""
        with ledger.writing() as db:
            record_lost(db)
        self.key, self.limits = key, limits
        self._ledger = ledger
        self._holder = new_owner()
        self._reserved = 0.0
        self._requests = 0
        self._dearer = 1.0
        self._unsaved = Spent()
        self._unbilled = 0
        self._noted = False
        self._changed = False
        self.room = Room()

    def reserve(self, amounts: Sequence[float]) -> int:
        """Sets aside what requests cost at most; gives how many of the first ones there is room
        for. `room` then says what the tightest limit had."""
        granted, usd = 0, 0.0
        with self._ledger.writing() as db:
            self._save_spent(db)
            self.room = tightest(db, self.key, self.limits, self._holder)
            for amount in amounts:
                if (self._reserved + usd + amount) * self._dearer > self.room.left:
                    break
                usd += amount
                granted += 1
            self._note(db, self._reserved + usd, self._requests + granted)
        self._reserved += usd
        self._requests += granted
        self._saved()
        return granted

    def settle(self, reserved: float, spent: Spent) -> None:
        """Replaces the reservation of one request by its actual cost. It is in the ledger with the
        next `reserve` or `save`; until then it counts as under way."""
        if reserved:
            self._dearer = max(self._dearer, spent.usd / reserved)
        self._unsaved += spent
        self._give_back(reserved)

    def refuse(self, reserved: float) -> None:
        """Gives back what was set aside for a request that the service refused: it cost nothing."""
        self._unbilled += 1
        self._give_back(reserved)

    def release(self, reserved: float) -> None:
        """Gives back what was set aside for a request that was not sent."""
        self._give_back(reserved)

    def lose(self, reserved: float) -> Spent:
        """Counts a request as spent whose answer never came: it may have been answered there."""
        spent = Spent(reserved, 1)
        self.settle(reserved, spent)
        return spent

    def _give_back(self, reserved: float) -> None:
        self._changed = True
        self._requests = max(self._requests - 1, 0)
        self._reserved = max(self._reserved - reserved, 0.0) if self._requests else 0.0

    def save(self) -> None:
        """Writes down what was settled, where no `reserve` has done it since."""
        if not self._changed:
            return
        with self._ledger.writing() as db:
            self._save_spent(db)
            self._note(db, self._reserved, self._requests)
        self._saved()

    def close(self) -> Spent:
        """Ends it. What is still under way counts as spent: it was sent. Gives that."""
        lost = Spent(self._reserved, self._requests)
        self._unsaved += lost
        self._reserved, self._requests = 0.0, 0
        try:
            with self._ledger.writing() as db:
                self._save_spent(db)
                db.execute("delete from under_way where holder = ?", [self._holder])
        finally:
            self._ledger.close()
        self._saved()
        self._noted = False
        return lost

    def _save_spent(self, db: sqlite3.Connection) -> None:
        if self._unsaved != Spent() or self._unbilled:
            add_spent(db, self.key, self._unsaved, unbilled=self._unbilled)

    def _saved(self) -> None:
        self._unsaved, self._unbilled = Spent(), 0
        self._changed = False

    def _note(self, db: sqlite3.Connection, usd: float, requests: int) -> None:
        values = [usd * self._dearer, requests, today(), self._holder]
        sql = "update under_way set usd = ?, requests = ?, day = ? where holder = ?"
        if self._noted and not db.execute(sql, values).rowcount:
            raise JobError(f"Job {self.key.job} was taken over by another process.")
        if not self._noted:
            hold(db, self._holder, self.key, usd * self._dearer, requests, owner=self._holder)
            self._noted = True
