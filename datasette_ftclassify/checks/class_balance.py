"""Whether there are enough examples, and of every label."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from ..core.humanize import counted, one_or_more
from ..core.labels import MAX_LABELS, LabelValue, label_name, named
from ..core.literals import in_list
from .codes import ERROR, GRAVE, INFO, MILD, WARNING, Code, Section
from .registry import check
from .report import Finding, names_listing
from .scan import Facts

FEWEST = 10
"""Examples below which OpenAI and Azure refuse a training file."""
ADVISED = 100
"""Examples, in all and of each label, that the providers' guides advise."""
RARE = 5
"""Examples with which a label can be in all three splits and in two folds."""
IMBALANCE = 10
STRONG_IMBALANCE = 50
MAJORITY = 0.9
_LISTED = 500
_REST = {
    "0", "false", "else", "general", "misc", "miscellaneous", "na", "negative", "neither",
    "neutral", "no", "none", "not", "other", "others", "rest", "unclear", "unknown", "unrelated",
    "various",
}  # fmt: skip
"""Words of labels that may stand for whatever the others do not."""


@check(
    Section.AMOUNTS,
    Code(
        "no-examples",
        ERROR,
        "No row has both a text and a label.",
        "Label some rows, or choose another label column or condition.",
        stops="examples",
        hides_deep=True,
    ),
    Code(
        "too-few-examples",
        GRAVE,
        f"Fewer than {FEWEST} examples (providers refuse the file), or fewer than {ADVISED}.",
        f"Label more rows: at least {ADVISED}, better several hundred; every doubling helps.",
        stops="examples",
    ),
    Code(
        "one-label",
        ERROR,
        "All examples have the same label.",
        "Add rows with other labels: a classifier needs at least two.",
        stops="examples",
        hides_deep=True,
    ),
    Code(
        "one-text",
        ERROR,
        "All examples have the same text.",
        "Choose a text column that differs from row to row, or fix the template.",
        hides_deep=True,
    ),
    Code(
        "too-many-labels",
        ERROR,
        "More distinct labels than a classifier can hold.",
        "Check that this is the label column; if it is, group the labels into coarser ones.",
        hides_deep=True,
    ),
    Code(
        "free-text-labels",
        ERROR,
        "Nearly every row has a label of its own.",
        "Choose a column with few, repeated values: this one looks like free text or a key.",
        hides_deep=True,
    ),
    Code(
        "single-example-labels",
        WARNING,
        "Labels with one example.",
        "Label more rows of them, or merge them into other labels: one example cannot be "
        "in both training and test.",
    ),
    Code(
        "rare-labels",
        WARNING,
        "Labels with two to four examples.",
        "Label more rows of them, or merge them into other labels: they cannot be measured.",
    ),
    Code(
        "small-labels",
        INFO,
        f"Labels with fewer than {ADVISED} examples.",
        f"Where a label matters, aim at {ADVISED} examples of it.",
    ),
    Code(
        "no-label-for-the-rest",
        INFO,
        "No label for everything else: a text about something else still gets one of the labels.",
        "If such texts are expected, label some of them as other, or set a minimum score to leave "
        "out unsure answers.",
    ),
    Code(
        "imbalance",
        MILD,
        "The largest label has at least 10 times the examples of the smallest, or 90% of all.",
        "Look at the figures of each label rather than accuracy, and label more of the small ones.",
    ),
)
def amount_findings(facts: Facts) -> Iterator[Finding]:
    if not facts.usable:
        yield facts.finding("no-examples", _none_usable(facts.total), count=facts.total)
        return
    if facts.too_many_labels:
        yield _too_many(facts)
        return
    yield from _examples(facts)
    counts = facts.examples
    if free_text(facts, len(counts)):
        yield _free_text_labels(facts, len(counts))
        return
    yield from _one(facts, len(counts))
    yield from _small_labels(facts, counts)
    yield from _imbalance(facts, counts)
    yield from _rest(facts, [facts.name_of(label) for label in counts])


def _none_usable(rows: int) -> str:
    if rows < 2:
        return "The one row lacks a text or a label." if rows else "There are no rows."
    return f"None of the {rows:,} rows has both a text and a label."


def _too_many(facts: Facts) -> Finding:
    return facts.finding(
        "too-many-labels",
        f"There are more than {MAX_LABELS:,} different labels, more than a classifier can hold.",
        count=MAX_LABELS + 1,
    )


def _examples(facts: Facts) -> Iterator[Finding]:
    n = facts.usable
    if n >= ADVISED:
        return
    refused = f", and providers take no fewer than {FEWEST}" if n < FEWEST else ""
    yield facts.finding(
        "too-few-examples",
        f"There {one_or_more(n, 'is 1 labelled example', f'are {n} labelled examples')} in all"
        f"{refused}.",
        count=n,
        severity="error" if n < FEWEST else "warning",
    )


def free_text(facts: Facts, labels: int) -> bool:
    if not facts.task.exclusive:
        return False
    return labels >= 10 and facts.usable >= 20 and labels > 0.8 * facts.distinct_texts


def _free_text_labels(facts: Facts, labels: int) -> Finding:
    return facts.finding(
        "free-text-labels",
        f"The {facts.usable:,} examples have {labels:,} different labels, so nearly every row has "
        "one of its own.",
        count=labels,
    )


def _one(facts: Facts, labels: int) -> Iterator[Finding]:
    if labels == 1 and () not in facts.combinations:
        only = named(facts.name_of(next(iter(facts.examples))))
        every = one_or_more(facts.usable, "The one row has", f"All {facts.usable:,} rows have")
        yield facts.finding("one-label", f"{every} the label {only}.", count=facts.usable)
    if facts.distinct_texts == 1 and facts.usable > 1:
        yield facts.finding(
            "one-text", f"All {facts.usable:,} examples have the same text.", count=facts.usable
        )


def _small_labels(facts: Facts, counts: dict[LabelValue, int]) -> Iterator[Finding]:
    for code, low, high, said in (
        ("single-example-labels", 1, 2, "one example only"),
        ("rare-labels", 2, RARE, f"fewer than {RARE} examples"),
        ("small-labels", RARE, ADVISED, f"fewer than {ADVISED} examples"),
    ):
        if some := _between(counts, low, high):
            yield _labels_finding(facts, code, some, f"{_labels(some)} {said}")


def _between(counts: dict[LabelValue, int], low: int, high: int) -> dict[LabelValue, int]:
    some = {label: n for label, n in counts.items() if low <= n < high}
    return dict(sorted(some.items(), key=lambda item: (item[1], label_name(item[0]))))


def _labels(labels: Sequence[LabelValue] | dict[LabelValue, int]) -> str:
    return counted(len(labels), "label has", "labels have")


def _rest(facts: Facts, names: list[str]) -> Iterator[Finding]:
    """A classifier of hockey and baseball calls football one of them: better known beforehand."""
    if not facts.task.exclusive or len(names) < 2 or any(map(_may_be_rest, names)):
        return
    if any(a != b and b.endswith(a) for a in names for b in names):
        return  # relevant and irrelevant
    yield facts.finding(
        "no-label-for-the-rest",
        f"A text about anything else gets one of the {len(names):,} labels, too: none of them is "
        "for everything else.",
        count=len(names),
    )


def _may_be_rest(name: str) -> bool:
    words = re.findall(r"\w+", name.casefold())
    return not words or bool(_REST & {*words, words[0].rstrip("s")})


def _labels_finding(
    facts: Facts, code: str, labels: dict[LabelValue, int], message: str
) -> Finding:
    names = [facts.name_of(label) for label in labels]
    return facts.finding(
        code,
        f"{message}: {names_listing(names)}.",
        count=len(labels),
        where=labels_condition(facts, [v for label in labels for v in facts.variants_of[label]]),
        where_rows=sum(labels.values()),
        labels=dict(zip(names[:_LISTED], list(labels.values())[:_LISTED], strict=True)),
    )


def labels_condition(facts: Facts, labels: Sequence[LabelValue]) -> str | None:
    """The rows with these labels, where one column holds one label."""
    if not facts.task.exclusive or len(labels) > _LISTED:
        return None
    return in_list(facts.task.labels[0], labels)


def _imbalance(facts: Facts, counts: dict[LabelValue, int]) -> Iterator[Finding]:
    if len(counts) < 2:  # a label alone has a finding of its own
        return
    largest = max(counts, key=lambda label: counts[label])
    smallest = min(counts, key=lambda label: counts[label])
    ratio = counts[largest] / counts[smallest]
    share = counts[largest] / facts.usable
    if ratio < IMBALANCE and share < MAJORITY:
        return
    times = f", {ratio:,.0f} times as many as {named(facts.name_of(smallest))}"
    yield facts.finding(
        "imbalance",
        f"The label {named(facts.name_of(largest))} has {counts[largest]:,} examples "
        f"({share:.0%}){times if ratio >= 2 else ''}.",
        "Look at the figures of each label rather than accuracy (always answering the largest "
        f"scores {share:.0%}), and label more of the small ones.",
        count=counts[largest],
        severity="warning" if ratio >= STRONG_IMBALANCE or share >= MAJORITY else "info",
        largest=facts.name_of(largest),
        smallest=facts.name_of(smallest),
        ratio=round(ratio, 2),
        majority_share=round(share, 4),
    )
