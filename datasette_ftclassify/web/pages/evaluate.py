"""The page that evaluates a classifier on the rows that were held back for that.

What costs money shows its price, what was found in the rows and what leaves the machine first. The
work itself is a job of the worker.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from datasette.utils.asgi import Forbidden

from ...core.errors import AccessError, EvaluationError, FtclassifyError
from ...core.numbers import LIMIT_USD
from ...jobs.confirming import EvaluateConfirmation, confirm_evaluate
from ...jobs.evaluate import submit_evaluate
from ...jobs.load_classifier import service_of
from ...jobs.remote.model_names import deploy
from ...jobs.remote.models import deploys
from ...store.classifiers import find_by_id
from ..background_reads import bring_up_to_date, queue_aside, read_aside
from ..finding_links import check_url, review_urls
from ..form_fields import number
from ..operator_settings import access_of, require_limits
from ..permissions import DELETE, SPEND, TRAIN
from ..registry import page
from ..responses import done, show
from .classify import TICK, asks_to_confirm

if TYPE_CHECKING:
    from datasette.utils.asgi import Response

    from ...store.classifiers import Classifier
    from ...trainers.access import Access
    from ..page_request import PageRequest


@dataclass(frozen=True)
class _Shown:
    """confirmation: None: it costs nothing, or nobody knows what
    problem:      why it cannot be evaluated now
    """

    classifier: Classifier
    paid: bool
    confirmation: EvaluateConfirmation | None = None
    problem: str | None = None
    status: int = 200


@page(
    "/classifiers/{name}/evaluate",
    "classifier",
    "ftclassify_evaluate.html",
    reads=TRAIN,
    writes=TRAIN,
)
async def evaluate_page(ask: PageRequest) -> Response:
    """GET, POST /DB/-/ftclassify/classifiers/NAME/evaluate: starts an evaluation.

    POST takes what somebody agreed to, where it costs money: `confirm`, `limit_usd`, and
    `despite_findings` for errors in the rows; and `deployment`, the name under which a service
    answers for a model that has to be deployed there.
    """
    classifier = ask.classifier
    assert classifier is not None
    service = service_of(classifier)
    paid = service is not None and service.capabilities.costs_money
    if ask.method == "POST":
        return await _post(ask, classifier, paid)
    try:
        access = await _require(ask, classifier, paid)
        confirmation = await _confirmation(ask, classifier, access)
    except (Forbidden, FtclassifyError) as error:
        return await _show(ask, _Shown(classifier, paid, problem=str(error)))
    return await _show(ask, _Shown(classifier, paid, confirmation))


async def _post(ask: PageRequest, classifier: Classifier, paid: bool) -> Response:
    access = await _require(ask, classifier, paid)
    confirmation = None
    try:
        classifier = await _deployed(ask, classifier, access)
        if paid:
            await bring_up_to_date(ask)
        confirmation = await _confirmation(ask, classifier, access)
        limit = number("limit_usd", ask.one("limit_usd"), LIMIT_USD)
    except FtclassifyError as error:
        if ask.wants_json:
            raise
        return await _show(ask, _Shown(classifier, paid, confirmation, str(error), 400))
    review = None if confirmation is None else confirmation.review
    estimate = None if confirmation is None else confirmation.estimate
    confirmed = ask.checked("confirm")
    despite = review is None or review.refusal is None or ask.checked("despite_findings")
    if estimate is not None and estimate.requests and not (confirmed and despite):
        problem = f"{review.refusal} {TICK}" if review and confirmed else None
        shown = _Shown(classifier, paid, confirmation, problem, 400 if confirmed else 200)
        return await _show(ask, shown)
    job = await queue_aside(
        ask,
        lambda conn: submit_evaluate(
            conn, classifier.id, limit_usd=limit, estimate=estimate, access=access
        ),
    )
    where = ask.url("jobs", job.id)
    return await done(ask, where, {"job": job.id, "url": where})


async def _require(ask: PageRequest, classifier: Classifier, paid: bool) -> Access:
    """Raises Forbidden or FtclassifyError when the visitor cannot have it evaluated here."""
    if not ask.db.path or not ask.db.is_mutable:
        raise EvaluationError(
            f"{ask.database} cannot be changed here, so an evaluation could not be kept in it."
        )
    access = await access_of(ask.datasette)
    if paid:
        if not await ask.may(SPEND):
            raise Forbidden(f"{classifier.title} costs money: that needs the permission {SPEND}.")
        require_limits(classifier.title, access)
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
    found = await read_aside(ask, lambda conn: confirm_evaluate(conn, classifier, access))
    if found is not None and found.estimate.requests and found.estimate.usd is None:
        raise AccessError(f"{classifier.title} cannot be kept to a limit: {found.estimate.note}")
    return found


async def _show(ask: PageRequest, shown: _Shown) -> Response:
    classifier, confirmation = shown.classifier, shown.confirmation
    data: dict[str, Any] = {
        "classifier": classifier.name, "version": classifier.version, "paid": shown.paid,
        "problem": shown.problem, "estimate": None, "review": None,
    }  # fmt: skip
    if confirmation is not None:
        data |= confirmation.to_dict()
    if ask.wants_json and ask.method == "POST" and confirmation is not None:
        asked = {"classifier": classifier.title, "price": confirmation.estimate.price,
                "estimate": data["estimate"]}  # fmt: skip
        why = asks_to_confirm(asked, confirmation.review.refusal, ask.checked("confirm"))
        data |= {"error": why, "errors": [why], "status": 400}
        return await show(ask, data, status=400)
    more = {
        "title": classifier.title,
        "back": ask.url("classifiers", classifier.title),
        "action": ask.url("classifiers", classifier.title, "evaluate"),
        "asks": classifier.at_service,
        "price": None if confirmation is None else confirmation.estimate.price,
        "found": None if confirmation is None else confirmation.review,
        "row_urls": await review_urls(ask, confirmation, classifier.task.source),
        "check_url": await check_url(ask, confirmation, classifier.task.source),
        "needs_deployment": deploys(classifier) and not classifier.at_service.deployment,
        "typed": {name: ask.one(name) for name in ("deployment", "limit_usd")},
        "may_deploy": await ask.may(DELETE),
    }
    return await show(ask, data, more=more, status=shown.status)
