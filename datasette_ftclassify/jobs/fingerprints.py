"""What a stored answer was made from, as one number in the row beside it.

So an answer that is older than its text, its classifier or the minimum score is found however the
row was changed, without triggers and without a table of ours: the number moves with its row, is
gone with it, and is NULL again in a row that was replaced.
"""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Literal

from ..core.database import Cell
from ..store.classifiers import Classifier
from ..store.minimum_scores import find_minimum

_TEXT_BITS = 40
"""Of the text; the 23 bits above them are of the classifier and its minimum scores. A change that
is not seen has a chance of one in 10^12 and of one in 8 million."""

_HIGHEST = 1 << 63

Age = Literal["current", "text", "classifier", "unknown", "none"]
"""Of a row's answer: made from the text and by the classifier as they are now; from another text;
by an earlier version, or with another minimum score; by who knows what; not there."""

STALE: frozenset[Age] = frozenset({"text", "classifier", "unknown"})
"""Answers that may be other ones now."""

FOLLOWED: frozenset[Age] = frozenset({"text", "none"})
"""Rows that are new or were edited. Not those that another job has answered meanwhile."""


@dataclass(frozen=True)
class Fingerprints:
    """Of the answers of one classifier with its present minimum scores.

    state: 23 bits that stand for these
    """

    state: int

    @classmethod
    def of_classifier(
        cls,
        conn: sqlite3.Connection,
        classifier: Classifier,
        threshold: float | None,
        min_known: float | None,
    ) -> Fingerprints:
        """threshold, min_known: as in `PredictSettings`. What else is kept with the classifier
        counts, too: thresholds of several labels, and groups of labels."""
        kept = find_minimum(conn, classifier)
        thresholds = None if kept is None else kept.thresholds
        words: list[Any] = [classifier.uid, threshold, min_known, thresholds]
        if kept is not None and kept.tree is not None:
            words.append(kept.tree.to_dict())
        made_by = json.dumps(words)
        return cls(_bits(made_by, 3) >> 1)

    def of(self, text: str | None) -> int:
        """Of the answer to a text; None: the row has none, and so no label."""
        bits = 0 if text is None else _bits(text, 5) or 1
        return self.state << _TEXT_BITS | bits

    def age(self, found: Cell, text: str | None, answered: bool) -> Age:
        """found: the number in the row, or what a column for texts has made of it; answered:
        whether one of the other columns has a value"""
        if isinstance(found, str) and found.isdecimal() and len(found) < 20:
            found = int(found)
        if type(found) is not int or not 0 <= found < _HIGHEST:
            return "unknown" if answered or found is not None else "none"
        if found >> _TEXT_BITS != self.state:
            return "classifier"
        return "current" if found == self.of(text) else "text"


def _bits(text: str, size: int) -> int:
    digest = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=size).digest()
    return int.from_bytes(digest, "big")
