"""The page that evaluates a classifier on the rows that were held back for that.

What costs money shows its price, what was found in the rows and what leaves the machine first. The
work itself is a job of the worker.
"""

from __future__ import annotations

from typing import Any

from datasette.utils.asgi import Forbidden, Response

from ...core.errors import EvaluationError, FtclassifyError
from ...core.numbers import LIMIT_USD
from ...core.typed_json import as_json
from ...jobs.confirming import EvaluateConfirmation, confirm_evaluate
from ...jobs.evaluate import submit_evaluate
from ...jobs.load_classifier import paid_service
from ...jobs.remote.model_names import deploy
from ...jobs.remote.models import deploys
from ...store.classifiers import Classifier, find_by_id
from ...trainers.access import Access
from ..background_reads import bring_up_to_date, queue_aside, read_aside, require_own_condition
from ..finding_links import review_urls
from ..form_fields import number
from ..operator_settings import access_of
from ..page_request import PageRequest
from ..paying import require_may_pay, require_priced, require_said
from ..permissions import DELETE, TRAIN
from ..registry import page
from ..responses import done, form_page, show
from .classify import asks_to_confirm


@page("/classifiers/{name}/evaluate", reads=TRAIN, writes=TRAIN)
async def evaluate_page(ask: PageRequest) -> Response:
    return await form_page(ask, _show, _start)


async def _start(ask: PageRequest) -> Response:
    classifier = ask.classifier
    access = await _require(ask, classifier)
    classifier = await _deployed(ask, classifier, access)
    if paid_service(classifier) is not None:
        await bring_up_to_date(ask)
    found = await _confirmation(ask, classifier, access)
    limit = number("limit_usd", ask.one("limit_usd"), LIMIT_USD)
    estimate = None if found is None else found.estimate
    if found is not None and found.estimate.requests:
        asks = asks_to_confirm(classifier.title, found.estimate)
        data, refusal = _about(classifier, found, None), found.review.refusal
        require_said(ask, ask.checked("confirm"), asks, found, refusal=refusal, data=data)
    job = await queue_aside(
        ask,
        lambda conn: submit_evaluate(
            conn, classifier.id, limit_usd=limit, estimate=estimate, access=access
        ),
    )
    where = ask.url("jobs", job.id)
    return await done(ask, where, {"job": job.id, "url": where})


async def _require(ask: PageRequest, classifier: Classifier) -> Access:
    """Raises FtclassifyError when the visitor cannot have it evaluated here."""
    if not ask.db.path or not ask.db.is_mutable:
        raise EvaluationError(
            f"{ask.database} cannot be changed here, so an evaluation could not be kept in it."
        )
    access = await access_of(ask.datasette)
    if paid_service(classifier) is not None:
        await require_may_pay(ask, classifier.title, access)
    return access


async def _deployed(ask: PageRequest, classifier: Classifier, access: Access) -> Classifier:
    """The classifier, once it is noted by which name it is asked, where one was given."""
    name = ask.one("deployment").strip()
    if not name:
        return classifier
    if not await ask.may(DELETE):
        raise Forbidden(f"To name a deployment needs the permission {DELETE}.")
    return await ask.write(lambda conn: deploy(conn, find_by_id(conn, classifier.id), name, access))


async def _confirmation(
    ask: PageRequest, classifier: Classifier, access: Access
) -> EvaluateConfirmation | None:
    if paid_service(classifier) is not None:  # else nothing is read here
        await require_own_condition(ask)
    found = await read_aside(ask, lambda conn: confirm_evaluate(conn, classifier, access))
    if found is not None:
        require_priced(classifier.title, found.estimate)
    return found


def _about(
    classifier: Classifier, found: EvaluateConfirmation | None, problem: str | None
) -> dict[str, Any]:
    """found: None: it costs nothing, or nobody knows what; problem: why it cannot be evaluated"""
    about = {"paid": paid_service(classifier) is not None, "problem": problem}
    return {**about, **({"estimate": None, "review": None} if found is None else as_json(found))}


async def _show(ask: PageRequest) -> Response:
    confirmation, problem = ask.to_agree(EvaluateConfirmation), ask.refusal
    # Once more, since a deployment may have been noted before something else was refused.
    classifier = await ask.read(lambda conn: find_by_id(conn, ask.classifier.id))
    if confirmation is None:
        try:
            access = await _require(ask, classifier)
            confirmation = await _confirmation(ask, classifier, access)
        except FtclassifyError as error:
            problem = problem or str(error)
    more = {
        "action": ask.url("classifiers", classifier.title, "evaluate"),
        "asks": classifier.at_service,
        "price": None if confirmation is None else confirmation.estimate.price,
        "found": None if confirmation is None else confirmation.review,
        **await review_urls(ask, confirmation, classifier.task.source),
        "needs_deployment": deploys(classifier) and not classifier.at_service.deployment,
        "typed": {name: ask.one(name) for name in ("deployment", "limit_usd")},
        "may_deploy": await ask.may(DELETE),
    }
    return await show(ask, _about(classifier, confirmation, problem), more=more)
