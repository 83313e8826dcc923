"""A tree over the labels, by which an answer that is not sure of its label may be sure of a group.

The probability of a group is the sum over those of its labels that are among the LISTED most
probable ones: what is kept of answers out of fold holds no others, and what a minimum score
promises of them has to be about the same number.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from heapq import nlargest
from typing import Annotated

from .labels import MAX_LABELS
from .typed_json import AtMost

LISTED = 4
MOST_LEVELS = 5
_LONGEST = 500
"""Characters of a group's name."""

GroupPath = Annotated[tuple[Annotated[str, AtMost(_LONGEST)], ...], AtMost(MOST_LEVELS)]
"""The names of the groups that a label is in, the coarsest first; empty for one that is in none."""


@dataclass(frozen=True)
class Group:
    """An answer that names a group of labels.

    score: the probability of the group, 0-1; level: 0 for the coarsest
    """

    name: str
    score: float
    level: int


@dataclass(frozen=True)
class LabelTree:
    """paths: of each label, in the order of the label set"""

    paths: Annotated[tuple[GroupPath, ...], AtMost(MAX_LABELS)]

    @property
    def levels(self) -> int:
        return max((len(path) for path in self.paths), default=0)

    @cached_property
    def sizes(self) -> list[dict[str, int]]:
        """Of each level, how many labels each group has."""
        found: list[dict[str, int]] = [{} for _ in range(self.levels)]
        for path in self.paths:
            for level, name in enumerate(path):
                found[level][name] = found[level].get(name, 0) + 1
        return found

    def of_label(self, position: int, level: int) -> str | None:
        """The label's group at a level; None where it is in none."""
        path = self.paths[position]
        return path[level] if level < len(path) else None

    def best(self, probabilities: Iterable[tuple[int, float]], level: int) -> Group | None:
        """The most probable group of a level. probabilities: (position of a label, 0-1)"""
        sums: dict[str, float] = {}
        listed = nlargest(LISTED, probabilities, key=lambda pair: (pair[1], -pair[0]))
        for position, probability in listed:
            name = self.of_label(position, level)
            if name is not None:
                sums[name] = sums.get(name, 0.0) + probability
        if not sums:
            return None
        name = max(sums, key=lambda name: sums[name])
        return Group(name, min(sums[name], 1.0), level)

    def answer(self, logprobs: Sequence[float], minimums: Sequence[float | None]) -> Group | None:
        """The finest group whose probability reaches the minimum of its level; None: none does.

        minimums: of each level, 0-1; None: that level is never answered with
        """
        listed = nlargest(LISTED, range(len(logprobs)), key=lambda i: (logprobs[i], -i))
        return self.answer_listed([(i, math.exp(logprobs[i])) for i in listed], minimums)

    def answer_listed(
        self, probabilities: Sequence[tuple[int, float]], minimums: Sequence[float | None]
    ) -> Group | None:
        """The same, of (position of a label, 0-1)."""
        for level in reversed(range(self.levels)):
            least = minimums[level]
            if least is None:
                continue
            found = self.best(probabilities, level)
            if found is not None and found.score >= least:
                return found
        return None


def tree_by_delimiter(names: Sequence[str], delimiter: str) -> LabelTree:
    """From names such as `account/card/lost`: what stands before each delimiter is a group."""
    paths = []
    for name in names:
        parts = name.split(delimiter)[:-1][:MOST_LEVELS]
        joined = [delimiter.join(parts[: i + 1]).strip() for i in range(len(parts))]
        paths.append(tuple(part[:_LONGEST] for part in joined if part))
    return LabelTree(tuple(paths))


def tree_of_pairs(groups: Sequence[str | None]) -> LabelTree:
    """One level: the group of each label, in their order; None: it is in none."""
    return LabelTree(tuple(() if name is None else (name[:_LONGEST],) for name in groups))


def tree_by_confusion(names: Sequence[str], pairs: Iterable[tuple[int, int, int]]) -> LabelTree:
    """One level: labels that are taken for each other are in one group, which is named after them.

    Pairs of labels are joined from the most confused on, until a group would have more than
    GROUPED labels, or fewer than CONFUSED of the rows of either are taken for the other.
    pairs: (true label, answered label, rows)
    """
    taken: dict[tuple[int, int], int] = {}
    rows = [0] * len(names)
    for truth, answer, count in pairs:
        rows[truth] += count
        if truth != answer:
            pair = (min(truth, answer), max(truth, answer))
            taken[pair] = taken.get(pair, 0) + count
    group = list(range(len(names)))
    members = {i: [i] for i in group}
    shares = {pair: n / max(min(rows[pair[0]], rows[pair[1]]), 1) for pair, n in taken.items()}
    for first, second in sorted(shares, key=lambda pair: (-shares[pair], pair)):
        if shares[(first, second)] < CONFUSED:
            break
        a, b = group[first], group[second]
        if a == b or len(members[a]) + len(members[b]) > GROUPED:
            continue
        members[a] += members.pop(b)
        for label in members[a]:
            group[label] = a
    titles = {i: _title([names[j] for j in sorted(found)]) for i, found in members.items()}
    return tree_of_pairs([titles[i] if len(members[i]) > 1 else None for i in group])


GROUPED = 8
CONFUSED = 0.03


def _title(names: Sequence[str]) -> str:
    shown = " or ".join(name[:80] for name in names[:3])
    return f"{shown} or {len(names) - 3} more" if len(names) > 3 else shown
