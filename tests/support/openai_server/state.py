"""What the server knows, and its copy on disk from which a killed one goes on."""

from __future__ import annotations

import json
import secrets
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

ENDED = ("succeeded", "failed", "cancelled")


@dataclass
class Job:
    """A fine-tuning job.

    record: the fields of the SDK's FineTuningJob; the status may also be 'paused'
    fate:   the job fault that awaits it
    plan:    contents to learn from, the form of the examples, the name of the model to be
    trained_epochs: how many are done
    metrics: what the result file will hold, a row for each step that was told
    """

    record: dict[str, Any]
    events: list[dict[str, Any]] = field(default_factory=list)
    checkpoints: list[dict[str, Any]] = field(default_factory=list)
    fate: dict[str, Any] | None = None
    plan: dict[str, Any] = field(default_factory=dict)
    trained_epochs: int = 0
    metrics: list[dict[str, Any]] = field(default_factory=list)

    @property
    def ended(self) -> bool:
        return self.record["status"] in ENDED

    def log(self, message: str, level: str = "info", data: dict[str, Any] | None = None) -> None:
        """Adds an event; one with data is a metrics event."""
        self.events.append(
            {
                "object": "fine_tuning.job.event",
                "id": new_id("ftevent"),
                "created_at": now(),
                "level": level,
                "message": message,
                "type": "metrics" if data else "message",
                "data": data or {},
            }
        )


@dataclass
class StoredModel:
    """A model that a job left behind, or one of its checkpoints.

    base:   dated name of the model it grew from
    files:  training contents, oldest first: more than one when a tuned model was tuned on
    epochs: how many were trained
    epoch:  the one after which this model was kept
    """

    id: str
    base: str
    files: list[str]
    epochs: int
    epoch: int
    created: int
    ready_at: float
    listed: bool = True
    shutdown_date: str | None = None


@dataclass
class Batch:
    """record: the fields of the SDK's Batch"""

    record: dict[str, Any]
    fate: dict[str, Any] | None = None


@dataclass
class State:
    """Everything by id, oldest first.

    folder: where it is kept; None: in memory alone
    contents: of files, and of training data under the job's id even when its file is deleted
    jobs_created: also those that were since forgotten
    """

    folder: Path | None = None
    files: dict[str, dict[str, Any]] = field(default_factory=dict)
    uploads: dict[str, dict[str, Any]] = field(default_factory=dict)
    jobs: dict[str, Job] = field(default_factory=dict)
    models: dict[str, StoredModel] = field(default_factory=dict)
    batches: dict[str, Batch] = field(default_factory=dict)
    deployments: dict[str, str] = field(default_factory=dict)
    contents: dict[str, bytes] = field(default_factory=dict)
    jobs_created: int = 0
    batches_created: int = 0

    def keep(self, id: str, content: bytes) -> None:
        """Holds bytes under an id."""
        self.contents[id] = content
        if self.folder is not None:
            _write(self.folder / "contents" / id, content)

    def forget(self, id: str) -> None:
        self.contents.pop(id, None)
        if self.folder is not None:
            (self.folder / "contents" / id).unlink(missing_ok=True)

    def save(self) -> None:
        """Writes everything but the contents, which are there already."""
        if self.folder is None:
            return
        data = {
            "files": self.files,
            "uploads": self.uploads,
            "jobs": {id: asdict(job) for id, job in self.jobs.items()},
            "models": {id: asdict(model) for id, model in self.models.items()},
            "batches": {id: asdict(batch) for id, batch in self.batches.items()},
            "deployments": self.deployments,
            "jobs_created": self.jobs_created,
            "batches_created": self.batches_created,
        }
        _write(self.folder / "state.json", json.dumps(data).encode())

    @classmethod
    def load(cls, folder: Path | None) -> State:
        """What was kept in the folder, or nothing yet."""
        if folder is None:
            return cls()
        (folder / "contents").mkdir(parents=True, exist_ok=True)
        path = folder / "state.json"
        if not path.exists():
            return cls(folder)
        data = json.loads(path.read_bytes())
        data["jobs"] = {id: Job(**job) for id, job in data["jobs"].items()}
        data["models"] = {id: StoredModel(**model) for id, model in data["models"].items()}
        data["batches"] = {id: Batch(**batch) for id, batch in data["batches"].items()}
        kept = [p for p in (folder / "contents").iterdir() if p.suffix != ".part"]
        contents = {p.name: p.read_bytes() for p in kept}
        return cls(folder, contents=contents, **data)

    def add_file(
        self, content: bytes, filename: str, purpose: str, expires_after: int | None = None
    ) -> dict[str, Any]:
        id = new_id("file", "-")
        self.keep(id, content)
        self.files[id] = {
            "object": "file",
            "id": id,
            "purpose": purpose,
            "filename": filename,
            "bytes": len(content),
            "created_at": now(),
            "status": "processed",
        }
        if expires_after:
            self.files[id]["expires_at"] = now() + expires_after
        return self.files[id]


def _write(path: Path, content: bytes) -> None:
    # Whole or not at all: the server may be killed at any moment.
    part = path.with_suffix(".part")
    part.write_bytes(content)
    part.replace(path)


def new_id(prefix: str, mark: str = "-") -> str:
    return f"{prefix}{mark}{secrets.token_hex(12)}"


def now() -> int:
    return int(time.time())
