"""The page that trains a student: a plain classifier on this machine that learns from a slow or
paid one."""

from __future__ import annotations

from datasette.utils.asgi import Response

from ...jobs.compare import student_request
from ...jobs.load_classifier import is_elsewhere
from ...jobs.teaching import MOST_TAUGHT
from ...jobs.train_request import TrainRequest
from ..background_reads import require_file
from ..classifier_names import require_may_replace
from ..page_request import PageRequest
from ..permissions import TRAIN
from ..registry import page
from ..responses import form_page, show, start_training


@page("/classifiers/{name}/student", reads=TRAIN, writes=TRAIN)
async def student_page(ask: PageRequest) -> Response:
    require_file(ask)
    return await form_page(ask, _shown, _train)


async def _train(ask: PageRequest) -> Response:
    classifier, name = ask.classifier, ask.one("name").strip() or None
    request = student_request(classifier, TrainRequest(name=name))
    await require_may_replace(ask, str(request.name))
    return await start_training(ask, classifier.task, request)


async def _shown(ask: PageRequest) -> Response:
    classifier = ask.classifier
    data = {
        "name": ask.one("name").strip() or student_request(classifier, TrainRequest()).name,
        "most_texts": MOST_TAUGHT,
        "stored_answers_only": bool(is_elsewhere(classifier)),
        "problem": ask.refusal,
    }
    action = ask.url("classifiers", classifier.title, "student")
    return await show(ask, data, more={"action": action})
