"""What SQL functions spent and were told, until the database file has it.

A statement that reads a table keeps everybody from committing to that file (but in WAL mode), and
the one that asks is usually such a statement. So this is kept in the process first, counts there
towards the limits, and is written when the file lets it be. A published file never does.
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from .errors import LimitReached
from .prices import dollars
from .store.answers import KeptAnswer, keep_answers
from .store.reserving import reserved_by_others
from .store.schema import transaction
from .store.spending import SQL_FUNCTIONS, Spent, add_spending, spent_today, today
from .store.tables import check_tables
from .trainers.access import Access

READ_SECONDS = 1.0
"""How long to wait for a file to be read."""
WRITE_SECONDS = 0.05
"""How long to wait for a file to be written: new readers have to wait as well, meanwhile."""


@dataclass
class _Page:
    """Of one file: USD set aside for questions under way, what was spent and is not in the file,
    USD that this process has written into it, and answers to write, by classifier."""

    reserved: float = 0.0
    owed: Spent = field(default_factory=Spent)
    written: float = 0.0
    answers: dict[int, dict[bytes, KeptAnswer]] = field(default_factory=lambda: defaultdict(dict))
    writable: bool = True

    @property
    def unwritten(self) -> bool:
        return self.writable and (bool(self.answers) or self.owed != Spent())


class Books:
    """Of one process, in USD and for the day (UTC). For one thread."""

    def __init__(self) -> None:
        self._day = today()
        self._pages: dict[str, _Page] = defaultdict(_Page)

    def reserve(self, path: str, access: Access, usd: float, *, writable: bool) -> None:
        """Sets the cost of a question aside. Raises LimitReached when a limit leaves no room.

        path:     of the database file; empty for one in memory
        writable: whether it may be written
        """
        self._begin_day()
        by_functions, by_all = _spent_by(path)
        own = self._pages[path].reserved + self._pages[path].owed.usd
        others = sum(
            page.reserved + page.owed.usd + page.written
            for other, page in self._pages.items()
            if other != path
        )
        by_functions += own + others
        by_all += own
        limit = access.sql_usd_per_day or 0.0
        if by_functions + usd > limit:
            raise LimitReached(
                f"SQL functions have spent {dollars(by_functions)} today (UTC) of the "
                f"{dollars(limit)} that they may, and the next question might exceed it."
            )
        if access.usd_per_day is not None and by_all + usd > access.usd_per_day:
            raise LimitReached(
                f"{dollars(by_all)} was spent today (UTC), and the next question might exceed the "
                f"limit of {dollars(access.usd_per_day)} for a day."
            )
        page = self._pages[path]
        page.reserved += usd
        page.writable = page.writable and writable and bool(path)

    def _begin_day(self) -> None:
        if self._day != today():
            self._day = today()
            for page in self._pages.values():
                page.written, page.owed = 0.0, replace(page.owed, usd=0.0)

    def release(self, path: str, usd: float) -> None:
        """Gives back what was set aside."""
        page = self._pages[path]
        page.reserved = max(page.reserved - usd, 0.0)

    def spend(self, path: str, spent: Spent) -> None:
        page = self._pages[path]
        page.owed = page.owed + spent

    def keep(self, path: str, classifier_id: int, key: bytes, answer: KeptAnswer) -> None:
        """To be written into the file."""
        page = self._pages[path]
        if page.writable:
            page.answers[classifier_id][key] = answer

    def unwritten(self) -> list[str]:
        """Files that have not everything yet."""
        return [path for path, page in self._pages.items() if page.unwritten]

    def write(self, path: str) -> bool:
        """Writes what the file has not yet. False when it is locked; True when it is written, or
        never will be."""
        page = self._pages[path]
        if not page.unwritten:
            return True
        try:
            with _writing(path) as conn:
                for classifier_id, answers in page.answers.items():
                    keep_answers(conn, classifier_id, answers)
                add_spending(conn, SQL_FUNCTIONS, page.owed)
        except sqlite3.Error as error:
            page.writable = "locked" in str(error)
            return not page.writable
        page.written += page.owed.usd
        page.owed = Spent()
        page.answers.clear()
        return True


def _spent_by(path: str) -> tuple[float, float]:
    """(by SQL functions, in all) today, as far as the file says. Raises LimitReached when it is
    locked, so that it cannot be known."""
    if not path:
        return 0.0, 0.0
    try:
        with closing(_open(path, "ro", READ_SECONDS)) as conn:
            by_all = spent_today(conn).usd + _under_way(conn)
            return spent_today(conn, SQL_FUNCTIONS).usd, by_all
    except sqlite3.Error as error:
        if "locked" in str(error):
            raise LimitReached(
                "The database is locked, so nobody can say what was spent today. Ask again later."
            ) from None
        return 0.0, 0.0


def _under_way(conn: sqlite3.Connection) -> float:
    """USD that jobs may come to cost by what is under way. A file of an earlier version, which is
    only read here, does not say it."""
    try:
        return reserved_by_others(conn)
    except sqlite3.OperationalError as error:
        if "no such" in str(error):
            return 0.0
        raise


@contextmanager
def _writing(path: str) -> Iterator[sqlite3.Connection]:
    """A transaction on a connection of its own."""
    with closing(_open(path, "rw", WRITE_SECONDS)) as conn, transaction(conn):
        yield conn


def _open(path: str, mode: str, timeout: float) -> sqlite3.Connection:
    uri = f"{Path(path).absolute().as_uri()}?mode={mode}"
    conn = sqlite3.connect(uri, uri=True, timeout=timeout)
    try:
        check_tables(conn)
    except BaseException:
        conn.close()
        raise
    return conn
