"""Vectors of texts beside the TF-IDF features: static ones, which a classifier carries along, or
those of a sentence encoder on this machine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

from .features import FloatArray

if TYPE_CHECKING:
    from ..encoders.encoder import Encoder

Encoded = Callable[[int, int, float], None]


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
        return self.encoder.row(text)

    def rows(self, texts: Sequence[str], encoded: Encoded | None = None) -> FloatArray:
        from ..encoders.encode import encode

        return encode(self.encoder, texts, encoded)
