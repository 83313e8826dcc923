"""One form for the token log-probabilities that chat and completions answers carry.

Tokens are bytes here: one may be half of a character (an emoji is often two or three), and a
text form of that is not the token.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ...core.untrusted_json import JsonObject

END = b"\xff"
"""Stands for the end of an answer. No text in UTF-8 has this byte."""

_SPECIAL = re.compile(r"<\|[^|]*\|>|</s>|<eos>|<end_of_turn>")
_ESCAPED = re.compile(r"bytes:((?:\\x[0-9a-fA-F]{2})+)")


@dataclass(frozen=True, slots=True)
class Position:
    """One place in an answer.

    token:    what was said there; END when the answer ended there
    logprobs: natural log-probabilities of the tokens that were listed for the place, among them
              the one that was said. Without those that the provider does not know (-9999, -inf)
    """

    token: bytes
    logprobs: Mapping[bytes, float]


def read_positions(logprobs: object) -> tuple[Position, ...] | None:
    """The positions of an answer, from the `logprobs` of a choice as JSON.

    Chat: `{"content": [{"token", "bytes", "logprob", "top_logprobs": [...]}, ...]}`.
    Completions: `{"tokens": [...], "token_logprobs": [...], "top_logprobs": [{...}, ...]}`.
    None when it is neither, or empty: there are no log-probabilities. Never raises.
    """
    if not isinstance(logprobs, Mapping):
        return None
    try:
        content = logprobs.get("content")
        positions = tuple(_chat(content) if content else _completion(logprobs))
    except (TypeError, ValueError, KeyError, AttributeError):
        return None
    return positions or None


def _chat(content: Sequence[JsonObject]) -> Iterator[Position]:
    for place in content:
        listed: list[tuple[bytes, float | None]] = [
            (_chat_token(entry), entry["logprob"]) for entry in place.get("top_logprobs") or ()
        ]
        yield _position(_chat_token(place), place.get("logprob"), listed)


def _chat_token(entry: JsonObject) -> bytes:
    text, raw = entry["token"], entry.get("bytes")
    if not text or _SPECIAL.fullmatch(text):
        return END
    return bytes(raw) if raw and isinstance(raw, list) else token_bytes(text)


def _completion(logprobs: JsonObject) -> Iterator[Position]:
    tokens: Sequence[str] = logprobs.get("tokens") or ()
    said = logprobs.get("token_logprobs") or [None] * len(tokens)
    top = logprobs.get("top_logprobs") or [None] * len(tokens)
    for token, logprob, entries in zip(tokens, said, top, strict=True):
        listed = [(_token(text), value) for text, value in (entries or {}).items()]
        yield _position(_token(token), logprob, listed)


def _token(text: str) -> bytes:
    if not text or _SPECIAL.fullmatch(text):
        return END
    escaped = _ESCAPED.fullmatch(text)
    return bytes.fromhex(escaped[1].replace("\\x", "")) if escaped else token_bytes(text)


def token_bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _position(
    token: bytes, logprob: float | None, listed: Sequence[tuple[bytes, float | None]]
) -> Position:
    known: dict[bytes, float] = {}
    # Some servers list one token twice. Two tokens that read the same have their own values.
    for name, value in dict.fromkeys(listed):
        if value is not None and _is_known(value):
            known[name] = _added(known[name], value) if name in known else min(value, 0.0)
    if token not in known and logprob is not None and _is_known(logprob):
        known[token] = min(logprob, 0.0)
    return Position(token, known)


def _is_known(logprob: float) -> bool:
    # -9999 is OpenAI's word for "not among the listed". A probability below 1e-300 is as good as
    # none, and this comparison is false for NaN.
    return -690 < logprob < math.inf


def _added(first: float, second: float) -> float:
    high, low = max(first, second), min(first, second)
    return min(high + math.log1p(math.exp(low - high)), 0.0)
