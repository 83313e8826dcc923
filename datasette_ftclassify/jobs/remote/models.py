"""Facts about the models of classifiers at a service, their checkpoints, and their deletion."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from datetime import date

from ...core.errors import FtclassifyError
from ...core.service_model import Checkpoint, ServiceIds, checkpoints_of
from ...prompts.price_table import today
from ...store.classifiers import Classifier, add_classifier, find_classifier, list_classifiers
from ...store.spending import spent_on_classifier
from ...trainers.access import Access
from ...trainers.registry import get_trainer
from ..load_classifier import is_elsewhere, service_of, shutdown_of


@dataclass(frozen=True)
class ServiceFacts:
    """Of a classifier at a service; as stored, so None where the file does not say.

    shutdown:  the day on which the model is retired, and `days_left` until then
    usd:       spent on its training, evaluations and predictions in this file
    """

    model: str | None
    host: str | None
    deployment: str | None
    shutdown: date | None
    days_left: int | None
    checkpoints: tuple[Checkpoint, ...]
    usd: float


def deploys(classifier: Classifier) -> bool:
    """Whether its model answers only where somebody has deployed it."""
    try:
        return get_trainer(classifier.trainer).capabilities.deploys
    except FtclassifyError:
        return False  # it is not installed here


def service_facts(conn: sqlite3.Connection, classifier: Classifier) -> ServiceFacts | None:
    """None for a classifier whose model is in the file, or whose trainer is not installed."""
    if not is_elsewhere(classifier):
        return None
    asked, shutdown = classifier.at_service, shutdown_of(classifier)
    return ServiceFacts(
        model=asked.model,
        host=asked.host,
        deployment=asked.deployment,
        shutdown=shutdown,
        days_left=None if shutdown is None else (shutdown - today()).days,
        checkpoints=checkpoints_of(classifier.report),
        usd=spent_on_classifier(conn, classifier.id).usd,
    )


def use_checkpoint(conn: sqlite3.Connection, classifier: Classifier, step: int) -> Classifier:
    """A new version that uses the model's checkpoint at a step of its training.

    Raises FtclassifyError when the service kept none of that step.
    """
    facts = service_facts(conn, classifier)
    kept = {kept.step: kept.model for kept in facts.checkpoints} if facts else {}
    model = kept.get(step)
    if model is None:
        steps = ", ".join(map(str, kept)) or "none"
        raise FtclassifyError(
            f"{classifier.title} has no checkpoint of step {step}: there is {steps}."
        )
    report = classifier.report
    why = f"{report['why']} " if isinstance(report.get("why"), str) else ""
    return add_classifier(
        conn,
        name=classifier.name,
        trainer=classifier.trainer,
        labels=classifier.labels,
        task=classifier.task,
        split_id=classifier.split_id,
        seed=classifier.seed,
        training_rows=classifier.training_rows,
        header={**classifier.header, "model": model, "deployment": None},
        parts={},
        report={**report, "checkpoint": step, "why": f"{why}The checkpoint of step {step}."},
    )


def forget_models(conn: sqlite3.Connection, name: str, access: Access) -> list[str]:
    """Deletes the models and files of the versions of `name` at their services; gives what was
    deleted, for people. What is in this file stays.

    Raises FtclassifyError when another classifier needs the same model, ServiceProblem.
    """
    found = find_classifier(conn, name)
    everything = list_classifiers(conn)
    going = [c for c in everything if c.name == found.name and name in (c.name, c.title)]
    elsewhere = [c for c in going if is_elsewhere(c)]
    if not elsewhere:
        raise FtclassifyError(
            f"{name} has no model at a service: delete it here alone.", fields=("at_service",)
        )
    models = {_tuned(c) for c in elsewhere}
    staying = {c.uid for c in going}
    for other in everything:
        if other.uid not in staying and is_elsewhere(other) and _tuned(other) in models:
            raise FtclassifyError(
                f"{other.title} uses the same model, or a checkpoint of it: delete that first, or "
                "leave the model where it is.",
                fields=("at_service",),
            )
    deleted: list[str] = []
    for classifier in elsewhere:
        service = service_of(classifier)
        assert service is not None
        endpoint = access.endpoint(classifier.trainer)
        deleted += service.delete_remote(classifier.header, classifier.report, endpoint)
    return list(dict.fromkeys(deleted))


def _tuned(classifier: Classifier) -> tuple[str, str | None]:
    """The model that a classifier, or its checkpoint, is of."""
    trained = ServiceIds.read(classifier.report).model
    return classifier.trainer, trained or classifier.at_service.model
