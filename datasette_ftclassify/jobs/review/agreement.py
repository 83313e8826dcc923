"""A queue that several people have labelled, each for themselves: how far they agree, where not,
and what is decided about it. Until then the label column is as it was."""

from __future__ import annotations

import sqlite3
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from ...core.database import JsonKey, Key, json_key
from ...core.errors import ReviewError
from ...core.humanize import counted
from ...core.labels import LabelValue
from ...metrics.agreement import cohen_kappa, krippendorff_alpha
from ...metrics.intervals import wilson_interval
from ...store.change_batches import add_batch, put_into, set_rows
from ...store.jobs.job import Job
from ...store.label_changes import add_change, last_change
from ...store.reviews import QueuedRow, list_rows
from ...store.schema import ensure_schema, transaction
from ...store.shared_answers import answers_of, next_undecided
from .cells import as_cells
from .changes import open_queue, write_row
from .queue_rows import MOST_ROWS
from .rows import OpenQueue, exact, read_row

SHOWN_TEXT = 300
"""Characters of a text that are listed."""

MOST_PAIRS = 45
"""Pairs of people that are listed: of ten."""


@dataclass(frozen=True)
class PairAgreement:
    """Of two people, on the rows that both answered. share: with the same labels, 0-1; kappa:
    Cohen's, at most 1; None: it cannot be said"""

    first: str
    second: str
    rows: int
    share: float
    kappa: float | None


@dataclass(frozen=True)
class Disagreement:
    """A row with different answers: of each person the names of labels. state: answered (it waits
    for a decision), done or skipped"""

    place: int
    key: JsonKey
    text: str
    answers: dict[str, list[str]]
    state: str


@dataclass(frozen=True)
class Agreement:
    """Of the rows that all people who were to do so have answered, those with two answers or more.

    wanted:        so many people label each row
    people:        who has answered any
    rows, agreed:  rows that are compared, and those whose answers are all the same
    share:         of these, 0-1, with its 95% interval (Wilson's); None without a row
    alpha:         Krippendorff's, at most 1; None: it cannot be said
    pairs:         each two people
    to_accept:     rows with the same answers that are not in the table yet
    to_decide:     rows with different answers that wait for a decision
    disagreements: all with different answers, in the order of the queue
    """

    job: int
    source: str
    wanted: int
    people: list[str]
    rows: int
    agreed: int
    share: float | None
    low: float | None
    high: float | None
    alpha: float | None
    pairs: list[PairAgreement]
    to_accept: int
    to_decide: int
    disagreements: list[Disagreement]


@dataclass(frozen=True)
class Accepted:
    """written: keys of the rows that got the label all have given; kept: rows that had it; left:
    rows that were changed meanwhile, or refused by the table, with the first reason"""

    written: list[Key]
    kept: int
    left: int
    reason: str | None


_Answers = dict[str, tuple[LabelValue, ...]]


def agreement(conn: sqlite3.Connection, job: Job) -> Agreement:
    """Raises ReviewError for a queue that is one person's, and as `open_queue` does."""
    with exact(conn):
        queue = _shared(conn, job)
        found = list(_answered(conn, queue))
        differ = [(row, answers) for row, answers in found if not _same(answers)]
        shown = [_disagreement(conn, queue, *one) for one in differ]
    units = [{who: frozenset(values) for who, values in a.items()} for _, a in found]
    people = sorted({who for unit in units for who in unit})
    agreed = len(found) - len(differ)
    low, high = wilson_interval(agreed, len(found)) if found else (None, None)
    waiting = [(row, answers) for row, answers in found if row.state == "answered"]
    accept = sum(_same(answers) for _, answers in waiting)
    return Agreement(
        job=job.id,
        source=queue.source.name,
        wanted=queue.people,
        people=people,
        rows=len(found),
        agreed=agreed,
        share=agreed / len(found) if found else None,
        low=low,
        high=high,
        alpha=krippendorff_alpha([list(unit.values()) for unit in units]),
        pairs=[_pair(units, *two) for two in list(combinations(people, 2))[:MOST_PAIRS]],
        to_accept=accept,
        to_decide=len(waiting) - accept,
        disagreements=shown,
    )


def next_decision(conn: sqlite3.Connection, job: Job, who: str) -> int | None:
    """The place of the first row with different answers that waits for a decision and that nobody
    else has in front of them. Raises as `agreement`."""
    ensure_schema(conn)
    with exact(conn), transaction(conn):
        queue = _shared(conn, job)
        differ = [row for row, answers in _answered(conn, queue) if not _same(answers)]
        places = [row.place for row in differ if read_row(conn, queue, row) is not None]
        return next_undecided(conn, job.id, who, places)


def accept_agreed(conn: sqlite3.Connection, job: Job, who: str) -> Accepted:
    """Writes the labels on which all agree, into the rows that are as they were when they were
    answered; each is recorded, and all are undone as one. Raises as `agreement`."""
    ensure_schema(conn)
    with exact(conn), transaction(conn):
        queue = _shared(conn, job)
        task, source = queue.task, queue.source
        rows = [
            (row, answers)
            for row, answers in _answered(conn, queue)
            if row.state == "answered" and _same(answers)
        ]
        if not rows:
            raise ReviewError("No row waits that all have given the same labels.")
        said = f"Labels on which all agree, {counted(len(rows), 'row', 'rows')}"
        batch = add_batch(
            conn, job_id=job.id, source=source.name, columns=task.labels, said=said, who=who
        )
        written: list[Key] = []
        kept, reasons = 0, []
        for row, answers in rows:
            try:
                wrote = _accept(conn, queue, row, answers, who)
            except ReviewError as error:
                reasons.append(f"Row {row.place}: {error}")
                continue
            change = last_change(conn, job.id, who)
            assert change is not None
            put_into(conn, batch, change.id)
            kept += not wrote
            if wrote:
                written.append(row.key)
        set_rows(conn, batch, len(written) + kept)
        return Accepted(written, kept, len(reasons), reasons[0] if reasons else None)


def _accept(
    conn: sqlite3.Connection, queue: OpenQueue, row: QueuedRow, answers: _Answers, who: str
) -> bool:
    """Whether the row was written. Raises ReviewError where it was changed, or is refused."""
    now = read_row(conn, queue, row)
    given = answers_of(conn, queue.job.id, row.place)
    if now is None or now.moved or any(tuple(answer.before) != now.cells for answer in given):
        raise ReviewError("It was changed since it was answered, so look at it again.")
    values = next(iter(answers.values()))
    note = f"{', '.join(answers)} agree"
    same = now.labels is not None and set(values) == set(now.labels)
    after = now.cells
    if not same:
        wanted = as_cells(conn, queue.task, queue.source, queue.labels, values, now.cells)
        after = write_row(conn, queue, row, now.cells, wanted)
    add_change(
        conn, row, job_id=queue.job.id, source=queue.source.name,
        action="keep" if same else "label", before=now.cells, after=after, note=note, who=who,
    )  # fmt: skip
    return not same


def _shared(conn: sqlite3.Connection, job: Job) -> OpenQueue:
    queue = open_queue(conn, job)
    if queue.people < 2:
        raise ReviewError(
            "The rows of this queue are labelled by one person each: make a queue that several "
            "people label, each for themselves."
        )
    return queue


def _answered(conn: sqlite3.Connection, queue: OpenQueue) -> list[tuple[QueuedRow, _Answers]]:
    """The rows with two answers or more that nobody is to answer any more, with these."""
    job_id = queue.job.id
    rows = {r.place: r for r in list_rows(conn, job_id, most=MOST_ROWS) if r.state != "open"}
    found: dict[int, _Answers] = {}
    for answer in answers_of(conn, job_id):
        values = queue.read(answer.after) if answer.action == "answer" else None
        if answer.place in rows and values is not None:
            found.setdefault(answer.place, {})[answer.who] = values
    return [(rows[place], answers) for place, answers in found.items() if len(answers) > 1]


def _same(answers: _Answers) -> bool:
    return len({frozenset(values) for values in answers.values()}) == 1


def _pair(units: Sequence[Mapping[str, Hashable]], first: str, second: str) -> PairAgreement:
    both = [(u[first], u[second]) for u in units if first in u and second in u]
    share = sum(a == b for a, b in both) / len(both) if both else 0.0
    return PairAgreement(first, second, len(both), share, cohen_kappa(both))


def _disagreement(
    conn: sqlite3.Connection, queue: OpenQueue, row: QueuedRow, answers: _Answers
) -> Disagreement:
    now = read_row(conn, queue, row)
    text = "" if now is None or now.text is None else now.text[:SHOWN_TEXT]
    named = {who: queue.names(values) for who, values in answers.items()}
    return Disagreement(row.place, json_key(row.key), text, named, row.state)
