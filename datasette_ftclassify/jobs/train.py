"""Training: from a task to a stored classifier that has been evaluated."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..core.errors import (
    AccessError,
    ArtifactError,
    EvaluationError,
    FtclassifyError,
    JobPaused,
    LimitReached,
    TrainingError,
)
from ..core.examples import Record
from ..core.job_events import JUDGED_AGAIN, NOT_JUDGED
from ..core.service_model import OVER
from ..core.task import Task
from ..ledger import Ledger, Limits
from ..metrics.result import Evaluation
from ..store.classifiers import Classifier, find_by_id, find_by_uid
from ..store.evaluations import TEST, VALIDATION
from ..store.jobs.job import Job
from ..store.jobs.state import add_event, add_job, find_unfinished, note_terms
from ..store.schema import ensure_schema, transaction
from ..store.spending import spent_by_job
from ..store.summaries import Summary
from ..trainers.access import Access
from ..trainers.base import Learner, Progress, Trainer, no_progress
from ..trainers.configuration import read_access
from ..trainers.embeddings.trainer import EmbeddingsTrainer
from ..trainers.registry import get_trainer
from ..trainers.service import Service
from ..trainers.service_errors import ServiceProblem
from .agreements import agree
from .evaluate import evaluate_classifier
from .lease import Lease, leased
from .load_classifier import service_of
from .remote.budget import lowest
from .remote.vectors import VectorLearner
from .settings import TrainSettings, settings_of
from .step_progress import recorded
from .train_local import train_here
from .train_plan import (
    TrainEstimate,
    TrainPlan,
    check_limits,
    estimate_plan,
    local_of_split,
    plan_training,
)
from .train_request import TrainRequest
from .train_service import ServiceTraining
from .vector_plan import estimate_vectors


@dataclass(frozen=True)
class TrainResult:
    """A new classifier.

    metrics:       on the test split; None where there are none, and then
    not_evaluated: says why
    local:         classifiers made on this machine from the same split, when this one was not
    usd:           spent on the training and its evaluation
    """

    classifier: Classifier
    metrics: Evaluation | None
    not_evaluated: str | None = None
    local: tuple[Summary, ...] = ()
    usd: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        classifier = self.classifier
        return {
            "classifier": classifier.name,
            "version": classifier.version,
            "trainer": classifier.trainer,
            "kind": classifier.labels.kind,
            "labels": list(classifier.labels.values),
            "rows": classifier.report["rows"],
            "left_out": classifier.report["left_out"],
            "shared_with_train": classifier.report["shared_with_train"],
            "report": classifier.report,
            "metrics": self.metrics,
            "not_evaluated": self.not_evaluated,
            "local": [{**s.to_dict(), "metrics": s.metrics} for s in self.local],
            "usd": self.usd,
        }


def train_classifier(
    conn: sqlite3.Connection,
    task: Task,
    request: TrainRequest | None = None,
    *,
    access: Access | None = None,
    progress: Progress = no_progress,
) -> TrainResult:
    """Splits the task's rows, trains on them, stores the classifier, evaluates it.

    A trainer in this process learns from train and validation rows alike, since it validates by
    cross-validation. A service costs money: nobody is asked here (see `confirm_train`), but limits
    are kept. access: what may be reached and spent; None: what the environment says
    Raises TrainingError when the rows do not suffice or the service refuses them, LimitReached
    before anything is sent, ServiceProblem when the service fails (the same request goes on),
    JobError when another process is at it.
    """
    job = submit_train(conn, task, request or TrainRequest(), access=access)
    return run_submitted(conn, job, access=access, progress=progress)


def submit_train(
    conn: sqlite3.Connection,
    task: Task,
    request: TrainRequest,
    estimate: TrainEstimate | None = None,
    *,
    access: Access | None = None,
) -> Job:
    """A queued job that does what `train_classifier` says, and a person's agreement to it.

    estimate: what somebody agreed to pay; a training that would cost more needs a new agreement
    access:   None: from the environment
    """
    ensure_schema(conn)
    with transaction(conn):
        job = add_job(conn, "train", request.settings(task))
        if estimate is not None or request.limit_usd is not None:
            terms = estimate.to_dict() if estimate is not None else job.estimate or {}
            job = note_terms(conn, job.id, {**terms, "limit_usd": request.limit_usd})
        usd = None if estimate is None else estimate.usd
        agree(conn, job, access or read_access(), request.limit_usd, usd)
    return job


def begun(conn: sqlite3.Connection, task: Task, request: TrainRequest) -> Job | None:
    """The unfinished job that was asked for in the same words, and has been agreed to: it has begun
    to send, or more. None where its training ended without a model: another one costs money anew.
    """
    job = find_unfinished(conn, "train", request.settings(task))
    if job is None:
        return None
    log = job.at_service
    return job if log.prepared and log.step != OVER else None


def run_submitted(
    conn: sqlite3.Connection,
    job: Job,
    *,
    access: Access | None = None,
    progress: Progress = no_progress,
) -> TrainResult:
    """Runs a queued training to its end. Raises as `train_classifier` does."""
    with leased(conn, job.id, access) as lease:
        result = run_train(lease, progress, access)
        lease.result = result.to_dict()
    return result


def plan_and_estimate(
    conn: sqlite3.Connection,
    task: Task,
    request: TrainRequest,
    trainer: Service,
    access: Access,
    *,
    download: bool = False,
    see: Callable[[Record], None] | None = None,
) -> tuple[TrainPlan, TrainEstimate]:
    """What a training at a service will send and cost. Sends no request and writes nothing.

    see: as of `read_rows`
    Raises what would stop the training before it was sent: TrainingError, AccessError, or
    LimitReached when it would cost more than it may.
    """
    plan = plan_training(conn, task, request, trainer, access, see)
    if isinstance(trainer, EmbeddingsTrainer):
        estimate = estimate_vectors(conn, task, plan, trainer, access, download=download)
    else:
        estimate = estimate_plan(conn, task, plan, trainer, access, download=download)
    limits = Limits(lowest(request.limit_usd, access.usd_per_job), access.usd_per_day)
    check_limits(estimate, Ledger(access.ledger).rooms(None, limits))
    return plan, estimate


def run_train(
    lease: Lease, progress: Progress = no_progress, access: Access | None = None
) -> TrainResult:
    """Runs a claimed job. A classifier that an interrupted attempt stored is not trained again."""
    conn, job = lease.conn, lease.job
    settings = settings_of(job, TrainSettings)
    task, request = settings.task, settings.request
    trainer = get_trainer(request.trainer)
    if access is None:
        access = read_access() if isinstance(trainer, Service) else Access()

    report_progress = recorded(lease, progress)
    if job.classifier_id is None and isinstance(trainer, EmbeddingsTrainer):
        learner = VectorLearner(lease, trainer, access, request.host)
        train_here(lease, task, request, trainer.capabilities, learner.train, report_progress)
    elif job.classifier_id is None and isinstance(trainer, Service):
        ServiceTraining(lease, task, request, trainer, access, progress).run()
    elif job.classifier_id is None and isinstance(trainer, Learner):
        able = trainer.capabilities
        train_here(lease, task, request, able, trainer.train, report_progress)
    elif job.classifier_id is None:
        raise TrainingError(f"The trainer {trainer.name} can neither train here nor elsewhere.")
    classifier = find_by_id(conn, int(job.classifier_id or 0))
    report_progress("evaluating", 0.98)
    if request.sweep is None:
        metrics, why = _evaluate(lease, classifier, access)
    else:
        metrics, why = None, _answer_validation(lease, classifier, trainer, access)
    _judge_former(lease, request)
    local: list[Summary] = []
    if isinstance(trainer, Service):
        local = local_of_split(conn, classifier.split_id)
    return TrainResult(classifier, metrics, why, tuple(local), spent_by_job(conn, job.id).usd)


def _judge_former(lease: Lease, request: TrainRequest) -> None:
    """Of a new version: judges the one before by the labels as they are now, too, where that costs
    nothing."""
    if request.version_of is None:
        return
    try:
        first = find_by_uid(lease.conn, request.version_of)
        if service_of(first) is None:
            evaluate_classifier(lease.conn, first)
            add_event(
                lease.conn,
                lease.job,
                JUDGED_AGAIN,
                f"{first.title} was evaluated on the same rows again",
            )
    except FtclassifyError as error:  # it is gone, or damaged: the new one is there all the same
        add_event(
            lease.conn,
            lease.job,
            NOT_JUDGED,
            f"the previous version was not evaluated again: {error}",
        )


_IN_A_SWEEP = "Only the one that the sweep chooses is tested."

_NOT_NOW = (
    EvaluationError, ServiceProblem, AccessError, LimitReached, ArtifactError, JobPaused,
)  # fmt: skip


def _answer_validation(
    lease: Lease, classifier: Classifier, trainer: Trainer, access: Access
) -> str:
    """In a sweep, in the place of the test; gives why there is none. What is trained on this
    machine has learnt from the validation rows, too, and answers them out of fold."""
    if isinstance(trainer, Learner) and trainer.capabilities.trains:
        return _IN_A_SWEEP
    _, why = _evaluate(lease, classifier, access, VALIDATION)
    return why or _IN_A_SWEEP


def _evaluate(
    lease: Lease, classifier: Classifier, access: Access, split: str = TEST
) -> tuple[Evaluation | None, str | None]:
    """The metrics, or why there are none: a training that was paid for has not failed because its
    model cannot be asked yet."""
    try:
        found = evaluate_classifier(lease.conn, classifier, access=access, lease=lease, split=split)
        return found, None
    except _NOT_NOW as error:
        return None, str(error)
