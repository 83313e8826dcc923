"""A tokenizer made of plain data: a vocabulary, and flags that say which of our own steps to take.

It reads the JSON of the `tokenizers` package as far as model2vec's models need it, and gives the
same numbers. A kind of step is known by its name and done by our code; a file that asks for
anything else (a regular expression, a replacement, a character map) is refused, since that is a
program, which may take all the memory and time that there is.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ...core.untrusted_json import read_object
from .normalizers import run
from .subwords import Found, Subwords
from .tokenizer_json import (
    MAX_BYTES,
    MAX_ITEMS,
    SPACE_MARK,
    read_added,
    read_cut,
    read_model,
    read_steps,
)

_CACHED_WORDS = 20_000
_CACHED_LENGTH = 64


class Tokenizer:
    """From a text to the numbers of its tokens. Safe to use from several threads.

    Raises ArtifactError for JSON that is damaged, past a bound, or asks for more than is known.
    """

    def __init__(self, text: str) -> None:
        data = read_object(text, "tokenizer", most_bytes=MAX_BYTES, most_items=MAX_ITEMS)
        self._stored = {
            name: data.get(name)
            for name in ("added_tokens", "normalizer", "pre_tokenizer", "model")
        }
        self._steps = read_steps(data.get("normalizer"))
        self._before_cut, self._cut = read_cut(data.get("pre_tokenizer"))
        self._model: Subwords = read_model(data.get("model"))
        raw, normalised = read_added(data.get("added_tokens"))
        self._raw = _Added.of(raw)
        self._normalised = _Added.of(
            {run(self._steps, content)[0]: number for content, number in normalised.items()}
        )
        self._words: dict[str, Found] = {}

    def to_json(self) -> str:
        """What this class reads, without the rest."""
        return json.dumps(self._stored, ensure_ascii=False, separators=(",", ":"))

    def tokens(self, text: str, *, placed: bool = False) -> Iterator[tuple[int, int]]:
        """The number of each token, and where in the text it begins: 0 for all, unless `placed`.

        Work is done as the tokens are asked for.
        """
        for at, piece, number in self._raw.split(text):
            if number is not None:
                yield number, at
                continue
            origins: Sequence[int] | None = range(at, at + len(piece)) if placed else None
            normal, origins = run(self._steps, piece, origins)
            for begin, part, added in self._normalised.split(normal):
                if added is not None:
                    yield added, origins[begin] if origins else 0
                    continue
                here = origins[begin : begin + len(part)] if origins else None
                yield from self._words_of(part, here)

    def _words_of(self, part: str, origins: Sequence[int] | None) -> Iterator[tuple[int, int]]:
        part, origins = run(self._before_cut, part, origins)
        for word, start in self._cut(part):
            for number, inside in self._tokens_of(word):
                yield number, _origin(part, start + inside, origins) if origins else 0

    def _tokens_of(self, word: str) -> Found:
        found = self._words.get(word)
        if found is None:
            found = self._model.split(word)
            if len(word) <= _CACHED_LENGTH:
                if len(self._words) >= _CACHED_WORDS:
                    self._words.clear()
                self._words[word] = found
        return found


def _origin(part: str, at: int, origins: Sequence[int]) -> int:
    """Of a token; one that begins with the mark of a space is of the word behind that space."""
    return origins[min(at + (part[at] == SPACE_MARK), len(part) - 1)]


@dataclass(frozen=True)
class _Added:
    """Tokens that are looked for in the text as they are, the longest first.

    lengths: of those that begin with a character, longest first
    """

    numbers: Mapping[str, int]
    lengths: Mapping[str, Sequence[int]]

    @classmethod
    def of(cls, numbers: Mapping[str, int]) -> _Added:
        lengths: dict[str, set[int]] = {}
        for content in numbers:
            if content:
                lengths.setdefault(content[0], set()).add(len(content))
        return cls(numbers, {first: sorted(of, reverse=True) for first, of in lengths.items()})

    def split(self, text: str) -> Iterator[tuple[int, str, int | None]]:
        """(where it begins, text, number) of the pieces in order; the number of a token."""
        done = 0
        for at, end, number in self._found(text):
            if at > done:
                yield done, text[done:at], None
            yield at, text[at:end], number
            done = end
        if done < len(text):
            yield done, text[done:], None

    def _found(self, text: str) -> Iterator[tuple[int, int, int]]:
        # Few texts hold any: one look for each first character says so.
        if not any(first in text for first in self.lengths):
            return
        at = 0
        while at < len(text):
            for length in self.lengths.get(text[at], ()):
                number = self.numbers.get(text[at : at + length])
                if number is not None:
                    yield at, at + length, number
                    at += length
                    break
            else:
                at += 1
