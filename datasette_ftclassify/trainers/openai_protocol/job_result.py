"""The results of a fine-tuning job: the model, and a report about its training."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeVar

import openai

from ...core.errors import ArtifactError, TrainingError
from ...core.humanize import counted
from ...core.service_model import Checkpoint, ServiceIds, ServiceModel, checkpoints_of
from ...core.training_report import Header, TrainingReport
from ..service import FineTunedModel, TrainingSpec
from ..service_errors import ServiceProblem
from ..stored_model import read_name
from .errors import FAILURES
from .model_list import shutdown_of
from .training_metrics import MOST_POINTS, best, point, read_results
from .training_requests import TRIES, TrainingSession
from .uploads import was_deleted

T = TypeVar("T")

_ADVICE = (
    (
        ("policy", "safety", "moderation", "unsafe", "harmful"),
        "The provider's policy forbids some of the examples: find and remove them, or train on "
        "this machine with the trainer local.",
    ),
    (
        ("quota", "billing", "credit", "balance"),
        "Add credit or raise the limit at the provider, then retry.",
    ),
    (
        ("file", "examples", "format", "token", "line"),
        "Line N of the file is the Nth example: an export has the same lines, and a check of the "
        "table looks for such rows.",
    ),
)
_USUAL = "Retry; when it fails again, ask the provider and name the job."


def failure(job: Any, host: str) -> TrainingError:
    """Of a job that failed or was cancelled by somebody else, in the service's own words."""
    if job.status == "cancelled":
        return TrainingError(
            f"The job {job.id} was cancelled at {host} by somebody else. Retry to train and pay "
            "again."
        )
    error = getattr(job, "error", None)
    message = str(getattr(error, "message", None) or "it does not say why").rstrip(".")
    code, param = (getattr(error, name, None) for name in ("code", "param"))
    details = ", ".join(str(part) for part in (code, param) if part)
    advice = next(
        (
            text
            for words, text in _ADVICE
            if any(word in f"{code} {param} {message}".lower() for word in words)
        ),
        _USUAL,
    )
    return TrainingError(
        f"The training failed at {host}, job {job.id}: {message}"
        f"{f' ({details})' if details else ''}. {advice}"
    )


def collect_result(session: TrainingSession, spec: TrainingSpec, job: Any) -> FineTunedModel:
    """Everything about a job that succeeded. Only the model's name is indispensable: what else
    cannot be had becomes a warning. Raises TrainingError without one."""
    job = _with_model(session, job)
    model = str(job.fine_tuned_model)
    session.training_log.report_progress(f"reading the results at {session.host}", 1.0)
    warnings: list[str] = []
    checkpoints = _try("checkpoints", lambda: _checkpoints(session, job.id), warnings) or []
    curve = _curve(session, job, warnings)
    shutdown = _shutdown_date(session, model, job.model)
    if shutdown:
        warnings.append(f"{session.host} says that this model stops on {shutdown}.")
    chosen = _hyperparameters(job)
    service = {
        "host": session.host,
        "job": job.id,
        "model": model,
        "base": job.model,
        "files": session.state.get("files", {}),
        "result_files": list(job.result_files or []),
        "suffix": spec.options.suffix,
        "seed": getattr(job, "seed", None),
        "hyperparameters": chosen,
    }
    return FineTunedModel(
        header={
            "model": model,
            "base": job.model,
            "format": spec.codec.resolved.to_dict(),
            "host": session.host,
            "deployment": None,
        },
        report={
            "service": service,
            "checkpoints": [kept.to_dict() for kept in checkpoints],
            "curve": curve,
            "why": _why(session.host, job, chosen, checkpoints, curve),
            "shutdown_date": shutdown,
            "warnings": warnings,
        },
        trained_tokens=job.trained_tokens,
    )


def delete_remote(
    client: openai.OpenAI, host: str, header: Header, report: TrainingReport
) -> list[str]:
    """Deletes the model and its files; gives what was deleted. What is gone already is no error.

    Raises ArtifactError when the header names another host, or is damaged; ServiceProblem.
    """
    model, made = read_name(header, "model"), ServiceIds.read(report)
    there = ServiceModel.read(header).host
    if there != host:
        raise ArtifactError(
            f"The model is at {there}, and the base URL that is set leads to {host}."
        )
    deleted = []
    # A checkpoint that was chosen goes with the model that it is of, and all others, too.
    name = made.model or model
    for tuned in dict.fromkeys([name, model]):
        if was_deleted(client.models.delete, tuned):
            deleted.append(f"model {tuned}")
    # By their names those of this model alone: the file may come from anywhere.
    kept = [checkpoint.model or "" for checkpoint in checkpoints_of(report)]
    for tuned in (each for each in kept if each.startswith(f"{name}:")):
        try:
            if tuned != model and was_deleted(client.models.delete, tuned):
                deleted.append(f"model {tuned}")
        except ServiceProblem:
            continue  # some services delete them with the model, and by no name of their own
    for id in (*made.files.values(), *made.result_files):
        if was_deleted(client.files.delete, id):
            deleted.append(f"file {id}")
    return deleted


def _with_model(session: TrainingSession, job: Any) -> Any:
    """The job once it names its model, which may take a moment."""
    id = job.id
    for attempt in range(TRIES):
        if job.fine_tuned_model:
            return job
        session.wait(attempt)
        job = session.request_with_retry(lambda: session.client.fine_tuning.jobs.retrieve(id))
    raise TrainingError(
        f"The job {id} succeeded at {session.host}, which does not name its model: look there, "
        "and resume or retry later."
    )


def _try(what: str, act: Callable[[], Any], warnings: list[str]) -> Any:
    """The outcome of `act`, which asks the service; None with a warning when it gives none."""
    try:
        return act()
    except ServiceProblem as trouble:
        warnings.append(f"The {what} could not be read: {trouble}")
        return None


def _checkpoints(session: TrainingSession, job_id: str) -> list[Checkpoint]:
    """By step."""
    api = session.client.fine_tuning.jobs.checkpoints
    found = _entries(session, lambda: api.list(job_id), _checkpoint)
    return sorted(found, key=lambda kept: kept.step)


def _checkpoint(item: Any) -> Checkpoint:
    metrics = getattr(item, "metrics", None)
    figures = point(metrics.model_dump()) if metrics is not None else {}
    figures.pop("step", None)
    return Checkpoint(item.step_number or 0, item.fine_tuned_model_checkpoint, figures)


def _entries(
    session: TrainingSession, first: Callable[[], Any], keep: Callable[[Any], T | None]
) -> list[T]:
    """What is kept of each entry of a list, of MOST_POINTS at most; tried several times."""

    def read() -> list[T]:
        kept = (keep(item) for page in session.pages(first) for item in page)
        return list(itertools.islice((k for k in kept if k is not None), MOST_POINTS))

    return session.retry(read)


def _curve(session: TrainingSession, job: Any, warnings: list[str]) -> list[dict[str, float]]:
    """Figures by step: from the result file, else from the events."""
    for id in job.result_files or []:
        try:
            return read_results(_content(session, id))
        except ServiceProblem as trouble:
            warnings.append(f"A result file could not be read: {trouble}")
        except ValueError as error:
            warnings.append(str(error))
    api = session.client.fine_tuning.jobs
    events = partial(api.list_events, job.id, limit=100)
    points = _try("events", lambda: _entries(session, events, _figures), warnings) or []
    return sorted(points, key=lambda p: p["step"])


def _figures(event: Any) -> dict[str, float] | None:
    figures = point(event.data) if isinstance(event.data, Mapping) else {}
    return figures if "step" in figures else None


def _content(session: TrainingSession, id: str) -> bytes:
    answer = session.request_with_retry(lambda: session.client.files.content(id), need="content")
    return bytes(answer.content)


def _shutdown_date(session: TrainingSession, model: str, base: str | None) -> str | None:
    """When the provider will stop the model, if it says so; nice to know, so nothing is raised."""
    for name in filter(None, (model, base)):
        try:
            found = session.client.models.retrieve(name)
        except FAILURES:
            continue
        if (day := shutdown_of(found)) is not None:
            return day.isoformat()
    return None


def _hyperparameters(job: Any) -> dict[str, Any]:
    """As the service used them."""
    method = getattr(job, "method", None)
    inner = getattr(getattr(method, "supervised", None), "hyperparameters", None)
    used = inner or getattr(job, "hyperparameters", None)
    dump = used.model_dump() if isinstance(used, openai.BaseModel) else used
    return {k: v for k, v in dump.items() if v is not None} if isinstance(dump, Mapping) else {}


def _why(
    host: str,
    job: Any,
    chosen: Mapping[str, Any],
    checkpoints: list[Checkpoint],
    curve: list[dict[str, float]],
) -> str:
    """The training in a sentence or two."""
    epochs, tokens = chosen.get("n_epochs"), job.trained_tokens
    said = f"Fine-tuned from {job.model} at {host}"
    if isinstance(epochs, int):
        said += f" for {counted(epochs, 'epoch')}"
    if tokens is not None:
        said += f", {tokens:,} tokens billed"
    said += "."
    last = next((p["valid_loss"] for p in reversed(curve) if "valid_loss" in p), None)
    if last is not None:
        said += f" The validation loss ended at {last:.3f}."
    lowest = best(checkpoints)
    if lowest is not None and len(checkpoints) > 1 and lowest is not checkpoints[-1]:
        said += f" The checkpoint at step {lowest.step} had the lowest."
    return said
