"""Classifiers that cannot be read: they can only be listed and deleted."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from ..core.errors import ArtifactError, ClassifierNotFound
from .cell_size import fits
from .classifiers import MOST_VERSIONS, find_classifier, has_store, reading_store


@dataclass(frozen=True)
class Damaged:
    """A version of a classifier that makes no sense; `why` is a sentence for people."""

    title: str
    why: str


def damaged_classifiers(conn: sqlite3.Connection) -> list[Damaged]:
    """Those that `list_classifiers` leaves out."""
    if not has_store(conn):
        return []
    with reading_store():
        rows = conn.execute(
            "select name || '@' || version from _ftclassify_classifiers"
            f" where {fits('name')} and {fits('version', 99)} order by id limit ?",
            [MOST_VERSIONS],
        )
        titles = sorted(str(title) for (title,) in rows.fetchall())
    found = []
    for title in titles:
        try:
            find_classifier(conn, title)
        except (ArtifactError, ClassifierNotFound) as error:
            found.append(Damaged(title, str(error)))
    return found
