"""Classifiers on the same rows: whether one is better, or was only luckier."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from .answers import Answers
from .intervals import gain_interval, independent_rows, share_interval
from .registry import Metric
from .result import Pairs

SURE = 0.05
"""Below this p-value a difference is called one."""


def compare_pairs(
    first: Sequence[bool], second: Sequence[bool], groups: NDArray[Any] | None = None
) -> Pairs:
    """Counts of the rows that both, one or neither of two classifiers got right, as
    `compare_counts` tells them. Each list says of the same rows whether they were; `groups` are the
    same for rows whose texts are equal or near copies."""
    one, other = np.asarray(first, dtype=bool), np.asarray(second, dtype=bool)
    members = np.arange(len(one)) if groups is None else np.unique(groups, return_inverse=True)[1]
    lead = np.bincount(members, one.astype(int) - other.astype(int))
    return compare_counts(
        both=int((one & other).sum()),
        only_first=int((one & ~other).sum()),
        only_second=int((other & ~one).sum()),
        neither=int((~one & ~other).sum()),
        texts=len(lead),
        texts_first=int((lead > 0).sum()),
        texts_second=int((lead < 0).sum()),
    )


def compare_counts(
    *,
    both: int,
    only_first: int,
    only_second: int,
    neither: int,
    texts: int,
    texts_first: int,
    texts_second: int,
) -> Pairs:
    """These counts, the `rows` in all, and `p_value`, 0-1.

    texts:                     different texts among the rows, near copies being one
    texts_first, texts_second: of which the first, or the second, got more rows right

    p_value is of the sign test over texts: how often two equally good classifiers would differ on
    these texts at least as much. Where every row has a text of its own it is McNemar's in its exact
    form. Sources: Q. McNemar, "Note on the sampling error of the difference between correlated
    proportions or percentages", Psychometrika 12 (1947), 153-157; W. J. Dixon, A. M. Mood, "The
    statistical sign test", Journal of the American Statistical Association 41 (1946), 557-566.
    """
    return {
        "rows": both + only_first + only_second + neither,
        "both": both,
        "only_first": only_first,
        "only_second": only_second,
        "neither": neither,
        "texts": texts,
        "texts_first": texts_first,
        "texts_second": texts_second,
        "p_value": _exact_p(texts_first, texts_second),
    }


def p_value_text(pairs: Pairs, *names: Literal["texts_first", "texts_second"]) -> str:
    """`p = 0.092`, after the counts of these names where they are of texts that have copies:
    `counting copies of a text once, 9 and 1: p = 0.021`."""
    value = pairs["p_value"]
    shown = f"p = {value:.3f}" if value >= 0.001 else "p < 0.001"
    if pairs["texts"] == pairs["rows"]:
        return shown
    counts = " and ".join(f"{pairs[name]:,}" for name in names)
    return f"counting copies of a text once, {counts}: {shown}"


def _exact_p(a: int, b: int) -> float:
    """Twice the chance that a fair coin, thrown a + b times, is as one-sided; at most 1."""
    n = a + b
    ways = tail = 1
    for i in range(min(a, b)):
        ways = ways * (n - i) // (i + 1)
        tail += ways
    return float(min(1.0, 2 * tail / 2**n))


DRAWS = 400
"""Bootstrap samples of an interval, fewer where rows and labels are very many: see LARGE."""
FEWEST_DRAWS = 100
LARGE = 400_000_000
"""Rows times labels times classifiers times draws that take some seconds."""
FEW_TEXTS = 5
"""With fewer different texts there is nothing to draw from."""


@dataclass(frozen=True)
class Estimate:
    """A figure with the ends of its 95% interval; None: not known."""

    value: float | None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Difference:
    """The second of two classifiers against the first.

    first, second: their places in the comparison
    figures:       by key, the second's figure minus the first's
    pairs:         rows that one or both got right; its p_value is of this pair alone
    p_adjusted:    the same after Holm's correction over all pairs
    labels:        by place of the label: rows that have it, of which the first and the second found
                   it, and how many only the second (gained) or only the first (lost) did
    """

    first: int
    second: int
    figures: dict[str, Estimate]
    pairs: Pairs
    p_adjusted: float
    labels: list[LabelChange]

    @property
    def significant(self) -> bool:
        return self.p_adjusted < SURE


@dataclass(frozen=True)
class LabelChange:
    label: str
    rows: int
    first: int
    second: int
    gained: int
    lost: int


def compare_answers(
    answers: Sequence[Answers], metrics: Sequence[Metric], groups: NDArray[Any], classifiers: int
) -> tuple[list[dict[str, Estimate]], list[Difference]]:
    """The figures of each, and the differences between each two of the first `classifiers`, those
    of the last one first: what comes after those is shown beside them, and no pair is made of it.

    answers: of the same n rows in the same order, labels being in the same order
    metrics: those that are compared
    groups:  (n,) the same number for rows whose texts are equal or near copies

    The share of rows that are right has the intervals of `share_interval` and `gain_interval`; all
    else the percentiles of a bootstrap over groups with the same draws for all (B. Efron, R.
    Tibshirani, "An Introduction to the Bootstrap", 1993, 13.3). p-values: see `compare_counts`;
    over the pairs they are corrected as S. Holm says, "A simple sequentially rejective multiple
    test procedure", Scandinavian Journal of Statistics 6 (1979), 65-70.
    """
    members = np.unique(groups, return_inverse=True)[1]
    drawn = _draws(answers, metrics, members)
    figures = []
    for place, each in enumerate(answers):
        figures.append({m.key: _estimate(m, each, drawn[:, place, i], members)
                        for i, m in enumerate(metrics)})  # fmt: skip
    couples = sorted(combinations(range(classifiers), 2), key=lambda c: (-c[1], -c[0]))
    counted = [
        compare_pairs(answers[a].right_rows.tolist(), answers[b].right_rows.tolist(), groups)
        for a, b in couples
    ]
    adjusted = holm([pairs["p_value"] for pairs in counted])
    differences = []
    for (a, b), pairs, p in zip(couples, counted, adjusted, strict=True):
        change = {}
        for i, m in enumerate(metrics):
            if m.interval and all(_is_share_right(m, answers[place]) for place in (a, b)):
                change[m.key] = _gain(pairs, members)
            else:
                lead = drawn[:, b, i] - drawn[:, a, i]
                change[m.key] = _difference(figures[a][m.key], figures[b][m.key], lead)
        differences.append(Difference(a, b, change, pairs, p, _changes(answers[a], answers[b])))
    return figures, differences


def holm(p_values: Sequence[float]) -> list[float]:
    """The p-values corrected for their number, in their order, 0-1."""
    adjusted, most = [0.0] * len(p_values), 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        most = max(most, min(1.0, (len(p_values) - rank) * p_values[place]))
        adjusted[place] = most
    return adjusted


def _draws(
    answers: Sequence[Answers], metrics: Sequence[Metric], members: NDArray[Any]
) -> NDArray[np.float64]:
    """The figures of samples of the groups, (draws, answers, metrics); NaN where one is not known.
    No draws where there are too few groups."""
    rows, groups = len(members), int(members.max()) + 1
    most = LARGE // sum(each.found.size for each in answers)
    draws = 0 if groups < FEW_TEXTS else min(DRAWS, max(FEWEST_DRAWS, most))
    found = np.full((draws, len(answers), len(metrics)), np.nan)
    random = np.random.default_rng(0)
    for draw in range(draws):
        times = np.bincount(random.integers(0, groups, groups), minlength=groups)[members]
        sample = np.repeat(np.arange(rows), times)
        for place, each in enumerate(answers):
            taken = each.take(sample)
            for i, metric in enumerate(metrics):
                value = metric.compute(taken)
                found[draw, place, i] = np.nan if value is None else value
    return found


def _estimate(
    metric: Metric, answers: Answers, drawn: NDArray[Any], members: NDArray[Any]
) -> Estimate:
    value = metric.compute(answers)
    if value is None:
        return Estimate(None)
    if metric.interval:
        return Estimate(value, *share_interval(value, np.bincount(members)))
    return Estimate(value, *_percentiles(drawn, value))


def _difference(first: Estimate, second: Estimate, drawn: NDArray[Any]) -> Estimate:
    if first.value is None or second.value is None:
        return Estimate(None)
    value = second.value - first.value
    return Estimate(value, *_percentiles(drawn, value))


def _is_share_right(metric: Metric, answers: Answers) -> bool:
    return metric.compute(answers) == answers.right / answers.rows


def _gain(pairs: Pairs, members: NDArray[Any]) -> Estimate:
    """Of the share that is right."""
    rows = len(members)
    gained, lost = pairs["only_second"] / rows, pairs["only_first"] / rows
    ends = gain_interval(gained, lost, independent_rows(np.bincount(members)))
    value = gained - lost
    return Estimate(value, min(ends[0], value), max(ends[1], value))


def _percentiles(drawn: NDArray[Any], value: float) -> tuple[float | None, float | None]:
    """The 95% interval of draws around a value, which it holds."""
    known = drawn[~np.isnan(drawn)]
    if len(known) < FEWEST_DRAWS // 2:
        return None, None
    low, high = np.quantile(known, (0.025, 0.975))
    return min(float(low), value), max(float(high), value)


def _changes(first: Answers, second: Answers) -> list[LabelChange]:
    """Of the labels that rows have, those that change most first."""
    one, other = first.found, second.found
    counts = [
        first.by_label(which)
        for which in (np.ones_like(one), one, other, other & ~one, one & ~other)
    ]
    changes = [
        LabelChange(label, *map(int, each))
        for label, each in zip(first.labels, zip(*counts, strict=True), strict=True)
        if each[0]
    ]
    return sorted(changes, key=lambda c: (-abs(c.gained - c.lost), -c.gained - c.lost))
