"""Vectors of many texts: those that are kept, and the others computed batch by batch."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from itertools import islice

import numpy as np

from ..local.features import FloatArray
from .encoder import Encoder
from .vector_store import VectorStore, VectorStoreError, opened_store, text_key

BATCH = 64
"""Texts that are encoded between two commits: what a kill at any moment loses."""
_READ = 1_000

Encoded = Callable[[int, int, float], None]
"""Called with how many texts were encoded, of how many that had no vector, and texts a second."""


def encode(encoder: Encoder, texts: Sequence[str], encoded: Encoded | None = None) -> FloatArray:
    """One vector per text, shape (texts, dimensions). Each text is encoded once on this machine,
    as long as its vector is kept; a file of vectors that cannot be used is done without.

    Raises TrainingError when the encoder fails.
    """
    rows: dict[bytes, list[int]] = {}
    for row, text in enumerate(texts):
        rows.setdefault(text_key(text), []).append(row)
    out = np.empty((len(texts), encoder.dimensions), dtype=np.float32)
    with ExitStack() as stack:
        store = _opened(stack)
        missing = _fill_kept(store, encoder, rows, out)
        if not missing:
            return out
        pool = stack.enter_context(ThreadPoolExecutor(_threads()))
        begun = time.monotonic()
        if encoded is not None:
            encoded(0, len(missing), 0.0)
        for start in range(0, len(missing), BATCH):
            keys = missing[start : start + BATCH]
            vectors = list(pool.map(encoder.row, (texts[rows[key][0]] for key in keys)))
            for key, vector in zip(keys, vectors, strict=True):
                out[rows[key]] = vector
            store = _add(store, encoder, list(zip(keys, vectors, strict=True)))
            done = start + len(keys)
            if encoded is not None:
                encoded(done, len(missing), done / max(time.monotonic() - begun, 1e-9))
    return out


def _threads() -> int:
    """One core is left to whoever else is at work."""
    return max(1, min(8, (os.cpu_count() or 1) - 1))


def _opened(stack: ExitStack) -> VectorStore | None:
    try:
        return stack.enter_context(opened_store())
    except VectorStoreError:
        return None


def _fill_kept(
    store: VectorStore | None, encoder: Encoder, rows: Mapping[bytes, list[int]], out: FloatArray
) -> list[bytes]:
    """Writes the vectors that are kept into their rows; the keys of the other texts."""
    missing: list[bytes] = []
    waiting = iter(rows)
    while keys := list(islice(waiting, _READ)):
        kept: Mapping[bytes, FloatArray] = {}
        if store is not None:
            try:
                kept = store.read(encoder.digest, keys, encoder.dimensions)
            except VectorStoreError:
                pass
        for key, vector in kept.items():
            out[rows[key]] = vector
        missing += [key for key in keys if key not in kept]
    return missing


def _add(
    store: VectorStore | None, encoder: Encoder, vectors: Sequence[tuple[bytes, FloatArray]]
) -> VectorStore | None:
    """The store; None once it cannot be written to, as on a full disk: the training goes on."""
    if store is None:
        return None
    try:
        store.add(encoder.digest, vectors)
        store.make_room()
    except VectorStoreError:
        return None
    return store
