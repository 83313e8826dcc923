"""Creating the job: the one request that costs money, and must not be made twice.

The request is noted in the training log before it is sent. When it is not known whether it arrived
(a lost connection, an error of the server, a process that was killed), the job is looked for by its
tag and its file before another request is sent.
"""

from __future__ import annotations

import re
from typing import Any

import openai

from ..access import Endpoint
from ..service import TrainingSpec
from ..service_errors import TryAgain
from .errors import FAILURES, problem
from .training_options import extra_fields, hyperparameters
from .training_requests import TRIES, TrainingSession

TAG = "ftclassify"
"""The key in the job's metadata under which the training log's tag stands."""

CREATES = 3
"""Times that a job is asked for at most when it stays unknown whether that was heard."""

LOOKS = 4
"""Times that a job is looked for: a list may lag behind."""

_OPTIONAL = ("metadata", "method", "seed")
_UNKNOWN = re.compile(
    r"unknown|unsupported|unrecogni[sz]ed|unexpected|extra|not (?:permitted|supported|allowed)",
    re.IGNORECASE,
)


def create_job(
    session: TrainingSession, spec: TrainingSpec, endpoint: Endpoint, files: dict[str, str | None]
) -> str:
    """The id of the training's job, which is created when there is none yet.

    Raises ServiceProblem or JobStopped; then there is no job, or the training log says that one
    may be there.
    """
    training_log = session.training_log
    if session.state.get("step") == "create":
        found = find_job(session, files)
        if found is not None:
            return found
    unheard = limited = 0
    while True:
        training_log.check()
        training_log.report_progress(f"asking {session.host} for the training", 0.0)
        training_log.save(step="create")
        try:
            return _create(session, spec, endpoint, files)
        except TryAgain as trouble:
            found = find_job(session, files, after=trouble.after)
            if found is not None:
                return found
            unheard += not trouble.rate_limited
            limited += trouble.rate_limited
            if unheard:
                training_log.save(
                    unheard=True
                )  # a job may be there whatever is answered from now on
            if unheard >= CREATES or limited >= TRIES:
                raise


def find_job(
    session: TrainingSession, files: dict[str, str | None], *, after: float | None = None
) -> str | None:
    """The id of the job with our tag or our file; None when it was not there each time.

    A list that cannot be had is waited for: without it, nothing may be created.
    Raises ServiceRefused when it is never to be had, JobStopped when a pause or cancellation is
    requested, and TryAgain after TRIES attempts when that is ignored.
    """
    looked = failed = 0
    while True:
        try:
            found = _look(session, files.get("train"))
            looked += 1
            failed = 0
        except TryAgain as trouble:
            found, after = None, trouble.after
            failed += 1
            if failed >= TRIES and session.ignore_stop:
                raise
        if found is not None or looked >= LOOKS:
            return found
        session.wait(looked + failed - 1, after)
        session.check_cancelled()


def _look(session: TrainingSession, file_id: str | None) -> str | None:
    tag = session.training_log.tag
    for page in session.pages(lambda: session.client.fine_tuning.jobs.list(limit=100)):
        for job in page:
            metadata = getattr(job, "metadata", None)
            tagged = isinstance(metadata, dict) and metadata.get(TAG) == tag
            if tagged or (file_id and getattr(job, "training_file", None) == file_id):
                return str(job.id)
    return None


def _create(
    session: TrainingSession, spec: TrainingSpec, endpoint: Endpoint, files: dict[str, str | None]
) -> str:
    """One job. Raises ServiceProblem; after TryAgain it may be there all the same."""
    while True:
        without = session.state.get("without", [])
        try:
            job = session.client.fine_tuning.jobs.create(
                **_fields(session.training_log.tag, spec, endpoint, files, without)
            )
        except FAILURES as error:
            # A refusal creates nothing, so asking at once without the field is safe.
            field = refused_field(error)
            if field is None or field in without:
                raise problem(error) from None
            session.training_log.save(without=[*without, field])
            session.training_log.event(
                f"{session.host} does not take the field {field}: asked without it"
            )
            continue
        id = getattr(job, "id", None)
        if not isinstance(id, str) or not id:
            raise TryAgain(f"{session.host} answered something that is not in OpenAI's form.")
        return id


def _fields(
    tag: str,
    spec: TrainingSpec,
    endpoint: Endpoint,
    files: dict[str, str | None],
    without: list[str],
) -> dict[str, Any]:
    options = spec.options
    extra, legacy, beside = extra_fields(options, endpoint)
    chosen = {**beside, **hyperparameters(spec)}
    fields: dict[str, Any] = {"model": spec.model, "training_file": files["train"]}
    if "seed" not in without:
        fields["seed"] = options.seed
    if files.get("validation"):
        fields["validation_file"] = files["validation"]
    if options.suffix is not None:
        fields["suffix"] = options.suffix
    if options.wandb is not None:
        fields["integrations"] = [{"type": "wandb", "wandb": {"project": options.wandb}}]
    if legacy or "method" in without:
        fields["hyperparameters"] = chosen
    else:
        fields["method"] = {"type": "supervised", "supervised": {"hyperparameters": chosen}}
    if not legacy and "metadata" not in without:
        fields["metadata"] = {TAG: tag}
    if extra:
        fields["extra_body"] = extra
    return fields


def refused_field(error: Exception) -> str | None:
    """Which of the fields that some servers do not have was refused, if that was the reason."""
    if not isinstance(error, openai.APIStatusError) or error.status_code not in (400, 422):
        return None
    if error.param in _OPTIONAL:
        return str(error.param)
    said = str(error)
    if error.param is not None or not _UNKNOWN.search(said):
        return None
    return next((name for name in _OPTIONAL if re.search(rf"\b{name}\b", said)), None)
