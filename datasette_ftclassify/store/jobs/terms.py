"""What was agreed for a job, and how far it is at a service: JSON in a file that a stranger may
have made, so what makes no sense counts as not said."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ...core.untrusted_json import figure_or_none, text_or_none, texts_of


@dataclass(frozen=True)
class Terms:
    """Of a job that may cost money.

    usd, limit_usd: what the whole job was expected to cost, and what it may
    max_errors:     share of rows without an answer that ends it, 0-1
    concurrency:    requests at once, at most
    batch:          whether requests go in batches
    host:           of the service
    """

    usd: float | None = None
    limit_usd: float | None = None
    max_errors: float | None = None
    concurrency: float | None = None
    batch: bool = False
    host: str | None = None

    @classmethod
    def read(cls, stored: Mapping[str, Any] | None) -> Terms:
        said = stored or {}
        return cls(
            usd=_amount(said.get("usd")),
            limit_usd=_amount(said.get("limit_usd")),
            max_errors=_amount(said.get("max_errors")),
            concurrency=_amount(said.get("concurrency")),
            batch=said.get("batch") is True,
            host=text_or_none(said.get("host")),
        )


@dataclass(frozen=True)
class RemoteState:
    """Of a training at a service.

    prepared: whether its rows were read, and what they are was noted
    step:     what was begun last; None: nothing was sent
    shown:    how far it was said to be, 0-1
    job_id, files: the service's ids; files by what is in them
    """

    prepared: bool = False
    step: str | None = None
    shown: float | None = None
    job_id: str | None = None
    files: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, stored: Mapping[str, Any] | None) -> RemoteState:
        said = stored or {}
        shown = _amount(said.get("shown"))
        return cls(
            "preparation" in said,
            text_or_none(said.get("step")),
            shown if shown is not None and shown <= 1 else None,
            text_or_none(said.get("job_id")),
            texts_of(said.get("files")),
        )


def _amount(value: object) -> float | None:
    found = figure_or_none(value)
    return None if found is None or found < 0 else found
