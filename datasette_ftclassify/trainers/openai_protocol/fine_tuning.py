"""Fine-tuning from the upload of files to the model, resumed from wherever it stopped.

The training log says what has been done: `upload` (files are being sent), `create` (a job is being
requested, and may exist), `follow` (it exists), `over` (it ended without a model). Each is written
before it begins, so a process that is killed between any two lines pays for nothing twice.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import openai

from ...core.errors import JobStopped, TrainingError
from ...core.service_model import OVER
from ..access import Endpoint
from ..base import Limits
from ..service import FineTunedModel, TrainingLog, TrainingSpec
from ..service_errors import RowRejected, ServiceRefused
from .create_job import create_job, find_job
from .follow_job import cancel_job, follow, pause_job
from .job_result import collect_result, failure
from .training_requests import TrainingSession
from .uploads import FILE_BYTES, PART_BYTES, delete_files, send_files

POLL_SECONDS = (1.0, 15.0)
"""Seconds of the first and the longest wait between two requests for the state of a job."""


def train(
    client: openai.OpenAI,
    spec: TrainingSpec,
    training_log: TrainingLog,
    endpoint: Endpoint,
    *,
    host: str,
    limits: Limits,
    poll: tuple[float, float] = POLL_SECONDS,
    file_bytes: int = FILE_BYTES,
    part_bytes: int = PART_BYTES,
) -> FineTunedModel:
    """Goes on from what the training log says, to the end.

    host: that the client sends requests to, for people and for the header
    poll, file_bytes, part_bytes: see POLL_SECONDS, FILE_BYTES, PART_BYTES
    Raises TrainingError, ServiceProblem or JobStopped.
    """
    session = TrainingSession(client, training_log, host, poll)
    try:
        training_log.check()
        state = session.state
        job_id = state.get("job_id")
        if job_id is None:
            if state.get("step") == "create":
                files = state.get("files", {})
            else:
                files = send_files(
                    session, spec, limits, file_bytes=file_bytes, part_bytes=part_bytes
                )
            job_id = _begin(session, spec, endpoint, files)
        job = _follow(session, job_id)
    except JobStopped:
        _settle(replace(session, ignore_stop=True))
        raise
    except RowRejected as refusal:
        raise TrainingError(str(refusal)) from None
    if job.status != "succeeded":
        reason = failure(job, host)
        _end(session, str(reason))
        raise reason
    return collect_result(replace(session, ignore_stop=True), spec, job)


def _follow(session: TrainingSession, job_id: str) -> Any:
    """The job when it has ended. A refused request for its state does not end it: the error says
    so."""
    try:
        return follow(session, job_id)
    except ServiceRefused as refusal:
        raise ServiceRefused(
            f"{refusal} The training {job_id} may go on at {session.host}, and is not paid for "
            "again: fix that, then retry to follow it to its end.",
            code=refusal.code,
        ) from None


def _begin(
    session: TrainingSession, spec: TrainingSpec, endpoint: Endpoint, files: dict[str, str | None]
) -> str:
    """The id of the job, created or found, in the training log."""
    try:
        job_id = create_job(session, spec, endpoint, files)
    except (ServiceRefused, RowRejected):
        if not session.state.get("unheard"):
            # Without a job nobody has use for the files, and nobody would delete them.
            _clean_up(session)
        raise
    session.training_log.save(step="follow", job_id=job_id)
    session.training_log.event(f"Training job {job_id} at {session.host}", key=f"created-{job_id}")
    return job_id


def _settle(session: TrainingSession) -> None:
    """Passes a requested pause or cancellation on to the service."""
    wanted, state = session.training_log.wanted, session.state
    job_id = state.get("job_id")
    if job_id is None and wanted == "cancel" and state.get("step") == "create":
        job_id = find_job(session, state.get("files", {}))
    if wanted == "pause" and job_id is not None:
        pause_job(session, job_id)
    if wanted == "cancel" and job_id is not None:
        cancel_job(session, job_id)
        _end(session, f"The training was cancelled at {session.host}.")
    elif wanted == "cancel":
        _clean_up(session)


def _end(session: TrainingSession, why: str) -> None:
    """The job ended without a model: its files are of no use."""
    delete_files(session, _file_ids(session))
    # The last thing that is done: another training may begin, if somebody asks for it.
    session.training_log.save(step=OVER, why=why)


def _clean_up(session: TrainingSession) -> None:
    """There is no job: the files go, and the training can begin anew."""
    ids = _file_ids(session)
    if session.state.get("step") is not None:
        session.training_log.save(step="upload", files={}, uploads={})
    delete_files(session, ids)


def _file_ids(session: TrainingSession) -> list[str]:
    return [id for id in session.state.get("files", {}).values() if id]
