"""What a job may still spend. The cost of a question is set aside before it is sent, so that what
is under way can never go beyond a limit together."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Callable

from ..errors import LimitReached
from ..prices import dollars
from ..store.jobs import Job
from ..store.reserving import reserved_by_others, set_reserved
from ..store.schema import transaction
from ..store.spending import Spent, spent_by_job, spent_today
from ..trainers.access import Access
from ..trainers.service import Usage

AHEAD = 2.0
"""How many times what it needs a job takes of the day's limit at once."""

Cost = Callable[[Usage], float | None]
"""From tokens to USD; None when no price is known."""


class Budget:
    """Of one job, in USD.

    limit:     for the job, over all its attempts; None: none. What a job says of itself can only
               lower what the operator set
    day_limit: for all jobs of the database file and one day (UTC); None: none
    Raises LimitReached when there is a limit, and no price to keep to it by.
    """

    def __init__(self, conn: sqlite3.Connection, job: Job, access: Access, cost: Cost) -> None:
        agreed = (job.estimate or {}).get("limit_usd")
        self.limit = _lowest(agreed, access.usd_per_job)
        self.day_limit = access.usd_per_day
        self.spent = spent_by_job(conn, job.id).usd
        self._conn = conn
        self._job = job
        self._cost = cost
        self._by_operator = self.limit is not None and self.limit == access.usd_per_job
        self._today = spent_today(conn).usd
        self._reserved = 0.0
        self._unsaved = 0.0
        self._allotted = 0.0
        self._dearer = 1.0
        if self.limited and cost(Usage(1, 0, 1)) is None:
            raise LimitReached(
                "A limit of money was set, but no price of the model is known to keep to it: set "
                "FTCLASSIFY_PRICES to a table that has it (0 for a model of your own)."
            )

    @property
    def limited(self) -> bool:
        return self.limit is not None or self.day_limit is not None

    def reserve(self, expected: Usage) -> float | None:
        """Sets aside what a question costs at most; None when a limit leaves no room for it.

        Without the model's vocabulary that is an estimate: once an answer has cost more than was
        set aside for it, so much more is expected of all others.
        """
        amount = self._cost(expected) or 0.0
        coming = (self._reserved + amount) * self._dearer
        if self._exceeds_job(coming) or not self._allot(self._unsaved + coming):
            return None
        self._reserved += amount
        return amount

    def has_room(self, usd: float) -> bool:
        """Whether so much may be spent, all that is under way in this job included. Call in the
        transaction that notes what it is spent on."""
        return not self._exceeds_job(usd) and usd <= self._free_today()

    def _exceeds_job(self, usd: float) -> bool:
        return self.limit is not None and self.spent + usd > self.limit

    def _free_today(self) -> float:
        """What the day's limit leaves to this job, as the database has it now."""
        if self.day_limit is None:
            return math.inf
        self._today = spent_today(self._conn).usd
        return self.day_limit - self._today - reserved_by_others(self._conn, self._job.id)

    def _allot(self, usd: float) -> bool:
        """Sees that so much of the day's limit is this job's, and no other's, before it is spent.
        It takes some more at a time, so as to ask seldom."""
        if self.day_limit is None or usd <= self._allotted:
            return True
        with transaction(self._conn):
            free = self._free_today()
            if usd > free:
                return False
            self._allotted = min(free, AHEAD * usd)
            set_reserved(self._conn, self._job, self._allotted)
        return True

    def release(self, reserved: float) -> None:
        """Gives back what was set aside for a question that was not answered."""
        self._reserved = max(self._reserved - reserved, 0.0)

    def settle(self, reserved: float, usage: Usage) -> Spent:
        """Puts the actual cost of an answer in the place of what was set aside for it. That stays,
        when the service does not say what it used."""
        self.release(reserved)
        usd = reserved if usage == Usage() else self._cost(usage) or 0.0
        if reserved:
            self._dearer = max(self._dearer, usd / reserved)
        self.spent += usd
        self._unsaved += usd
        return Spent(usd, 1, usage.input_tokens, usage.cached_tokens, usage.output_tokens)

    def refresh(self) -> None:
        """Call when everything settled is stored."""
        self._allotted = max(self._allotted - self._unsaved, 0.0)
        self._unsaved = 0.0

    def why(self) -> str:
        """What was reached, and how to go on."""
        job = self._job
        done = job.done + job.skipped + job.failed
        resume = f"ftclassify jobs resume DB {self._job.id}"
        if self._day_is_tighter():
            limit = f"the limit of {dollars(self.day_limit or 0)} for a day (UTC)"
            others = reserved_by_others(self._conn, self._job.id)
            spent = (
                f"{dollars(self._today)} was spent today, {dollars(self.spent)} of it by this job"
                + (f", and what others have begun may cost {dollars(others)}" if others else "")
            )
            how = f"Go on tomorrow, or with a larger FTCLASSIFY_USD_PER_DAY: {resume}"
        elif self._by_operator:
            limit = f"the limit of {dollars(self.limit or 0)} for a job"
            spent = f"{dollars(self.spent)} was spent"
            how = f"Go on with a larger FTCLASSIFY_USD_PER_JOB: {resume}"
        else:
            limit = f"the limit of {dollars(self.limit or 0)} for this job"
            spent = f"{dollars(self.spent)} was spent"
            how = "Go on with the same command and a larger --limit-usd"
        kept = spent_by_job(self._conn, job.id).requests
        return (
            f"The next question might exceed {limit}. {spent}, {kept:,} answers are kept, and "
            f"{done:,} of {job.total or done:,} rows are written. {how}."
        )

    def _day_is_tighter(self) -> bool:
        if self.day_limit is None or self.limit is None:
            return self.limit is None
        return self.day_limit - self._today < self.limit - self.spent


def _lowest(*limits: object) -> float | None:
    """Infinity and NaN can stand in a file that somebody else made: they are no limits."""
    amounts = [float(x) for x in limits if isinstance(x, (int, float)) and math.isfinite(x)]
    return min(amounts, default=None)
