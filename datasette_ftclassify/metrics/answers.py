"""What the figures of an evaluation are computed from, each part once."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from . import counts, scores
from .validation import Bools, Floats, Ints


@dataclass
class Answers:
    """The truth of n test rows and what was answered, of K labels.

    logprobs: float (n, K), natural logarithms
    scored:   bool (n,), the rows that have them
    sizes:    rows of each group of copies
    """

    labels: list[str]
    logprobs: Floats
    scored: Bools
    sizes: Ints

    @property
    def rows(self) -> int:
        return len(self.scored)

    @property
    def right_rows(self) -> Bools:
        """The rows, bool (n,), whose answer is exactly the truth."""
        raise NotImplementedError

    @property
    def right(self) -> int:
        return int(self.right_rows.sum())

    @property
    def found(self) -> Bools:
        """The labels of the rows that were found: bool (n,), or (n, K) of several labels a row."""
        raise NotImplementedError

    def by_label(self, which: Bools) -> Ints:
        """Of each label, (K,), how many rows have it and are among `which`, a form of `found`."""
        raise NotImplementedError

    def take(self, rows: Ints) -> Answers:
        """The same of some rows, which may come several times; `sizes` says nothing then."""
        raise NotImplementedError

    def _taken(self, rows: Ints) -> dict[str, Any]:
        if not self.scored.any():  # of any number of labels, and so nothing to make a copy of
            unscored = np.broadcast_to(np.nan, (len(rows), len(self.labels)))
            return {"logprobs": unscored, "scored": self.scored[rows]}
        return {"logprobs": self.logprobs[rows], "scored": self.scored[rows]}

    @cached_property
    def tally(self) -> counts.Counts:
        raise NotImplementedError

    @property
    def averaged(self) -> Bools:
        """The labels, bool (K,), over which an average goes that counts each the same."""
        raise NotImplementedError

    @cached_property
    def scores(self) -> scores.Scores:
        raise NotImplementedError


@dataclass
class SingleAnswers(Answers):
    """One label a row: `truth` is int (n,), `chosen` as well, with -1 for an abstention.

    common:   the label of the baseline
    positive: of two labels, the one that precision and the like are about; 1 otherwise, which says
              nothing
    """

    truth: Ints
    chosen: Ints
    majority: int | None
    positive: int

    @cached_property
    def matrix(self) -> Ints:
        return counts.confusion_matrix(self.truth, self.chosen, len(self.labels))

    @cached_property
    def tally(self) -> counts.Counts:
        return counts.count_single(self.truth, self.chosen, len(self.labels))

    @property
    def right_rows(self) -> Bools:
        right: Bools = self.truth == self.chosen
        return right

    @property
    def abstained(self) -> int:
        return int((self.chosen < 0).sum())

    @property
    def found(self) -> Bools:
        return self.right_rows

    def by_label(self, which: Bools) -> Ints:
        return np.bincount(self.truth[which], minlength=len(self.labels))

    def take(self, rows: Ints) -> SingleAnswers:
        return replace(self, truth=self.truth[rows], chosen=self.chosen[rows], **self._taken(rows))

    @property
    def common(self) -> int:
        return int(self.tally.support.argmax()) if self.majority is None else self.majority

    @property
    def averaged(self) -> Bools:
        return self.tally.present()

    @cached_property
    def scores(self) -> scores.Scores:
        return scores.single_scores(self.truth, self.logprobs, np.flatnonzero(self.scored))

    @cached_property
    def ranking(self) -> tuple[float | None, float | None]:
        true = self.truth[self.scored] == self.positive
        return scores.ranking(true, self.logprobs[self.scored, self.positive])


@dataclass
class SeveralAnswers(Answers):
    """Any number of labels a row: `truth` and `chosen` are bool (n, K), `without` the rows that got
    no answer, bool (n,)."""

    truth: Bools
    chosen: Bools
    without: Bools

    @cached_property
    def tally(self) -> counts.Counts:
        return counts.count_several(self.truth, self.chosen)

    @cached_property
    def pooled(self) -> counts.Counts:
        return self.tally.pooled()

    @cached_property
    def wrong(self) -> Ints:
        """Wrong labels of each row; without an answer, all are."""
        wrong: Ints = (self.truth != self.chosen).sum(axis=1)
        wrong[self.without] = len(self.labels)
        return wrong

    @property
    def right_rows(self) -> Bools:
        right: Bools = self.wrong == 0
        return right

    @property
    def found(self) -> Bools:
        return self.truth & self.chosen

    def by_label(self, which: Bools) -> Ints:
        total: Ints = (self.truth & which).sum(axis=0)
        return total

    def take(self, rows: Ints) -> SeveralAnswers:
        own = {name: getattr(self, name)[rows] for name in ("truth", "chosen", "without")}
        return replace(self, **own, **self._taken(rows))

    @property
    def abstained(self) -> int:
        return int(self.without.sum())

    @property
    def averaged(self) -> Bools:
        return np.ones(len(self.labels), dtype=np.bool_)

    @cached_property
    def commonest(self) -> tuple[Ints, int]:
        """Indices of the labels in the set that most rows have, and how many rows have it."""
        sets = Counter(row.tobytes() for row in np.packbits(self.truth, axis=1))
        packed, count = sets.most_common(1)[0]
        return np.flatnonzero(np.unpackbits(np.frombuffer(packed, dtype=np.uint8))), count

    @cached_property
    def scores(self) -> scores.Scores:
        rows = np.flatnonzero(self.scored)
        return scores.several_scores(self.truth, self.logprobs, self.chosen, self.without, rows)
