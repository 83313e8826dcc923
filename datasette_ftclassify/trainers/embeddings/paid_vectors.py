"""The vectors of an embedding model at a service, stored as those of a sentence encoder are: by the
hashes of the model and of the text, on this machine alone, so that none is paid for twice."""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from hashlib import sha256

import numpy as np
import numpy.typing as npt

from ..encoders.vector_store import (
    MOST_BYTES,
    KnownEncoder,
    VectorStoreError,
    opened_store,
    text_key,
    vector_bytes,
)
from ..local.features import FloatArray

_READ = 1_000
_USUAL_DIMENSIONS = 1_024


@dataclass(frozen=True)
class EmbeddingModel:
    """A model at a service.

    url, host:  where it is asked, and that for people
    name:       as it is asked for
    dimensions: that are asked for; None: as many as it has
    """

    url: str
    host: str
    name: str
    dimensions: int | None = None

    @property
    def digest(self) -> str:
        """By which its vectors are found. It is made of what the operator has set, never of what a
        database file says."""
        words = ["embeddings", self.url, self.name, self.dimensions]
        return sha256(json.dumps(words).encode()).hexdigest()

    @property
    def title(self) -> str:
        size = f", {self.dimensions} dimensions" if self.dimensions else ""
        return f"{self.name} at {self.host}{size}"


class PaidVectors:
    """Of one model. What was added is in memory and in the file. Safe to use from several threads.

    dimensions: of a vector; None: not known yet
    """

    def __init__(self, model: EmbeddingModel) -> None:
        self.model = model
        self._held: dict[bytes, npt.NDArray[np.float16]] = {}
        self.dimensions = model.dimensions or self._noted()

    def _noted(self) -> int | None:
        try:
            with opened_store(create=False) as store:
                known = store.find(self.model.digest)
        except (FileNotFoundError, VectorStoreError):
            return None
        return None if known is None else known.dimensions

    def get(self, text: str) -> FloatArray | None:
        """Shape (dimensions,), of length 1 or 0; None: it has to be paid for."""
        key = text_key(text)
        return self.find([key]).get(key)

    def find(self, keys: Collection[bytes]) -> dict[bytes, FloatArray]:
        """Those that there are, by `text_key`. What the file cannot say has to be paid for."""
        found = {k: self._held[k].astype(np.float32) for k in keys if k in self._held}
        missing = [key for key in keys if key not in found]
        if not missing or self.dimensions is None:
            return found
        try:
            with opened_store(create=False) as store:
                return found | store.read(self.model.digest, missing, self.dimensions)
        except (FileNotFoundError, VectorStoreError):
            return found

    def check(self) -> None:
        """Raises VectorStoreError where nothing could be stored."""
        with opened_store():
            pass

    def add(self, vectors: Sequence[tuple[bytes, FloatArray]], *, hold: bool) -> None:
        """Stores them, all in one transaction.

        hold: keep them in memory, too, for a training
        Raises VectorStoreError; held they are all the same.
        """
        if not vectors:
            return
        self.dimensions = len(vectors[0][1])
        if hold:
            self._held.update((key, vector.astype(np.float16)) for key, vector in vectors)
        with opened_store() as store:
            store.note(self._known(self.dimensions))
            store.add(self.model.digest, vectors)
            store.make_room()

    def missing(self, texts: Sequence[str]) -> list[str]:
        """Those of the texts that have no vector, each once."""
        by_key = {text_key(text): text for text in texts}
        keys = list(by_key)
        for start in range(0, len(keys), _READ):
            for key in self.find(keys[start : start + _READ]):
                del by_key[key]
        return list(by_key.values())

    def has_room_for(self, texts: int) -> bool:
        """Whether the file may hold so many, as far as their size is known."""
        return texts * vector_bytes(self.dimensions or _USUAL_DIMENSIONS) <= MOST_BYTES

    def _known(self, dimensions: int) -> KnownEncoder:
        model = self.model
        return KnownEncoder(model.digest, model.title, dimensions, 0, None, None, time.time())


def as_stored(numbers: FloatArray) -> FloatArray:
    """Of length 1 (or all zero), in the half precision that it is stored in."""
    length = float(np.sqrt(np.add.reduce(numbers * numbers)))
    scaled = numbers / length if length > 0 else numbers
    return np.asarray(scaled, dtype=np.float16).astype(np.float32)
