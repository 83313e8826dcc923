"""The version that the name of a classifier stands for, without a number."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from typing import Any

from ..core.errors import FtclassifyError
from .classifiers import Classifier, find_row, list_classifiers
from .schema import transaction


def used_ids(conn: sqlite3.Connection, classifiers: Iterable[Classifier]) -> set[int]:
    """The ids of the versions that the names of these classifiers stand for, read or not."""
    rows = (find_row(conn, name, "main") for name in {one.name for one in classifiers})
    return {row[0] for row in rows if row is not None}


def used_versions(conn: sqlite3.Connection) -> list[Classifier]:
    """Of each name the version that it stands for, by name, without damaged ones. Raises as
    `list_classifiers` does."""
    found = list_classifiers(conn)
    used = used_ids(conn, found)
    return [one for one in found if one.id in used]


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
        if classifier.id not in used_ids(conn, [classifier]):
            raise FtclassifyError(
                f"{classifier.title} cannot be used yet: evaluate it first, and delete later "
                "versions that are damaged."
            )
