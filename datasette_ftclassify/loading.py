"""From a stored classifier to one that answers."""

from __future__ import annotations

import sqlite3

from .errors import ArtifactError
from .predictions import Answerer
from .store.classifiers import Classifier, load_parts
from .trainers.registry import get_trainer


def load_answerer(
    conn: sqlite3.Connection, classifier: Classifier, schema: str = "main"
) -> Answerer:
    """Loads the artifact. Raises ArtifactError for a damaged one, TrainingError for an unknown
    trainer."""
    predictor = get_trainer(classifier.trainer).load(
        classifier.header, load_parts(conn, classifier, schema)
    )
    labels = classifier.labels
    if (predictor.n_labels, predictor.multilabel) != (len(labels), labels.multilabel):
        raise ArtifactError(
            f"Classifier {classifier.title} is damaged: its labels do not fit its weights."
        )
    return Answerer(predictor, labels)
