"""The list of models that a host publishes."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, timezone
from typing import Any

import openai

from ..stored_model import NAME_LENGTH
from .errors import FAILURES, problem

SECONDS = 5.0
"""For the list of models, which somebody waits for."""

MOST = 10_000
"""Models of a list whose dates are kept."""

_YEAR_3000 = 32_503_680_000
"""In seconds since 1970."""


def shutdown_dates(client: openai.OpenAI) -> dict[str, date]:
    """The days from which models answer no more, by their names. Raises ServiceProblem."""
    try:
        listed = list(client.models.list().data or [])[:MOST]
    except FAILURES as error:
        raise problem(error) from None
    found = {getattr(model, "id", None): shutdown_of(model) for model in listed}
    return {
        name: day
        for name, day in found.items()
        if isinstance(name, str) and len(name) <= NAME_LENGTH and day is not None
    }


def shutdown_of(model: Any) -> date | None:
    """When the provider stops a model that it described, if it says so."""
    stated = getattr(model, "shutdown_date", None)
    if isinstance(stated, str):
        try:
            return date.fromisoformat(stated[:10])
        except ValueError:
            return None
    # Azure's reference of its models: seconds since 1970.
    ends = getattr(model, "deprecation", None)
    seconds = ends.get("inference") if isinstance(ends, Mapping) else None
    if isinstance(seconds, int) and 0 < seconds < _YEAR_3000:
        return datetime.fromtimestamp(seconds, timezone.utc).date()
    return None
