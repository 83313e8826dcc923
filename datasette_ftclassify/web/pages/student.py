"""The page that trains a student: a plain classifier on this machine that learns from a slow or
paid one."""

from __future__ import annotations

from datasette.utils.asgi import Response

from ...jobs.compare import student_request
from ...jobs.load_classifier import is_elsewhere
from ...jobs.teaching import MOST_TAUGHT
from ...jobs.train import submit_train
from ...jobs.train_request import TrainRequest
from ...trainers.access import Access
from ..background_reads import queue_aside, require_file
from ..classifier_names import require_may_replace
from ..page_request import PageRequest
from ..permissions import TRAIN
from ..registry import page
from ..responses import form_page, job_done, show


@page(
    "/classifiers/{name}/student",
    "classifier",
    "ftclassify_student.html",
    reads=TRAIN,
    writes=TRAIN,
)
async def student_page(ask: PageRequest) -> Response:
    """GET, POST /DB/-/ftclassify/classifiers/NAME/student: what a student learns from, and the
    start of its training. POST takes its `name`, else NAME-student. Nothing is sent or paid."""
    require_file(ask)
    return await form_page(ask, _shown, _train)


async def _train(ask: PageRequest) -> Response:
    classifier, name = ask.classifier, ask.one("name").strip() or None
    request = student_request(classifier, TrainRequest(name=name))
    await require_may_replace(ask, str(request.name))
    job = await queue_aside(
        ask, lambda conn: submit_train(conn, classifier.task, request, access=Access())
    )
    return await job_done(ask, ask.url("jobs", job.id), job, "Training started.")


async def _shown(ask: PageRequest) -> Response:
    classifier = ask.classifier
    data = {
        "classifier": classifier.name,
        "version": classifier.version,
        "name": ask.one("name").strip() or student_request(classifier, TrainRequest()).name,
        "most_texts": MOST_TAUGHT,
        "stored_answers_only": bool(is_elsewhere(classifier)),
        "problem": ask.refusal,
    }
    more = {
        "action": ask.url("classifiers", classifier.title, "student"),
    }
    return await show(ask, data, more=more)
