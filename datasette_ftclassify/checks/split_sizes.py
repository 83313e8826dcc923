"""Whether every split exists, and is large enough to measure with."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from ..core.database import quote
from ..core.examples import SPLITS
from ..core.humanize import one_or_more, rows_text
from ..core.labels import LabelValue, named, trimmed_sql
from .class_balance import ADVISED
from .codes import ERROR, INFO, MILD, WARNING, Code, Section
from .registry import check
from .report import Finding, listing, names_listing
from .scan import Facts

_LISTED = 500
_SURE = 5
"""Examples from which on a label is expected in every split."""


@check(
    Section.SPLITS,
    Code(
        "no-training-rows",
        ERROR,
        "No row is in the train split.",
        "Write train into the split column of the rows to learn from, or use no split column.",
        stops="examples",
    ),
    Code(
        "no-test-rows",
        WARNING,
        "No row is in the test split.",
        "Give the test split a share of the rows, or write test into the split column.",
    ),
    Code(
        "small-test-split",
        INFO,
        "Fewer than 100 rows in the test split.",
        "Read the interval beside each figure, or label more rows.",
    ),
    Code(
        "validation-from-train",
        INFO,
        "The split column names no validation rows.",
        "Nothing to do, or write validation into the split column of some rows.",
    ),
    Code(
        "split-values-left-out",
        WARNING,
        "Rows whose split is not train, validation or test.",
        "Write train, validation or test there, or exclude the rows with a condition.",
    ),
    Code(
        "shared-across-splits",
        WARNING,
        "Validation or test rows whose text, or a near copy, is in train.",
        "Move or delete such rows: figures on them show memory, not skill.",
    ),
    Code(
        "test-rows-few-for-copies",
        WARNING,
        "Labels with less than half of their share in the test split, because copies stay "
        "together.",
        "Label more rows with other texts: figures on so few say little about the label.",
    ),
    Code(
        "label-missing-from-split",
        MILD,
        "Labels that a split lacks.",
        "Add such rows: a label needs rows in train to be learnt and in test to be measured.",
    ),
)
def split_findings(facts: Facts) -> Iterator[Finding]:
    if not facts.usable or facts.too_many_labels:
        return
    rows = facts.report.rows
    if not rows["train"]:
        yield facts.finding("no-training-rows", "No row is in the train split.", count=facts.usable)
    if not rows["test"]:
        yield facts.finding(
            "no-test-rows", "No row is in the test split, so nothing can be measured.", count=0
        )
    elif rows["test"] < ADVISED:
        yield facts.finding(
            "small-test-split",
            f"The test split has {rows_text(rows['test'])}, so every figure has a wide interval.",
            count=rows["test"],
        )
    if facts.task.split_column:
        yield from _given(facts, facts.task.split_column)
    held_back = {} if facts.task.split_column else _held_back(facts)
    if held_back:
        yield _few_for_copies(facts, held_back)
    yield from _missing(facts, held_back)


def _given(facts: Facts, column: str) -> Iterator[Finding]:
    if facts.left_out.count:
        values = [
            f"{named(str(value))} ({n:,})" for value, n in facts.report.left_out.most_common()
        ]
        yield facts.finding(
            "split-values-left-out",
            f"{rows_text(facts.left_out.count).capitalize()} "
            f"{one_or_more(facts.left_out.count, 'is', 'are')} in no split, because "
            f"{column} is {listing(values)}.",
            seen=facts.left_out,
            where=f"coalesce(lower({trimmed_sql(quote(column))}), '') not in"
            " ('train', 'validation', 'test')",
            values=dict(facts.report.left_out.most_common(50)),
        )
    if facts.shared.count:
        yield facts.finding(
            "shared-across-splits",
            f"{rows_text(facts.shared.count).capitalize()} of validation or test "
            f"{one_or_more(facts.shared.count, 'has', 'have')} a text that is also in train, "
            "or a near copy of one.",
            seen=facts.shared,
        )
    n = facts.report.rows["validation"]
    if n and not facts.given_validation:
        yield facts.finding(
            "validation-from-train",
            f"{column} names no validation rows, so {rows_text(n)} of train "
            f"{one_or_more(n, 'is', 'are')} used for it.",
            count=n,
        )


def _held_back(facts: Facts) -> dict[LabelValue, int]:
    """Labels of which the test has less than half of its share since a text and its copies are
    more than all of that, and the rows of these; the most rows first."""
    if not facts.plan.test:
        return {}
    found = {}
    for label, rows in facts.examples.items():
        share = rows * facts.plan.test
        largest = max(facts.largest_of[v] for v in facts.variants_of[label])
        tested = facts.in_split("test", label)
        few = 2 * tested < round(share) or (not tested and rows >= _SURE)
        if few and largest > max(share, 1):
            found[label] = largest
    return dict(sorted(found.items(), key=lambda item: -facts.examples[item[0]]))


def _few_for_copies(facts: Facts, largest: dict[LabelValue, int]) -> Finding:
    labels = {
        facts.name_of(label): {
            "rows": facts.examples[label],
            "test": facts.in_split("test", label),
            "largest": rows,
        }
        for label, rows in largest.items()
    }
    small = [
        f"{named(name)} ({n['test']:,} of {n['rows']:,}; one text and its copies are "
        f"{n['largest']:,})"
        for name, n in labels.items()
    ]
    return facts.finding(
        "test-rows-few-for-copies",
        f"The test split has few rows of {listing(small, 3)}, because copies stay together.",
        count=len(labels),
        labels=dict(list(labels.items())[:_LISTED]),
    )


def _missing(facts: Facts, held_back: Collection[LabelValue]) -> Iterator[Finding]:
    examples = facts.examples
    for split in SPLITS:
        if not facts.report.rows[split]:
            continue
        missing = [label for label in examples if not facts.in_split(split, label)]
        # A label too rare for all splits is reported as rare, and belongs into train.
        missing = [v for v in missing if split == "train" or examples[v] >= _SURE]
        if split == "test":
            missing = [v for v in missing if v not in held_back]
        if not missing:
            continue
        names = sorted(map(facts.name_of, missing))
        cannot = "be learnt" if split == "train" else "be measured on it"
        yield facts.finding(
            "label-missing-from-split",
            f"The {split} split has no row of {names_listing(names)}.",
            f"Add such rows: what is not in {split} cannot {cannot}.",
            count=len(names),
            severity="warning" if split == "train" else "info",
            split=split,
            labels=names[:_LISTED],
        )
