"""The text that a model sees, from the text of a row: the same for a training, a check, an export,
a prediction and a SQL function, or the answers would be about other texts.

Texts that look the same are the same: characters in one normal form (NFC), without those that
nobody sees. How a task reads its texts is stored with it, so that a classifier goes on answering
as it did when a later version reads otherwise.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from functools import lru_cache
from hashlib import blake2b

from .markup import Markup, require_parser, words_of_html

TEXT_FORM = 1
"""The form of new tasks; 0: texts as they stand, as in tasks stored before there were forms."""

Read = Callable[[str], str]

_LONG = 1_000
_MOST_MARKS = 30
"""Combining marks in a row. Unicode's Stream-Safe Text Format (UAX 15) has no more; to sort more
of them, as normal forms do, takes time by the square of their number."""

_UNSEEN = "\0\xad\u061c\u200b\u200e\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff"
# NUL, soft hyphen, zero-width space, word joiner and byte order mark, and marks of the direction of
# writing. Joiners (U+200C, U+200D) stay: they change what is seen in Persian, Hindi and emoji.
_find_odd = re.compile(f"[{_UNSEEN}\ud800-\udfff]").search
_drop_unseen = re.compile(f"[{_UNSEEN}]+").sub
_mend_surrogates = re.compile("[\ud800-\udfff]").sub


def is_utf8(text: str) -> bool:
    """Whether it can be stored: half of a surrogate pair cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


@lru_cache
def reading_of(form: int, markup: Markup | None = None) -> Read:
    """The function by which texts are read in a form.

    markup: texts with markup of that kind are read without it, others as they are. Raises
            NotInstalled where nothing parses it
    """
    if markup is not None:
        require_parser()
    clean = _clean if form else _as_it_stands
    return clean if markup is None else lambda text: clean(words_of_html(text))


def _as_it_stands(text: str) -> str:
    return text


def _clean(text: str) -> str:
    if text.isascii():
        return text.replace("\0", "") if "\0" in text else text
    if _find_odd(text):
        text = _mend_surrogates("\ufffd", _drop_unseen("", text))
    if len(text) > _LONG:
        text = _many_marks().sub(r"\1", text)
    return text if unicodedata.is_normalized("NFC", text) else unicodedata.normalize("NFC", text)


@lru_cache(maxsize=1)
def _many_marks() -> re.Pattern[str]:
    marks = "".join(c for c in map(chr, range(0x300, 0x20000)) if unicodedata.combining(c))
    return re.compile(f"([{marks}]{{{_MOST_MARKS}}})[{marks}]+")


def normalise(text: str) -> str:
    """The form in which two texts count as the same: NFKC, case folded, white space collapsed."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def text_hash(text: str) -> int:
    """64 signed bits that name the normalised text (BLAKE2b)."""
    return hash_of_normalised(normalise(text))


def hash_of_normalised(normal: str) -> int:
    """`text_hash` of a text that `normalise` made."""
    digest = blake2b(normal.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)
