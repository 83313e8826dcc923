"""Which labels stand together, where a row may have several."""

from __future__ import annotations

from collections.abc import Iterator

from ..core.humanize import rows_text
from ..core.labels import LabelValue, label_name
from .codes import INFO, WARNING, Code, Section
from .registry import check
from .report import Finding, listing, together
from .scan import Facts


@check(
    Section.LABELS,
    Code(
        "rows-without-labels",
        INFO,
        "Rows that have none of the labels (multilabel).",
        "Nothing to do if somebody looked at them; if not, set the cells to NULL.",
    ),
    Code(
        "labels-always-together",
        WARNING,
        "Labels that always occur together (multilabel).",
        "Merge them into one label, or add rows that have one without the other.",
    ),
)
def _sets(facts: Facts) -> Iterator[Finding]:
    if facts.task.exclusive or facts.too_many_labels:
        return
    none = facts.combinations.get((), 0)
    if none:
        yield facts.finding(
            "rows-without-labels",
            f"{rows_text(none).capitalize()} with none of the labels.",
            count=none,
        )
    inseparable = _inseparable(facts)
    if inseparable:
        names = [together(group, " + ") for group in inseparable]
        yield facts.finding(
            "labels-always-together",
            f"Labels that always occur together: {listing(names)}.",
            count=sum(len(group) for group in inseparable),
            groups=inseparable[:100],
        )


def _inseparable(facts: Facts) -> list[list[str]]:
    """Labels with exactly the same rows, at least five of them: the same set of combinations."""
    where: dict[LabelValue, list[int]] = {}
    for number, labels in enumerate(facts.combinations):
        for label in labels:
            where.setdefault(label, []).append(number)
    groups: dict[tuple[int, ...], list[str]] = {}
    counts = facts.counts
    for label, numbers in where.items():
        if counts[label] >= 5:
            groups.setdefault(tuple(numbers), []).append(label_name(label))
    return [sorted(group) for group in groups.values() if len(group) > 1]
