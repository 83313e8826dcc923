"""Vectors of texts: texts with words of the same meanings have vectors near each other."""

from __future__ import annotations

import base64
import json
import math
import zlib
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from openai.types import CreateEmbeddingResponse

from .answers import with_deployment
from .errors import bad_request
from .faults import EMBEDDINGS
from .http import Request, Response
from .models import resolve
from .schemas import EMBEDDING, answer_again, check_range, checked
from .settings import BaseModelInfo
from .vocabulary import vocabulary

if TYPE_CHECKING:
    from .app import App

MOST_TEXTS = 2_048
MOST_TOKENS = 8_192
"""Of one text, in OpenAI's embedding models."""
MOST_TOKENS_TOGETHER = 300_000


async def create(app: App, request: Request) -> Response:
    body = checked(EMBEDDING, with_deployment(request), app.settings.extra_body)
    id, info, _ = resolve(app, body["model"], "embedding")
    given = body["input"]
    texts = [given] if isinstance(given, str) else given
    if not texts or len(texts) > MOST_TEXTS or not all(isinstance(t, str) and t for t in texts):
        raise bad_request("'$.input' is invalid.", None, "input")
    words = vocabulary(info.encoding)
    counts = [words.count(text) for text in texts]
    if max(counts) > info.most_tokens:
        raise bad_request(
            f"This model's maximum context length is {info.most_tokens} tokens, however you "
            f"requested {max(counts)} tokens ({max(counts)} in your prompt; 0 for the completion). "
            "Please reduce your prompt; or completion length.",
            None,
            "input",
        )
    if sum(counts) > MOST_TOKENS_TOGETHER:
        raise bad_request(
            f"Requested {sum(counts)} tokens, max {MOST_TOKENS_TOGETHER} tokens per request",
            "max_tokens_per_request",
            "input",
        )
    size = _dimensions(info, body)
    rows = [vector(text, size, app.settings.meanings) for text in texts]
    record: dict[str, Any] = {
        "object": "list", "model": id,
        "data": [_item(index, row.tolist()) for index, row in enumerate(rows)],
        "usage": {"prompt_tokens": sum(counts), "total_tokens": sum(counts)},
    }  # fmt: skip
    told = answer_again(CreateEmbeddingResponse, record, "vectors")
    fault = app.faults.take(request, EMBEDDINGS)
    if fault is not None:
        record["data"] = _SPOILT[fault.kind](record["data"])
    if body.get("encoding_format") == "base64" and app.settings.base64_vectors:
        record["data"] = [
            {**item, "embedding": packed(item["embedding"])} for item in record["data"]
        ]
    elif fault is None:
        return told
    return Response(json.dumps(record).encode())


def vector(text: str, size: int, meanings: Mapping[str, str]) -> npt.NDArray[np.float32]:
    """Of length 1, shape (size,). meanings: of words, which then count as that word"""
    words = text.lower().split() or [text]
    total = np.sum([_direction(meanings.get(word, word), size) for word in words], axis=0)
    scaled: npt.NDArray[np.float32] = (total / np.linalg.norm(total)).astype(np.float32)
    return scaled


def packed(numbers: list[float]) -> str:
    """As the service packs a vector where it was asked for base64."""
    return base64.b64encode(np.array(numbers, dtype="<f4").tobytes()).decode()


@lru_cache(maxsize=10_000)
def _direction(meaning: str, size: int) -> npt.NDArray[np.float64]:
    seed = zlib.crc32(meaning.encode("utf-8", "replace"))
    return np.random.default_rng(seed).standard_normal(size)


def _dimensions(info: BaseModelInfo, body: dict[str, Any]) -> int:
    wanted = body.get("dimensions")
    if wanted is None:
        return info.dimensions
    if not info.shortens:
        raise bad_request("This model does not support specifying dimensions.", None, "dimensions")
    check_range("dimensions", wanted, 1, info.dimensions)
    return int(wanted)


def _item(index: int, numbers: list[float]) -> dict[str, Any]:
    return {"object": "embedding", "index": index, "embedding": numbers}


Items = list[dict[str, Any]]


def _changed(items: Items, change: Callable[[list[float]], list[float]]) -> Items:
    return [{**item, "embedding": change(item["embedding"])} for item in items]


_SPOILT: dict[str, Callable[[Items], Items]] = {
    "fewer_vectors": lambda items: items[:-1],
    "same_index": lambda items: [{**item, "index": 0} for item in items],
    "not_finite": lambda items: _changed(items[:1], lambda v: [math.nan, *v[1:]]) + items[1:],
    "other_dimensions": lambda items: _changed(items, lambda v: v[:-1]),
    "huge_vectors": lambda items: _changed(items, lambda v: v * (6_000_000 // len(v))),
}

ROUTES = {"POST /embeddings": create}
