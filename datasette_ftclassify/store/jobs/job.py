"""A job as it is in the database, what was agreed for it, and how far it is at a service: JSON in a
file that a stranger may have made, so what makes no sense counts as not said."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ...core.untrusted_json import JsonObject, figure_or_none, text_or_none, texts_of
from .leases import is_leased


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
    def read(cls, stored: JsonObject | None) -> Terms:
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
    why:      it ended without a model
    """

    prepared: bool = False
    step: str | None = None
    shown: float | None = None
    job_id: str | None = None
    files: Mapping[str, str] = field(default_factory=dict)
    why: str | None = None

    @classmethod
    def read(cls, stored: JsonObject | None) -> RemoteState:
        said = stored or {}
        shown = _amount(said.get("shown"))
        return cls(
            "preparation" in said,
            text_or_none(said.get("step")),
            shown if shown is not None and shown <= 1 else None,
            text_or_none(said.get("job_id")),
            texts_of(said.get("files")),
            text_or_none(said.get("why")),
        )


def _amount(value: object) -> float | None:
    found = figure_or_none(value)
    return None if found is None or found < 0 else found


@dataclass
class Job:
    """A job as it stands in the database; fields as described in the schema."""

    id: int
    kind: str
    state: str
    wanted: str | None
    step: str
    settings: JsonObject
    classifier_id: int | None
    position: list[Any] | None
    total: int | None
    done: int
    skipped: int
    result: JsonObject | None
    error: str | None
    owner: str | None
    lease_until: float | None
    created_at: str
    started_at: str | None
    updated_at: str
    remote: JsonObject | None = None
    estimate: JsonObject | None = None
    failed: int = 0
    lease_clock: float | None = None
    ends_at: float | None = None
    """When the process that runs it expects to be through, in seconds since 1970."""
    nonce: str | None = None
    """Random: by it the installation's ledger knows the job; None in a file of an older version."""
    tried_again: bool = False
    """In the process that claimed it: whether somebody asked for another try of a failed one."""

    @property
    def interrupted(self) -> bool:
        """Whether it counts as running, but nobody runs it."""
        return self.state == "running" and not is_leased(
            self.owner, self.lease_until, self.lease_clock
        )

    @property
    def shown_state(self) -> str:
        return "interrupted" if self.interrupted else self.state

    @property
    def table(self) -> str | None:
        """That it reads or writes; None where its settings do not say."""
        task = self.settings.get("task")
        said = task.get("source") if isinstance(task, dict) else self.settings.get("table")
        return text_or_none(said)

    @property
    def terms(self) -> Terms:
        """What was agreed for it."""
        return Terms.read(self.estimate)

    @property
    def at_service(self) -> RemoteState:
        """How far its training is at a service."""
        return RemoteState.read(self.remote)

    @property
    def rows_done(self) -> int:
        """Rows that it is through with, whatever they got."""
        return self.done + self.skipped + self.failed

    def to_dict(self) -> dict[str, Any]:
        shown = {name: getattr(self, name) for name in _SHOWN}
        return shown | {"state": self.shown_state}


_SHOWN = (
    "id", "kind", "state", "step", "settings", "total", "done", "skipped", "failed", "estimate",
    "result", "error", "created_at", "started_at", "updated_at",
)  # fmt: skip
