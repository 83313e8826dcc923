"""How many requests may be under way at once, and how long to wait before the next.

A service shows by its rate-limit refusals how much it takes. The number grows fast until the first
of them, as in TCP's slow start (RFC 5681), is halved by each round of them, and grows slowly from
then on.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from random import random

MOST = 32
"""Requests at once, unless somebody chose another number. A larger one is grown into from here: a
smaller start would cost an answer's time for each doubling, and a refusal costs nothing."""

_LONGEST_HOLD = 7 * 24 * 3600.0


@dataclass(frozen=True)
class RetryPolicy:
    """How long to go on against failures; times in seconds.

    tries:       of one text; rate-limit refusals are not counted
    down:        failures in a row, of any texts, after which a text that is out of tries means
                 that the service is down
    base, cap:   the wait before another try is up to base, and doubles up to cap
    ready_every: between requests to a model that is not there yet
    ready_for:   after a classifier was made, a model that is not there may still come
    leave, interrupt: for what is under way, when the job stops, or is interrupted by hand
    full:        for room on a full disk, with answers that were paid for in hand
    """

    tries: int = 6
    down: int = 20
    base: float = 0.5
    cap: float = 30.0
    ready_every: float = 10.0
    ready_for: float = 1200.0
    leave: float = 30.0
    interrupt: float = 3.0
    full: float = 600.0


class ConcurrencyLimit:
    """For one inference loop. Times are in seconds.

    allowed: requests that may be under way
    round:   goes up with every halving; a refusal of a request from an earlier round says nothing
    base, cap: how long to wait after a refusal that does not say it: up to base, twice as long
             after each further one, up to cap
    """

    def __init__(
        self,
        most: int | None = None,
        *,
        base: float = 0.5,
        cap: float = 30.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.most = max(1, MOST if most is None else most)
        self.allowed = min(MOST, self.most)
        self.round = 0
        self._base, self._cap, self._clock = base, cap, clock
        self._answers = 0
        self._refusals = 0
        self._cautious = False
        self._until = 0.0

    def answered(self) -> None:
        """A request was answered."""
        self._refusals = 0
        self._answers += 1
        if self._answers >= self.allowed:
            self._answers = 0
            more = max(1, self.allowed // 8) if self._cautious else self.allowed
            self.allowed = min(self.allowed + more, self.most)

    def refused(self, sent_in: int, after: float | None) -> None:
        """A request of that round was refused because there were too many."""
        if sent_in == self.round:
            self.round += 1
            self.allowed = max(1, self.allowed // 2)
            self._answers = 0
            self._cautious = True
            self._refusals += 1
        self.hold(self.backoff(self._refusals) if after is None else after)

    def backoff(self, tries: int) -> float:
        """How long to wait after so many failures in a row: exponential, with full jitter."""
        return random() * min(self._cap, self._base * 2.0 ** min(tries - 1, 30))

    def hold(self, seconds: float) -> None:
        """Sends nothing for so long."""
        self._until = max(self._until, self._clock() + min(seconds, _LONGEST_HOLD))

    @property
    def held_for(self) -> float:
        """Seconds until something may be sent; 0: now."""
        return max(0.0, self._until - self._clock())
