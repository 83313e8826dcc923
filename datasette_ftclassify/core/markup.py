"""The words of a text in HTML, as somebody sees them: for mails and pages whose cells hold markup.

lxml parses it, in time by the length of the text, whatever is nested in it. Python's own
html.parser takes minutes for a text that is made to do harm, and ten times as long for others.
"""

from __future__ import annotations

import re
from functools import lru_cache
from importlib.util import find_spec
from typing import Any, Literal

from .distribution import NotInstalled

Markup = Literal["html"]
MARKUPS: tuple[Markup, ...] = ("html",)

MAX_MARKUP = 250_000
"""Characters of a text in HTML that are read: these have at most the 1,000,000 bytes that the SQL
functions read of a text, so they see what training saw."""

_TAGS = (
    "html|head|body|title|meta|link|style|script|div|span|strong|font|center|small|big|sub|sup|pre|"
    "code|blockquote|table|thead|tbody|img|article|section|header|footer|main|nav|form|input|"
    "button|label|iframe"
)
_SHORT_TAGS = "p|br|hr|a|b|i|u|em|h[1-6]|ul|ol|li|dl|dt|dd|tr|td|th"
_find_tag = re.compile(
    rf"<(?:!doctype\s+html|\?xml\s|/?(?:{_TAGS})(?=[\s/>])"
    # `x <b and y> c` compares: what goes on has to be an attribute with a value.
    rf"|/?(?:{_SHORT_TAGS})(?=\s*/?>|\s+[\w:-]+\s*=))",
    re.IGNORECASE,
).search
_UNREAD = frozenset(
    ("script", "style", "template", "xml", "svg", "math", "object", "iframe", "noframes")
)
_CELLS = frozenset(("td", "th", "option", "img", "input", "button"))
_INLINE = frozenset(
    (
        "a", "abbr", "b", "bdi", "bdo", "big", "cite", "code", "del", "dfn", "em", "font", "i",
        "ins", "kbd", "label", "mark", "nobr", "q", "s", "samp", "small", "span", "strike",
        "strong", "sub", "sup", "tt", "u", "var", "wbr",
    )
)  # fmt: skip


def is_html(text: str) -> bool:
    """Whether there is a tag of HTML in the text, or it begins as XML does."""
    return "<" in text and _find_tag(text, 0, MAX_MARKUP) is not None


def words_of_html(text: str) -> str:
    """What is seen of a text in HTML: a line for each block, without styles, scripts and comments;
    of an image its description. A text without a tag of HTML as it stands."""
    if not is_html(text):
        return text
    etree, parser = _parser()
    words = _Words()
    reader = parser(encoding="utf-8", target=words)
    # The bytes of lone surrogates would be no UTF-8, and NUL would end the text.
    text = text[:MAX_MARKUP].replace("\0", "")
    if "<![CDATA[" in text:  # a comment to HTML, and in XML the words themselves
        text = text.replace("<![CDATA[", "").replace("]]>", "")
    data = text.encode("utf-8", "replace")
    try:
        etree.fromstring(data, reader)
    except etree.LxmlError:
        pass  # what was read until then
    lines = ("".join(words.pieces)).split("\n")
    return "\n".join(line for line in (" ".join(line.split()) for line in lines) if line)


def require_parser() -> None:
    """Raises NotInstalled where texts in HTML cannot be read."""
    if find_spec("lxml") is None:
        raise NotInstalled(
            "Its texts are read as HTML, for which lxml is needed. Run: pip install lxml"
        )


@lru_cache(maxsize=1)
def _parser() -> tuple[Any, Any]:
    from lxml import etree

    return etree, etree.HTMLParser


class _Words:
    """Takes what lxml reads, event by event: no tree is built, and nothing recurs."""

    def __init__(self) -> None:
        self.pieces: list[str] = []
        self._unread = 0

    def start(self, tag: str, attributes: Any) -> None:
        if tag in _UNREAD:
            self._unread += 1
        elif tag == "img":
            self._say(f" {attributes.get('alt') or ''} ")
        elif "@" in tag:  # <name@example.org>, an address in a mail that nobody escaped
            self._say(f"<{tag}>")
        else:
            self._border(tag)

    def end(self, tag: str) -> None:
        if tag in _UNREAD:
            self._unread -= 1
        else:
            self._border(tag)

    def data(self, data: str) -> None:
        self._say(" ".join(data.split("\n")))

    def comment(self, text: str) -> None:
        pass

    def close(self) -> None:
        pass

    def _border(self, tag: str) -> None:
        if tag not in _INLINE and "@" not in tag and ":" not in tag:
            self._say(" " if tag in _CELLS else "\n")

    def _say(self, piece: str) -> None:
        if not self._unread:
            self.pieces.append(piece)
