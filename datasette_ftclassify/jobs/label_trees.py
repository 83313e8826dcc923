"""The tree of a classifier's labels: where it comes from, and from which score its groups answer.

A group answers a row whose label is held back by the minimum score. So its own minimum promises of
those rows alone what the classifier's promises of the others, by the same mechanism.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ..core.database import quote, relation
from ..core.errors import EvaluationError, SourceError
from ..core.examples import read_records
from ..core.label_tree import LabelTree, tree_by_confusion, tree_by_delimiter, tree_of_pairs
from ..core.strengths import PROMISES
from ..metrics.minimum_scores import JudgedRows, Outcome, judge, minimum_score
from ..store.classifiers import Classifier
from ..store.minimum_scores import KeptTree, MinimumScore
from ..store.out_of_fold import OutOfFold, read_out_of_fold, read_unsure

CONFUSION = "confusion"
COLUMN = "column:"

_MOST_GROUPS = 0.9
"""The share of rows of a label whose column has the same group, from which it counts."""


def find_tree(conn: sqlite3.Connection, classifier: Classifier, origin: str) -> LabelTree:
    """origin: `confusion`; `column:NAME`, a column of the table; else a delimiter in the labels'
    names, such as `/`. Raises EvaluationError where that gives no group of several labels."""
    if not classifier.labels.exclusive:
        raise EvaluationError(
            f"{classifier.title} may give a row several labels: groups are for one label a row.",
            fields=("groups",),
        )
    names = classifier.labels.names
    if origin == CONFUSION:
        tree = _by_confusion(conn, classifier)
    elif origin.startswith(COLUMN):
        tree = _by_column(conn, classifier, origin.removeprefix(COLUMN))
    else:
        tree = tree_by_delimiter(names, origin)
    if not any(size > 1 for level in tree.sizes for size in level.values()):
        raise EvaluationError(_why_none(classifier, origin), fields=("groups",))
    return tree


def _why_none(classifier: Classifier, origin: str) -> str:
    if origin == CONFUSION:
        return f"No labels of {classifier.title} are confused often enough."
    if origin.startswith(COLUMN):
        return f"The column {origin.removeprefix(COLUMN)} puts no two labels into one group."
    return f"No two labels of {classifier.title} have the same beginning before {origin}."


def rows_for(kept: OutOfFold, origin: str) -> tuple[list[int], list[int]]:
    """The rows that groups are found by, and those that their minimum scores are computed from:
    others, where groups are found by what was answered wrongly, which they would explain too well.
    Near copies are on one side."""
    sampled = np.flatnonzero(kept.sampled).tolist()
    if origin != CONFUSION:
        return sampled, sampled
    odd = {i for i in sampled if kept.groups[i] % 2}
    return [i for i in sampled if i not in odd], [i for i in sampled if i in odd]


def _by_confusion(conn: sqlite3.Connection, classifier: Classifier) -> LabelTree:
    kept = read_out_of_fold(conn, classifier)
    if kept is None:
        raise EvaluationError(
            f"No answers of the training of {classifier.title} are kept, from which a confusion "
            "matrix could be made: train it again, or name the groups in another way.",
            fields=("groups",),
        )
    rows = rows_for(kept, CONFUSION)[0]
    counts = Counter((kept.truth[i][0], kept.chosen[i][0]) for i in rows)
    return tree_by_confusion(classifier.labels.names, ((t, c, n) for (t, c), n in counts.items()))


def _by_column(conn: sqlite3.Connection, classifier: Classifier, column: str) -> LabelTree:
    """Each label is in the group that nearly all its rows have there."""
    source = relation(conn, classifier.task.source)
    source.require_columns([column])
    if not source.identity:
        raise SourceError(f"The rows of {source.name} have no key, by which groups are read.")
    keys = ", ".join(map(quote, source.identity))
    sql = f"select {quote(column)}, {keys} from {quote(source.name)}"
    groups = {tuple(row[1:]): row[0] for row in conn.execute(sql)}
    found: list[Counter[str]] = [Counter() for _ in classifier.labels.names]
    for record in read_records(conn, classifier.task):
        values = record.labels.values or ()
        position = classifier.labels.index(values[0]) if len(values) == 1 else None
        group = groups.get(record.key)
        if position is not None and isinstance(group, (str, int, float)):
            found[position][str(group).strip()] += 1
    chosen: list[str | None] = []
    for counts in found:
        (name, rows), *_ = counts.most_common(1) or [("", 0)]
        chosen.append(name if name and rows >= _MOST_GROUPS * counts.total() else None)
    return tree_of_pairs(chosen)


def with_groups(
    conn: sqlite3.Connection, classifier: Classifier, minimum: MinimumScore, origin: str
) -> MinimumScore:
    """The minimum score with the groups that answer below it. Raises EvaluationError where there
    are no groups, or nothing can be promised of any."""
    if minimum.score is None:
        raise EvaluationError(
            "Groups answer below a minimum score: choose one.", fields=("groups",)
        )
    tree = find_tree(conn, classifier, origin)
    if minimum.strength not in PROMISES or minimum.wrong is None:
        return replace(minimum, tree=KeptTree(origin, tree, (minimum.score,) * tree.levels))
    kept = read_out_of_fold(conn, classifier)
    if kept is None:
        raise EvaluationError(
            f"No answers of the training of {classifier.title} are kept, by which something could "
            "be promised of groups: train it again, or choose a fixed score.",
            fields=("groups",),
        )
    rows = rows_for(kept, origin)[1]
    levels = group_minimums(tree, kept, rows, minimum.score, minimum.wrong, minimum.strength)
    if all(least is None for least in levels):
        raise EvaluationError(
            "That can be promised of no group of labels: too few of the rows that get no label are "
            "of one group for sure. Choose a higher share of wrong answers, or no groups.",
            fields=("groups",),
        )
    return replace(minimum, tree=KeptTree(origin, tree, levels))


def groups_on_test_rows(
    conn: sqlite3.Connection, classifier: Classifier, minimum: MinimumScore
) -> Outcome | None:
    """What the groups give of the test rows that get no label; None where there are none of either.
    Raises ArtifactError when what is stored is damaged."""
    kept, score = minimum.tree, minimum.score
    rows = None if kept is None or score is None else read_unsure(conn, classifier, score)
    if kept is None or rows is None or not len(rows):
        return None
    answers = [kept.tree.answer_listed(pairs, kept.levels) for pairs in rows.probabilities]
    right = [
        group is not None and kept.tree.of_label(truth[0], group.level) == group.name
        for group, truth in zip(answers, rows.truth, strict=True)
    ]
    given = np.array([0.0 if group is None else 1.0 for group in answers])
    return judge(JudgedRows(given, np.array(right), groups=rows.groups), 1.0)


def group_minimums(
    tree: LabelTree, kept: OutOfFold, rows: Sequence[int], score: float, wrong: float, strength: str
) -> tuple[float | None, ...]:
    """The minimum score of each level, the coarsest first, by the rows whose label is below `score`
    and that no finer level has answered; None: nothing can be promised of it. rows: of `kept`"""
    left = [i for i in rows if kept.score[i] < score]
    found: list[float | None] = [None] * tree.levels
    for level in reversed(range(tree.levels)):
        best = [(i, tree.best(kept.probabilities[i], level)) for i in left]
        judged = [(i, group) for i, group in best if group is not None]
        if not judged:
            continue
        judged_rows = JudgedRows(
            np.array([group.score for _, group in judged]),
            np.array([tree.of_label(kept.truth[i][0], level) == g.name for i, g in judged]),
            groups=kept.groups[[i for i, _ in judged]],
        )
        least = found[level] = minimum_score(judged_rows, wrong, strength).score
        if least is not None:
            answered = {i for i, group in judged if group.score >= least}
            left = [i for i in left if i not in answered]
    return tuple(found)
