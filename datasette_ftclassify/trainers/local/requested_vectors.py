"""The vectors that a training was asked to try: found on this machine, computed with progress, and
reported. Nothing is ever downloaded from here."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from ...core.errors import ArtifactError, TrainingError
from ...core.humanize import counted
from ...core.training_report import AboutEncoder
from ..base import Progress
from .serialization import MAX_TOKENS, MAX_VECTORS
from .static_embedding import StaticEmbedding
from .text_vectors import EncoderVectors, TextVectors
from .tokenizer import Tokenizer

ENCODING_SHARE = 0.6
"""Of a training's time, as its progress has it, where texts are to be encoded."""


def find_vectors(embeddings: str | None, encoder: str | None) -> TextVectors | None:
    """Static ones, or those of a sentence encoder. Raises TrainingError when they cannot be had."""
    if embeddings:
        return load(embeddings)
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


def about_encoder(vectors: EncoderVectors) -> AboutEncoder:
    """What a classifier's report says of the encoder that it needs."""
    files = vectors.encoder.files
    return {
        "name": vectors.name,
        "digest": vectors.encoder.digest,
        "dimensions": vectors.dimensions,
        "bytes": files.size,
        "licence": files.licence,
        "revision": files.revision,
    }


def load(name: str) -> StaticEmbedding:
    """A model2vec model from a folder, or from the Hugging Face cache by its hub name.

    Raises TrainingError when model2vec is not installed, or the model is not on this machine.
    """
    try:
        from model2vec import StaticModel
        from model2vec.persistence.hf import maybe_get_cached_model_path
    except ImportError:
        raise TrainingError(
            "Sentence embeddings need the model2vec package. "
            "Run: pip install 'datasette-ftclassify[embeddings]'"
        ) from None
    from ..encoders.encoder import digest_of
    from ..encoders.known import find_named, note_use
    from ..encoders.vector_store import VectorStoreError

    files = None
    with suppress(TrainingError):  # of another layout, which no page offers
        files = find_named(name, "static")
    folder = files.model.parent if files else Path(name).expanduser()
    if not folder.is_dir():
        cached = maybe_get_cached_model_path(name)
        if cached is None:
            raise TrainingError(
                f"There is no folder {name!r}, and no model of that name in the Hugging Face "
                "cache. Models are not downloaded silently: name a folder, or download it once "
                f"with: hf download {name}"
            )
        folder = Path(cached)
    try:
        model = StaticModel.from_pretrained(folder, force_download=False)
    except Exception as error:
        raise TrainingError(f"{name!r} is not a model2vec model: {error}") from error
    loaded = from_model(model)
    if files:
        with suppress(VectorStoreError):
            note_use(files, digest_of(files), loaded.dimensions)
    return loaded


def from_model(model: Any) -> StaticEmbedding:
    """The vectors of a model2vec model, one per token, in the precision they are stored in.

    Raises TrainingError when its tokenizer does what ours cannot.
    """
    try:
        tokenizer = Tokenizer(model.tokenizer.to_str())
    except ArtifactError as error:
        raise TrainingError(f"The tokenizer of these vectors cannot be used: {error}") from None
    vectors = np.asarray(model.embedding, dtype=np.float32)
    if model.token_mapping is not None:
        vectors = vectors[model.token_mapping]
    if vectors.size > MAX_VECTORS or len(vectors) > MAX_TOKENS:
        raise TrainingError(
            f"{len(vectors):,} vectors of {vectors.shape[1]} numbers are more than a classifier "
            "can carry: choose vectors of fewer tokens or dimensions."
        )
    if model.weights is not None:
        vectors = vectors * np.asarray(model.weights, dtype=np.float32)[:, None]
    largest = float(np.abs(vectors).max(initial=0.0))
    if largest > 1_000:  # only directions matter: keep clear of the limits of half precision
        vectors = vectors / largest
    unknown = model.unk_token_id
    if unknown is not None and not 0 <= int(unknown) < len(vectors):
        unknown = None
    return StaticEmbedding(vectors.astype(np.float16), tokenizer, unknown)
