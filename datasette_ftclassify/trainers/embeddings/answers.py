"""What a service says about texts that it was to turn into vectors, checked."""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..encoders.encoder import MAX_DIMENSIONS
from ..local.features import FloatArray
from ..service_errors import ServiceRefused
from ..usage import Usage
from .paid_vectors import as_stored


def billed(message: str) -> ServiceRefused:
    """An answer that was given, and is no use: the next one would be none either."""
    problem = ServiceRefused(message)
    problem.unbilled = False
    return problem


def read_vectors(data: Any, texts: int, dimensions: int | None) -> list[FloatArray | None]:
    """In the order of the texts, as they are stored; None for one with a number that is none.

    dimensions: that a vector has to have; None: any
    Raises ServiceRefused for an answer that is not about these texts, or has other dimensions.
    """
    listed = data.get("data") if isinstance(data, dict) else None
    if not isinstance(listed, list) or len(listed) != texts:
        some = len(listed) if isinstance(listed, list) else "no"
        raise billed(f"The service gave {some} vectors for {texts} texts.")
    found: list[FloatArray | None] = [None] * texts
    seen = set()
    for place, item in enumerate(listed):
        index = item.get("index", place) if isinstance(item, dict) else None
        if type(index) is not int or not 0 <= index < texts or index in seen:
            raise billed("The service does not say rightly which vector is which text's.")
        seen.add(index)
        numbers = _numbers(item.get("embedding"))
        if numbers is None or not 1 <= len(numbers) <= MAX_DIMENSIONS:
            raise billed(
                f"The service's answer is no vector of at most {MAX_DIMENSIONS:,} numbers."
            )
        dimensions = dimensions or len(numbers)
        if len(numbers) != dimensions:
            raise billed(
                f"The service gave a vector of {len(numbers):,} numbers, and of {dimensions:,} "
                "before: another model answers under this name. Name another one, or delete its "
                "vectors: encoders remove."
            )
        if np.isfinite(numbers).all():
            found[index] = as_stored(numbers)
    return found


def _numbers(said: Any) -> FloatArray | None:
    """Of a list of numbers, or of base64 of little-endian floats, as OpenAI's SDK reads them."""
    try:
        if isinstance(said, str):
            return np.frombuffer(base64.b64decode(said, validate=True), "<f4").astype(np.float32)
        if isinstance(said, list) and all(n is None or type(n) in (int, float) for n in said):
            # Servers write null for what is no number.
            numbers = [math.nan if n is None else n for n in said]
            with np.errstate(over="ignore"):
                return np.array(numbers, dtype=np.float64).astype(np.float32)
    except (binascii.Error, ValueError, OverflowError):
        pass
    return None


def shared(data: Any, expected: Sequence[int]) -> list[Usage]:
    """The tokens that an answer says, by text; nothing where it does not say it.

    expected: tokens of each text, by which they are shared
    """
    said = data.get("usage") if isinstance(data, dict) else None
    tokens = said.get("prompt_tokens", said.get("total_tokens")) if isinstance(said, dict) else None
    if type(tokens) is not int or tokens <= 0:
        return [Usage()] * len(expected)
    total = max(sum(expected), 1)
    shares = [tokens * count // total for count in expected]
    shares[0] += tokens - sum(shares)
    return [Usage(share) for share in shares]
