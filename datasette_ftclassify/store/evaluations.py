"""Evaluations, stored with the classifier they judge."""

from __future__ import annotations

import json
import sqlite3
from typing import Any

from ..errors import ArtifactError
from ..sql import quote
from .classifiers import Classifier, now


def add_evaluation(
    conn: sqlite3.Connection, classifier: Classifier, split: str, metrics: dict[str, Any]
) -> None:
    with conn:
        conn.execute(
            "insert into _ftclassify_evaluations (classifier_id, split, metrics, created_at)"
            " values (?, ?, ?, ?)",
            [classifier.id, split, json.dumps(metrics, ensure_ascii=False), now()],
        )


def latest_evaluation(
    conn: sqlite3.Connection, classifier: Classifier, schema: str = "main"
) -> dict[str, Any] | None:
    """The newest metrics of the classifier; None when it was never evaluated."""
    row = conn.execute(
        f"select metrics from {quote(schema)}._ftclassify_evaluations"
        " where classifier_id = ? order by id desc limit 1",
        [classifier.id],
    ).fetchone()
    try:
        return None if row is None else dict(json.loads(row[0]))
    except (ValueError, TypeError, RecursionError) as error:
        raise ArtifactError(
            f"The evaluation of {classifier.title} is damaged: evaluate it again."
        ) from error
