"""The class for what is none of the labels: which rows it could be made of, what it would catch and
what it would misplace, before anything is kept."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ..core.database import JsonKey, Key, Params, json_key
from ..core.errors import FtclassifyError, TaskError, TrainingError
from ..core.examples import Record, read_records
from ..core.humanize import rows_text
from ..core.labels import label_name
from ..core.other_class import MOST_KEYS, with_other
from ..core.prediction import Answerer
from ..core.splits import SplitPlan
from ..core.task import Task
from ..store.classifiers import Classifier
from ..store.label_changes import chosen_rows
from ..store.splits import split_plan
from ..trainers.access import Access
from ..trainers.base import Learner
from ..trainers.registry import get_trainer
from .load_classifier import load_answerer, measures_known
from .rows import Rows, find_target, keys_of
from .train_request import TrainRequest
from .train_version import version_request

if TYPE_CHECKING:
    import numpy as np

LEAST_ROWS = 10
"""Of the class; fewer teach nothing, and cannot be held out."""

MOST_READ = 20_000
"""Unlabelled rows that are answered to find those that are least like the training rows."""

_LONG = 4_000
"""Characters of a text in the mean; of longer ones fewer are answered."""

MOST_ALSO = 1_000
"""Unlabelled rows besides those of the class, of which it is seen whether they would get it."""

_BATCH = 500
_SHOWN = 10


@dataclass(frozen=True)
class UnlikeRow:
    """An unlabelled row: how much it is like the training rows (0-1), and its answer as of now."""

    key: Key
    text: str
    known: float
    answer: str


@dataclass(frozen=True)
class JudgedRow:
    """A row as it was answered while it was held out. label: "" for none"""

    key: JsonKey
    text: str
    label: str
    answer: str


@dataclass(frozen=True)
class OtherPreview:
    """What a class of these rows would do, by cross-validation of a quick recipe.

    label, rows:       the class, and the rows it is made of
    held_out:          of these, so many were answered while they were held out
    caught:            and so many of them were answered with the class
    labelled:          rows with another label that were held out
    misplaced:         those of them that were answered with the class, by their label, most first
    before, now:       the share (0-1) of labelled rows that are answered rightly without the class,
                       and with it
    missed, wrong:     examples of rows of the class that are not caught, and of misplaced ones
    unlabelled, also:  other rows without a label that were answered, and how many got the class
    others:            examples of these
    """

    label: str
    rows: int
    held_out: int
    caught: int
    labelled: int
    misplaced: dict[str, int]
    before: float
    now: float
    missed: Sequence[JudgedRow]
    wrong: Sequence[JudgedRow]
    unlabelled: int
    also: int
    others: Sequence[JudgedRow]


def least_known(
    conn: sqlite3.Connection,
    classifier: Classifier,
    most: int,
    below: float,
    read: int = MOST_READ,
    answerer: Answerer | None = None,
) -> list[UnlikeRow]:
    """The unlabelled rows that are least like the training rows, the least first: at most `most`,
    all below `below` (0-1), of the first `read` unlabelled rows, or of fewer long ones. Rows with
    NULL in their key are left out: no key marks them. answerer: of the classifier, if it is loaded

    Raises TrainingError where the classifier does not say it, PredictError or SourceError where its
    table has no rows to tell apart.
    """
    if not measures_known(classifier):
        raise TrainingError(
            f"{classifier.title} does not say how familiar a text is: train a new version first, "
            "or mark the rows by a condition."
        )
    target = find_target(conn, classifier, classifier.task.source)
    answerer = answerer or load_answerer(conn, classifier)
    rows = Rows(target, classifier, classifier.task.where, classifier.task.params, unlabelled=True)
    found: list[UnlikeRow] = []
    characters = read * _LONG
    position: Sequence[Any] | None = None
    for _ in range(max(read // _BATCH, 1)):
        batch = [(key, text) for key, text in rows.after(conn, position, _BATCH)]
        if not batch or characters < 0:
            break
        characters -= sum(len(text or "") for _, text in batch)
        position = batch[-1][0]
        texts = [(key, text) for key, text in batch if text is not None]
        answers, known = answerer.answers_known([text for _, text in texts])
        found += [
            UnlikeRow(key, text, value, label_name(answer.labels[0]) if answer.labels else "")
            for (key, text), value, answer in zip(texts, known, answers, strict=True)
            if value is not None and value < below
        ]
        found = sorted(found, key=lambda row: row.known)[: min(most, MOST_KEYS)]
    keys = keys_of(conn, target, (row.key for row in found))
    return [
        replace(row, key=key)
        for key, row in zip(keys, found, strict=True)
        if key is not None and None not in key
    ]


def other_task(
    conn: sqlite3.Connection, classifier: Classifier, where: str, params: Params, label: str
) -> Task:
    """The classifier's task with such a class, see `with_other`. Raises as that does, and TaskError
    for a label that rows have already."""
    task = classifier.task
    own = task.other.label if task.other is not None else None
    if label.strip() in classifier.labels.names and label.strip() != own:
        raise TaskError(
            f"{classifier.title} has a label {label.strip()} already: choose another "
            "name, or label the rows.",
            fields=("label",),
        )
    return with_other(conn, task, where, params, label)


def new_version(
    conn: sqlite3.Connection, classifier: Classifier, access: Access | None = None
) -> TrainRequest:
    """The request that trains a new version as this one was trained, with a new split by the same
    seed and shares: the class is to be judged by rows of its own.

    Raises TrainingError for a classifier that was not trained in this process, and as
    `check_former` does.
    """
    if not isinstance(get_trainer(classifier.trainer), Learner):
        raise TrainingError(
            f"{classifier.title} was trained by {classifier.trainer}: a class for other "
            "rows is made for classifiers that are trained on this machine."
        )
    _, request = version_request(conn, classifier, access)
    try:
        known, usual = split_plan(conn, classifier.split_id), SplitPlan()
        plan = SplitPlan(
            known.get("seed", usual.seed),
            known.get("validation", usual.validation),
            known.get("test", usual.test),
        )
    except FtclassifyError:
        plan = request.plan  # a stranger's file
    return replace(request, plan=plan, version_of=None)


def preview_other(conn: sqlite3.Connection, task: Task, max_rows: int = MOST_READ) -> OtherPreview:
    """What the task's other class would catch and misplace, by a sample of `max_rows`.

    Raises TrainingError for too few rows, SourceError when the table no longer fits.
    """
    import numpy as np

    from ..trainers.local.cross_val_predict import answers_of, out_of_fold

    assert task.other is not None
    label = task.other.label
    records: list[Record] = []
    rest: list[Record] = []
    for record in read_records(conn, task):
        if record.usable:
            records.append(record)
        elif record.text and record.labels.blank and len(rest) < MOST_ALSO:
            rest.append(record)
    names = [label_name((record.labels.values or ("",))[0]) for record in records]
    known = sorted(set(names))
    is_other = np.array([name == label for name in names])
    if is_other.sum() < LEAST_ROWS:
        raise TrainingError(
            f"{rows_text(int(is_other.sum()))} would be of the class {label}, and {LEAST_ROWS} are "
            "needed: mark more unlabelled rows with a text.",
            fields=("where",),
        )
    if len(known) < 3 and not is_other.all():
        raise TrainingError("There are fewer than two labels besides it.")
    texts = [record.text or "" for record in records]
    targets = np.array([known.index(name) for name in names])
    chosen = chosen_rows(conn, task.source)
    judging = np.array([not chosen.has(record.key, record.text) for record in records])
    logprobs, judged = out_of_fold(texts, targets, len(known), max_rows=max_rows)
    answers = np.array(known)[logprobs.argmax(axis=1)][judging[judged]]
    before = _before(texts, targets, judging, known, label, max_rows)
    found = _judged(records, names, is_other, answers, judged[judging[judged]], label, before)
    if not rest:
        return found
    unseen = [record.text or "" for record in rest]
    given = answers_of(
        [texts[row] for row in judged], targets[judged], len(known), unseen
    ) == known.index(label)
    also = [rest[place] for place in np.flatnonzero(given)]
    examples = [
        JudgedRow(json_key(row.key), (row.text or "")[:300], "", label) for row in also[:_SHOWN]
    ]
    return replace(found, unlabelled=len(given), also=len(also), others=examples)


def _before(
    texts: list[str],
    targets: np.ndarray,
    judging: np.ndarray,
    known: list[str],
    label: str,
    max_rows: int,
) -> float:
    """The accuracy without the class, on the rows that are `judging`."""
    import numpy as np

    from ..trainers.local.cross_val_predict import out_of_fold

    others = [name for name in known if name != label]
    rows = np.flatnonzero(targets != known.index(label))
    new = np.array([others.index(known[target]) for target in targets[rows]])
    logprobs, judged = out_of_fold(
        [texts[row] for row in rows], new, len(others), max_rows=max_rows
    )
    right = (logprobs.argmax(axis=1) == new[judged])[judging[rows[judged]]]
    return float(right.mean()) if len(right) else 0.0


def _judged(
    records: Sequence[Record],
    names: Sequence[str],
    is_other: np.ndarray,
    answers: np.ndarray,
    judged: np.ndarray,
    label: str,
    before: float,
) -> OtherPreview:
    def row(place: int, answer: str) -> JudgedRow:
        record = records[place]
        return JudgedRow(json_key(record.key), (record.text or "")[:300], names[place], answer)

    pairs = [(int(place), str(answer)) for place, answer in zip(judged, answers, strict=True)]
    inside = [(place, answer) for place, answer in pairs if is_other[place]]
    labelled = [(place, answer) for place, answer in pairs if not is_other[place]]
    wrong = [(place, answer) for place, answer in labelled if answer == label]
    missed = [(place, answer) for place, answer in inside if answer != label]
    right = sum(answer == names[place] for place, answer in labelled)
    return OtherPreview(
        label,
        int(is_other.sum()),
        len(inside),
        len(inside) - len(missed),
        len(labelled),
        dict(Counter(names[place] for place, _ in wrong).most_common()),
        before,
        right / len(labelled) if labelled else 0.0,
        [row(*pair) for pair in missed[:_SHOWN]],
        [row(*pair) for pair in wrong[:_SHOWN]],
        0,
        0,
        (),
    )
