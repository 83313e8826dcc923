"""Cells that hold nothing to learn from, and rows that say the same or its contrary."""

from __future__ import annotations

from collections.abc import Iterator

from ..core.database import Key, quote
from ..core.label_notations import NOTATIONS
from ..core.labels import LabelValue, label_name, unlabelled_sql
from .report import Finding, listing, one_or_more, rows_text, together
from .row_conditions import Seen
from .scan import Facts

_ENDS = 200
"""Characters of the two ends of a text that are compared."""
MANY_NEAR_COPIES = 0.1
"""Share of the examples from which on near copies are a warning."""
LEAST_GROUPS = 10
"""Different texts below which nothing can be measured."""
_LONG_END = 12
"""Shared characters from which on a beginning or ending looks like a rubric."""
_MANY_CUT = 0.1
"""Share of the rows of which most is not read, from which on that is a warning."""
_IMPORT_AGAIN = (
    "Import the rows again, and name the encoding of the file that they came from: often "
    "Windows-1252 (cp1252)."
)


def cell_findings(facts: Facts) -> Iterator[Finding]:
    yield from _texts(facts)
    yield from _labels(facts)
    yield from _repeated(facts)
    yield from _near_copies(facts)
    yield from _multilabel(facts)


def _texts(facts: Facts) -> Iterator[Finding]:
    one = facts.task.text[0] if len(facts.task.text) == 1 and not facts.task.template else None
    column = quote(one) if one else None
    for problem, what, condition in (
        ("null", "no text at all (NULL)", f"{column} is null"),
        ("empty", "an empty text", f"typeof({column}) = 'text' and trim({column}) = ''"),
        ("blob", "a BLOB instead of a text", f"typeof({column}) = 'blob'"),
    ):
        seen = facts.text_problems.get(problem)
        if seen:
            yield facts.finding(
                f"{problem}-text",
                "warning",
                seen.count,
                f"{rows_text(seen.count).capitalize()} with {what}.",
                "Such rows are passed over: fill them in, or leave them out with a condition.",
                seen=seen,
                where=condition if column else None,
            )

    if facts.not_utf8.count:
        yield facts.finding(
            "undecodable-text",
            "warning",
            facts.not_utf8.count,
            f"{rows_text(facts.not_utf8.count).capitalize()} with a text that is not valid UTF-8: "
            "a sign (\ufffd) is read for each character that is wrong.",
            _IMPORT_AGAIN,
            seen=facts.not_utf8,
        )


def _labels(facts: Facts) -> Iterator[Finding]:
    columns = [quote(name) for name in facts.task.labels]
    null = " and ".join(f"{column} is null" for column in columns)
    unlabelled = facts.label_problems.get("unlabelled")
    if unlabelled:
        yield facts.finding(
            "unlabelled",
            "info",
            unlabelled.count,
            f"{rows_text(unlabelled.count).capitalize()} not labelled yet.",
            "Nothing to do: a trained classifier can label them.",
            seen=unlabelled,
            where=null,
        )
    blank = facts.label_problems.get("empty")
    if blank:
        yield facts.finding(
            "empty-label",
            "info",
            blank.count,
            f"{rows_text(blank.count).capitalize()} not labelled yet: the label is blank text.",
            "Nothing to do: they count as rows whose label is NULL.",
            seen=blank,
            where=f"({unlabelled_sql(facts.task.labels)}) and not ({null})",
        )
    partly = facts.partly_blank
    if partly.count:
        any_blank = " or ".join(f"({unlabelled_sql([name])})" for name in facts.task.labels)
        yield facts.finding(
            "partly-blank-flags",
            "info",
            partly.count,
            f"{rows_text(partly.count).capitalize()} with some flags blank: blank counts as off "
            "there.",
            "Nothing to do if blank means no; blank all flags of a row that nobody has looked at.",
            seen=partly,
            where=f"({any_blank}) and not ({unlabelled_sql(facts.task.labels)})",
        )
    blob = " or ".join(f"typeof({column}) = 'blob'" for column in columns)
    for problem, what, condition in (
        ("blob", "a BLOB instead of a label", f"({blob})"),
        ("undecodable", "a label that is not valid UTF-8", None),
        ("invalid", _invalid(facts), None),
    ):
        seen = facts.label_problems.get(problem)
        if seen:
            yield facts.finding(
                f"{problem}-label",
                "warning",
                seen.count,
                f"{rows_text(seen.count).capitalize()} with {what}.",
                "Such rows are passed over: fix the cells, or set those not labelled to NULL."
                if problem != "undecodable"
                else f"{_kept_bytes(facts)} {_IMPORT_AGAIN}",
                seen=seen,
                where=condition,
            )


def _kept_bytes(facts: Facts) -> str:
    if facts.task.multilabel:
        return "Such rows are passed over."
    return (
        "It is learnt and written back with the bytes that it has, and shown with signs such as "
        "\\xe4."
    )


def _invalid(facts: Facts) -> str:
    if len(facts.task.labels) > 1:
        return "something else than 0 and 1 in a label column"
    if facts.task.label_names:
        return f"label cells that are no {len(facts.task.label_names)} flags of 0 and 1"
    if facts.task.notation:
        return f"label cells that cannot be read as {NOTATIONS[facts.task.notation]}"
    return "label cells that are no JSON array of texts and numbers"


def _repeated(facts: Facts) -> Iterator[Finding]:
    if facts.surplus.count:
        yield facts.finding(
            "exact-duplicates",
            "warning",
            facts.surplus.count,
            f"{rows_text(facts.surplus.count).capitalize()} "
            f"{one_or_more(facts.surplus.count, 'repeats', 'repeat')} the text and labels of an "
            "earlier one, case and white space aside.",
            "Delete the copies, unless they should count more; all copies are kept in one split.",
            seen=facts.surplus,
        )
    if facts.conflicting.count:
        texts = len(facts.conflicts)
        yield facts.finding(
            "conflicting-labels",
            "warning",
            facts.conflicting.count,
            f"{rows_text(facts.conflicting.count).capitalize()} share {texts:,} "
            f"text{'s' if texts > 1 else ''} but have different labels.",
            "Decide on one label for each text: no classifier can be right on all of them.",
            seen=facts.conflicting,
            texts=texts,
        )


def _near_copies(facts: Facts) -> Iterator[Finding]:
    near, groups = facts.near_copies, facts.near_groups
    if near.count:
        yield facts.finding(
            "near-duplicates",
            "warning" if near.count >= MANY_NEAR_COPIES * facts.usable else "info",
            near.count,
            f"{rows_text(near.count).capitalize()} are near copies of others (form letters, quoted "
            f"mails, retweets, templates filled in): {groups:,} group{'s' if groups > 1 else ''} "
            "of texts that differ in few words.",
            "Each group is kept in one split and measured as one text; label more of other texts, "
            "since copies teach little.",
            seen=near,
            groups=groups,
            largest=facts.largest_group,
        )
    if facts.disputed_copies.count:
        yield facts.finding(
            "conflicting-near-duplicates",
            "warning",
            facts.disputed_copies.count,
            f"{rows_text(facts.disputed_copies.count).capitalize()} are near copies of each other "
            f"with different labels, in {facts.disputed_groups:,} "
            f"group{'s' if facts.disputed_groups > 1 else ''}.",
            "Read them side by side: either a label is wrong, or the few words that differ decide.",
            seen=facts.disputed_copies,
            groups=facts.disputed_groups,
        )
    repeated = facts.usable - facts.groups
    few = facts.groups < LEAST_GROUPS or facts.largest_group > facts.usable / 2
    if facts.groups > 1 and few and repeated:
        yield facts.finding(
            "few-different-texts",
            "warning",
            facts.usable,
            f"The {facts.usable:,} examples hold {facts.groups:,} texts that are neither equal nor "
            f"near copies; one stands in {rows_text(facts.largest_group)}.",
            "Label other texts: what is measured on so few says little about new ones.",
            groups=facts.groups,
            largest=facts.largest_group,
        )


def _multilabel(facts: Facts) -> Iterator[Finding]:
    if not facts.task.multilabel or facts.too_many_labels:
        return
    none = facts.combinations.get((), 0)
    if none:
        yield facts.finding(
            "rows-without-labels",
            "info",
            none,
            f"{rows_text(none).capitalize()} with none of the labels.",
            "Nothing to do if they were looked at: set the cells to NULL where they were not.",
        )
    inseparable = _inseparable(facts)
    if inseparable:
        names = [together(group, " + ") for group in inseparable]
        yield facts.finding(
            "labels-always-together",
            "warning",
            sum(len(group) for group in inseparable),
            f"Labels that never stand apart: {listing(names)}.",
            "Merge them into one label, or add rows that have one without the other.",
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


class ShortTexts:
    """Texts with next to nothing in them."""

    every_text = False

    def __init__(self) -> None:
        self.seen = Seen()

    def see(self, key: Key, text: str, labels: tuple[LabelValue, ...]) -> None:
        if len(text) < 40 and sum(map(str.isalnum, text)) < 3:
            self.seen.add(key)

    def findings(self, facts: Facts) -> Iterator[Finding]:
        if self.seen.count:
            yield facts.finding(
                "very-short-texts",
                "info",
                self.seen.count,
                f"{rows_text(self.seen.count).capitalize()} with fewer than 3 letters and digits "
                "in the text.",
                "Read them: a label that cannot be told from the text teaches noise.",
                seen=self.seen,
            )


class CutTexts:
    """Texts longer than what the local trainer reads of each."""

    every_text = True

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.seen = Seen()
        self.rows = 0
        self.mostly = 0
        self.longest = 0

    def see(self, key: Key, text: str, labels: tuple[LabelValue, ...]) -> None:
        self.rows += 1
        if len(text) > self.limit:
            self.seen.add(key)
            self.mostly += len(text) > 2 * self.limit
            self.longest = max(self.longest, len(text))

    def findings(self, facts: Facts) -> Iterator[Finding]:
        if self.seen.count:
            yield facts.finding(
                "long-texts-cut",
                "warning" if self.mostly >= _MANY_CUT * self.rows else "info",
                self.seen.count,
                f"{rows_text(self.seen.count).capitalize()} with a text of more than "
                f"{self.limit:,} characters, all that the local trainer reads of one; the longest "
                f"has {self.longest:,}, and of {self.mostly:,} more than half is not read.",
                "Nothing to do if the beginning tells the label; else put what matters there.",
                seen=self.seen,
                limit=self.limit,
                longest=self.longest,
                mostly_cut=self.mostly,
            )


class CommonEnds:
    """What all texts begin and end with: it costs tokens and says nothing."""

    every_text = False

    def __init__(self) -> None:
        self.rows = 0
        self.beginning: str | None = None
        self.ending: str | None = None

    def see(self, key: Key, text: str, labels: tuple[LabelValue, ...]) -> None:
        self.rows += 1
        start, end = text[:_ENDS], text[-_ENDS:][::-1]
        self.beginning = _shared(self.beginning, start)
        self.ending = _shared(self.ending, end)

    def findings(self, facts: Facts) -> Iterator[Finding]:
        made_here = facts.task.template is not None or len(facts.task.text) > 1
        if made_here or self.rows < 2 or facts.distinct_texts < 2:
            return
        ending = (self.ending or "")[::-1]
        for code, verb, common, least in (
            ("common-beginning", "begin", self.beginning or "", _LONG_END),
            ("common-ending", "end", ending, 5),
        ):
            if len(common.strip()) >= least:
                yield facts.finding(
                    code,
                    "info",
                    self.rows,
                    f"All texts {verb} with {_quoted(common)}.",
                    "Leave it out: it is paid for in every row and says nothing about the label; "
                    "what is kept must also be there in texts to classify later.",
                    common=common,
                )


def _shared(known: str | None, text: str) -> str:
    if known is None or text.startswith(known):
        return text if known is None else known
    same = next((i for i, (a, b) in enumerate(zip(known, text, strict=False)) if a != b), None)
    return known[: len(text) if same is None else same]


def _quoted(text: str) -> str:
    flat = text.replace("\n", "\\n").strip()
    return f"“{flat if len(flat) <= 60 else flat[:59] + '…'}”"
