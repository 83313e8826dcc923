"""Texts whose words stand in something else: HTML, RTF, the transfer encodings of mail."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from ..core.database import Key
from ..core.humanize import one_or_more, percent, rows_text
from ..core.labels import LabelValue
from ..core.markup import is_html, words_of_html
from .codes import MILD, WARNING, Code, Section
from .registry import text_check
from .report import Finding
from .row_conditions import Seen
from .scan import Facts

_LOOKED_AT = 1_000
"""Texts in HTML whose words are counted: to read them all would take most of a check's time."""
_FEW_WORDS = 0.1
_MANY_ROWS = 0.05
_BEGINNING = 5_000

_TAGS_AS_TEXT = re.compile(
    r"&lt;/?(?:p|br|div|span|a|b|i|li|td|table|body|html|font)(?:\s+\w+=[^<>]{0,200}?|\s*/?)&gt;"
)


def _is_escaped(text: str) -> bool:
    return "&lt;" in text and _TAGS_AS_TEXT.search(text) is not None and not is_html(text)


# The bytes of a character of UTF-8, each read as one of Windows-1252 or Latin-1.
_NEXT = "[\u0080-\u00bf\u0152-\u0192\u02c6\u02dc\u2013-\u203a\u20ac\u2122]"
_MOJIBAKE = re.compile(
    f"\u00c3{_NEXT}|\u00c2[\u00a0-\u00bf]|\u00e2\u20ac{_NEXT}|(?:[\u00e0-\u00ef]{_NEXT}{{2}}){{2}}"
)

_FORMS: dict[str, Callable[[str], object]] = {
    "escaped": _is_escaped,
    "mojibake": _MOJIBAKE.search,
    "rtf": re.compile(r"\s*\{\\rtf\d").match,
    "quoted-printable": re.compile(
        r"(?i:^content-transfer-encoding:\s*quoted-printable)|(?:=[0-9A-F]{2}[^\n=]{0,60}){3}=\r?\n",
        re.MULTILINE,
    ).search,
    "base64": re.compile(
        r"(?i:^content-transfer-encoding:\s*base64)|(?:^[A-Za-z0-9+/]{60,76}\r?\n){3}", re.MULTILINE
    ).search,
}


@text_check(
    Section.CELLS,
    Code(
        "html-in-text",
        MILD,
        "Texts in HTML, whose tags are read as words.",
        "Choose html as the markup of the text: then only its words are read, in training and in "
        "predictions.",
    ),
)
class MarkupTexts:
    """Texts in HTML, of a task that reads them as they are."""

    every_text = True

    def __init__(self, facts: Facts) -> None:
        self.limit = facts.most_read
        self.rows = 0
        self.seen = Seen()
        self.without_words = 0

    def see(self, key: Key, text: str, labels: tuple[LabelValue, ...]) -> None:
        self.rows += 1
        if not is_html(text):
            return
        self.seen.add(key)
        if self.seen.count <= _LOOKED_AT:
            read = text[: self.limit]
            self.without_words += len(words_of_html(read)) < _FEW_WORDS * len(read)

    def findings(self, facts: Facts) -> Iterator[Finding]:
        found = self.seen.count
        if not found or facts.task.markup is not None:
            return
        share = found / self.rows
        mostly = self.without_words
        of = "" if found <= _LOOKED_AT else f" of the first {_LOOKED_AT:,}"
        hardly = (
            f" More than 90% of the text is markup in {rows_text(mostly)}{of}." if mostly else ""
        )
        yield facts.finding(
            "html-in-text",
            f"{rows_text(found).capitalize()} ({percent(share)}) "
            f"{one_or_more(found, 'holds', 'hold')} "
            f"HTML: its tags and styles are read as if they were words.{hardly}",
            count=found,
            severity="warning" if share >= _MANY_ROWS else "info",
            seen=self.seen,
            share=round(share, 4),
            without_words=self.without_words,
            set={"markup": "html"},
        )


@text_check(
    Section.CELLS,
    Code(
        "encoded-text",
        WARNING,
        "Texts in RTF, quoted-printable or base64, HTML with escaped tags (`&lt;p&gt;`), or UTF-8 "
        "decoded wrongly.",
        "Decode the texts before importing them.",
    ),
)
class EncodedTexts:
    """Texts that have to be decoded before anybody can read them."""

    every_text = True

    def __init__(self, facts: Facts) -> None:
        self.seen = {name: Seen() for name in _FORMS}

    def see(self, key: Key, text: str, labels: tuple[LabelValue, ...]) -> None:
        beginning = text[:_BEGINNING]
        for name, matches in _FORMS.items():
            if matches(beginning):
                self.seen[name].add(key)
                return

    def findings(self, facts: Facts) -> Iterator[Finding]:
        for name, seen in self.seen.items():
            if seen.count:
                yield facts.finding(
                    "encoded-text",
                    f"{rows_text(seen.count).capitalize()} {one_or_more(seen.count, 'is', 'are')} "
                    f"or {one_or_more(seen.count, 'holds', 'hold')} {_CALLED[name]}, which is read "
                    "as it stands and not as the words that it means.",
                    seen=seen,
                    form=name,
                )


_CALLED = {
    "escaped": "HTML whose tags are written as &lt;p&gt;",
    "mojibake": "UTF-8 that was read in another encoding (Ã¼ for ü)",
    "rtf": "RTF",
    "quoted-printable": "mail in the encoding quoted-printable",
    "base64": "base64",
}
