"""A classifier in one line, for lists on the command line and on pages."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import Any

from ..errors import ArtifactError
from .aliases import aliases_of
from .classifiers import Classifier, default_name, has_store, list_classifiers
from .evaluations import latest_evaluation


@dataclass(frozen=True)
class Summary:
    """A classifier, whether it is the default, its newest metrics (None: not evaluated), and the
    earlier names that it answers to."""

    classifier: Classifier
    default: bool
    metrics: dict[str, Any] | None
    aliases: tuple[str, ...] = ()

    def headline(self) -> str:
        """How good it is, in one sentence for people; never raises, whatever the file says."""
        from ..evaluation import headline  # numpy comes with it

        try:
            return headline(self.metrics) if self.metrics else "Not evaluated."
        except (KeyError, TypeError, ValueError, AttributeError):
            return "Its evaluation is damaged: evaluate it again."

    def to_dict(self) -> dict[str, Any]:
        classifier = self.classifier
        return {
            "classifier": classifier.name,
            "version": classifier.version,
            "default": self.default,
            "aliases": list(self.aliases),
            "trainer": classifier.trainer,
            "kind": classifier.labels.kind,
            "labels": list(classifier.labels.values),
            "source": classifier.task.source,
            "training_rows": classifier.training_rows,
            "created_at": classifier.created_at,
        }


def summarise(conn: sqlite3.Connection, classifier: Classifier) -> Summary:
    """Raises nothing for damaged metrics: they count as missing, and can be made again."""
    try:
        metrics = latest_evaluation(conn, classifier)
    except ArtifactError:
        metrics = None
    aliases = tuple(aliases_of(conn, classifier.name))
    return Summary(classifier, classifier.name == default_name(conn), metrics, aliases)


def summaries(conn: sqlite3.Connection) -> list[Summary]:
    """Of all classifiers, by name, newest version first."""
    if not has_store(conn):
        return []
    return [summarise(conn, classifier) for classifier in list_classifiers(conn)]
