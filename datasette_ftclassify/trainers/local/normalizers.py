"""What is done to a text before it is cut into tokens, with the results of the `tokenizers`
package, but from flags alone: nothing that a file holds is run, neither a regular expression nor a
replacement nor a character map.

Every step is `apply`, and `origins`: for each character of its result, where that came from.
"""

from __future__ import annotations

import re
import string
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from .features import MAX_CHARACTERS

NormalForm = Literal["NFC", "NFD", "NFKC", "NFKD"]

WHITESPACE = "\t\n\x0b\x0c\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
"""Unicode's White_Space, for use in a character class; Python's own notion of it is larger."""

_is_space = re.compile(f"[{WHITESPACE}]").fullmatch
_spaces = re.compile(f"[{WHITESPACE}]+")
_spans = re.compile(f"[{WHITESPACE}]+|[^{WHITESPACE}]+").finditer

LONGEST = 2 * MAX_CHARACTERS
"""Characters of a normalised text: enough for a text of which every second one is a mark set apart
by spaces. What is behind is far behind the last token that counts."""

_MOST_KNOWN = 20_000
"""Characters whose results are remembered: those of a few scripts."""

_CJK = (
    (0x4E00, 0x9FFF), (0x3400, 0x4DBF), (0x20000, 0x2A6DF), (0x2A700, 0x2B73F), (0x2B740, 0x2B81F),
    (0x2B920, 0x2CEAF), (0xF900, 0xFAFF), (0x2F800, 0x2FA1F),
)  # fmt: skip
"""As BERT's tokenizer has them: each of these characters is a word."""

_LETTERS_IN_SIGNS = (
    ("\u24b6", "\u24e9"), ("\U0001f130", "\U0001f149"), ("\U0001f150", "\U0001f169"),
    ("\U0001f170", "\U0001f189"),
)  # fmt: skip
"""Letters in circles and squares: letters to Unicode, although their category is another."""

ASCII_PUNCTUATION = string.punctuation


class Step(Protocol):
    """A change to a text."""

    def apply(self, text: str) -> str: ...

    def origins(self, text: str) -> Sequence[int]:
        """For each character of `apply(text)` a position in `text`, never falling."""


class EachCharacter(dict[int, str]):
    """A step that changes every character by itself; at most 20 new ones for one old."""

    def __init__(self, change: Callable[[str], str]) -> None:
        super().__init__()
        self._change = change

    def __missing__(self, code: int) -> str:
        if len(self) >= _MOST_KNOWN:
            self.clear()
        changed = self[code] = self._change(chr(code))
        return changed

    def apply(self, text: str) -> str:
        return text.translate(self)

    def origins(self, text: str) -> Sequence[int]:
        return [at for at, character in enumerate(text) for _ in self[ord(character)]]


class NormalForms:
    """A step to one of Unicode's normal forms."""

    def __init__(self, form: NormalForm) -> None:
        self._form: NormalForm = form

    def apply(self, text: str) -> str:
        return unicodedata.normalize(self._form, text)

    def origins(self, text: str) -> Sequence[int]:
        # Characters combine within a word only, so each word's start is near enough.
        found: list[int] = []
        for span in _spans(text):
            found += [span.start()] * len(unicodedata.normalize(self._form, span[0]))
        return found


@dataclass(frozen=True)
class Strip:
    """A step that leaves out white space at the ends."""

    left: bool
    right: bool

    def apply(self, text: str) -> str:
        start, end = self._ends(text)
        return text[start:end]

    def origins(self, text: str) -> Sequence[int]:
        return range(*self._ends(text))

    def _ends(self, text: str) -> tuple[int, int]:
        start, end = 0, len(text)
        while self.right and end > start and _is_space(text[end - 1]):
            end -= 1
        while self.left and start < end and _is_space(text[start]):
            start += 1
        return start, end


class OneSpace:
    """A step that makes one space of white space."""

    def apply(self, text: str) -> str:
        return _spaces.sub(" ", text)

    def origins(self, text: str) -> Sequence[int]:
        found: list[int] = []
        for span in _spans(text):
            found += [span.start()] if _is_space(span[0][0]) else range(*span.span())
        return found


@dataclass(frozen=True)
class MarkSpaces:
    """A step that writes `mark` for each space, and one before a text that begins with none."""

    mark: str
    prepend: bool

    def apply(self, text: str) -> str:
        marked = text.replace(" ", self.mark)
        return self.mark + marked if self._adds(text) else marked

    def origins(self, text: str) -> Sequence[int]:
        return [0, *range(len(text))] if self._adds(text) else range(len(text))

    def _adds(self, text: str) -> bool:
        return self.prepend and bool(text) and text[0] not in (" ", self.mark)


def run(
    steps: Sequence[Step], text: str, origins: Sequence[int] | None = None
) -> tuple[str, Sequence[int] | None]:
    """The text after all steps, and where its characters come from if it is told for `text`.

    A step may make a text 20 times as long: no more than LONGEST characters of it are kept.
    """
    for step in steps:
        if origins is not None:
            origins = [origins[at] for at in step.origins(text)][:LONGEST]
        text = step.apply(text)[:LONGEST]
    return text, origins


def bert(*, clean: bool, chinese: bool, strip_accents: bool, lowercase: bool) -> EachCharacter:
    """BERT's normalisation."""

    def change(character: str) -> str:
        if clean:
            if character in "\0\ufffd" or _is_control(character):
                return ""
            if _is_space(character):
                return " "
        changed = f" {character} " if chinese and _is_cjk(character) else character
        if strip_accents:
            decomposed = unicodedata.normalize("NFD", changed)
            changed = "".join(c for c in decomposed if unicodedata.category(c) != "Mn")
        return "".join(c.lower() for c in changed) if lowercase else changed

    return EachCharacter(change)


def lowercase() -> EachCharacter:
    return EachCharacter(str.lower)


def strip_accents() -> EachCharacter:
    """Leaves out all combining marks; accents are some after NFD alone."""
    return EachCharacter(lambda c: "" if unicodedata.category(c).startswith("M") else c)


def isolate_punctuation() -> EachCharacter:
    """Spaces around each punctuation mark, so that it is a word of its own."""
    return EachCharacter(lambda c: f" {c} " if _is_punctuation(c) else c)


def kind_of(character: str) -> bool | None:
    r"""True for a character of `\w` as Rust's regular expressions have it, None for white space."""
    if _is_space(character):
        return None
    category = unicodedata.category(character)
    return (
        category[0] in "LM"
        or category in ("Nd", "Nl", "Pc")
        or character in "\u200c\u200d"
        or any(low <= character <= high for low, high in _LETTERS_IN_SIGNS)
    )


def _is_control(character: str) -> bool:
    return character not in "\t\n\r" and unicodedata.category(character) in ("Cc", "Cf", "Co")


def _is_cjk(character: str) -> bool:
    return any(low <= ord(character) <= high for low, high in _CJK)


def _is_punctuation(character: str) -> bool:
    """Unicode's punctuation, and ASCII's, to which $ and + belong."""
    return character in ASCII_PUNCTUATION or unicodedata.category(character).startswith("P")
