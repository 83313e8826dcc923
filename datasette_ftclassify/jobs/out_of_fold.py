"""From the answers that a training gave in cross-validation to what is stored of them, and whether
by these a new version is as good as the one before: on rows that both were trained on, each
answered by models that had not seen it."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..core.errors import FtclassifyError
from ..core.examples import Example
from ..core.humanize import rows_text
from ..core.labels import LabelSet
from ..metrics.result import Evaluation
from ..store.classifiers import Classifier, find_by_uid
from ..store.evaluations import RowResult
from ..store.out_of_fold import MOST_DOUBTED, MOST_SAMPLED
from ..trainers.base import HeldOut
from .compared_rows import answered_out_of_fold
from .row_results import figures_of, judge


@dataclass(frozen=True)
class JudgedOutOfFold:
    """Figures of all rows that were answered, and those of the rows that are kept."""

    figures: Evaluation
    rows: list[RowResult]


def judge_held_out(
    training: Sequence[Example],
    labels: LabelSet,
    held_out: HeldOut,
    majority: int,
    seed: int,
    *,
    sampled: int = MOST_SAMPLED,
    doubted: int = MOST_DOUBTED,
) -> JudgedOutOfFold:
    """majority: the position of the most frequent label of the training rows"""
    examples = [training[row] for row in held_out.rows.tolist()]
    truths = [tuple(labels.positions(example.labels)) for example in examples]
    logprobs, chosen, groups = held_out.logprobs, held_out.chosen, held_out.groups
    if chosen is None:
        chosen = labels.label_kind.choose(logprobs)
    figures = figures_of(labels, truths, logprobs, chosen, groups, majority)
    kept, drawn = _kept(truths, labels, held_out, seed, sampled, doubted)
    rows = judge(
        [examples[i].key for i in kept],
        labels,
        [truths[i] for i in kept],
        logprobs[kept],
        chosen[kept],
        groups[kept],
    )
    marked = [
        replace(row, sampled=bool(by_chance), truth_score=row.truth_score if learnt else None)
        for row, by_chance, learnt in zip(rows, drawn, held_out.learnt[kept], strict=True)
    ]
    return JudgedOutOfFold(figures, marked)


def without_chosen(held_out: HeldOut, chosen: np.ndarray | None) -> HeldOut:
    """What was held out but for the rows of a `TrainingSet` that are `chosen`, whichever trainer
    answered them."""
    if chosen is None:
        return held_out
    kept = ~chosen[held_out.rows]
    given = None if held_out.chosen is None else held_out.chosen[kept]
    return HeldOut(
        held_out.rows[kept],
        held_out.logprobs[kept],
        given,
        held_out.groups[kept],
        held_out.learnt[kept],
    )


def _kept(
    truths: Sequence[tuple[int, ...]],
    labels: LabelSet,
    held_out: HeldOut,
    seed: int,
    sampled: int,
    doubted: int,
) -> tuple[np.ndarray, np.ndarray]:
    """The rows that are kept, ascending, and whether each is of the random sample: as many as
    `sampled`, and of the others those `doubted` whose own label (of several, the least likely of
    them, or the likeliest of the others) the model denied most."""
    n = len(truths)
    drawn = np.ones(n, dtype=np.bool_)
    if n <= sampled:
        return np.arange(n), drawn
    drawn[:] = False
    drawn[np.random.default_rng(seed).permutation(n)[:sampled]] = True
    truth = labels.label_kind.as_array(truths, len(labels))
    if labels.exclusive:
        agreement = labels.label_kind.logprob(held_out.logprobs, truth)
    else:
        certain = held_out.logprobs
        against = np.log(np.maximum(-np.expm1(np.minimum(certain, -1e-9)), 1e-30))
        agreement = np.where(truth == 1, certain, against).min(axis=1)
    agreement = np.where(drawn | ~held_out.learnt, np.inf, agreement)
    least = np.argsort(agreement, kind="stable")[:doubted]
    kept = drawn.copy()
    kept[least[np.isfinite(agreement[least])]] = True
    rows = np.flatnonzero(kept)
    return rows, drawn[rows]


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
        found = answered_out_of_fold(conn, former)
    except FtclassifyError:  # it answered nothing, or that is damaged
        return 0, 0, 0
    before = now = compared = 0
    for row in rows:
        if row.sampled and row.key in found:
            compared += 1
            now += row.right
            answer = {former.labels.values[i] for i in found[row.key].chosen or ()}
            before += answer == {labels.values[position] for position in row.truth}
    return before, now, compared
