"""The page that trains a new version of a classifier, as the one before was, on the labels as they
are now; what costs money shows its price first."""

from __future__ import annotations

import json

from datasette.utils.asgi import Response

from ...core.errors import FtclassifyError
from ...core.time_limit import TooSlow
from ...jobs.as_published import without_places
from ...jobs.confirming import TrainConfirmation
from ...jobs.train_version import (
    check_former,
    former_request,
    has_new_labels,
    only_if_better,
    version_request,
)
from ...jobs.version_rows import corrected, corrections, version_changes_of_few
from ...present.settings import settings_list
from ...trainers.base import Learner
from ...trainers.registry import get_trainer
from ..background_reads import bring_up_to_date, read_aside, require_file, require_own_condition
from ..classifier_names import require_may_replace
from ..datasette_reads import page_seconds
from ..finding_links import review_urls
from ..operator_settings import access_of, access_or_why, limits_of
from ..page_request import PageRequest
from ..paying import require_may_pay
from ..permissions import TRAIN
from ..registry import page
from ..responses import done, form_page, show, start_training
from .train import agreed_estimate

_MOST_ROWS = 20_000
"""Of the table, and of the test, that a page compares with what there was: some two seconds."""

_NOT_COUNTED = (
    "Other changes are not counted here, since the table is large; the training counts them."
)


@page("/classifiers/{name}/retrain", reads=TRAIN, writes=TRAIN)
async def retrain_page(ask: PageRequest) -> Response:
    require_file(ask)
    return await form_page(ask, _shown, _train)


async def _train(ask: PageRequest) -> Response:
    classifier = ask.classifier
    access = await access_of(ask.datasette)
    await require_own_condition(ask)
    task, request = await read_aside(ask, lambda conn: version_request(conn, classifier, access))
    if get_trainer(request.trainer).capabilities.costs_money:
        await require_may_pay(ask, f"A new version of {classifier.name}", access)
        await bring_up_to_date(ask)
    await require_may_replace(ask, classifier.name, instead="")
    if ask.checked("only_if_better"):
        request = only_if_better(request)
    if ask.checked("only_if_changed"):
        changed = await read_aside(ask, lambda conn: has_new_labels(conn, classifier))
        if not changed:
            said = f"{classifier.name} knows all labels: nothing is trained."
            where = ask.url("classifiers", classifier.title)
            return await done(ask, where, {"job": None, "said": said}, said)
    estimate = await agreed_estimate(ask, task, request, access)
    return await start_training(ask, task, request, estimate, access)


async def _shown(ask: PageRequest) -> Response:
    classifier, confirmation = ask.classifier, ask.to_agree(TrainConfirmation)
    problem = ask.refusal
    seconds = page_seconds(ask.datasette)
    access = (await access_or_why(ask.datasette))[0]
    changed = 0
    said: list[str] = []
    changes = None
    readable = True
    try:
        await require_own_condition(ask)
        await ask.read(lambda conn: check_former(conn, classifier, access))
        changed = await ask.read(lambda conn: corrections(conn, classifier))
        changes = await read_aside(
            ask, lambda conn: version_changes_of_few(conn, classifier, _MOST_ROWS), seconds
        )
    except TooSlow:
        pass
    except FtclassifyError as error:
        readable = False
        problem = problem or str(error)
    if changes is not None:
        said = changes.sentences(classifier.title)
    elif readable:
        said = [*corrected(changed, classifier.title), _NOT_COUNTED]
    request = await ask.read(lambda conn: former_request(conn, classifier))
    # As a job stores them: lists of names, not tuples.
    settings = json.loads(json.dumps(request.settings(classifier.task)))
    data = {
        "corrections": changed,
        "changes": changes,
        "said": said,
        "estimate": None if confirmation is None else confirmation.estimate.to_dict(),
        "problem": problem,
    }
    more = {
        "links": {"self": ask.url("classifiers", classifier.title, "retrain")},
        "settings_list": settings_list(without_places(settings, settings)),
        "confirmed": None if confirmation is None else confirmation.review,
        **await review_urls(ask, confirmation, classifier.task.source),
        "limits": limits_of(access),
        "ready": readable,
        "fixed": True,
        "local": isinstance(get_trainer(request.trainer), Learner),
    }
    return await show(ask, data, more=more, problem=without_places(problem, settings))
