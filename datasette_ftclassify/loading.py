"""From a stored classifier to one that answers."""

from __future__ import annotations

import sqlite3

from .errors import ArtifactError, TrainingError
from .predictions import Answerer
from .prices import PriceTable, load_prices
from .store.classifiers import Classifier, load_parts
from .trainers.access import Access
from .trainers.base import Learner
from .trainers.registry import get_trainer
from .trainers.service import Asker, Batcher, Service


def service_of(classifier: Classifier) -> Service | None:
    """The service that has the classifier's model; None when the model is in the file.

    Raises TrainingError for an unknown trainer.
    """
    trainer = get_trainer(classifier.trainer)
    return trainer if isinstance(trainer, Service) else None


def load_asker(classifier: Classifier, access: Access) -> Asker:
    """Raises ArtifactError for a damaged header, AccessError without a key, TrainingError when no
    service has the model."""
    service = service_of(classifier)
    if service is None:
        raise TrainingError(f"{classifier.title} answers from its file: there is nobody to ask.")
    endpoint = access.endpoint(classifier.trainer)
    return service.asker(classifier.header, classifier.labels, endpoint)


def load_batcher(classifier: Classifier, access: Access) -> Batcher:
    """As `load_asker`. Raises TrainingError, too, when the service takes no batches."""
    service = service_of(classifier)
    if service is None or not service.capabilities.batch:
        raise TrainingError(
            f"{classifier.title} is not asked in batches ({classifier.trainer}): leave out --batch."
        )
    endpoint = access.endpoint(classifier.trainer)
    return service.batcher(classifier.header, classifier.labels, endpoint)


def prices_of(classifier: Classifier, access: Access) -> PriceTable:
    """The prices at the service that has the classifier's model. Raises PriceError, AccessError."""
    service = service_of(classifier)
    if service is None:
        return load_prices()
    return service.prices(access.endpoint(classifier.trainer))


def load_answerer(
    conn: sqlite3.Connection, classifier: Classifier, schema: str = "main"
) -> Answerer:
    """Loads the artifact. Raises ArtifactError for a damaged one, TrainingError for an unknown
    trainer, or one whose models are not in the file."""
    trainer = get_trainer(classifier.trainer)
    if not isinstance(trainer, Learner):
        raise TrainingError(
            f"The model of {classifier.title} is at a service ({classifier.trainer}), not here."
        )
    predictor = trainer.load(classifier.header, load_parts(conn, classifier, schema))
    labels = classifier.labels
    if (predictor.n_labels, predictor.multilabel) != (len(labels), labels.multilabel):
        raise ArtifactError(
            f"Classifier {classifier.title} is damaged: its labels do not fit its weights."
        )
    return Answerer(predictor, labels)
