"""Spending and answers of SQL functions, held in memory until the database file can be written.

A statement that reads a table blocks commits to its file (except in WAL mode), and a query that
classifies is usually such a statement. So the answers are held by the process and written when the
file is free; a published file never is. What counts towards the limits is reserved in the ledger of
the installation before a request is sent.
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from ..core.errors import LimitReached
from ..core.humanize import dollars
from ..core.sqlite_errors import SQLITE_ERRORS
from ..ledger import Account, Ledger, LedgerError, Limits, Room, functions_of
from ..store.answers import CachedAnswer, keep_answers
from ..store.disk_space import has_room_beside, is_full
from ..store.schema import transaction
from ..store.spending import SQL_FUNCTIONS, Spent, add_spending
from ..store.tables import checked
from ..trainers.access import Access

WRITE_SECONDS = 0.05
"""How long to wait for a file to be written: new readers have to wait as well, meanwhile."""
ANSWER_BYTES = 1_000
"""Room that an answer takes up, at most but for the longest."""


@dataclass
class _FileSpending:
    """Of one file: its account in the ledger, what was spent and the file's report does not say
    yet, and answers to write, by classifier.

    full: there was no room to write them
    """

    account: Account
    owed: Spent = field(default_factory=Spent)
    answers: dict[int, dict[bytes, CachedAnswer]] = field(default_factory=lambda: defaultdict(dict))
    writable: bool = True
    full: bool = False

    @property
    def waiting(self) -> int:
        """Answers that are to be written."""
        return sum(map(len, self.answers.values()))

    @property
    def unwritten(self) -> bool:
        return self.writable and (bool(self.answers) or self.owed != Spent())


class SqlSpending:
    """Of one process, in USD; what is decided is decided by the ledger. For one thread."""

    def __init__(self) -> None:
        self._files: dict[str, _FileSpending] = {}

    def reserve(self, path: str, access: Access, usd: float, *, writable: bool) -> None:
        """Reserves the cost of a request. Raises LimitReached when a limit leaves no room, the
        ledger cannot be used, or the file has no room for the answer.

        path:     of the database file; empty for one in memory
        writable: whether it may be written
        """
        with _without_ledger():
            file = self._file(path, access)
            writes = file.writable and writable and bool(path)
            lacks_room = writes and not has_room_beside(path, file.waiting * ANSWER_BYTES)
            if lacks_room or (file.full and not self.write(path)):
                raise LimitReached(
                    "There is no room on the disk to store answers, so no request is sent."
                )
            file.account.limits = Limits(
                day=access.usd_per_day, functions=access.sql_usd_per_day or 0.0
            )
            if not file.account.reserve([usd]):
                raise LimitReached(_why(file.account.room))
        file.writable = writes

    def _file(self, path: str, access: Access) -> _FileSpending:
        if path not in self._files:
            account = Account(Ledger(access.ledger), functions_of(path), Limits())
            self._files[path] = _FileSpending(account)
        return self._files[path]

    def release(self, path: str, reserved: float, *, sent: bool = True) -> None:
        """Releases the reservation of a request that the service refused, or that was not sent
        after all."""
        account = self._files[path].account
        if sent:
            account.refuse(reserved)
        else:
            account.release(reserved)

    def lose(self, path: str, reserved: float) -> None:
        """A request whose response never came, and may have been billed: counts as spent."""
        self.spend(path, reserved, Spent(reserved, 1))

    def spend(self, path: str, reserved: float, spent: Spent) -> None:
        """Replaces the reservation of an answer by its actual cost."""
        file = self._files[path]
        file.account.settle(reserved, spent)
        file.owed += spent
        with suppress(LedgerError):  # it counts as under way, until the ledger can be written
            file.account.save()

    def close(self) -> None:
        """At the end of the process."""
        for file in self._files.values():
            with suppress(LedgerError):
                file.account.close()

    def keep(self, path: str, classifier_id: int, key: bytes, answer: CachedAnswer) -> None:
        """To be written into the file."""
        file = self._files[path]
        if file.writable:
            file.answers[classifier_id][key] = answer

    def unwritten(self) -> list[str]:
        """Files that have not everything yet."""
        return [path for path, file in self._files.items() if file.unwritten]

    def write(self, path: str) -> bool:
        """Writes what the file has not yet. False when it is locked; True when it is written, or
        never will be."""
        file = self._files[path]
        if not file.unwritten:
            return True
        try:
            with _writing(path) as conn:
                for classifier_id, answers in file.answers.items():
                    keep_answers(conn, classifier_id, answers)
                add_spending(conn, SQL_FUNCTIONS, file.owed)
        except SQLITE_ERRORS as error:
            file.full = is_full(error)
            file.writable = file.full or "locked" in str(error)
            return not file.writable
        file.owed = Spent()
        file.answers.clear()
        file.full = False
        return True


def _why(room: Room) -> str:
    under_way = f", with what is under way {dollars(room.spent + room.others)}," * bool(room.others)
    if room.scope == "functions":
        return (
            f"SQL functions have spent {dollars(room.spent)}{under_way} today (UTC) of the "
            f"{dollars(room.limit)} that they may, and the next request might exceed it."
        )
    return (
        f"{dollars(room.spent)}{under_way} was spent today (UTC), and the next request might "
        f"exceed the limit of {dollars(room.limit)} for a day."
    )


@contextmanager
def _without_ledger() -> Iterator[None]:
    try:
        yield
    except LedgerError as error:
        raise LimitReached(str(error)) from error


@contextmanager
def _writing(path: str) -> Iterator[sqlite3.Connection]:
    """A transaction on a connection of its own."""
    with closing(open_beside(path, "rw", WRITE_SECONDS)) as conn, transaction(conn):
        yield conn


def open_beside(path: str, mode: str, timeout: float) -> sqlite3.Connection:
    """The database file on a connection of its own. mode: rw or ro"""
    uri = f"{Path(path).absolute().as_uri()}?mode={mode}"
    return checked(sqlite3.connect(uri, uri=True, timeout=timeout))
