"""A job as it is in the database."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .leases import is_leased
from .terms import RemoteState, Terms


@dataclass
class Job:
    """A job as it stands in the database; fields as described in the schema."""

    id: int
    kind: str
    state: str
    wanted: str | None
    step: str
    settings: dict[str, Any]
    classifier_id: int | None
    position: list[Any] | None
    total: int | None
    done: int
    skipped: int
    result: dict[str, Any] | None
    error: str | None
    owner: str | None
    lease_until: float | None
    created_at: str
    started_at: str | None
    updated_at: str
    remote: dict[str, Any] | None = None
    estimate: dict[str, Any] | None = None
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
        return {
            "id": self.id,
            "kind": self.kind,
            "state": self.shown_state,
            "step": self.step,
            "settings": self.settings,
            "total": self.total,
            "done": self.done,
            "skipped": self.skipped,
            "failed": self.failed,
            "estimate": self.estimate,
            "result": self.result,
            "error": self.error,
            "created_at": self.created_at,
            "started_at": self.started_at,
            "updated_at": self.updated_at,
        }
