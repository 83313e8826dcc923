"""The vectors that a training was asked to try: found, computed with progress, and reported."""

from __future__ import annotations

from typing import Any

from ...core.humanize import counted
from ..base import Progress
from .embeddings import load as load_embedding
from .text_vectors import EncoderVectors, TextVectors

ENCODING_SHARE = 0.6
"""Of a training's time, as its progress has it, where texts are to be encoded."""


def find_vectors(embeddings: str | None, encoder: str | None) -> TextVectors | None:
    """Static ones, or those of a sentence encoder. Raises TrainingError when they cannot be had."""
    if embeddings:
        return load_embedding(embeddings)
    if not encoder:
        return None
    from ..encoders.known import use_encoder

    loaded = use_encoder(encoder)
    return EncoderVectors(loaded, loaded.files.title)


class Encoding:
    """Reports how far the encoding of texts is. `share`: of the training that it has taken."""

    def __init__(self, vectors: TextVectors | None, progress: Progress) -> None:
        self._vectors = vectors
        self._progress = progress
        self.share = 0.0

    def encoded(self, done: int, texts: int, rate: float) -> None:
        assert isinstance(self._vectors, EncoderVectors)
        self.share = ENCODING_SHARE * done / texts
        named, size = counted(texts, "text"), self._vectors.kept_bytes(texts) / 1e6
        step = f"encoding {named} by {self._vectors.name}, {size:,.1f} MB of vectors to store"
        self._progress(f"{step} ({rate:,.0f} a second)" if done else step, self.share)


def encoder_report(vectors: TextVectors | None) -> dict[str, Any]:
    """What a classifier's report says of the encoder that it needs; nothing without one."""
    if not isinstance(vectors, EncoderVectors):
        return {}
    files = vectors.encoder.files
    return {
        "encoder": {
            "name": vectors.name,
            "digest": vectors.encoder.digest,
            "dimensions": vectors.dimensions,
            "bytes": files.size,
            "licence": files.licence,
            "revision": files.revision,
        }
    }
