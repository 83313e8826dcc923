"""The kinds of review queues: which rows, in which order, and why each."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ...checks.scan import Sampler
from ...checks.suspicion import (
    disputed_texts,
    doubted_text,
    judge,
    missing_labels,
    suspects,
    telling_words,
)
from ...core.errors import ReviewError, TrainingError
from ...core.examples import Record, read_records
from ...core.foreign_keys import with_names
from ...core.humanize import percent, rows_text
from ...core.labels import LabelSet
from ...core.task import Task
from ...store.reviews import QueuedRow
from ..settings import ReviewSettings
from .answers import ROWS, disagreeing, to_label, unsure
from .queue_rows import MOST_ROWS, Made, queued

_NEIGHBOURS = 3


@dataclass(frozen=True)
class Queue:
    """A kind.

    title:       for people; help: when it is of use
    classifiers: how many it asks
    rows:        as many as are proposed; None: all that there are
    make:        raises ReviewError or TrainingError when there is too little
    """

    name: str
    title: str
    help: str
    make: Callable[[sqlite3.Connection, ReviewSettings], Made]
    classifiers: int = 0
    rows: int | None = None


def _mislabelled(conn: sqlite3.Connection, settings: ReviewSettings) -> Made:
    """By a cross-validated model and the nearest texts: see `checks.suspicion`."""
    import numpy as np

    task = settings.task
    every = labelled(conn, task)
    labels = label_set(conn, task, every)
    disputed = disputed_texts(
        [record.text or "" for record in every], [record.labels.values or () for record in every]
    )
    sampler = Sampler.deep(len(every), settings.seed)
    drawn = np.array([sampler.take() for _ in every])
    records = [every[i] for i in np.flatnonzero(drawn)]
    texts = [record.text or "" for record in records]
    targets = as_targets(records, labels)
    try:
        chances, judged = judge(texts, targets, len(labels), labels.exclusive, settings.seed)
    except TrainingError as error:
        raise ReviewError(f"The labels cannot be judged: {error}") from error
    make = _doubted if labels.exclusive else _missing_or_needless
    rows, probable = make(
        [records[i] for i in judged], labels, chances, targets[judged], disputed[drawn][judged],
        settings.rows or MOST_ROWS,
    )  # fmt: skip
    said = doubted_text(probable, len(judged), len(every))
    if len(rows) > probable:
        said += (
            f" The {'others' if probable else 'rows'} are listed from the most likely to be wrong."
        )
    return Made(rows, labels, said, probable)


def _doubted(
    records: Sequence[Record], labels: LabelSet, chances: Any, given: Any, disputed: Any, most: int
) -> tuple[list[QueuedRow], int]:
    texts = [record.text or "" for record in records]
    found = suspects(texts, given, chances, disputed)
    doubted = found.rows[:most]
    words = telling_words(texts, given, doubted, found.suggested[:most])
    names = labels.names
    rows = []
    for n, i in enumerate(doubted.tolist()):
        suggested, own = int(found.suggested[n]), int(given[i])
        why = (
            f"A model that has not seen this row gives {names[suggested]} "
            f"{percent(float(found.other[n]))} and {names[own]} {percent(float(found.own[n]))}"
        )
        near = [j for j in found.neighbours[n].tolist() if j >= 0]
        if near:
            alike = sum(int(given[j]) == suggested for j in near)
            why += f"; {alike} of the {len(near)} most similar texts are {names[suggested]}"
        rows.append(
            queued(
                n + 1, records[i], [suggested], chances[i], f"{why}.",
                words=words[n], neighbours=[records[j].key for j in near[:_NEIGHBOURS]],
            )
        )  # fmt: skip
    return rows, int(found.probable.sum())


def _missing_or_needless(
    records: Sequence[Record], labels: LabelSet, chances: Any, given: Any, disputed: Any, most: int
) -> tuple[list[QueuedRow], int]:
    """Several labels a row: the one that is most surprising by its presence or its absence; first
    the rows that probably lack one."""
    import numpy as np

    lacking = np.zeros(given.shape, dtype=np.bool_)
    lacking[missing_labels(given, chances, disputed)] = True
    probable = np.asarray(lacking.any(axis=1))
    surprise = np.where(given == 1, 1 - chances, chances)
    surprise = np.where(probable[:, None], lacking * chances, surprise)
    worst = surprise.max(axis=1)
    order = np.lexsort((-worst, ~probable))[:most]
    order = order[worst[order] > _EVEN]
    rows = []
    for n, i in enumerate(order.tolist()):
        j = int(surprise[i].argmax())
        has = bool(given[i, j])
        suggested = sorted(set(np.flatnonzero(given[i]).tolist()) ^ {j})
        why = (
            f"A model that has not seen this row gives {labels.names[j]} "
            f"{percent(float(chances[i, j]))}, and the row {'has' if has else 'lacks'} it."
        )
        rows.append(queued(n + 1, records[i], suggested, chances[i], why))
    return rows, int(probable.sum())


_EVEN = 0.5


def _audit(conn: sqlite3.Connection, settings: ReviewSettings) -> Made:
    """Labelled rows drawn at random: what is wrong of them is wrong of all."""
    import numpy as np

    task = settings.task
    records = labelled(conn, task)
    labels = label_set(conn, task, records)
    most = min(settings.rows or AUDIT_ROWS, len(records), MOST_ROWS)
    drawn = np.random.default_rng(settings.seed).permutation(len(records))[:most]
    why = f"Drawn at random from {rows_text(len(records))} with a label."
    rows = [
        queued(n, records[i], None, None, why, at_random=True)
        for n, i in enumerate(drawn.tolist(), 1)
    ]
    said = (
        f"{rows_text(len(rows)).capitalize()} drawn at random: the share of wrong labels among "
        f"them is that of all {len(records):,}, within the interval that is shown."
    )
    return Made(rows, labels, said)


AUDIT_ROWS = 100


def labelled(conn: sqlite3.Connection, task: Task) -> list[Record]:
    """The rows with a text and proper labels. Raises ReviewError for none."""
    records = [record for record in read_records(conn, task) if record.usable]
    if not records:
        raise ReviewError(f"{task.source} has no row with both a text and a label.")
    return records


def label_set(conn: sqlite3.Connection, task: Task, records: Sequence[Record]) -> LabelSet:
    values = dict.fromkeys(label for record in records for label in record.labels.values or ())
    return with_names(conn, task, task.label_set(values))


def as_targets(records: Sequence[Record], labels: LabelSet) -> Any:
    """Positions of labels, (n,), or 0 and 1, (n, K)."""
    rows = [labels.positions(record.labels.values or ()) for record in records]
    return labels.label_kind.as_array(rows, len(labels))


QUEUES = {
    queue.name: queue
    for queue in (
        Queue(
            "mislabelled",
            "Probably mislabelled rows",
            "All rows, starting with those whose label a cross-validated model contradicts",
            _mislabelled,
        ),
        Queue(
            "unsure",
            "Rows that a classifier is least certain of",
            "Unlabelled rows, the least certain first; all rows if every row has a label",
            unsure,
            classifiers=1,
            rows=ROWS,
        ),
        Queue(
            "disagree",
            "Rows on which two classifiers disagree",
            "Rows with different answers, starting where both are certain",
            disagreeing,
            classifiers=2,
        ),
        Queue(
            "label",
            "Rows to label next",
            "Unlabelled rows, hard and random ones in turn: the most useful ones to label",
            to_label,
            classifiers=1,
            rows=ROWS,
        ),
        Queue(
            "audit",
            "A random sample",
            "Labelled rows drawn at random, to estimate the share of wrong labels",
            _audit,
            rows=AUDIT_ROWS,
        ),
    )
}
"""By name, as they are offered."""


def queue_of(name: str) -> Queue:
    """Raises ReviewError for an unknown one."""
    if name not in QUEUES:
        raise ReviewError(
            f"The queue must be one of {', '.join(QUEUES)}, not {name or 'nothing'}.",
            fields=("queue",),
        )
    return QUEUES[name]
