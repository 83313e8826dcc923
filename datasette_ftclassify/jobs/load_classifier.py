"""Loads a stored classifier: a local predictor, or the client of its service."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping
from datetime import date
from typing import TYPE_CHECKING, Protocol

from ..core.distribution import require_whole
from ..core.errors import ArtifactError, PredictError, TrainingError
from ..core.labels import LabelSet
from ..core.prediction import Answerer, fits
from ..core.training_report import Header
from ..prompts.price_table import PriceTable, today
from ..prompts.prices import load_prices
from ..store.artifacts import load_parts
from ..store.classifiers import Classifier
from ..store.minimum_scores import MinimumScore, find_minimum
from ..store.published import why_unasked
from ..trainers.access import Access
from ..trainers.base import Learner, MeasuresKnown
from ..trainers.embeddings.trainer import EmbeddingsTrainer
from ..trainers.registry import get_trainer
from ..trainers.service import (
    BatchClient,
    InferenceClient,
    InferenceResponse,
    OfUnknownModel,
    Service,
)
from ..trainers.service_errors import ServiceRefused
from ..trainers.usage import Usage


class TrainedModel(Protocol):
    """What a classifier and one in a folder have alike."""

    @property
    def name(self) -> str: ...

    @property
    def title(self) -> str:
        """For people."""

    @property
    def trainer(self) -> str: ...

    @property
    def labels(self) -> LabelSet: ...

    @property
    def header(self) -> Header: ...


def service_of(classifier: TrainedModel) -> Service | None:
    """The service that has the classifier's model; None when the model is in the file.

    Raises TrainingError for an unknown trainer.
    """
    trainer = get_trainer(classifier.trainer)
    return trainer if isinstance(trainer, Service) else None


def paid_service(classifier: TrainedModel) -> Service | None:
    """The same where its answers cost money; else None."""
    service = service_of(classifier)
    return service if service is not None and service.capabilities.costs_money else None


def is_elsewhere(classifier: TrainedModel) -> bool | None:
    """Whether the model is at a service; None where its trainer is not installed."""
    try:
        return service_of(classifier) is not None
    except TrainingError:
        return None


def has_parts(classifier: TrainedModel) -> bool:
    """Whether something that it answers with is in the file. Raises as `service_of` does."""
    service = service_of(classifier)
    return service is None or isinstance(service, EmbeddingsTrainer)


def parts_of(
    conn: sqlite3.Connection, classifier: Classifier, schema: str = "main"
) -> dict[str, bytes]:
    """Of a classifier at a service; none where all of it is there. Raises ArtifactError."""
    return load_parts(conn, classifier, schema) if has_parts(classifier) else {}


def measures_known(classifier: TrainedModel) -> bool:
    """Whether its answers say how much a text is like the training rows.

    Raises TrainingError for an unknown trainer.
    """
    trainer = get_trainer(classifier.trainer)
    return isinstance(trainer, MeasuresKnown) and trainer.measures_known(classifier.header)


def may_measure_known(classifier: Classifier) -> bool:
    """Whether a new version of it would. Raises as `measures_known` does."""
    return isinstance(get_trainer(classifier.trainer), MeasuresKnown)


def shutdown_of(classifier: Classifier) -> date | None:
    """The day on which the classifier's model is retired, as the service said it when the model was
    trained, else by the price table; None when neither says so."""
    return next(iter(_shutdowns(classifier)), None)


def why_stopped(classifier: Classifier, day: date) -> str | None:
    """Why the model of a classifier at a service is retired, with what to do; None while all that
    is known does not say so. A day that was put off since it was said counts."""
    days = _shutdowns(classifier)
    if not days or max(days) > day:
        return None
    asked = classifier.at_service
    return (
        f"The model of {classifier.title}, {asked.model}, stopped answering at {asked.host} on "
        f"{max(days)}. "
        "Its columns and stored answers stay; to classify more, move it to another trainer."
    )


def _shutdowns(classifier: Classifier) -> list[date]:
    """Shutdown dates from the service, then from the price table. Any of them may be a
    stranger's."""
    asked, found = classifier.at_service, []
    try:
        found.append(date.fromisoformat(str(classifier.report.get("shutdown_date"))))
    except ValueError:
        pass  # it did not say
    table = load_prices() if asked.host is None else load_prices().at(asked.host)
    for name in (asked.base, asked.model):
        price = None if name is None else table.get(name)
        if price is not None and price.shutdown is not None:
            return [*found, price.shutdown]
    return found


class _RetiredModelClient:
    """The client of a retired model: it estimates requests, and refuses to send them."""

    def __init__(self, inference_client: InferenceClient, why: str) -> None:
        self._inference_client, self._why = inference_client, why

    @property
    def model(self) -> str:
        return self._inference_client.model

    async def ask(self, text: str) -> InferenceResponse:
        raise ServiceRefused(self._why, code="model_stopped")

    def expected(self, text: str) -> Usage:
        return self._inference_client.expected(text)

    async def close(self) -> None:
        await self._inference_client.close()


if TYPE_CHECKING:
    import numpy as np


def base_of(access: Access, host: str, name: str) -> str | None:
    """The model that the one which is asked by that name at a host was tuned from, as this
    installation knows it: prices follow from that, so no database file is trusted with it."""
    from ..ledger import Ledger, LedgerError

    try:
        return Ledger(access.ledger).base_of(host, name)
    except LedgerError:
        return None  # without it nothing is paid for either


def load_inference_client(
    classifier: Classifier, access: Access, parts: Mapping[str, bytes] | None = None
) -> InferenceClient:
    """The inference client of a classifier; of a retired model one that refuses all requests, see
    `why_stopped`. Its `model` has no price unless it is known what the name that is asked stands
    for.

    parts: of the classifier, where it has some (`has_parts`); without them it estimates alone
    Raises ArtifactError for a damaged header, AccessError without a key, TrainingError when no
    service has the model."""
    service = service_of(classifier)
    if service is None:
        raise TrainingError(f"{classifier.title} answers from its file: there is nobody to ask.")
    _check_askable(classifier)
    endpoint = access.endpoint(classifier.trainer)
    header, labels = classifier.header, classifier.labels
    if parts and isinstance(service, EmbeddingsTrainer):
        inference_client = service.answering_client(header, parts, labels, endpoint)
    else:
        inference_client = service.inference_client(header, labels, endpoint)
    _name_model(inference_client, access)
    why = why_stopped(classifier, today())
    return inference_client if why is None else _RetiredModelClient(inference_client, why)


def batch_service(classifier: Classifier) -> Service:
    """The service that takes batches for it. Raises PredictError when there is none."""
    service = service_of(classifier)
    if service is None or not service.capabilities.batch:
        raise PredictError(
            f"{classifier.title} cannot be asked in batches ({classifier.trainer}): ask without.",
            fields=("batch",),
        )
    return service


def load_batch_client(classifier: Classifier, access: Access) -> BatchClient:
    """As `load_inference_client`. Raises PredictError, too, when no service takes batches."""
    service = batch_service(classifier)
    _check_askable(classifier)
    endpoint = access.endpoint(classifier.trainer)
    batch_client = service.batch_client(classifier.header, classifier.labels, endpoint)
    _name_model(batch_client, access)
    return batch_client


def _check_askable(classifier: Classifier) -> None:
    """Raises TrainingError in a copy made to be published, which does not name the model, and
    NotInstalled."""
    require_whole()
    if (why := why_unasked(classifier)) is not None:
        raise TrainingError(why)


def _name_model(asks: object, access: Access) -> None:
    if isinstance(asks, OfUnknownModel) and asks.unknown_as is not None:
        base = base_of(access, *asks.unknown_as)
        if base is not None:
            asks.stands_for(base)


def prices_of(classifier: Classifier, access: Access) -> PriceTable:
    """The prices at the service that has the classifier's model. Raises PriceError, AccessError."""
    service = service_of(classifier)
    if service is None:
        return load_prices()
    return service.prices(access.endpoint(classifier.trainer))


def load_answerer(conn: sqlite3.Connection, classifier: Classifier) -> Answerer:
    """Loads the artifact. Raises ArtifactError for a damaged one, TrainingError for an unknown
    trainer, or one whose models are not in the file."""
    return answerer_maker(conn, classifier)()


def answerer_maker(
    conn: sqlite3.Connection, classifier: Classifier, schema: str = "main"
) -> Callable[[], Answerer]:
    """Reads the artifact; what it gives loads it, in any thread. Both raise as `load_answerer`."""
    trainer = get_trainer(classifier.trainer)
    if not isinstance(trainer, Learner):
        raise TrainingError(
            f"The model of {classifier.title} is at a service ({classifier.trainer}), not here."
        )
    labels, parts = classifier.labels, load_parts(conn, classifier, schema)
    thresholds = label_thresholds(find_minimum(conn, classifier, schema))

    def make() -> Answerer:
        predictor = trainer.load(classifier.header, parts)
        if not fits(predictor, labels):
            raise ArtifactError(
                f"Classifier {classifier.title} is damaged: its labels do not fit its weights."
            )
        return Answerer(predictor, labels, thresholds)

    return make


def label_thresholds(minimum: MinimumScore | None) -> np.ndarray | None:
    """Of each label, (K,), above 1 for one that is never given; None where nobody chose any."""
    if minimum is None or minimum.thresholds is None:
        return None
    import numpy as np

    return np.array([2.0 if least is None else least for least in minimum.thresholds])
