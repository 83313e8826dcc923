"""A model at a service, as the header of a stored classifier and the report of its training have
it: JSON in a file that a stranger may have made, so what makes no sense counts as not said."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .training_report import Header
from .untrusted_json import JsonObject, figure_or_none, text_or_none, texts_of

PUBLISHED = "published"
"""In a header: see `ServiceModel`. A setting of a whole copy, too."""


@dataclass(frozen=True)
class ServiceModel:
    """Where it is asked, and by which names.

    base:       the model that it was trained from
    deployment: its name at a service that answers for deployments alone
    format:     of prompts and answers, see `prompts.formats`
    published:  it is there with its stored answers alone
    """

    model: str | None = None
    base: str | None = None
    host: str | None = None
    deployment: str | None = None
    format: JsonObject | None = None
    published: bool = False

    @classmethod
    def read(cls, header: Header) -> ServiceModel:
        names, fmt = ("model", "base", "host", "deployment"), header.get("format")
        model, base, host, deployment = (text_or_none(header.get(name)) for name in names)
        codec = fmt if isinstance(fmt, Mapping) else None
        return cls(model, base, host, deployment, codec, header.get(PUBLISHED) is True)


@dataclass(frozen=True)
class ServiceIds:
    """What a training has made or left at a service, by the service's own ids; files by split."""

    host: str | None = None
    job: str | None = None
    model: str | None = None
    files: Mapping[str, str] = field(default_factory=dict)
    result_files: tuple[str, ...] = ()

    @classmethod
    def read(cls, report: JsonObject) -> ServiceIds:
        """report: of the training"""
        said = report.get("service")
        if not isinstance(said, Mapping):
            return cls()
        results = said.get("result_files")
        return cls(
            host=text_or_none(said.get("host")),
            job=text_or_none(said.get("job")),
            model=text_or_none(said.get("model")),
            files=texts_of(said.get("files")),
            result_files=tuple(texts_of(dict(enumerate(results))).values())
            if isinstance(results, list)
            else (),
        )


@dataclass(frozen=True)
class Checkpoint:
    """A model as it was at a step of its training, that the service has kept; losses by name."""

    step: int
    model: str | None
    figures: Mapping[str, float]

    def to_dict(self) -> dict[str, Any]:
        return {"step": self.step, "model": self.model, **self.figures}


def checkpoints_of(report: JsonObject) -> tuple[Checkpoint, ...]:
    """report: of the training"""
    kept = report.get("checkpoints")
    found = (_checkpoint(each) for each in (kept if isinstance(kept, list) else ()))
    return tuple(checkpoint for checkpoint in found if checkpoint is not None)


def _checkpoint(said: object) -> Checkpoint | None:
    if not isinstance(said, Mapping) or type(said.get("step")) is not int:
        return None
    losses = {name: figure_or_none(value) for name, value in said.items() if name != "step"}
    figures = {str(name): value for name, value in losses.items() if value is not None}
    return Checkpoint(said["step"], text_or_none(said.get("model")), figures)


OVER = "over"
"""What a training log has as its `step` when a training ended without a model. Tried again, it is
another training, under another tag."""
