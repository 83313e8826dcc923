"""From which score answers are to be given, so that few of those given are wrong.

A person names the share of wrong answers that may be. Rows that the classifier was not trained on
say from which score that holds, in one of the `strengths`, and how many rows then get an answer:
the coverage. Read off the same rows, the lowest score at which the share happens to be kept is kept
by luck about every other time: each strength allows for that.

What is promised is about texts like those of these rows. For other texts nothing holds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ..core.errors import EvaluationError
from ..core.humanize import counted, one_or_more, rows_text
from ..core.strengths import PROMISES
from .binomial import at_most
from .intervals import share_interval
from .score_calibration import beta_calibrated
from .validation import Bools, Floats, Ints, check_shape

CONFIDENCE = 0.9
"""Of *guaranteed*: the share of trainings in which the promise holds."""

SHARES = (0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3)
"""Shares of wrong answers for which a curve says what can be promised."""

LEAST_ROWS = 20
"""Answers that are looked at, at least, before *likely* says anything."""

_FIRST_WRONG, _STEP = 2, 1.1
"""The first test of *guaranteed* is of as many answers as may have so many wrong ones among them,
and each further one of a tenth more. Fixed before any row is seen."""

_MARGINS = {"likely": 1.0, "guaranteed": 1.2816}
"""Standard errors by which a share must be kept; of *guaranteed* about, for how many rows it needs
(the normal quantile of CONFIDENCE)."""

_MOST_MORE = 100_000
"""More rows than that are not worth a number."""


@dataclass(frozen=True)
class JudgedRows:
    """Answers about n rows that the classifier was not trained on, each with one label.

    scores: float (n,), probability of the answer, 0-1
    right:  bool (n,)
    chosen: int (n,), positions of the labels that were answered; None: not known
    groups: int (n,), the same for rows whose texts are equal or near copies; None: there are none
    Raises EvaluationError when the arrays do not fit, or a score is none.
    """

    scores: Floats
    right: Bools
    chosen: Ints | None = None
    groups: Ints | None = None

    def __post_init__(self) -> None:
        for name in ("right", "chosen", "groups"):
            array = getattr(self, name)
            if array is not None:
                check_shape(name, array, self.scores.shape)
        if not ((self.scores >= 0) & (self.scores <= 1)).all():
            raise EvaluationError("A score must be a probability from 0 to 1.")

    def __len__(self) -> int:
        return len(self.scores)

    def answered_with(self, label: int) -> JudgedRows:
        """The rows that were given the label at that position."""
        if self.chosen is None:
            raise EvaluationError("Which labels were answered is not known of these rows.")
        on = self.chosen == label
        groups = None if self.groups is None else self.groups[on]
        return JudgedRows(self.scores[on], self.right[on], self.chosen[on], groups)


@dataclass(frozen=True)
class Outcome:
    """What a minimum score does on rows.

    rows, answered, wrong: in all; with at least that score; of those, with another label
    coverage, error:       the share that is answered; the share of the answers that is wrong, each
                           with its 95% interval; the error is None without any answer
    """

    rows: int
    answered: int
    wrong: int
    coverage: float
    coverage_low: float
    coverage_high: float
    error: float | None
    error_low: float | None
    error_high: float | None


@dataclass(frozen=True)
class Promise:
    """What can be promised.

    wrong:     the share of wrong answers, 0-1; None: a fixed score
    score:     the minimum score, 0-1; None: nothing can be promised, and `why` says why
    more_rows: with about so many more labelled rows something could be; None: not by more rows
    outcome:   on the rows that it was computed from; None without a score, or without rows
    """

    strength: str
    wrong: float | None
    score: float | None
    outcome: Outcome | None = None
    why: str | None = None
    more_rows: int | None = None


def judge(rows: JudgedRows, score: float) -> Outcome:
    """What the minimum score does on these rows. Raises EvaluationError without any."""
    if not len(rows):
        raise EvaluationError("There are no rows to judge a minimum score by.")
    on = rows.scores >= score
    answered, wrong = int(on.sum()), int((on & ~rows.right).sum())
    coverage = answered / len(rows)
    low, high = share_interval(coverage, group_sizes(rows.groups, len(rows)))
    error = error_low = error_high = None
    if answered:
        error = wrong / answered
        groups = None if rows.groups is None else rows.groups[on]
        error_low, error_high = share_interval(error, group_sizes(groups, answered))
    return Outcome(len(rows), answered, wrong, coverage, low, high, error, error_low, error_high)


def minimum_score(rows: JudgedRows, wrong: float, strength: str) -> Promise:
    """The lowest score from which at most the share `wrong` (0-1, neither) of the answers is wrong,
    as far as `strength`, one of PROMISES, can tell from these rows.

    *likely*: the mean of the calibrated probabilities of being wrong, of all answers from that
    score on, is less than `wrong` by a standard error. Calibration as in M. Kull, T. Silva Filho,
    P. Flach, "Beta calibration", AISTATS 2017.

    *guaranteed*: by Learn then Test (A. N. Angelopoulos, S. Bates, E. J. Candès, M. I. Jordan,
    L. Lei, arXiv:2110.01052, 2021) with exact binomial p-values and fixed-sequence testing: the
    surest answers are tested first, then more and more of them, up to the first test that does
    not reject "more are wrong". In at least CONFIDENCE of all draws of rows no more than `wrong`
    of further answers are, if these come from where the rows came from, and if surer answers are
    not wrong more often. How many answers each test is of is fixed beforehand.

    Near copies count as one row.
    Raises EvaluationError for another share or strength.
    """
    if strength not in PROMISES:
        raise EvaluationError(f"A promise is {' or '.join(PROMISES)}, not {strength}.")
    if not 0 < wrong < 1:
        raise EvaluationError("The share of wrong answers must be above 0 and below 1.")
    return _promise(rows, _Ranked.of(rows) if len(rows) else None, wrong, strength)


def _promise(rows: JudgedRows, ranked: _Ranked | None, wrong: float, strength: str) -> Promise:
    if ranked is None:
        return Promise(strength, wrong, None, why="No row was held out of the training.")
    last = _last(ranked, wrong, strength)
    if last is not None:
        # Where all of them may be given, so may be an answer of any score.
        score = float(ranked.scores[last]) if last < len(rows) - 1 else 0.0
        return Promise(strength, wrong, score, judge(rows, score))
    return _nothing(ranked, wrong, strength)


def least_wrong(rows: JudgedRows, wrong: float, strength: str) -> Promise | None:
    """What can be promised with the fewest wrong answers, of shares in whole per cent above `wrong`
    up to a half; None: nothing. Raises as `minimum_score`."""
    ranked = _Ranked.of(rows) if len(rows) else None
    shares = (percent / 100 for percent in range(math.floor(100 * wrong + 1e-9) + 1, 51))
    possible = (s for s in shares if ranked is not None and _last(ranked, s, strength) is not None)
    found = next(possible, None)
    return None if found is None else _promise(rows, ranked, found, strength)


def fixed_score(rows: JudgedRows | None, score: float) -> Promise:
    """A score that somebody chose, and what it does on these rows."""
    outcome = judge(rows, score) if rows is not None and len(rows) else None
    return Promise("fixed", None, score, outcome)


def curve(rows: JudgedRows, strength: str) -> list[Promise]:
    """What can be promised for each of SHARES, see `minimum_score`."""
    ranked = _Ranked.of(rows) if len(rows) else None
    return [_promise(rows, ranked, wrong, strength) for wrong in SHARES]


@dataclass(frozen=True)
class _Ranked:
    """The rows, highest score first. At a place i, of the answers 0 to i:

    wrong:       how many are
    expected:    the mean of their calibrated probabilities of being wrong
    independent: as how many independent rows they count, see `intervals.independent_rows`
    ends:        whether the next one has a lower score: equal scores are answered or not together
    """

    scores: Floats
    wrong: Ints
    expected: Floats
    independent: Floats
    ends: Bools

    @classmethod
    def of(cls, rows: JudgedRows) -> _Ranked:
        order = np.argsort(-rows.scores, kind="stable")
        scores = rows.scores[order].astype(np.float64)
        counts = np.arange(1, len(scores) + 1)
        chances = beta_calibrated(rows.scores, rows.right)[order]
        squares = counts
        if rows.groups is not None:
            # The m-th row of a group makes its size m, and the square of that 2 m - 1 more.
            squares = np.cumsum(2 * occurrence(rows.groups[order]) - 1)
        ends = np.append(scores[1:] < scores[:-1], True)
        wrong = np.cumsum(~rows.right[order], dtype=np.int64)
        expected = np.cumsum(1 - chances) / counts
        return cls(scores, wrong, expected, counts**2 / squares, ends)

    def counted(self, place: int) -> tuple[int, int]:
        """The answers up to that place as independent ones, and how many of these are wrong: both
        rounded so that no more is claimed than is there."""
        n = math.floor(self.independent[place] + 1e-9)
        return n, min(n, math.ceil(self.wrong[place] / (place + 1) * n - 1e-9))


def _last(ranked: _Ranked, wrong: float, strength: str) -> int | None:
    """The last place up to which answers may be given; None: nowhere."""
    return (_likely if strength == "likely" else _guaranteed)(ranked, wrong)


def _likely(ranked: _Ranked, wrong: float) -> int | None:
    """As `_last`."""
    margin = np.sqrt(wrong * (1 - wrong) / ranked.independent)
    kept = ranked.ends & (ranked.independent >= LEAST_ROWS) & (ranked.expected + margin <= wrong)
    return int(np.flatnonzero(kept)[-1]) if kept.any() else None


def _guaranteed(ranked: _Ranked, wrong: float) -> int | None:
    """As `_last`."""
    ends = np.flatnonzero(ranked.ends)
    found, size = None, float(fewest_rows(wrong, _FIRST_WRONG))
    while True:
        # The first place that has so many independent rows, and all that share its score.
        at = np.searchsorted(ranked.independent[ends], size)
        if at == len(ends):
            if found == ends[-1] or ranked.independent[-1] < fewest_rows(wrong, _FIRST_WRONG):
                return found
            at -= 1  # the last test is of all rows
        place = int(ends[at])
        n, errors = ranked.counted(place)
        if at_most(errors, n, wrong) > 1 - CONFIDENCE:
            return found
        found, size = place, max(ranked.independent[place], size) * _STEP


def fewest_rows(wrong: float, errors: int) -> int:
    """So many answers with so many wrong ones among them are enough for *guaranteed*."""
    n = errors + 1
    while at_most(errors, n, wrong) > 1 - CONFIDENCE:
        n = math.ceil(n * 1.02)
    return n


def _nothing(ranked: _Ranked, wrong: float, strength: str) -> Promise:
    """Why nothing can be promised, and how many more rows would help."""
    rows, said = len(ranked.scores), _REFUSED[strength].format(share_text(wrong))
    more = _more_rows(ranked, wrong, strength)
    held = f"{rows_text(rows)} that {one_or_more(rows, 'was', 'were')} held out of the training"
    if more is not None and more <= _MOST_MORE:
        why = f"{said} from {held}: about {more:,} more labelled rows could be enough."
        return Promise(strength, wrong, None, why=why, more_rows=more)
    if more is not None:
        why = (
            f"{said} from {held}: it would take more than {_MOST_MORE:,} more labelled rows. Allow "
            "more wrong answers."
        )
        return Promise(strength, wrong, None, why=why)
    last = _surest(ranked)
    why = (
        f"{said}: of {held}, the {rows_text(last + 1)} with the highest scores "
        f"{one_or_more(last + 1, 'has', 'have')} {counted(int(ranked.wrong[last]), 'wrong answer')}"
        " already. Correct or add labels, or allow more wrong answers."
    )
    return Promise(strength, wrong, None, why=why)


def _more_rows(ranked: _Ranked, wrong: float, strength: str) -> int | None:
    """About how many more rows would do, if they are like these; None: no number would."""
    counts = np.arange(1, len(ranked.scores) + 1)
    # With one wrong answer more than there are: a few rows without any do not show that there are
    # none.
    shares = (ranked.wrong + 1) / (counts + 2)
    if strength == "likely":
        shares = np.maximum(shares, ranked.expected)
    lead = np.where(ranked.ends, wrong - shares, 0.0)
    last = _surest(ranked)
    if ranked.wrong[last] / (last + 1) < wrong:
        # These few may say too little: of the surest, half as many may be wrong. Whatever lead
        # there is, or a larger share would be said to take more rows than a smaller one.
        lead[last] = max(lead[last], wrong / 2)
    at = lead > 0
    if not at.any():
        return None
    needed = _MARGINS[strength] ** 2 * wrong * (1 - wrong) / lead[at] ** 2
    least = fewest_rows(wrong, _FIRST_WRONG) if strength == "guaranteed" else LEAST_ROWS
    factor = (np.maximum(needed, least) / ranked.independent[at]).min()
    return _rounded(math.ceil(max(factor - 1, 0.05) * len(ranked.scores)))


def _surest(ranked: _Ranked) -> int:
    """The place up to which the fewest answers are wrong, with one more than there are."""
    shares = (ranked.wrong + 1) / (np.arange(len(ranked.scores)) + 3)
    return int(np.where(ranked.ends, shares, 2.0).argmin())


_REFUSED = {
    "likely": "At most {} wrong answers are not likely",
    "guaranteed": "At most {} wrong answers cannot be guaranteed",
}


def share_text(share: float) -> str:
    """A share that somebody named, as it was named: `5%`, `0.5%`."""
    return f"{100 * share:.6g}%"


def _rounded(count: int) -> int:
    """Two digits say as much as is known."""
    step = int(10 ** max(len(str(count)) - 2, 0))
    return -(-count // step) * step


def occurrence(groups: Ints) -> Ints:
    """For each row the how many-th of its group it is, from 1."""
    order = np.argsort(groups, kind="stable")
    sorted_groups = groups[order]
    starts = np.flatnonzero(np.append(True, sorted_groups[1:] != sorted_groups[:-1]))
    sizes = np.diff(np.append(starts, len(groups)))
    found = np.empty(len(groups), dtype=np.int64)
    found[order] = np.arange(len(groups)) - np.repeat(starts, sizes) + 1
    return found


def group_sizes(groups: Ints | None, rows: int) -> Ints:
    """Rows of each group; without groups each row is one."""
    if groups is None:
        return np.ones(rows, dtype=np.int64)
    return np.unique(groups, return_counts=True)[1].astype(np.int64)
