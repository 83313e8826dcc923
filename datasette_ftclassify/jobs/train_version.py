"""A new version of a classifier, trained as the one before was, on the labels as they are now."""

from __future__ import annotations

import sqlite3
from dataclasses import replace

from ..core.errors import FtclassifyError
from ..core.task import Task
from ..store.classifiers import Classifier
from ..store.jobs.state import list_jobs
from ..trainers.base import TrainerOptions
from .settings import TrainSettings, settings_of
from .train_request import TrainRequest
from .version_rows import task_now


def version_request(conn: sqlite3.Connection, first: Classifier) -> tuple[Task, TrainRequest]:
    """What trains a new version of a classifier: its task as the labels are now, for which the
    table may be read, and its former settings."""
    return task_now(conn, first), former_request(conn, first)


def former_request(conn: sqlite3.Connection, first: Classifier) -> TrainRequest:
    """The settings with which a classifier was trained, for a new version of it, as far as its
    training is known; else the usual ones of its trainer."""
    options = TrainerOptions(seed=first.seed)
    request = TrainRequest(trainer=first.trainer, options=options)
    for job in list_jobs(conn, "train", "finished"):
        if job.classifier_id == first.id:
            try:
                request = settings_of(job, TrainSettings).request
            except FtclassifyError:
                break
            break
    return replace(
        request,
        name=first.name,
        trainer=first.trainer,
        like=None,
        on_predictions=False,
        version_of=first.uid,
    )
