"""Vectors of texts beside the TF-IDF features: static ones, which a classifier carries along, or
those of a sentence encoder on this machine."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np

from ...core.errors import TrainingError
from .features import FloatArray

if TYPE_CHECKING:
    from ..encoders.encoder import Encoder

Encoded = Callable[[int, int, float], None]


_FOUND_AT_ONCE = 1_000
_AT_ONCE = 4
"""A text of 256 tokens takes a small encoder some 30 ms of one core."""


class TextVectors(Protocol):
    """What turns a text into a vector of length 1 (or all zero)."""

    @property
    def dimensions(self) -> int: ...

    @property
    def texts_at_once(self) -> int | None:
        """Texts whose vectors take a tenth of a second or so; None: they take next to no time."""

    def row(self, text: str) -> FloatArray:
        """The vector of a text, shape (dimensions,)."""

    def rows(self, texts: Sequence[str], encoded: Encoded | None = None) -> FloatArray:
        """The same, one row per text, shape (texts, dimensions).

        encoded: called now and then, with how many of how many texts are done, and the rate
        """


class EncoderVectors:
    """Those of a sentence encoder. A classifier stores its hash, and needs it to answer.

    name: for people
    """

    def __init__(self, encoder: Encoder, name: str) -> None:
        self.encoder = encoder
        self.name = name
        self._recent: dict[str, FloatArray] = {}  # replaced as a whole: several threads may ask

    @property
    def dimensions(self) -> int:
        return self.encoder.dimensions

    @property
    def texts_at_once(self) -> int | None:
        return _AT_ONCE

    def kept_bytes(self, texts: int) -> int:
        """That the vectors of so many texts take in the file that keeps them, about."""
        from ..encoders.vector_store import vector_bytes

        return texts * vector_bytes(self.dimensions)

    def row(self, text: str) -> FloatArray:
        """As `TextVectors`; of a text that was just answered without encoding it again."""
        found = self._recent.get(text)
        if found is None:
            found = self.encoder.row(text)
            self._recent = {text: found}
        return found

    def rows(self, texts: Sequence[str], encoded: Encoded | None = None) -> FloatArray:
        from ..encoders.encode import encode

        found = encode(self.encoder, texts, encoded)
        if len(texts) <= _AT_ONCE:
            self._recent = dict(zip(texts, found, strict=True))
        return found


class GivenVectors:
    """Vectors of texts that somebody else has made, such as a service.

    find: gives those that there are by `text_key`, each of shape (dimensions,)
    """

    def __init__(
        self, find: Callable[[Sequence[bytes]], Mapping[bytes, FloatArray]], dimensions: int
    ) -> None:
        self._find = find
        self.dimensions = dimensions

    @property
    def texts_at_once(self) -> int | None:
        return None

    def row(self, text: str) -> FloatArray:
        """Raises TrainingError for a text whose vector nobody gave."""
        row: FloatArray = self.rows([text])[0]
        return row

    def rows(self, texts: Sequence[str], encoded: Encoded | None = None) -> FloatArray:
        from ..encoders.vector_store import text_key

        out = np.empty((len(texts), self.dimensions), dtype=np.float32)
        for start in range(0, len(texts), _FOUND_AT_ONCE):
            keys = [text_key(text) for text in texts[start : start + _FOUND_AT_ONCE]]
            found = self._find(keys)
            for row, key in enumerate(keys, start):
                if key not in found:
                    raise TrainingError("The vector of a text is not here: start again to have it.")
                out[row] = found[key]
        return out
