"""A classifier as bytes, and back from bytes that a stranger may have written.

No pickle, no compression: raw arrays load without a copy, and nothing in them can run. Every size
is checked against the declared one before memory is taken for it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from ...core.errors import ArtifactError
from ...core.training_report import Header
from ...core.typed_json import as_json
from . import tokenizer_json
from .features import TOKEN_PATTERNS, FloatArray, Vectorizer
from .known import LEVELS, MIN_ROWS, MOST_ROWS, Centroids, Known
from .model import LocalModel
from .static_embedding import StaticEmbedding
from .text_vectors import EncoderVectors, GivenVectors, TextVectors
from .tokenizer import Tokenizer

FORMATS = tuple(TOKEN_PATTERNS)
"""They differ in what is a word: see TOKEN_PATTERNS."""
# Far above what training makes, and low enough that no declared size can exhaust the memory.
MAX_LABELS = 10_000
MAX_FEATURES = 1_000_000
MAX_WEIGHTS = 32_000_000
MAX_TOKENS = 1_000_000
MAX_VECTORS = 130_000_000
MAX_TERM_BYTES = 64_000_000
MAX_DIMENSIONS = 4_096
MAX_CENTROIDS = 20_000
MAX_NAME = 200
MAX_BETA = 1_000.0
MAX_VALUE = 1e6  # far from where sums of single precision overflow

_DIGEST = re.compile(r"[0-9a-f]{64}")
_NAME = re.compile(rf"[\w.+ -]{{1,{MAX_NAME}}}")
_BLOCK = 1_000_000
"""Numbers that are checked at once: no second large array is needed."""


def to_parts(model: LocalModel) -> tuple[dict[str, Any], dict[str, bytes]]:
    """A JSON-safe header and named blobs: raw little-endian arrays and UTF-8 text."""
    vectorizer = model.vectorizer
    header = {
        "format": vectorizer.token_format,
        "multilabel": model.multilabel,
        "n_labels": model.n_labels,
        "n_words": len(vectorizer.words),
        "n_chars": len(vectorizer.chars),
        "columns": int(model.weights.shape[1]),
        "temperature": model.temperature,
        "beta": None if model.beta is None else model.beta.tolist(),
        "thresholds": None if model.thresholds is None else model.thresholds.tolist(),
        "embedding": None,
        "known": None if model.usual is None else as_json(model.usual),
    }
    parts = {
        "words": "\n".join(vectorizer.words).encode("utf-8"),
        "chars": "\n".join(vectorizer.chars).encode("utf-8"),
        "idf": vectorizer.idf.astype("<f4").tobytes(),
        "weights": model.weights.astype("<f2").tobytes(),
        "bias": model.bias.astype("<f4").tobytes(),
    }
    if model.embedding is not None and model.embedding_weights is not None:
        header["embedding"], more = _vectors_to_parts(model.embedding)
        parts |= more
        parts["embedding_weights"] = model.embedding_weights.astype("<f4").tobytes()
    if model.centroids is not None:
        header["n_centroids"] = len(model.centroids)
        parts["centroids"] = model.centroids.tobytes()
    header["sizes"] = {name: len(blob) for name, blob in parts.items()}
    return header, parts


def from_parts(header: Header, parts: Mapping[str, bytes]) -> LocalModel:
    """The reverse of `to_parts`, for data that nobody vouches for.

    Raises ArtifactError when anything is missing, of the wrong size or out of range, AccessError
    when it needs a sentence encoder that this machine does not have.
    """
    if not isinstance(header, Mapping) or not isinstance(parts, Mapping):
        raise _damaged("it has no header")
    stored_as = header.get("format")
    if stored_as not in FORMATS:
        raise ArtifactError(
            f"This classifier is stored in format {str(stored_as)[:20]!r}, but this "
            f"version reads format {FORMATS[-1]} and older ones: upgrade datasette-ftclassify, "
            "or train it again."
        )
    if not isinstance(header.get("multilabel"), bool):
        raise _damaged("multilabel is not true or false")
    exclusive = not header["multilabel"]
    n_labels = _whole(header, "n_labels", 1, MAX_LABELS)
    n_words = _whole(header, "n_words", 0, MAX_FEATURES)
    n_chars = _whole(header, "n_chars", 0, MAX_FEATURES)
    columns = _whole(header, "columns", 1, n_labels)
    if columns != n_labels and (not exclusive or (columns, n_labels) != (1, 2)):
        raise _damaged(f"{columns} columns of weights do not fit {n_labels} labels")
    n_features = n_words + n_chars
    if n_features * columns > MAX_WEIGHTS:
        raise _damaged(f"{n_features} features times {columns} columns are too many")
    _check_sizes(header.get("sizes"), parts)
    thresholds = _thresholds(header, n_labels, exclusive)
    temperature = _number(header, "temperature", 1e-6, 1e6)
    weights = _array(parts, "weights", "<f2", (n_features, columns))
    bias = _array(parts, "bias", "<f4", (columns,))
    idf = _array(parts, "idf", "<f4", (n_features,))
    if n_features and float(idf.min()) <= 0:
        raise _damaged("idf holds a value that is not positive")
    embedding = _embedding(header.get("embedding"), parts)
    usual = _known(header.get("known"))
    return LocalModel(
        Vectorizer(
            _terms(parts, "words", n_words, 0),
            _terms(parts, "chars", n_chars, n_words),
            idf,
            int(stored_as),
        ),
        weights,
        bias,
        n_labels=n_labels,
        exclusive=exclusive,
        temperature=temperature,
        thresholds=thresholds,
        embedding=embedding,
        embedding_weights=None
        if embedding is None
        else _array(parts, "embedding_weights", "<f4", (embedding.dimensions, columns)),
        usual=usual,
        beta=_beta(header.get("beta"), n_labels),
        centroids=_centroids(header, parts, embedding) if usual and usual.nearest else None,
    )


def _vectors_to_parts(vectors: TextVectors) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Static vectors go along; of an encoder its hash does. Whoever has given vectors knows where
    they are from."""
    if isinstance(vectors, GivenVectors):
        return {"given": True, "dimensions": vectors.dimensions}, {}
    if isinstance(vectors, EncoderVectors):
        encoder = {"encoder": vectors.encoder.digest, "name": vectors.name}
        return {**encoder, "dimensions": vectors.dimensions}, {}
    assert isinstance(vectors, StaticEmbedding)
    header = {
        "n_tokens": len(vectors.vectors),
        "dimensions": vectors.dimensions,
        "unknown": vectors.unknown,
    }
    parts = {
        "vectors": vectors.vectors.astype("<f2").tobytes(),
        "tokenizer": vectors.tokenizer.to_json().encode("utf-8"),
    }
    return header, parts


def _damaged(what: str) -> ArtifactError:
    return ArtifactError(f"The stored classifier is damaged: {what}. Train it again.")


def _whole(header: Header, name: str, low: int, high: int) -> int:
    value = header.get(name)
    if type(value) is not int or not low <= value <= high:
        raise _damaged(f"{name} is not a whole number from {low} to {high}")
    return value


def _number(header: Header, name: str, low: float, high: float) -> float:
    value = header.get(name)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
        raise _damaged(f"{name} is not a number from {low:g} to {high:g}")
    return float(value)


def _check_sizes(sizes: Any, parts: Mapping[str, bytes]) -> None:
    if not isinstance(sizes, Mapping):
        raise _damaged("the sizes of its parts are not given")
    for name, blob in parts.items():
        if not isinstance(blob, bytes) or len(blob) != sizes.get(name):
            raise _damaged(f"the part {str(name)[:20]!r} does not have its declared size")


def _thresholds(header: Header, n_labels: int, exclusive: bool) -> Any:
    value = header.get("thresholds")
    if value is None:
        return None
    if exclusive:
        raise _damaged("thresholds are given, but labels exclude each other")
    if not isinstance(value, list) or len(value) != n_labels:
        raise _damaged(f"thresholds are not {n_labels} numbers")
    for item in value:
        if type(item) not in (int, float) or not math.isfinite(item) or not 0 <= item <= 1:
            raise _damaged("a threshold is not between 0 and 1")
    return np.array(value, dtype=np.float64)


def _known(header: Any) -> Known | None:
    """What is usual among the training rows; None as older versions left it."""
    if header is None:
        return None
    if not isinstance(header, Mapping):
        raise _damaged("what is usual among its training rows is not described")
    found = {}
    for name in ("certainty", "words", "together", "nearest"):
        value = header.get(name)
        if name == "nearest" and not value:  # without vectors, or of an older version
            continue
        if not isinstance(value, list) or len(value) != len(LEVELS):
            raise _damaged(f"known {name} is not {len(LEVELS)} numbers")
        numbers = [_number({name: item}, name, -MAX_VALUE, MAX_VALUE) for item in value]
        if numbers != sorted(numbers):
            raise _damaged(f"known {name} does not ascend")
        found[name] = tuple(numbers)
    weight = _number(header, "weight", 0, 1)
    return Known(**found, weight=weight, rows=_whole(header, "rows", MIN_ROWS, MOST_ROWS))


def _centroids(
    header: Header, parts: Mapping[str, bytes], embedding: TextVectors | None
) -> Centroids:
    if embedding is None:
        raise _damaged("centroids are given, but it reads no vectors")
    shape = _whole(header, "n_centroids", 1, MAX_CENTROIDS), embedding.dimensions
    blob = _blob(parts, "centroids")
    if len(blob) != math.prod(shape):
        raise _damaged(f"the part 'centroids' has {len(blob)} bytes instead of {math.prod(shape)}")
    return np.frombuffer(blob, dtype=np.int8).reshape(shape)


def _beta(value: Any, n_labels: int) -> Any:
    if value is None:
        return None
    if not isinstance(value, list) or len(value) != n_labels:
        raise _damaged(f"beta is not {n_labels} parameters")
    for row in value:
        if not isinstance(row, list) or len(row) != 3:
            raise _damaged("beta does not have three parameters for each label")
        if not all(type(item) in (int, float) and abs(item) <= MAX_BETA for item in row):
            raise _damaged(f"beta is not from -{MAX_BETA:g} to {MAX_BETA:g}")
        if min(row[:2]) < 0:
            raise _damaged("beta falls as the probability rises")
    return np.array(value, dtype=np.float64)


def _blob(parts: Mapping[str, bytes], name: str) -> bytes:
    blob = parts.get(name)
    if blob is None:
        raise _damaged(f"the part {name!r} is missing")
    return blob


def _array(parts: Mapping[str, bytes], name: str, dtype: str, shape: tuple[int, ...]) -> FloatArray:
    """A part as float32, once its length and every value of it were checked."""
    flat = _raw(parts, name, dtype, shape)
    array: FloatArray = np.require(flat, np.float32, ["C", "A"]).reshape(shape)
    if dtype == "<f4" and len(flat) and float(np.abs(flat).max()) > MAX_VALUE:
        raise _damaged(f"the part {name!r} holds a value that is too large")
    return array


def _raw(parts: Mapping[str, bytes], name: str, dtype: str, shape: tuple[int, ...]) -> Any:
    blob = _blob(parts, name)
    expected = math.prod(shape) * np.dtype(dtype).itemsize
    if len(blob) != expected:
        raise _damaged(f"the part {name!r} has {len(blob)} bytes instead of {expected}")
    flat = np.frombuffer(blob, dtype=dtype)
    # NaN and infinity have all exponent bits set; comparing the bits is faster than isfinite.
    unsigned, exponent = ("<u2", 0x7C00) if dtype == "<f2" else ("<u4", 0x7F800000)
    bits = flat.view(unsigned)
    for start in range(0, len(bits), _BLOCK):
        if int((bits[start : start + _BLOCK] & (exponent | (exponent - 1))).max()) >= exponent:
            raise _damaged(f"the part {name!r} holds a value that is not a number")
    return flat


def _terms(parts: Mapping[str, bytes], name: str, expected: int, start: int) -> dict[str, int]:
    """A vocabulary: one term a line, numbered from `start`."""
    text = _text(parts, name, MAX_TERM_BYTES)
    if not expected:
        if text:
            raise _damaged(f"the part {name!r} should be empty")
        return {}
    if text.count("\n") != expected - 1:
        raise _damaged(f"the part {name!r} does not hold {expected} terms")
    lines = text.split("\n")
    terms = dict(zip(lines, range(start, start + expected), strict=True))
    if len(terms) != expected:
        raise _damaged(f"the part {name!r} holds a term twice")
    return terms


def _text(parts: Mapping[str, bytes], name: str, most: int) -> str:
    blob = _blob(parts, name)
    if len(blob) > most:
        raise _damaged(f"the part {name!r} has more than {most:,} bytes")
    try:
        return blob.decode("utf-8")
    except UnicodeDecodeError:
        raise _damaged(f"the part {name!r} is not UTF-8 text") from None


def _embedding(header: Any, parts: Mapping[str, bytes]) -> TextVectors | None:
    if header is None:
        return None
    if not isinstance(header, Mapping):
        raise _damaged("the embedding is not described")
    if "encoder" in header:
        return _of_encoder(header)
    if "given" in header:
        return GivenVectors(lambda keys: {}, _whole(header, "dimensions", 1, MAX_DIMENSIONS))
    n_tokens = _whole(header, "n_tokens", 1, MAX_TOKENS)
    dimensions = _whole(header, "dimensions", 1, MAX_DIMENSIONS)
    unknown = header.get("unknown")
    if unknown is not None:
        unknown = _whole(header, "unknown", 0, n_tokens - 1)
    if n_tokens * dimensions > MAX_VECTORS:
        raise _damaged(f"{n_tokens} vectors of {dimensions} numbers are too many")
    text = _text(parts, "tokenizer", tokenizer_json.MAX_BYTES)
    try:
        tokenizer = Tokenizer(text)
    except ArtifactError as error:
        raise ArtifactError(f"The classifier's tokenizer cannot be used: {error}") from None
    vectors = _raw(parts, "vectors", "<f2", (n_tokens, dimensions)).reshape(n_tokens, dimensions)
    return StaticEmbedding(vectors, tokenizer, unknown)


def _of_encoder(header: Header) -> EncoderVectors:
    """The vectors of an encoder that this machine has. Raises AccessError where it has not."""
    from ..encoders.known import needed_encoder

    digest, name = header.get("encoder"), header.get("name")
    if not isinstance(digest, str) or not _DIGEST.fullmatch(digest):
        raise _damaged("the hash of its sentence encoder is not one")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise _damaged("the name of its sentence encoder is not one")
    dimensions = _whole(header, "dimensions", 1, MAX_DIMENSIONS)
    encoder = needed_encoder(digest, name)
    if encoder.dimensions != dimensions:
        raise _damaged(f"its sentence encoder does not have {dimensions} dimensions")
    return EncoderVectors(encoder, name)
