"""A classifier in one line, for lists on the command line and on pages."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..core.errors import ArtifactError
from .aliases import aliases_of
from .classifiers import LISTED_BYTES, Classifier, default_name, has_store, list_classifiers
from .evaluations import evaluation_text, metrics_of
from .used_version import used_ids

if TYPE_CHECKING:
    from ..metrics.result import Evaluation


@dataclass(frozen=True)
class Summary:
    """A classifier, its newest metrics (None: not evaluated), and the earlier names that it answers
    to.

    used:    whether its name stands for this version
    default: whether it answers where no classifier is named
    problem: why there are no metrics although it was evaluated
    """

    classifier: Classifier
    used: bool
    default: bool
    metrics: Evaluation | None
    aliases: tuple[str, ...] = ()
    problem: str | None = None

    def headline(self) -> str:
        """How good it is, in one sentence for people; never raises, whatever the file says."""
        from ..metrics import headline  # numpy comes with it

        if self.metrics is None:
            return self.problem or "Not evaluated."
        return headline(self.metrics)

    def to_dict(self) -> dict[str, Any]:
        classifier, labels = self.classifier, self.classifier.labels
        given, lookup = labels.given, labels.lookup
        names = {} if given is None else {"label_names": given, "lookup": lookup}
        return {
            "classifier": classifier.name,
            "version": classifier.version,
            "used": self.used,
            "default": self.default,
            "aliases": list(self.aliases),
            "trainer": classifier.trainer,
            "kind": labels.kind,
            "labels": list(labels.values),
            **names,
            "source": classifier.task.source,
            "training_rows": classifier.training_rows,
            "created_at": classifier.created_at,
        }


def summarise(conn: sqlite3.Connection, classifier: Classifier) -> Summary:
    """Raises nothing for damaged metrics: they count as missing, and can be made again."""
    return summaries_of(conn, [classifier])[0]


def summaries_of(conn: sqlite3.Connection, classifiers: Sequence[Classifier]) -> list[Summary]:
    """Of these, in their order. Of a list, metrics are read as far as LISTED_BYTES go."""
    default = default_name(conn) if classifiers else None
    used = used_ids(conn, classifiers)
    left = LISTED_BYTES
    found = []
    for classifier in classifiers:
        metrics, problem = None, None
        try:
            text = evaluation_text(conn, classifier)
            left -= len(text or "")
            if left < 0:
                problem = "Its figures are on its own page: there are too many to list."
            else:
                metrics = None if text is None else metrics_of(classifier, text)
        except ArtifactError:
            problem = "Its evaluation is damaged: evaluate it again."
        aliases = tuple(aliases_of(conn, classifier.name))
        is_used = classifier.id in used
        is_default = is_used and classifier.name == default
        found.append(Summary(classifier, is_used, is_default, metrics, aliases, problem))
    return found


def summaries(conn: sqlite3.Connection) -> list[Summary]:
    """Of all classifiers, by name, newest version first."""
    if not has_store(conn):
        return []
    return summaries_of(conn, list_classifiers(conn))
