"""Labels that are written in several ways, or are keys without a name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from ..core.foreign_keys import find_lookup, find_table_behind_view, keys_without_name
from ..core.humanize import counted, one_or_more
from ..core.labels import LabelValue, label_name, looks_like, named
from ..core.literals import in_list
from .class_balance import free_text, labels_condition
from .codes import ERROR, INFO, MILD, WARNING, Code, Section
from .registry import check
from .report import Finding, listing, names_listing
from .scan import Facts

_LISTED = 500


@check(
    Section.LABELS,
    Code(
        "label-variants",
        MILD,
        "Labels that differ only by case, spaces, hyphens, quotes or a tag around them, `[x]`, `-` "
        "or `1.` before them, a full stop at the end, characters that look alike or have no width, "
        "the form of accents or numbers, or an encoding that was read wrongly; or that were "
        "merged.",
        "Count the variants as one label, or correct the cells: for now they are different labels "
        "to learn, though the other findings count them as one.",
    ),
    Code(
        "unnamed-keys",
        WARNING,
        "Labels that are keys of another table without a row or a name there.",
        "Add the missing rows to that table, or correct the labels; until then the key is the "
        "label's name.",
    ),
    Code(
        "keys-in-view",
        INFO,
        "Labels of a view that look like keys of another table.",
        "Train on the table itself, which has the names, or give the view a column with the names.",
    ),
    Code(
        "label-types",
        ERROR,
        "A label stands in the column as a number and as text.",
        "Count them as one label, or make them one type.",
        stops="training",
    ),
)
def label_findings(facts: Facts) -> Iterator[Finding]:
    if not facts.usable or facts.too_many_labels or free_text(facts, len(facts.examples)):
        return
    yield from _variants(facts)
    yield from _unnamed(facts, [label for label, n in facts.counts.items() if n])
    yield from _merged(facts)
    yield from _keys_in_view(facts)


def _keys_in_view(facts: Facts) -> Iterator[Finding]:
    keys = [label for label, n in facts.counts.items() if n]
    table = find_table_behind_view(facts.conn, facts.task, keys[:_LISTED])
    if table is None:
        return
    column = facts.task.labels[0]
    yield facts.finding(
        "keys-in-view",
        f"The labels look like keys of another table, as {column} of {table} has them, and "
        f"go by the key here: {names_listing(list(map(label_name, keys)))}. What a column of a "
        "view refers to, SQLite does not tell.",
        f"Train on {table}, whose labels go by name, or give the view a column with the "
        "names: join the table that the keys refer to.",
        count=len(keys),
        table=table,
    )


def _unnamed(facts: Facts, labels: Sequence[LabelValue]) -> Iterator[Finding]:
    lookup = find_lookup(facts.conn, facts.task)
    keys = [] if lookup is None else keys_without_name(facts.conn, lookup, labels)
    if lookup is None or not keys:
        return
    rows = sum(facts.counts[key] for key in keys)
    yield facts.finding(
        "unnamed-keys",
        f"{one_or_more(rows, '1 example has a label', f'{rows:,} examples have labels')} that "
        f"{lookup.table} has no name for: {names_listing([label_name(key) for key in keys])}.",
        f"Add the missing rows to {lookup.table}, or correct the labels; until then the key is the "
        "name.",
        count=rows,
        where=in_list(facts.task.labels[0], keys),
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
            f"The label {named(name)} stands in the column both as a number and as text.",
            "Count them as one label, or make them one type, for instance with UPDATE … SET label ="
            " cast(label AS text).",
            count=sum(counts[label] for label in group),
            where=labels_condition(facts, group),
            label=name,
            set={"merged": [group[0]]},
        )


def _variants_finding(
    facts: Facts, counts: Mapping[LabelValue, int], groups: list[list[LabelValue]]
) -> Finding:
    rarer = [label for group in groups for label in group[1:]]
    shown = [_told_apart([label_name(label) for label in group]) for group in groups]
    return facts.finding(
        "label-variants",
        f"{counted(len(shown), 'label is', 'labels are')} written in several ways: "
        f"{listing(shown, 3)}.",
        count=sum(counts[label] for label in rarer),
        severity="warning",
        seen=facts.variants,
        where=labels_condition(facts, rarer),
        groups=[{label_name(v): counts[v] for v in group} for group in groups[:_LISTED]],
        set={"merged": [group[0] for group in groups]},
    )


def _told_apart(names: list[str]) -> str:
    """Variants of a label, each as text that looks like no other of them."""
    alike = len({repr(looks_like(name)) for name in names}) < len(names)
    shown = [ascii(name) if alike else named(name, always=True) for name in names[:4]]
    return " / ".join(shown + ["…"] * (len(names) > 4))


def _merged(facts: Facts) -> Iterator[Finding]:
    names = [label_name(label) for label in facts.task.merged]
    if names:
        yield facts.finding(
            "label-variants",
            f"All variants of {names_listing(names)} count as one label each.",
            "Nothing to do: the table is not changed, and predictions use this form.",
            count=len(names),
            severity="info",
            merged=list(facts.task.merged),
        )
