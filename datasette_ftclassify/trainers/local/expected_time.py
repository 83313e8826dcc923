"""How far a training is, as the share of its time: from what its fits took so far."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from ..base import Progress

UNKNOWN = 0.02
"""The share before anything was fitted."""


class ExpectedTime:
    """A training's clock. `progress` gets a step and the share, which never decreases."""

    def __init__(self, progress: Progress, clock: Callable[[], float] = time.monotonic) -> None:
        self._progress = progress
        self._clock = clock
        self._begun = self._last = clock()
        self._spent: dict[str, list[float]] = {}
        self._left: dict[str, int] = {}
        self._share = 0.0

    def plan(self, fits: Mapping[str, int]) -> None:
        """How many fits of each kind are still to come; of an unknown kind each takes as long as
        the mean of the others."""
        self._left = dict(fits)
        self._last = self._clock()

    def fitted(self, kind: str, step: str, fits: int = 1) -> None:
        """A fit has ended, all that it took since the one before included. fits: that it counts
        for, of those that were planned"""
        now = self._clock()
        self._spent.setdefault(kind, []).append((now - self._last) / fits)
        self._last = now
        self._left[kind] = max(self._left.get(kind, 0) - fits, 0)
        self.report(step)

    def report(self, step: str) -> None:
        means = {kind: sum(spent) / len(spent) for kind, spent in self._spent.items()}
        share = UNKNOWN if self._left else 0.0
        if means:
            other = sum(means.values()) / len(means)
            left = sum(count * means.get(kind, other) for kind, count in self._left.items())
            spent = self._clock() - self._begun
            share = spent / max(spent + left, 1e-9)
        self._share = max(self._share, min(share, 0.99))
        self._progress(step, self._share)
