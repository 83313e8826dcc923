"""The arrays and texts that a classifier in the file is made of."""

from __future__ import annotations

import sqlite3
from typing import Any

from ..core.database import quote
from ..core.errors import ArtifactError
from .cell_size import LONGEST_NAME, at_most
from .classifiers import Classifier, reading_store

MAX_ARTIFACT = 400_000_000
"""Bytes of all parts of one classifier: of half a million vectors, or of ten times the weights that
training keeps."""
MAX_PARTS = 100


def load_parts(
    conn: sqlite3.Connection, classifier: Classifier, schema: str = "main"
) -> dict[str, bytes]:
    """The parts of the artifact by name. Raises ArtifactError when they are not what was stored."""
    s = quote(schema)
    where = f"from {s}._ftclassify_artifacts where classifier_id = ?"
    what = f"{at_most('part', LONGEST_NAME)}, case when typeof(data) = 'blob' then length(data) end"
    with reading_store():
        # Nothing of a BLOB is read for its length.
        sizes = conn.execute(f"select {what} {where} limit {MAX_PARTS + 1}", [classifier.id])
        _check_sizes(classifier, sizes.fetchall())
        return dict(conn.execute(f"select part, data {where}", [classifier.id]).fetchall())


def artifact_size(conn: sqlite3.Connection, classifier: Classifier, schema: str = "main") -> int:
    """Bytes of all parts of the artifact."""
    sql = f"select total(length(data)) from {quote(schema)}._ftclassify_artifacts"
    with reading_store():
        return int(conn.execute(f"{sql} where classifier_id = ?", [classifier.id]).fetchone()[0])


def _check_sizes(classifier: Classifier, sizes: list[tuple[Any, Any]]) -> None:
    if any(type(name) is not str or size is None for name, size in sizes):
        raise ArtifactError(f"Classifier {classifier.title} is damaged: a part is no BLOB.")
    total = sum(size for _, size in sizes)
    if total > MAX_ARTIFACT or len(sizes) > MAX_PARTS:
        raise ArtifactError(
            f"Classifier {classifier.title} has {len(sizes)} parts and {total:,} bytes: too many."
        )
