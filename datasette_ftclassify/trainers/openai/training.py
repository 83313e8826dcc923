"""A training from its files to its model, gone on with wherever it was left.

The diary says what has been done: `upload` (files are being sent), `create` (a job is being asked
for, and may be there), `follow` (it is there), `over` (it ended without a model). Each stands there
before it begins, so a process that is killed between any two lines pays for nothing twice.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import openai

from ...errors import JobStopped, TrainingError
from ..access import Endpoint
from ..base import Limits
from ..service import OVER, Diary, Order, RowRejected, ServiceRefused, Tuned
from .conversation import Conversation
from .creating import create_job, find_job
from .following import cancel_job, follow, pause_job
from .outcome import failure, harvest
from .uploads import FILE_BYTES, PART_BYTES, delete_files, send_files

POLL_SECONDS = (1.0, 15.0)
"""The first and the longest wait between two questions about a job."""


def train(
    client: openai.OpenAI,
    order: Order,
    diary: Diary,
    endpoint: Endpoint,
    *,
    host: str,
    limits: Limits,
    poll: tuple[float, float] = POLL_SECONDS,
    file_bytes: int = FILE_BYTES,
    part_bytes: int = PART_BYTES,
) -> Tuned:
    """Goes on from what the diary says, to the end.

    host: that the client asks, for people and for the header
    poll, file_bytes, part_bytes: see POLL_SECONDS, FILE_BYTES, PART_BYTES
    Raises TrainingError, ServiceProblem or JobStopped.
    """
    talk = Conversation(client, diary, host, poll)
    try:
        diary.check()
        job_id = diary.state.get("job_id")
        if job_id is None:
            if diary.state.get("step") == "create":
                files = dict(diary.state["files"])
            else:
                files = send_files(
                    talk, order, limits, file_bytes=file_bytes, part_bytes=part_bytes
                )
            job_id = _begin(talk, order, endpoint, files)
        job = _follow(talk, job_id)
    except JobStopped:
        _settle(replace(talk, deaf=True))
        raise
    except RowRejected as refusal:
        raise TrainingError(str(refusal)) from None
    if job.status != "succeeded":
        reason = failure(job, host)
        _end(talk, str(reason))
        raise reason
    return harvest(replace(talk, deaf=True), order, job)


def _follow(talk: Conversation, job_id: str) -> Any:
    """The job when it has ended. A refusal to tell about it does not end it, which is said."""
    try:
        return follow(talk, job_id)
    except ServiceRefused as refusal:
        raise ServiceRefused(
            f"{refusal} The training {job_id} may go on at {talk.host}, and is not paid for again: "
            "fix that, then retry, and it is followed to its end.",
            code=refusal.code,
        ) from None


def _begin(
    talk: Conversation, order: Order, endpoint: Endpoint, files: dict[str, str | None]
) -> str:
    """The id of the job, created or found, in the diary."""
    try:
        job_id = create_job(talk, order, endpoint, files)
    except (ServiceRefused, RowRejected):
        if not talk.diary.state.get("unheard"):
            # Without a job nobody has use for the files, and nobody would delete them.
            _clean_up(talk)
        raise
    talk.diary.save(step="follow", job_id=job_id)
    talk.diary.event(f"Training job {job_id} at {talk.host}", key=f"created-{job_id}")
    return job_id


def _settle(talk: Conversation) -> None:
    """Tells the service what was wanted of the training."""
    wanted, state = talk.diary.wanted, talk.diary.state
    job_id = state.get("job_id")
    if job_id is None and wanted == "cancel" and state.get("step") == "create":
        job_id = find_job(talk, dict(state.get("files") or {}))
    if wanted == "pause" and job_id is not None:
        pause_job(talk, job_id)
    if wanted == "cancel" and job_id is not None:
        cancel_job(talk, job_id)
        _end(talk, f"The training was cancelled at {talk.host}.")
    elif wanted == "cancel":
        _clean_up(talk)


def _end(talk: Conversation, why: str) -> None:
    """The job ended without a model: its files are of no use."""
    delete_files(talk, _file_ids(talk))
    # The last thing that is done: another training may begin, if somebody asks for it.
    talk.diary.save(step=OVER, why=why)


def _clean_up(talk: Conversation) -> None:
    """There is no job: the files go, and the training can begin anew."""
    ids = _file_ids(talk)
    if talk.diary.state.get("step") is not None:
        talk.diary.save(step="upload", files={}, uploads={})
    delete_files(talk, ids)


def _file_ids(talk: Conversation) -> list[str]:
    files = talk.diary.state.get("files") or {}
    return [id for id in files.values() if id]
