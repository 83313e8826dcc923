"""Whether there are enough examples, and of every label."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence

from ..core.foreign_keys import find_lookup, keys_without_name
from ..core.labels import MAX_LABELS, LabelValue, label_name
from .report import Finding, listing, named, names_listing, one_or_more
from .row_conditions import in_list
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


def amount_findings(facts: Facts) -> Iterator[Finding]:
    if not facts.usable:
        yield facts.finding(
            "no-examples",
            "error",
            facts.total,
            _none_usable(facts.total),
            "Label some rows, or name another label column or condition.",
        )
        return
    if facts.too_many_labels:
        yield _too_many(facts)
        return
    yield from _examples(facts)
    counts = facts.examples
    if _free_text(facts, len(counts)):
        yield _free_text_labels(facts, len(counts))
        return
    yield from _one(facts, len(counts))
    yield from _small_labels(facts, counts)
    yield from _imbalance(facts, counts)
    yield from _variants(facts)
    yield from _unnamed(facts, [label for label, n in facts.counts.items() if n])
    yield from _merged(facts)
    yield from _rest(facts, [facts.name_of(label) for label in counts])


def _unnamed(facts: Facts, labels: Sequence[LabelValue]) -> Iterator[Finding]:
    lookup = find_lookup(facts.conn, facts.task)
    keys = [] if lookup is None else keys_without_name(facts.conn, lookup, labels)
    if lookup is None or not keys:
        return
    rows = sum(facts.counts[key] for key in keys)
    yield facts.finding(
        "unnamed-keys",
        "warning",
        rows,
        f"{one_or_more(rows, '1 example has a label', f'{rows:,} examples have labels')} that "
        f"{lookup.table} has no name for: {names_listing([label_name(key) for key in keys])}.",
        f"Add the missing rows to {lookup.table}, or correct the labels; else they go by the key.",
        where=in_list(facts.task.labels[0], keys),
    )


def _none_usable(rows: int) -> str:
    if rows < 2:
        return "The one row lacks a text or a label." if rows else "There are no rows."
    return f"None of the {rows:,} rows has both a text and a label."


def _too_many(facts: Facts) -> Finding:
    return facts.finding(
        "too-many-labels",
        "error",
        MAX_LABELS + 1,
        f"There are more than {MAX_LABELS:,} different labels, more than a classifier can hold.",
        "Check that this is the label column; if it is, group the labels into coarser ones.",
    )


def _examples(facts: Facts) -> Iterator[Finding]:
    n = facts.usable
    if n >= ADVISED:
        return
    refused = f", and providers take no fewer than {FEWEST}" if n < FEWEST else ""
    yield facts.finding(
        "too-few-examples",
        "error" if n < FEWEST else "warning",
        n,
        f"There {one_or_more(n, 'is 1 labelled example', f'are {n} labelled examples')} in all"
        f"{refused}.",
        f"Label more rows: at least {ADVISED}, better some hundreds; every doubling helps.",
    )


def _free_text(facts: Facts, labels: int) -> bool:
    if facts.task.multilabel:
        return False
    return labels >= 10 and facts.usable >= 20 and labels > 0.8 * facts.distinct_texts


def _free_text_labels(facts: Facts, labels: int) -> Finding:
    return facts.finding(
        "free-text-labels",
        "error",
        labels,
        f"The {facts.usable:,} examples have {labels:,} different labels, so nearly every row has "
        "one of its own.",
        "Name a column with few values that come back: this one looks like free text or a key.",
    )


def _one(facts: Facts, labels: int) -> Iterator[Finding]:
    if labels == 1 and not (facts.task.multilabel and () in facts.combinations):
        only = named(facts.name_of(next(iter(facts.examples))))
        every = one_or_more(facts.usable, "The one row has", f"All {facts.usable:,} rows have")
        yield facts.finding(
            "one-label",
            "error",
            facts.usable,
            f"{every} the label {only}.",
            "Add rows with other labels: with one there is nothing to tell apart.",
        )
    if facts.distinct_texts == 1 and facts.usable > 1:
        yield facts.finding(
            "one-text",
            "error",
            facts.usable,
            f"All {facts.usable:,} examples have the same text.",
            "Name the column that differs from row to row, or fix the template.",
        )


def _small_labels(facts: Facts, counts: dict[LabelValue, int]) -> Iterator[Finding]:
    single = _between(counts, 1, 2)
    rare = _between(counts, 2, RARE)
    small = _between(counts, RARE, ADVISED)
    if single:
        yield _labels_finding(
            facts,
            "single-example-labels",
            single,
            f"{_labels(single)} one example only",
            "Label more rows of them, or merge them into other labels: one example cannot be both "
            "learnt and tested.",
        )
    if rare:
        yield _labels_finding(
            facts,
            "rare-labels",
            rare,
            f"{_labels(rare)} fewer than {RARE} examples",
            "Label more rows of them, or merge them into other labels: they cannot be measured.",
        )
    if small:
        yield _labels_finding(
            facts,
            "small-labels",
            small,
            f"{_labels(small)} fewer than {ADVISED} examples",
            f"Where a label matters, aim at {ADVISED} examples of it.",
        )


def _between(counts: dict[LabelValue, int], low: int, high: int) -> dict[LabelValue, int]:
    some = {label: n for label, n in counts.items() if low <= n < high}
    return dict(sorted(some.items(), key=lambda item: (item[1], label_name(item[0]))))


def _labels(labels: Sequence[LabelValue] | dict[LabelValue, int]) -> str:
    return "1 label has" if len(labels) == 1 else f"{len(labels):,} labels have"


def _rest(facts: Facts, names: list[str]) -> Iterator[Finding]:
    """A classifier of hockey and baseball calls football one of them: better known beforehand."""
    if facts.task.multilabel or len(names) < 2 or any(map(_may_be_rest, names)):
        return
    if any(a != b and b.endswith(a) for a in names for b in names):
        return  # relevant and irrelevant
    yield facts.finding(
        "no-label-for-the-rest",
        "info",
        len(names),
        f"A text about anything else gets one of the {len(names):,} labels, too: none of them says "
        "that it stands for the rest.",
        "If such texts will come, label some of them as other, or classify with a minimum score, "
        "so that unsure answers are left out.",
    )


def _may_be_rest(name: str) -> bool:
    words = re.findall(r"\w+", name.casefold())
    return not words or bool(_REST & {*words, words[0].rstrip("s")})


def _labels_finding(
    facts: Facts, code: str, labels: dict[LabelValue, int], message: str, advice: str
) -> Finding:
    names = [facts.name_of(label) for label in labels]
    return facts.finding(
        code,
        "info" if code == "small-labels" else "warning",
        len(labels),
        f"{message}: {names_listing(names)}.",
        advice,
        where=labels_condition(facts, [v for label in labels for v in facts.variants_of[label]]),
        where_rows=sum(labels.values()),
        labels=dict(zip(names[:_LISTED], list(labels.values())[:_LISTED], strict=True)),
    )


def labels_condition(facts: Facts, labels: Sequence[LabelValue]) -> str | None:
    """The rows with these labels, where one column holds one label."""
    if facts.task.multilabel or len(labels) > _LISTED:
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
        "warning" if ratio >= STRONG_IMBALANCE or share >= MAJORITY else "info",
        counts[largest],
        f"The label {named(facts.name_of(largest))} has {counts[largest]:,} examples "
        f"({share:.0%}){times if ratio >= 2 else ''}.",
        f"Look at the measures of each label rather than accuracy (always answering the largest "
        f"scores {share:.0%}), and label more of the small ones.",
        largest=facts.name_of(largest),
        smallest=facts.name_of(smallest),
        ratio=round(ratio, 2),
        majority_share=round(share, 4),
    )


def _variants(facts: Facts) -> Iterator[Finding]:
    counts, groups = facts.counts, list(facts.variants_of.values())
    twins = [group for group in groups if len({label_name(v) for v in group}) > 1]
    if twins:
        yield _variants_finding(facts, counts, twins)
    same_name = [g for g in groups if len({label_name(v) for v in g}) < len(g)]
    for group in same_name:
        name = label_name(group[0])
        yield facts.finding(
            "label-types",
            "error",
            sum(counts[label] for label in group),
            f"The label {named(name)} stands in the column both as a number and as text.",
            "Count them as one label, or make them one type, for instance with UPDATE … SET label ="
            " cast(label AS text).",
            where=labels_condition(facts, group),
            label=name,
            merge=[group[0]],
        )


def _variants_finding(
    facts: Facts, counts: Mapping[LabelValue, int], groups: list[list[LabelValue]]
) -> Finding:
    rarer = [label for group in groups for label in group[1:]]
    shown = [_told_apart([label_name(label) for label in group]) for group in groups]
    return facts.finding(
        "label-variants",
        "warning",
        sum(counts[label] for label in rarer),
        f"{len(shown)} label{'s are' if len(shown) > 1 else ' is'} written in several ways that "
        "differ only by case, white space, characters without a width, accents, the form of a "
        f"number or an encoding that was read wrongly: {listing(shown, 3)}.",
        "Count the ways of writing as one label, or write each in one way: as they stand they are "
        "different labels to learn, though the other findings count them as one.",
        seen=facts.variants,
        where=labels_condition(facts, rarer),
        groups=[{label_name(v): counts[v] for v in group} for group in groups[:_LISTED]],
        merge=[group[0] for group in groups],
    )


def _told_apart(names: list[str]) -> str:
    """Variants of a label, each as text that looks like no other of them."""
    alike = len({repr(unicodedata.normalize("NFC", name)) for name in names}) < len(names)
    shown = [ascii(name) if alike else named(name, always=True) for name in names[:4]]
    return " / ".join(shown + ["…"] * (len(names) > 4))


def _merged(facts: Facts) -> Iterator[Finding]:
    names = [label_name(label) for label in facts.task.merged]
    if names:
        yield facts.finding(
            "label-variants",
            "info",
            len(names),
            f"All ways of writing {names_listing(names)} count as one label each.",
            "Nothing to do: the table stays as it is, and predictions are written in that way.",
            merged=list(facts.task.merged),
        )
