"""The values of forms, of addresses and of JSON bodies: each comes as a text, a list or a JSON
value, and is kept as it was typed until it is used."""

from __future__ import annotations

from typing import Any

from ..core.errors import FtclassifyError
from ..core.numbers import Range


class FieldError(FtclassifyError):
    """What was typed into one field cannot be used; `field` is its name."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message, fields=(field,))


def one(value: Any, default: str = "") -> str:
    """One value as text, the last where there are several."""
    if isinstance(value, list):
        value = value[-1] if value else default
    return default if value is None else str(value)


def many(value: Any) -> tuple[str, ...]:
    """All values as texts, without empty ones, each once."""
    values = value if isinstance(value, list) else [value]
    return tuple(dict.fromkeys(str(v) for v in values if v not in (None, "")))


def ticked(value: Any) -> bool:
    """Whether a box is ticked, or a JSON field true."""
    return one(value).lower() in ("1", "true", "on", "yes")


def number(field: str, text: str, allowed: Range) -> float | None:
    """The number that was typed; None when nothing was. Raises FieldError for anything else."""
    if not text.strip():
        return None
    found = allowed.read(text)
    if found is None:
        raise FieldError(field, allowed.refusal(called(field), text))
    return found


def whole(field: str, text: str, allowed: Range) -> int | None:
    """The same, of a range of whole numbers."""
    found = number(field, text, allowed)
    return None if found is None else int(found)


def called(field: str) -> str:
    """A field for people: `Limit in USD` for limit_usd, `Epochs` for openai-epochs."""
    name = field.rpartition("-")[2]
    return _CALLED.get(name, name.replace("_", " ").capitalize().replace(" usd", " in USD"))


_CALLED = {
    "min_score": "Minimum score",
    "min_known": "Minimum of known",
    "wrong": "Wrong answers",
}
