"""Finding a static embedding model on this machine. Nothing is ever downloaded from here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ...core.errors import ArtifactError, TrainingError
from .serialization import MAX_TOKENS, MAX_VECTORS
from .static_embedding import StaticEmbedding
from .tokenizer import Tokenizer


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
    folder = Path(name).expanduser()
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
    return from_model(model)


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
