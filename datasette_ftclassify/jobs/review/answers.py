"""Queues of rows that classifiers are asked about: those that they are least sure of, those on
which two disagree, and those to label next."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Iterator, Sequence
from heapq import nsmallest
from itertools import islice, zip_longest
from typing import Any

from ...core.errors import ReviewError
from ...core.examples import Record, read_records
from ...core.humanize import percent, rows_text
from ...core.labels import LabelSet
from ...core.prediction import Answerer
from ...core.task import Task
from ...store.classifiers import Classifier, find_by_uid
from ...store.reviews import QueuedRow
from ..load_classifier import load_answerer, service_of
from ..settings import ReviewSettings
from .queue_rows import MOST_ROWS, Made, queued

ROWS = 100
"""Of a queue, unless it is said otherwise."""

_AT_ONCE = 500
_WORDS = 6

Judged = tuple[float, int, Record, Any]
"""What a row is ordered by, its number, the row, and the log-probabilities of its labels, (K,)."""


def unsure(conn: sqlite3.Connection, settings: ReviewSettings) -> Made:
    """Rows without a label of which a classifier is least sure; of all rows where all have one."""
    classifier, answerer = _loaded(conn, settings.classifier)
    most = settings.rows or ROWS
    unlabelled = any(r.labels.values is None for r in _with_text(conn, classifier))
    judged = (
        (answerer.from_logprobs(logprobs).score, number, record, logprobs)
        for number, (record, logprobs) in enumerate(_answers(conn, classifier, answerer))
        if not unlabelled or record.labels.values is None
    )
    rows = [
        _row(place, answerer, record, logprobs, _unsure_of(answerer, logprobs, classifier.title))
        for place, (_, _, record, logprobs) in enumerate(nsmallest(most, judged, _first), 1)
    ]
    which = "without a label" if unlabelled else "(all rows have a label)"
    said = f"The {rows_text(len(rows))} {which} that {classifier.title} is least sure of."
    return Made(rows, answerer.labels, said)


def to_label(conn: sqlite3.Connection, settings: ReviewSettings) -> Made:
    """Rows without a label: in turns those between whose two most probable labels a classifier can
    hardly decide, and rows drawn at random, so that not the hard ones alone are learnt."""
    import numpy as np

    classifier, answerer = _loaded(conn, settings.classifier)
    most = settings.rows or ROWS
    judged: list[Judged] = []
    drawn: list[Judged] = []  # a sample of fixed size: algorithm R of Vitter (1985)
    rng = np.random.default_rng(settings.seed)
    count = 0
    half = (most + 1) // 2
    for number, (record, logprobs) in enumerate(_answers(conn, classifier, answerer)):
        if record.labels.values is not None:
            continue
        row = (_margin(answerer.labels, logprobs), number, record, logprobs)
        judged.append(row)
        if len(judged) > 4 * most:
            judged = nsmallest(most, judged, _first)
        at = count if count < half else int(rng.integers(0, count + 1))
        if count < half:
            drawn.append(row)
        elif at < half:
            drawn[at] = row
        count += 1
    if not count:
        raise ReviewError(f"All rows of {classifier.task.source} with a text have a label.")
    numbers = {row[1] for row in drawn}
    hard = [row for row in nsmallest(most, judged, _first) if row[1] not in numbers]
    rows: list[QueuedRow] = []
    by_chance = f"Drawn at random from {rows_text(count)} without a label."
    for pair in zip_longest(hard, drawn):
        for row, at_random in zip(pair, (False, True), strict=True):
            if row is None or len(rows) == most:
                continue
            _, _, record, logprobs = row
            why = by_chance if at_random else _unsure_of(answerer, logprobs, classifier.title)
            rows.append(_row(len(rows) + 1, answerer, record, logprobs, why, at_random=at_random))
    said = (
        f"{rows_text(len(rows)).capitalize()} without a label: those that "
        f"{classifier.title} is least sure of, and rows drawn at random, in turn."
    )
    return Made(rows, answerer.labels, said)


def disagreeing(conn: sqlite3.Connection, settings: ReviewSettings) -> Made:
    """Rows that two classifiers give different labels, where both are sure first."""
    first, one = _loaded(conn, settings.classifier)
    second, other = _loaded(conn, settings.other)
    if _reads(first.task) != _reads(second.task):
        raise ReviewError(
            f"{first.title} and {second.title} read different rows, texts or labels, so that they "
            "differ says nothing: choose two that learnt the same."
        )
    most = settings.rows or MOST_ROWS
    found: list[tuple[float, int, Record, Any, str]] = []
    count = 0
    pairs = zip(_answers(conn, first, one), _answers(conn, second, other), strict=False)
    for number, ((record, logprobs), (_, others)) in enumerate(pairs):
        a, b = one.from_logprobs(logprobs), other.from_logprobs(others)
        if set(a.labels) == set(b.labels):
            continue
        count += 1
        why = (
            f"{first.title} says {_named(one.labels, a.labels)} ({percent(a.score)}), "
            f"{second.title} {_named(other.labels, b.labels)} ({percent(b.score)})."
        )
        found.append((-a.score * b.score, number, record, logprobs, why))
        if len(found) > 2 * MOST_ROWS:
            found = nsmallest(most, found, _first)
    kept = nsmallest(most, found, _first)
    rows = [
        _row(place, one, record, logprobs, why)
        for place, (_, _, record, logprobs, why) in enumerate(kept, 1)
    ]
    said = (
        f"{first.title} and {second.title} give {rows_text(count)} different labels, those first "
        "of which both are sure."
    )
    return Made(rows, one.labels, said)


def _loaded(conn: sqlite3.Connection, uid: str | None) -> tuple[Classifier, Answerer]:
    """Raises ReviewError where none was chosen, or its model is at a service."""
    if uid is None:
        raise ReviewError("Choose a classifier.", fields=("classifier",))
    classifier = find_by_uid(conn, uid)
    if service_of(classifier) is not None:
        raise ReviewError(
            f"{classifier.title} is at a service, which costs money for each row: choose a "
            "classifier that was trained on this machine.",
            fields=("classifier",),
        )
    return classifier, load_answerer(conn, classifier)


def _with_text(conn: sqlite3.Connection, classifier: Classifier) -> Iterator[Record]:
    return (record for record in read_records(conn, classifier.task) if record.text is not None)


def _answers(
    conn: sqlite3.Connection, classifier: Classifier, answerer: Answerer
) -> Iterator[tuple[Record, Any]]:
    """Each row with a text, and the log-probabilities of its labels, (K,)."""
    records = _with_text(conn, classifier)
    while some := list(islice(records, _AT_ONCE)):
        found = answerer.predictor.log_probabilities([record.text or "" for record in some])
        yield from zip(some, found, strict=True)


def _first(row: tuple[Any, ...]) -> tuple[float, int]:
    return row[0], row[1]


def _reads(task: Task) -> tuple[Any, ...]:
    """What two classifiers must have in common to be asked about the same rows."""
    return (
        task.source, task.text, task.template, task.markup, task.where, dict(task.params),
        task.labels,
    )  # fmt: skip


def _margin(labels: LabelSet, logprobs: Any) -> float:
    """Between the two most probable labels; of several a row, how far the least decided is from
    even odds."""
    import numpy as np

    chances = np.exp(logprobs)
    if not labels.exclusive:
        return float(np.abs(chances - 0.5).min())
    if len(chances) < 2:
        return 1.0
    second, best = np.partition(chances, -2)[-2:]
    return float(best - second)


def _unsure_of(answerer: Answerer, logprobs: Any, title: str) -> str:
    labels = answerer.labels
    best = logprobs.argsort()[::-1][:2].tolist()
    shares = [min(math.exp(logprobs[i]), 1.0) for i in best]
    chances = [f"{labels.names[i]} {percent(n)}" for i, n in zip(best, shares, strict=True)]
    return f"{title} is not sure: {' or '.join(chances)}."


def _named(labels: LabelSet, values: Sequence[Any]) -> str:
    return ", ".join(labels.name_of(value) for value in values) or "no label"


def _row(
    place: int,
    answerer: Answerer,
    record: Record,
    logprobs: Any,
    why: str,
    *,
    at_random: bool = False,
) -> QueuedRow:
    import numpy as np

    answer = answerer.from_logprobs(logprobs)
    suggested = answerer.labels.positions(answer.labels)
    words: list[str] = []
    for position in suggested[:1]:
        said = answerer.predictor.explain(record.text or "", position, _WORDS)
        words = [word for word, weight in said if weight > 0]
    return queued(place, record, suggested, np.exp(logprobs), why, at_random=at_random, words=words)
