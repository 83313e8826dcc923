"""The page that trains a student: a plain classifier on this machine that learns from a slow or
paid one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from datasette.utils.asgi import Forbidden, NotFound

from ...core.errors import FtclassifyError
from ...jobs.compare import student_request
from ...jobs.load_classifier import is_elsewhere
from ...jobs.teaching import MOST_TAUGHT
from ...jobs.train import submit_train
from ...jobs.train_request import TrainRequest
from ...store.classifiers import list_classifiers
from ...trainers.access import Access
from ..background_reads import path_of, queue_aside
from ..classifier_names import may_all
from ..permissions import TRAIN
from ..registry import page
from ..responses import done, show

if TYPE_CHECKING:
    from datasette.utils.asgi import Response

    from ...store.classifiers import Classifier
    from ..page_request import PageRequest


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
    classifier = ask.classifier
    assert classifier is not None
    if not ask.db.is_mutable:
        raise NotFound(f"{ask.database} cannot be changed here, so nothing can be trained in it.")
    path_of(ask)
    if ask.method != "POST":
        return await _shown(ask, classifier)
    try:
        return await _train(ask, classifier)
    except (FtclassifyError, Forbidden) as error:
        if ask.wants_json:
            raise
        return await _shown(ask, classifier, problem=str(error))


async def _train(ask: PageRequest, classifier: Classifier) -> Response:
    name = ask.one("name").strip() or None
    request = student_request(classifier, TrainRequest(name=name))
    known = await ask.read(lambda conn: {other.name for other in list_classifiers(conn)})
    if request.name in known and not await may_all(ask, TRAIN, str(request.name)):
        # A new version would answer in the place of one that belongs to another table.
        raise Forbidden(f"You may not train a new version of {request.name}: choose another name.")
    job = await queue_aside(
        ask, lambda conn: submit_train(conn, classifier.task, request, access=Access())
    )
    return await done(ask, ask.url("jobs", job.id), {"job": job.to_dict()}, "Training started.")


async def _shown(ask: PageRequest, classifier: Classifier, *, problem: str = "") -> Response:
    data: dict[str, Any] = {
        "classifier": classifier.name,
        "version": classifier.version,
        "name": ask.one("name").strip() or student_request(classifier, TrainRequest()).name,
        "most_texts": MOST_TAUGHT,
        "stored_answers_only": bool(is_elsewhere(classifier)),
        "problem": problem or None,
    }
    if problem:
        data |= {"error": problem, "errors": [problem], "status": 400}
    more = {
        "title": classifier.title,
        "back": ask.url("classifiers", classifier.title),
        "action": ask.url("classifiers", classifier.title, "student"),
    }
    return await show(ask, data, more=more, status=400 if problem else 200)
