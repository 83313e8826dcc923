"""How long to wait before the next request, from the headers and messages of a service."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Mapping
from datetime import timezone
from email.utils import parsedate_to_datetime

LONGEST = 86_400.0
"""A day, in seconds: longer waits are taken for this. Whoever waits looks again then."""

_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001, "d": 86_400.0}
_PART = re.compile(r"(\d{1,15}(?:\.\d{0,9})?)\s*(ms|d|h|m|s)[a-z]*\s*")
_SPOKEN = re.compile(
    r"(?:try again|retry) (?:in|after) ((?:\d[\d.]*\s*(?:ms|milliseconds?|d(?:ays?)?|h(?:ours?)?"
    r"|m(?:in(?:ute)?s?)?|s(?:ec(?:ond)?s?)?)\s*)+)\b",
    re.IGNORECASE,
)
_KINDS = ("requests", "tokens")


def wait_of(headers: Mapping[str, str], words: str = "", *, limited: bool = True) -> float | None:
    """The seconds to wait after a refusal, 0 to LONGEST; None when it does not say.

    headers: `retry-after-ms`, `retry-after` (seconds or a date); names in lower case, or a mapping
             that does not mind the case
    words:   of the refusal, such as "Please try again in 1.5s."
    limited: whether it was for a rate limit: then `x-ratelimit-reset-*` says it too, of what has
             run out, or of the one that takes longest
    """
    waits = [
        _number(headers.get("retry-after-ms"), 0.001),
        _number(headers.get("retry-after")),
        _until_date(headers.get("retry-after")),
        _spoken(words),
    ]
    if limited:
        waits += [hold_of(headers), _longest(_reset(headers, kind) for kind in _KINDS)]
    return next((wait for wait in waits if wait is not None), None)


def hold_of(headers: Mapping[str, str]) -> float | None:
    """The seconds to send nothing more, 0 to LONGEST: until the requests or tokens that have run
    out are there again. None when none has, or the service does not say."""
    out = [k for k in _KINDS if (headers.get(f"x-ratelimit-remaining-{k}") or "").strip() == "0"]
    return _longest(_reset(headers, kind) for kind in out) if out else None


def _reset(headers: Mapping[str, str], kind: str) -> float | None:
    return duration(headers.get(f"x-ratelimit-reset-{kind}"))


def duration(text: str | None) -> float | None:
    """Seconds of `1s`, `6m0s`, `20ms`, `1h2m3.5s`, or of a bare number; None for anything else.

    A bare number that can only be a time of the clock (seconds since 1970) is taken as that.
    """
    text = (text or "").strip().lower()
    plain = _number(text, most=float("inf"))
    if plain is not None:
        return _bounded(plain - time.time() if plain > 1e9 else plain)
    total, at = 0.0, 0
    while at < len(text) and (part := _PART.match(text, at)) is not None:
        total += float(part[1]) * _UNITS[part[2]]
        at = part.end()
    return _bounded(total) if text and at == len(text) else None


def _number(text: str | None, unit: float = 1.0, most: float = LONGEST) -> float | None:
    try:
        number = float((text or "").strip()) * unit
    except ValueError:
        return None
    return None if number != number else _bounded(number, most)


def _until_date(text: str | None) -> float | None:
    try:
        when = parsedate_to_datetime(text or "")
        if when.tzinfo is None:
            when = when.replace(tzinfo=timezone.utc)
        return _bounded(when.timestamp() - time.time())
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def _spoken(words: str) -> float | None:
    found = _SPOKEN.search(words[:2000])
    return duration(found[1]) if found else None


def _longest(waits: Iterable[float | None]) -> float | None:
    return max((wait for wait in waits if wait is not None), default=None)


def _bounded(seconds: float, most: float = LONGEST) -> float:
    return min(max(seconds, 0.0), most)
