"""Rows that say the same, or its contrary."""

from __future__ import annotations

from collections.abc import Iterator

from ..core.humanize import counted, one_or_more, rows_text
from .codes import MILD, WARNING, Code, Section
from .registry import check
from .report import Finding
from .scan import Facts

MANY_NEAR_COPIES = 0.1
"""Share of the examples from which on near copies are a warning."""
LEAST_GROUPS = 10
"""Different texts below which nothing can be measured."""


@check(
    Section.COPIES,
    Code(
        "exact-duplicates",
        WARNING,
        "Rows that repeat the text and labels of another.",
        "Delete the copies, unless they should count more; all copies are kept in one split.",
    ),
    Code(
        "conflicting-labels",
        WARNING,
        "Rows that share a text but not their labels.",
        "Decide on one label for each text: no classifier can be right on all of them.",
    ),
)
def _repeated(facts: Facts) -> Iterator[Finding]:
    if facts.surplus.count:
        yield facts.finding(
            "exact-duplicates",
            f"{rows_text(facts.surplus.count).capitalize()} "
            f"{one_or_more(facts.surplus.count, 'repeats', 'repeat')} the text and labels of an "
            "earlier one, case and white space aside.",
            seen=facts.surplus,
        )
    if facts.conflicting.count:
        texts = len(facts.conflicts)
        yield facts.finding(
            "conflicting-labels",
            f"{rows_text(facts.conflicting.count).capitalize()} share "
            f"{counted(texts, 'text')} but have different labels.",
            seen=facts.conflicting,
            texts=texts,
        )


@check(
    Section.COPIES,
    Code(
        "near-duplicates",
        MILD,
        "Rows whose texts differ in few words, or quote each other whole; from 10% of "
        "the examples on a warning.",
        "Each group stays in one split and counts as one text; label more different texts, since "
        "copies teach little.",
    ),
    Code(
        "conflicting-near-duplicates",
        WARNING,
        "Near copies with different labels.",
        "Read them side by side: either a label is wrong, or the few different words decide.",
    ),
    Code(
        "few-different-texts",
        WARNING,
        "Fewer than 10 different texts (near copies count as one), or one of them in most "
        "examples.",
        "Label other texts: figures on so few say little about new ones.",
    ),
)
def _near_copies(facts: Facts) -> Iterator[Finding]:
    near, groups = facts.near_copies, facts.near_groups
    if near.count:
        yield facts.finding(
            "near-duplicates",
            f"{rows_text(near.count).capitalize()} are near copies of others (form letters, quoted "
            f"mails, retweets, templates filled in): {counted(groups, 'group')} "
            "of texts that differ in few words.",
            severity="warning" if near.count >= MANY_NEAR_COPIES * facts.usable else "info",
            seen=near,
            groups=groups,
            largest=facts.largest_group,
        )
    if facts.disputed_copies.count:
        yield facts.finding(
            "conflicting-near-duplicates",
            f"{rows_text(facts.disputed_copies.count).capitalize()} are near copies of each other "
            "with different labels, in "
            f"{counted(facts.disputed_groups, 'group')}.",
            seen=facts.disputed_copies,
            groups=facts.disputed_groups,
        )
    repeated = facts.usable - facts.groups
    few = facts.groups < LEAST_GROUPS or facts.largest_group > facts.usable / 2
    if facts.groups > 1 and few and repeated:
        yield facts.finding(
            "few-different-texts",
            f"The {facts.usable:,} examples hold {facts.groups:,} texts that are neither equal nor "
            f"near copies; one stands in {rows_text(facts.largest_group)}.",
            count=facts.usable,
            groups=facts.groups,
            largest=facts.largest_group,
        )
