"""What a job may still spend. The cost of a request is reserved before it is sent, so that requests
under way can never exceed a limit together."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace

from ...core.errors import JobPaused, LimitReached
from ...core.humanize import counted, dollars
from ...ledger import Account, Ledger, Limits, Room
from ...store.jobs.job import Job
from ...store.spending import Spent
from ...trainers.access import Access
from ...trainers.service_errors import AskAgain, ServiceProblem
from ...trainers.usage import Usage
from ..agreements import agreement_to, key_of, why_not_agreed

Cost = Callable[[Usage], float | None]
"""From tokens to USD; None when no price is known."""


def limits_of(conn: sqlite3.Connection, job: Job, access: Access) -> Limits:
    """What the operator allows, and what was agreed for the job. The database file is not trusted
    with this. Raises JobPaused when nobody on this machine has agreed to the job."""
    agreement = agreement_to(conn, job, access)
    if agreement is None:
        raise JobPaused(f"Job {job.id} asks nothing. {why_not_agreed(conn, job, access)}")
    return Limits(lowest(agreement.limit_usd, access.usd_per_job), access.usd_per_day)


def lowest(*limits: float | None) -> float | None:
    """Of the limits that are set; None: none is."""
    return min((limit for limit in limits if limit is not None), default=None)


class JobSpending:
    """What one job may spend, as the installation's ledger has it, in USD.

    Raises JobPaused when nobody has agreed to the job, LedgerError when the ledger cannot be used.
    """

    def __init__(self, conn: sqlite3.Connection, job: Job, access: Access) -> None:
        self.limits = limits_of(conn, job, access)
        self.key = key_of(conn, job)
        self.ledger = Ledger(access.ledger)
        self._job = job
        self._by_operator = self.limits.job is not None and self.limits.job == access.usd_per_job

    def known(self, usd: float | None) -> float:
        """An amount. Raises LimitReached when it is not known and there is a limit to keep to."""
        if usd is None and (self.limits.job, self.limits.day) != (None, None):
            raise LimitReached(
                "A spending limit was set, but no price of the model is known to keep to it: set "
                "FTCLASSIFY_PRICES to a table that has it (0 for a model of your own)."
            )
        return usd or 0.0

    def reached(self, room: Room) -> LimitReached:
        """What was reached, and how to go on. room: as the ledger gave it"""
        job = self._job
        done = job.rows_done
        fields: tuple[str, ...] = ()
        spent = f"{dollars(room.spent)} was spent"
        if room.others:
            spent += f", and what is under way may cost {dollars(room.others)}"
        if room.scope == "day":
            limit = f"the limit of {dollars(room.limit)} for a day (UTC)"
            mine = dollars(self.ledger.spent(self.key).usd)
            spent = spent.replace(" was spent", f" was spent today, {mine} of it by this job", 1)
            how = "Resume the job tomorrow, or with a larger FTCLASSIFY_USD_PER_DAY"
        elif self._by_operator:
            limit = f"the limit of {dollars(room.limit)} for a job"
            how = "Resume the job with a larger FTCLASSIFY_USD_PER_JOB"
        else:
            limit = f"the limit of {dollars(room.limit)} for this job"
            how = "Resume the job with a larger limit"
            fields = ("limit_usd",)
        asked = counted(self.ledger.spent(self.key).requests, "request was", "requests were")
        return LimitReached(
            f"The next request might exceed {limit}. {spent}, {asked} made, and "
            f"{done:,} of {job.total or done:,} rows are written. {how}.",
            fields=fields,
        )

    def rooms(self) -> list[Room]:
        """What each limit leaves, as the ledger has it now."""
        return self.ledger.rooms(self.key, self.limits)


class Reservations(JobSpending):
    """What a job's batches and trainings may cost: they go on at the service without a process."""

    def hold(self, name: str, usd: float | None, requests: int, digest: str = "") -> None:
        """Sets it aside before anything is made there. Raises LimitReached when there is no room.

        name: at the service, too, and of no other one of the job
        """
        room = self.ledger.hold(
            self.key, name, self.known(usd), requests, self.limits, digest=digest
        )
        if room is not None:
            raise self.reached(room)

    def renew(self, name: str) -> bool:
        """Whether what was set aside for it still is. Raises LimitReached when there is no room for
        it any more, as with a lower limit."""
        held = self.ledger.held(self.key, name)
        if held is not None:
            self.hold(name, *held)
        return held is not None

    def settle(self, name: str, spent: Spent, usd: float | None) -> Spent:
        """Some of its requests were answered. usd: None: it is not known what that cost."""
        known = replace(spent, usd=usd or 0.0)
        return self.ledger.settle(self.key, name, known, priced=usd is not None)

    def holds(self, name: str, digest: str) -> bool:
        """Whether something is set aside by that name, for what has that digest."""
        return self.ledger.held(self.key, name, digest) is not None

    def end(self, name: str, *, unbilled: int = 0) -> None:
        """Nothing more comes of it. unbilled: of its requests, those that cost nothing"""
        self.ledger.end(self.key, name, unbilled=unbilled)

    def keep(self, names: Collection[str]) -> None:
        """Of all that the job holds, only these are known: the others count as spent."""
        self.ledger.lose_others(self.key, names)


class Budget(JobSpending):
    """Reservations for the requests of one job. For one thread; close its account.

    account: in the ledger, in USD; its `room` is what the tightest limit had at the last reserve
    Raises LimitReached, too, when there is a limit, and no price to keep to it by.
    """

    def __init__(self, conn: sqlite3.Connection, job: Job, access: Access, cost: Cost) -> None:
        super().__init__(conn, job, access)
        self._cost = cost
        self.known(cost(Usage(1, 0, 1)))
        self.account = Account(self.ledger, self.key, self.limits)

    def reserve(self, expected: Sequence[Usage]) -> list[float]:
        """Reserves what the requests cost at most; gives the amounts of the first ones, as many as
        the limits allow. What has no known price counts as nothing, where there is no limit."""
        amounts = [self.known(self._cost(usage)) for usage in expected]
        return amounts[: self.account.reserve(amounts)]

    def failed(self, reserved: float, error: Exception) -> Spent:
        """A request that brought no answer to keep. Gives what that cost."""
        if isinstance(error, AskAgain) and error.usage is not None:
            return self.settle(reserved, error.usage)
        if isinstance(error, AskAgain) and not error.sent:
            self.account.release(reserved)
        elif isinstance(error, ServiceProblem) and error.unbilled:
            self.account.refuse(reserved)
        else:
            return self.account.lose(reserved)
        return Spent()

    def settle(self, reserved: float, usage: Usage) -> Spent:
        """Replaces a reservation by the actual cost of the answer; it stays as it is when the
        service does not report its usage."""
        usd = reserved if usage == Usage() else self.known(self._cost(usage))
        spent = Spent(usd, 1, usage.input_tokens, usage.cached_tokens, usage.output_tokens)
        self.account.settle(reserved, spent)
        return spent
