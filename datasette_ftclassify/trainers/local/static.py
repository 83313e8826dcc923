"""Static sentence embeddings at prediction time: the mean of the vectors of a text's tokens.

A classifier that uses them carries the vectors and the tokenizer inside its own parts, so it works
wherever the `tokenizers` package is installed, without the embedding model that it was made from.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ...errors import ArtifactError, PredictError
from .features import MAX_CHARACTERS, FloatArray

HalfArray = npt.NDArray[np.float16]
MAX_TOKENS = 512  # of one text; model2vec's default


class StaticEmbedding:
    """`vectors` (tokens, dimensions) and the tokenizer, as the JSON text of `tokenizers`.

    `unknown` is the token number of unknown words, which are left out of the mean, or None.
    """

    def __init__(self, vectors: HalfArray, tokenizer: str, unknown: int | None) -> None:
        self.vectors = vectors
        self.tokenizer = tokenizer
        self.unknown = unknown
        self._loaded: Any = None

    @property
    def dimensions(self) -> int:
        return int(self.vectors.shape[1])

    def row(self, text: str) -> FloatArray:
        """The mean vector of a text, of Euclidean length 1 (or all zero), shape (dimensions,)."""
        ids, _ = self._tokens(text)
        mean = np.add.reduce(self.vectors.take(ids, axis=0).astype(np.float32), axis=0)
        length = np.sqrt(np.add.reduce(mean * mean))
        return np.asarray(mean / length if length > 0 else mean, dtype=np.float32)

    def shares(self, text: str) -> tuple[npt.NDArray[np.float64], list[int]]:
        """Each token's additive share in `row(text)`, and the character where the token starts."""
        ids, starts = self._tokens(text)
        vectors = self.vectors.take(ids, axis=0).astype(np.float64)
        length = float(np.sqrt((vectors.sum(axis=0) ** 2).sum()))
        return (vectors / length if length > 0 else vectors), starts

    def _tokens(self, text: str) -> tuple[npt.NDArray[np.intp], list[int]]:
        tokenizer = self._load() if self._loaded is None else self._loaded
        text = text[:MAX_CHARACTERS]
        try:
            encoded = tokenizer.encode(text, add_special_tokens=False)
        except (
            TypeError,
            UnicodeEncodeError,
        ):  # a lone surrogate; one "?" for each keeps positions in place
            text = text.encode("utf-8", "replace").decode("utf-8")
            encoded = tokenizer.encode(text, add_special_tokens=False)
        limit = len(self.vectors)
        pairs = [
            (number, offset[0])
            for number, offset in zip(encoded.ids, encoded.offsets, strict=True)
            if number != self.unknown and number < limit
        ][:MAX_TOKENS]
        return np.array([number for number, _ in pairs], dtype=np.intp), [at for _, at in pairs]

    def _load(self) -> Any:
        try:
            from tokenizers import Tokenizer
        except ImportError:
            raise PredictError(
                "This classifier uses sentence embeddings, which need the tokenizers package. "
                "Run: pip install 'datasette-ftclassify[embeddings]'"
            ) from None
        try:
            loaded = Tokenizer.from_str(self.tokenizer)
            loaded.no_padding()
            loaded.no_truncation()
        except BaseException as error:  # a panic of the Rust code is not an Exception
            if isinstance(error, (KeyboardInterrupt, SystemExit)):
                raise
            raise ArtifactError("The classifier's tokenizer is damaged: train it again.") from None
        self._loaded = loaded
        return loaded
