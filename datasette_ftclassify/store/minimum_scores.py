"""The minimum score that somebody chose for a classifier: one for each version, or none."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Annotated, Any, TypedDict

from ..core.database import quote
from ..core.errors import ArtifactError
from ..core.label_tree import MOST_LEVELS, Group, GroupPath, LabelTree
from ..core.labels import MAX_LABELS, LabelSet
from ..core.typed_json import AtMost, Share, read_dataclass, read_typed_dict
from ..core.untrusted_json import MOST_BYTES, JsonObject, read_json
from .cell_size import LONGEST_NAME, at_most
from .classifiers import Classifier, now, reading_store
from .schema import ensure_schema, transaction, upsert
from .tables import has_table

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
_JSON = {
    "thresholds": ("thresholds of the labels", MAX_LABELS + 1),
    "tree": ("tree of the labels", 5 * MAX_LABELS + 100),
}
"""What they are called, and how many values they have at most."""


class _StoredTree(TypedDict):
    origin: str
    labels: Annotated[tuple[GroupPath, ...], AtMost(MAX_LABELS)]
    levels: Annotated[tuple[Share | None, ...], AtMost(MOST_LEVELS)]


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

    def to_dict(self) -> _StoredTree:
        return {"origin": self.origin, "labels": self.tree.paths, "levels": self.levels}

    @classmethod
    def from_dict(cls, data: JsonObject) -> KeptTree:
        """Raises TypeError for what is none."""
        stored = read_typed_dict(_StoredTree, data)
        tree, levels = LabelTree(stored["labels"]), stored["levels"]
        if len(levels) != tree.levels:
            raise TypeError(f"{len(levels)} minimum scores of {tree.levels} levels")
        return cls(stored["origin"], tree, levels)


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
    score: Share | None = None
    thresholds: Annotated[tuple[Share | None, ...], AtMost(MAX_LABELS)] | None = None
    wrong: Share | None = None
    figure: str | None = None
    least: Share | None = None
    coverage: Share | None = None
    set_by: str | None = None
    set_at: str = ""
    tree: KeptTree | None = None

    def fits(self, labels: LabelSet) -> bool:
        """Whether it can be one for answers with these labels."""
        several, n = not labels.exclusive, len(labels)
        return (
            (self.score is None) == several
            and (self.thresholds is not None) == several
            and (self.thresholds is None or len(self.thresholds) == n)
            and (self.tree is None or (not several and len(self.tree.tree.paths) == n))
        )

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
    return None if row is None else _read(classifier, row)


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


def _read(classifier: Classifier, row: Sequence[Any]) -> MinimumScore:
    cells = dict(zip(NAMES, row, strict=True))
    for name, (what, most) in _JSON.items():
        if cells[name] is not None:
            cells[name] = read_json(cells[name], what, most_items=most)
    with suppress(TypeError):
        minimum = read_dataclass(MinimumScore, cells)
        if minimum.fits(classifier.labels):
            return minimum
    raise ArtifactError(
        f"The minimum score of {classifier.title} is damaged in this file: choose it again."
    )
