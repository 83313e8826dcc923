"""A new version of a classifier, trained as the one before was, on the labels as they are now."""

from __future__ import annotations

import sqlite3
from contextlib import suppress
from dataclasses import replace

from ..core.errors import FtclassifyError, TrainingError
from ..core.task import Task
from ..ledger import identity_of
from ..store.classifiers import Classifier, list_classifiers
from ..store.jobs.job import Job
from ..store.jobs.queries import newest_jobs
from ..trainers.access import Access
from ..trainers.base import Learner, TrainerOptions
from ..trainers.configuration import read_access
from ..trainers.registry import get_trainer
from .agreements import agreement_to, agreements_in, check_brought, key_of
from .settings import TrainSettings, settings_of
from .train_request import TrainRequest
from .version_rows import task_now, version_changes


def version_request(
    conn: sqlite3.Connection, first: Classifier, access: Access | None = None
) -> tuple[Task, TrainRequest]:
    """What trains a new version of a classifier: its task as the labels are now, for which the
    table may be read, and its former settings. Raises as `check_former` does."""
    check_former(conn, first, access)
    return task_now(conn, first), former_request(conn, first)


def has_new_labels(conn: sqlite3.Connection, first: Classifier) -> bool:
    """Whether the rows have labels that the newest version of a classifier, which need not be in
    use, was not trained with. Reads the table's rows."""
    newest = list_classifiers(conn, name=first.name)[0]
    return version_changes(conn, newest).has_new_labels


def only_if_better(request: TrainRequest) -> TrainRequest:
    """The request for a version that is used only if it is as good as the one before. Raises
    TrainingError where that is not known: at a service."""
    if not isinstance(get_trainer(request.trainer), Learner):
        raise TrainingError(
            f"{request.name} is trained at a service, which answers nothing out of fold that two "
            "versions could be compared by: train it without that condition."
        )
    return replace(request, only_if_better=True)


def former_request(conn: sqlite3.Connection, first: Classifier) -> TrainRequest:
    """The settings with which a classifier was trained, for a new version of it, as far as its
    training is known; else the usual ones of its trainer. For showing: see `version_request`."""
    return _former(conn, first)[1]


def check_former(conn: sqlite3.Connection, first: Classifier, access: Access | None = None) -> None:
    """Raises TrainingError for a classifier that nobody here trained, and that has settings which
    no file may bring, see `agreements.check_brought`. access: None: from the environment"""
    job = _former(conn, first)[0]
    if job is not None and agreement_to(conn, job, access or read_access()) is None:
        check_brought(job)


def require_own_condition(conn: sqlite3.Connection, first: Classifier, access: Access) -> None:
    """Raises TrainingError for a classifier whose rows are chosen by SQL that nobody here has
    agreed to: whoever made the file wrote it, and it is not to run in a server's own process."""
    task = first.task
    if task.where is None and task.other is None:
        return
    agreed = agreements_in(identity_of(conn), access)  # once: a file may hold any number of jobs
    for job in newest_jobs(conn, kind="train", state="finished"):
        if key_of(conn, job) not in agreed:
            continue
        with suppress(FtclassifyError):
            known = settings_of(job, TrainSettings).task
            same = (known.where, known.other) == (task.where, task.other)
            if same and agreement_to(conn, job, access) is not None:
                return
    raise TrainingError(
        f"The rows of {first.title} are chosen by a condition in SQL that came with the file, and "
        "nobody on this machine has agreed to it: no page runs it. Do this on the command line, or "
        "train it anew."
    )


def _former(conn: sqlite3.Connection, first: Classifier) -> tuple[Job | None, TrainRequest]:
    """The job that trained a classifier, if its settings can be read, and see `former_request`."""
    found = None
    request = TrainRequest(trainer=first.trainer, options=TrainerOptions(seed=first.seed))
    for job in newest_jobs(conn, kind="train", state="finished"):
        if job.classifier_id == first.id:
            with suppress(FtclassifyError):
                request = settings_of(job, TrainSettings).request
                found = job
            break
    return found, replace(
        request,
        name=first.name,
        trainer=first.trainer,
        like=None,
        on_predictions=False,
        version_of=first.uid,
    )
