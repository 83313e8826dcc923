"""Static sentence embeddings at prediction time: the mean of the vectors of a text's tokens.

A classifier that uses them carries the vectors and the tokenizer inside its own parts, so that it
answers wherever this package is installed, without the embedding model that it was made from.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

import numpy as np
import numpy.typing as npt

from .features import MAX_CHARACTERS, FloatArray
from .text_vectors import Encoded
from .tokenizer import Tokenizer

HalfArray = npt.NDArray[np.float16]
MAX_TOKENS = 512  # of one text; model2vec's default


class StaticEmbedding:
    """`vectors` (tokens, dimensions), and the tokenizer that numbers their rows.

    `unknown` is the token number of unknown words, which are left out of the mean, or None.
    """

    def __init__(self, vectors: HalfArray, tokenizer: Tokenizer, unknown: int | None) -> None:
        self.vectors = vectors
        self.tokenizer = tokenizer
        self.unknown = unknown

    @property
    def dimensions(self) -> int:
        return int(self.vectors.shape[1])

    @property
    def texts_at_once(self) -> int | None:
        return None

    def row(self, text: str) -> FloatArray:
        """The mean vector of a text, of Euclidean length 1 (or all zero), shape (dimensions,)."""
        ids, _ = self._tokens(text, placed=False)
        mean = np.add.reduce(self.vectors.take(ids, axis=0).astype(np.float32), axis=0)
        length = np.sqrt(np.add.reduce(mean * mean))
        return np.asarray(mean / length if length > 0 else mean, dtype=np.float32)

    def rows(self, texts: Sequence[str], encoded: Encoded | None = None) -> FloatArray:
        """The same, one row per text, shape (texts, dimensions)."""
        out = np.empty((len(texts), self.dimensions), dtype=np.float32)
        for row, text in enumerate(texts):
            out[row] = self.row(text)
        return out

    def shares(self, text: str) -> tuple[npt.NDArray[np.float64], list[int]]:
        """Each token's additive share in `row(text)`, and the character where the token starts."""
        ids, starts = self._tokens(text, placed=True)
        vectors = self.vectors.take(ids, axis=0).astype(np.float64)
        length = float(np.sqrt((vectors.sum(axis=0) ** 2).sum()))
        return (vectors / length if length > 0 else vectors), starts

    def _tokens(self, text: str, *, placed: bool) -> tuple[npt.NDArray[np.intp], list[int]]:
        text = text[:MAX_CHARACTERS]
        if not text.isascii():  # half a character is one "?", so that positions stay in place
            text = text.encode("utf-8", "replace").decode("utf-8")
        limit = len(self.vectors)
        known = (
            (number, at)
            for number, at in self.tokenizer.tokens(text, placed=placed)
            if number != self.unknown and number < limit
        )
        pairs = list(islice(known, MAX_TOKENS))
        return np.array([number for number, _ in pairs], dtype=np.intp), [at for _, at in pairs]
