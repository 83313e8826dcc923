"""Whether a new version of a classifier is better than the one before, by what cross-validation
answered for rows that both were trained on, each by models that had not seen the row."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from ..core.database import relation
from ..core.errors import FtclassifyError
from ..core.humanize import rows_text
from ..core.labels import LabelSet
from ..store.classifiers import Classifier, find_by_uid
from ..store.evaluations import RowResult
from ..store.out_of_fold import read_out_of_fold


def why_not_used(
    conn: sqlite3.Connection, former_uid: str, labels: LabelSet, rows: Sequence[RowResult]
) -> str | None:
    """Why the name of a classifier goes on standing for the version before; None when it does not.

    labels, rows: of the new version, and what was answered out of fold
    The labels that count are those that the rows have now. Without rows to compare, nobody knows
    that the new version is as good, so it is not used either.
    """
    try:
        former = find_by_uid(conn, former_uid)
    except FtclassifyError:
        return None  # it is gone
    before, now, compared = _right(conn, former, labels, rows)
    if not compared:
        return (
            f"{former.title} stays in use: no row was answered out of fold by both versions, so "
            "nothing says which is better."
        )
    if now >= before:
        return None
    return (
        f"{former.title} stays in use: of {rows_text(compared)} that both answered out of fold, it "
        f"is right on {before:,}, this version on {now:,}."
    )


def _right(
    conn: sqlite3.Connection, former: Classifier, labels: LabelSet, rows: Sequence[RowResult]
) -> tuple[int, int, int]:
    """On how many of the rows that both answered the former one and the new one are right, and how
    many these are."""
    try:
        has_keys = bool(relation(conn, former.task.source).identity)
        found = read_out_of_fold(conn, former) if has_keys else None
    except FtclassifyError:  # what the former one answered is damaged
        found = None
    if found is None:
        return 0, 0, 0
    answered = {
        key: {former.labels.values[position] for position in chosen}
        for key, chosen, sampled in zip(found.keys, found.chosen, found.sampled, strict=True)
        if sampled
    }
    before = now = compared = 0
    for row in rows:
        if row.sampled and row.key in answered:
            compared += 1
            now += row.right
            before += answered[row.key] == {labels.values[position] for position in row.truth}
    return before, now, compared
