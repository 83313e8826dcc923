"""The sampled rows as the arrays that the deep checks compute with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ..core.labels import LabelValue, label_name
from .scan import Facts, Sampled


@dataclass(frozen=True)
class DeepSample:
    """Up to `scan.DEEP_ROWS` rows, and the labels that at least `least` of them have.

    targets: for each row the positions of its labels in `names`; rows without one of the labels
             are left out where each row has one
    """

    rows: tuple[Sampled, ...]
    values: tuple[LabelValue, ...]
    targets: tuple[tuple[int, ...], ...]
    note: str
    """` among 20,000 sampled rows`, empty when all rows were looked at."""
    named: Mapping[LabelValue, str] = field(default_factory=dict)
    """The names of labels that are keys of another table."""

    @property
    def names(self) -> list[str]:
        return [self.named.get(value) or label_name(value) for value in self.values]


def deep_sample(facts: Facts, least: int) -> DeepSample:
    counts: dict[LabelValue, int] = {}
    for row in facts.deep:
        for label in row.labels:
            counts[label] = counts.get(label, 0) + 1
    values = tuple(sorted((v for v, n in counts.items() if n >= least), key=label_name))
    index = {value: i for i, value in enumerate(values)}
    rows, targets = [], []
    for row in facts.deep:
        target = tuple(index[label] for label in row.labels if label in index)
        if target or not facts.task.exclusive:
            rows.append(row)
            targets.append(target)
    sampled = len(facts.deep) < facts.usable
    note = f" among {len(facts.deep):,} sampled rows" if sampled else ""
    return DeepSample(tuple(rows), values, tuple(targets), note, facts.named)
