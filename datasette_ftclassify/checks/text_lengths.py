"""Texts that are too short or too long, and what all of them begin and end with."""

from __future__ import annotations

from collections.abc import Iterator

from ..core.database import Key
from ..core.humanize import rows_text
from ..core.labels import LabelValue
from .codes import INFO, MILD, Code, Section
from .registry import text_check
from .report import Finding
from .row_conditions import Seen
from .scan import Facts

_ENDS = 200
"""Characters of the two ends of a text that are compared."""
_LEAVE_OUT = (
    "Leave it out: it costs tokens in every row and says nothing about the label; if you keep it, "
    "later texts need it too."
)
_LONG_END = 12
"""Shared characters from which on a beginning or ending looks like a rubric."""
_MANY_CUT = 0.1
"""Share of the rows of which most is not read, from which on that is a warning."""


@text_check(
    Section.CELLS,
    Code(
        "very-short-texts",
        INFO,
        "Texts with fewer than 3 letters and digits.",
        "Read them: labels that cannot be told from the text teach noise.",
    ),
)
class ShortTexts:
    """Texts with next to nothing in them."""

    every_text = False

    def __init__(self, facts: Facts) -> None:
        self.seen = Seen()

    def see(self, key: Key, text: str, labels: tuple[LabelValue, ...]) -> None:
        if len(text) < 40 and sum(map(str.isalnum, text)) < 3:
            self.seen.add(key)

    def findings(self, facts: Facts) -> Iterator[Finding]:
        if self.seen.count:
            yield facts.finding(
                "very-short-texts",
                f"{rows_text(self.seen.count).capitalize()} with fewer than 3 letters and digits "
                "in the text.",
                seen=self.seen,
            )


@text_check(
    Section.CELLS,
    Code(
        "long-texts-cut",
        MILD,
        "Texts longer than the local trainer reads; a warning if a tenth of the rows are read less "
        "than half.",
        "Nothing to do if the beginning tells the label; otherwise move what matters to the front.",
    ),
    when=lambda facts: not facts.leaves_machine,
)
class CutTexts:
    """Texts longer than what the local trainer reads of each."""

    every_text = True

    def __init__(self, facts: Facts) -> None:
        self.limit = facts.most_read or 0
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
                f"{rows_text(self.seen.count).capitalize()} with a text of more than "
                f"{self.limit:,} characters, all that the local trainer reads of one; the longest "
                f"has {self.longest:,}, and of {self.mostly:,} more than half is not read.",
                severity="warning" if self.mostly >= _MANY_CUT * self.rows else "info",
                seen=self.seen,
                limit=self.limit,
                longest=self.longest,
                mostly_cut=self.mostly,
            )


@text_check(
    Section.CELLS,
    Code("common-beginning", INFO, "All texts begin with the same words.", _LEAVE_OUT),
    Code("common-ending", INFO, "All texts end with the same words.", _LEAVE_OUT),
)
class CommonEnds:
    """What all texts begin and end with: it costs tokens and says nothing."""

    every_text = False

    def __init__(self, facts: Facts) -> None:
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
                    f"All texts {verb} with {_quoted(common)}.",
                    count=self.rows,
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
