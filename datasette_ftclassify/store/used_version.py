"""The version that the name of a classifier stands for, without a number."""

from __future__ import annotations

import json
import sqlite3
from typing import Any

from ..core.errors import FtclassifyError
from .classifiers import Classifier, find_row
from .schema import transaction


def is_used(conn: sqlite3.Connection, classifier: Classifier) -> bool:
    """Whether its name stands for this version, without a number."""
    row = find_row(conn, classifier.name, "main")
    return row is not None and row[0] == classifier.id


def use_version(conn: sqlite3.Connection, classifier: Classifier) -> None:
    """Has the name stand for this version: later ones stay, under their numbers.

    Raises FtclassifyError for a checkpoint that was never evaluated.
    """
    report: dict[str, Any] = {**classifier.report}
    said = report.pop("not_used", None)
    if "version_said" in report:
        report["version_said"] = [text for text in report["version_said"] if text != said]
    change = "update _ftclassify_classifiers set report ="
    with transaction(conn):
        conn.execute(
            f"{change} json_set(report, '$.not_used', ?) where name = ? and version > ?"
            " and json_valid(report)",
            [f"{classifier.title} is used instead.", classifier.name, classifier.version],
        )
        conn.execute(f"{change} ? where id = ?", [json.dumps(report), classifier.id])
        if not is_used(conn, classifier):
            raise FtclassifyError(
                f"{classifier.title} cannot be used yet: evaluate it first, and delete later "
                "versions that are damaged."
            )
