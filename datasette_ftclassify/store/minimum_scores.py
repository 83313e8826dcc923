"""The minimum score that somebody chose for a classifier: one for each version, or none."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..core.database import quote
from ..core.errors import ArtifactError
from ..core.label_tree import Group, LabelTree
from ..core.labels import MAX_LABELS
from ..core.untrusted_json import MOST_BYTES, read_json
from .cell_size import LONGEST_NAME, at_most
from .classifiers import Classifier, now, reading_store
from .schema import ensure_schema, transaction
from .tables import has_table
from .upsert import upsert

NAMES = ("strength", "score", "thresholds", "wrong", "figure", "least", "coverage", "set_by",
         "set_at", "tree")  # fmt: skip
_TEXTS = {"strength": LONGEST_NAME, "thresholds": MOST_BYTES, "figure": LONGEST_NAME,
          "set_by": LONGEST_NAME, "set_at": LONGEST_NAME, "tree": MOST_BYTES}  # fmt: skip
_CELLS = {
    name: at_most(name, _TEXTS[name])
    if name in _TEXTS
    else f"case when typeof({name}) in ('real', 'integer', 'null') then {name} else '' end"
    for name in NAMES
}


@dataclass(frozen=True)
class KeptTree:
    """Groups of labels that answer below the minimum score.

    origin: where the tree came from, see `jobs.label_trees.find_tree`
    levels: the minimum score of the groups of each level, the coarsest first; None: they never
            answer
    """

    origin: str
    tree: LabelTree
    levels: tuple[float | None, ...]

    def to_dict(self) -> dict[str, Any]:
        return {"origin": self.origin, "labels": self.tree.to_list(), "levels": list(self.levels)}

    @classmethod
    def from_dict(cls, data: object, n_labels: int) -> KeptTree:
        """Raises ArtifactError for what is none of so many labels."""
        if not isinstance(data, dict) or not isinstance(data.get("origin"), str):
            raise ArtifactError("A tree of labels is damaged in this file: choose it again.")
        tree, levels = LabelTree.from_list(data.get("labels"), n_labels), data.get("levels")
        sound = isinstance(levels, list) and len(levels) == tree.levels
        if not sound or not all(map(_is_share_or_none, levels or ())):
            raise ArtifactError("A tree of labels is damaged in this file: choose it again.")
        return cls(data["origin"], tree, tuple(levels or ()))


@dataclass(frozen=True)
class MinimumScore:
    """From which score a classifier answers.

    strength:   what it promises, see `core.strengths`
    score:      0-1; an answer below it is none. None where a row may have several labels
    thresholds: there, the probability from which each label is given, in the order of the label
                set; None for a label that is never given
    wrong:      the share of wrong answers that is promised, 0-1; None: none is
    figure, least: the precision or recall that was asked for of each label, 0-1
    coverage:   the share of rows, held out of the training, that gets an answer; None: not known
    tree:       groups of labels that answer below the score; None: nothing does
    set_by, set_at: who chose it and when; None: somebody on the command line
    """

    strength: str
    score: float | None = None
    thresholds: tuple[float | None, ...] | None = None
    wrong: float | None = None
    figure: str | None = None
    least: float | None = None
    coverage: float | None = None
    set_by: str | None = None
    set_at: str = ""
    tree: KeptTree | None = None

    def allows(self, score: float | None) -> bool:
        """Whether an answer of that score, 0-1, is given; None: it has none, and is not."""
        return self.score is None or (score is not None and score >= self.score)

    def group(self, logprobs: Sequence[float] | None) -> Group | None:
        """What is answered in the place of a label that is held back; None: nothing."""
        if self.tree is None or logprobs is None:
            return None
        return self.tree.tree.answer(logprobs, self.tree.levels)

    def to_dict(self) -> dict[str, Any]:
        """Without a tree where there is none, as earlier versions had it."""
        found = {name: getattr(self, name) for name in NAMES[:-1]}
        return found if self.tree is None else {**found, "tree": self.tree.to_dict()}


def find_minimum(
    conn: sqlite3.Connection, classifier: Classifier, schema: str = "main"
) -> MinimumScore | None:
    """The classifier's; None: every answer is given, as it is in older files.

    Raises ArtifactError for one that makes no sense: then nothing is to be answered, since more
    would be than somebody wanted.
    """
    with reading_store():
        if not has_table(conn, "minimum_scores", schema):
            return None
        sql = f"select name from {quote(schema)}.pragma_table_info('_ftclassify_minimum_scores')"
        there = {name for (name,) in conn.execute(sql)}
        cells = (_CELLS[name] if name in there else "null" for name in NAMES)
        row = conn.execute(
            f"select {', '.join(cells)} from {quote(schema)}._ftclassify_minimum_scores"
            " where classifier_id = ?",
            [classifier.id],
        ).fetchone()
    return None if row is None else _read(classifier, dict(zip(NAMES, row, strict=True)))


def set_minimum(
    conn: sqlite3.Connection, classifier: Classifier, minimum: MinimumScore | None
) -> MinimumScore | None:
    """Keeps it in the place of the one before, with the time; None: there is none from now on."""
    ensure_schema(conn)
    with transaction(conn):
        if minimum is None:
            sql = "delete from _ftclassify_minimum_scores where classifier_id = ?"
            conn.execute(sql, [classifier.id])
            return None
        minimum = replace(minimum, set_at=now())
        cells = minimum.to_dict()
        if minimum.thresholds is not None:
            cells["thresholds"] = json.dumps(minimum.thresholds)
        tree = cells.pop("tree", None)
        cells["tree"] = None if tree is None else json.dumps(tree, ensure_ascii=False)
        conn.execute(
            upsert("_ftclassify_minimum_scores", ["classifier_id"], NAMES),
            [classifier.id, *cells.values()],
        )
    return minimum


def _read(classifier: Classifier, cells: dict[str, Any]) -> MinimumScore:
    several = not classifier.labels.exclusive
    thresholds = cells["thresholds"]
    sound = (
        isinstance(cells["strength"], str)
        and all(_is_share_or_none(cells[name]) for name in ("score", "wrong", "least", "coverage"))
        and all(isinstance(cells[name], (str, type(None))) for name in ("figure", "set_by"))
        and isinstance(cells["set_at"], str)
        and (cells["score"] is None) == several
        and (thresholds is not None) == several
    )
    if sound and several:
        found = read_json(thresholds, "thresholds of the labels", most_items=MAX_LABELS + 1)
        sound = (
            isinstance(found, list)
            and len(found) == len(classifier.labels)
            and all(map(_is_share_or_none, found))
        )
        cells["thresholds"] = tuple(found) if sound else None
    tree = cells["tree"]
    if sound and tree is not None:
        if several:
            sound = False
        else:
            most = 5 * MAX_LABELS + 100
            data = read_json(tree, "tree of the labels", most_items=most)
            cells["tree"] = KeptTree.from_dict(data, len(classifier.labels))
    if not sound:
        raise ArtifactError(
            f"The minimum score of {classifier.title} is damaged in this file: choose it again."
        )
    return MinimumScore(**cells)


def _is_share_or_none(value: object) -> bool:
    return value is None or (type(value) in (int, float) and 0 <= value <= 1)  # type: ignore[operator]
