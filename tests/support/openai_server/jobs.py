"""The endpoints of fine-tuning jobs. What a job does by itself is in training."""

from __future__ import annotations

import json
import random
import re
from typing import TYPE_CHECKING, Any

from openai.types.fine_tuning import FineTuningJob, FineTuningJobEvent
from openai.types.fine_tuning.jobs import FineTuningJobCheckpoint

from . import training
from .errors import ApiError, bad_request
from .faults import JOBS
from .http import Request, Response
from .schemas import JOB, check_range, checked, dump, page, read_json
from .state import Job, new_id, now

if TYPE_CHECKING:
    from .app import App

LIMITS = {"n_epochs": (1, 50), "batch_size": (1, 256), "learning_rate_multiplier": (1e-9, 1e6)}


def dump_job(job: Job) -> dict[str, Any]:
    """The job as it is sent; a status that the SDK does not know yet goes past its types."""
    status = job.record["status"]
    known = {**job.record, "status": "running" if status == "paused" else status}
    return {**dump(FineTuningJob, known), "status": status}


def _answer(job: Job) -> Response:
    return Response(json.dumps(dump_job(job)).encode())


async def create(app: App, request: Request) -> Response:
    body = checked(JOB, read_json(request), app.settings.extra_body)
    form = _check_model(app, body["model"])
    hyperparameters = _hyperparameters(app, body)
    _check_suffix(app, body.get("suffix"))
    for key in ("training_file", "validation_file"):
        if body.get(key) is not None:
            _check_file(app, key, body[key])
    if not 0 <= (body.get("seed") or 0) < 2**31:
        raise bad_request("Invalid 'seed': out of range.", "invalid_value", "seed")
    base, files = app.lineage(body["model"])
    id = new_id("ftjob")
    job = Job(_new_record(app, id, base, body, hyperparameters))
    fault = app.faults.take(request, JOBS)
    if fault is not None:
        job.fate = {
            "kind": fault.kind, "stage": fault.stage,
            "code": fault.code or "server_error",
            "message": fault.message or "The job failed due to an internal error.",
        }  # fmt: skip
    training.prepare(app, job, files, form)
    app.state.jobs[id] = job
    app.state.jobs_created += 1
    app.start(training.live(app, job))
    return _answer(job)


def _new_record(
    app: App, id: str, base: str, body: dict[str, Any], hyperparameters: dict[str, Any]
) -> dict[str, Any]:
    return {
        "object": "fine_tuning.job",
        "id": id,
        "created_at": now(),
        "model": base,
        "fine_tuned_model": None,
        "finished_at": None,
        "estimated_finish": None,
        "organization_id": app.settings.organization,
        "status": "validating_files",
        "hyperparameters": hyperparameters,
        "method": {"type": "supervised", "supervised": {"hyperparameters": hyperparameters}},
        "training_file": body["training_file"],
        "validation_file": body.get("validation_file"),
        "result_files": [],
        "trained_tokens": None,
        "error": None,
        "seed": random.randrange(2**31) if body.get("seed") is None else body["seed"],
        "integrations": body.get("integrations") or [],
        "metadata": body.get("metadata"),
        "user_provided_suffix": body.get("suffix"),
    }


def _check_model(app: App, model: str) -> str:
    tuned = app.state.models.get(model)
    info = app.settings.models.get(app.dated(tuned.base if tuned else model))
    if info is None or not info.tunable:
        raise bad_request(
            f"Model {model} is not available for fine-tuning or does not exist.",
            "model_not_available",
            "model",
        )
    return info.form


def _hyperparameters(app: App, body: dict[str, Any]) -> dict[str, Any]:
    method = body.get("method")
    if method is not None and app.settings.dialect == "compatible":
        raise bad_request("Unknown parameter: 'method'.", "unknown_parameter", "method")
    if method is not None and method["type"] != "supervised":
        raise bad_request(f"The method {method['type']} is not offered.", None, "method.type")
    given = (method or {}).get("supervised", {}).get("hyperparameters", {})
    place = "method.supervised.hyperparameters"
    if body.get("hyperparameters"):
        if given:
            raise bad_request("Give hyperparameters once, with the method.", None, place)
        given, place = body["hyperparameters"], "hyperparameters"
    for name, (low, high) in LIMITS.items():
        check_range(f"{place}.{name}", given.get(name), low, high)
    return {name: given.get(name, "auto") for name in LIMITS}


def _check_suffix(app: App, suffix: str | None) -> None:
    most = 18 if app.settings.dialect == "azure" else 64
    if suffix is not None and len(suffix) > most:
        raise bad_request(
            f"Invalid 'suffix': string too long. Expected a string with maximum length {most}, but "
            f"got a string with length {len(suffix)} instead.",
            "string_above_max_length",
            "suffix",
        )
    if suffix and app.settings.dialect == "azure" and not re.fullmatch(r"[\w-]+", suffix):
        raise bad_request("Invalid 'suffix': letters, digits, - and _ only.", None, "suffix")


def _check_file(app: App, key: str, id: str) -> None:
    file = app.state.files.get(id)
    if file is None:
        raise bad_request(f"Invalid {key}: file {id} does not exist.", f"invalid_{key}", key)
    if file["purpose"] != "fine-tune":
        raise bad_request(
            f"Invalid {key}: file {id} has the purpose {file['purpose']}, not fine-tune.",
            f"invalid_{key}",
            key,
        )


def find(app: App, id: str) -> Job:
    if id not in app.state.jobs:
        raise ApiError(
            404, f"Could not find fine tune: {id}", code="fine_tune_not_found",
            param="fine_tuning_job_id",
        )  # fmt: skip
    return app.state.jobs[id]


async def retrieve(app: App, request: Request, id: str) -> Response:
    return _answer(find(app, id))


async def list_jobs(app: App, request: Request) -> Response:
    wanted = {k[len("metadata[") : -1]: v for k, v in request.query if k.startswith("metadata[")}
    jobs = [job for job in reversed(app.state.jobs.values()) if _has(job, wanted)]
    if request.params.get("metadata") == "null":
        jobs = [job for job in jobs if job.record["metadata"] is None]
    return page(request, [dump_job(job) for job in jobs], ends=False)


def _has(job: Job, wanted: dict[str, str]) -> bool:
    metadata = job.record["metadata"] or {}
    return all(metadata.get(key) == value for key, value in wanted.items())


async def events(app: App, request: Request, id: str) -> Response:
    newest_first = list(reversed(find(app, id).events))
    return page(request, [dump(FineTuningJobEvent, e) for e in newest_first], ends=False)


async def checkpoints(app: App, request: Request, id: str) -> Response:
    newest_first = list(reversed(find(app, id).checkpoints))
    return page(request, [dump(FineTuningJobCheckpoint, c) for c in newest_first], default=10)


async def cancel(app: App, request: Request, id: str) -> Response:
    return _answer(change(find(app, id), "cancelled"))


async def pause(app: App, request: Request, id: str) -> Response:
    return _answer(change(find(app, id), "paused"))


async def resume(app: App, request: Request, id: str) -> Response:
    return _answer(change(find(app, id), "running"))


_FROM = {
    "cancelled": ("validating_files", "queued", "running", "paused"),
    "paused": ("running",),
    "running": ("paused",),
}
_MESSAGES = {
    "cancelled": "The job was cancelled",
    "paused": "The job was paused",
    "running": "The job was resumed",
}


def change(job: Job, status: str) -> Job:
    """Cancels, pauses or resumes. Raises ApiError when the job is in no state for it."""
    if job.record["status"] not in _FROM[status]:
        raise bad_request(
            f"Job {job.record['id']} is {job.record['status']}: it cannot become {status}.",
            "invalid_job_state",
        )
    job.record["status"] = status
    if status == "cancelled":
        job.record["finished_at"] = now()
    job.log(_MESSAGES[status])
    return job


ROUTES = {
    "POST /fine_tuning/jobs": create,
    "GET /fine_tuning/jobs": list_jobs,
    "GET /fine_tuning/jobs/{id}": retrieve,
    "GET /fine_tuning/jobs/{id}/events": events,
    "GET /fine_tuning/jobs/{id}/checkpoints": checkpoints,
    "POST /fine_tuning/jobs/{id}/cancel": cancel,
    "POST /fine_tuning/jobs/{id}/pause": pause,
    "POST /fine_tuning/jobs/{id}/resume": resume,
}
