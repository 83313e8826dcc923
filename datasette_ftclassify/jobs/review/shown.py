"""What people are shown of a queue: how far it is, one of its rows, what was changed; alike on
pages, in a terminal and as JSON."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass, replace

from ...core.database import Cell, JsonKey, json_key
from ...core.humanize import shortened
from ...metrics.intervals import wilson_interval
from ...store.jobs.job import Job
from ...store.label_changes import Change, list_changes
from ...store.reviews import Progress, QueuedRow, list_rows, progress_of, row_at
from ...store.shared_answers import answers_of, left_for
from .build import queue_facts
from .changes import open_queue
from .rows import OpenQueue, exact, read_row

LONGEST_TEXT = 20_000
"""Characters of a text that are shown."""

LONGEST_NEIGHBOUR = 300

FEW_LABELS = 9
"""As many have a key each, in their own order; of more the likely ones have."""


@dataclass(frozen=True)
class Neighbour:
    """A row with a text like that of the row that is reviewed."""

    key: JsonKey
    text: str
    labels: list[str]


@dataclass(frozen=True)
class ShownRow:
    """A row of a queue. Labels by their names.

    labels:    that it has; None: it is not labelled
    suggested: None: nothing is suggested
    likely:    the most probable labels with their probabilities
    seen:      to be sent back with the choice: it names the row's state
    moved:     whether its text is another one than when the queue was made
    cut:       whether the text goes on
    blind:     whether somebody is to label it for themselves: nothing is shown then of what the
               row, a model or others say
    mine:      where several people label each row, what this person has answered
    answers:   and what all have, once nobody is to answer any more: (who, labels), None: passed
    """

    place: int
    key: JsonKey
    text: str | None
    cut: bool
    labels: list[str] | None
    suggested: list[str] | None
    likely: list[tuple[str, float]]
    why: str
    words: list[str]
    neighbours: list[Neighbour]
    state: str
    claimed_by: str | None
    seen: str
    moved: bool
    blind: bool = False
    mine: list[str] | None = None
    answers: list[tuple[str, list[str] | None]] | None = None


@dataclass(frozen=True)
class Audit:
    """What a random sample says so far: of `rows` that were judged, `wrong` had a wrong label; the
    share of all rows, 0-1, with its 95% interval."""

    rows: int
    wrong: int
    share: float
    low: float
    high: float


@dataclass(frozen=True)
class QueueNow:
    """A queue, and how far it is.

    probable: of its first rows, how many are probably what it looks for; None: not known
    labels:   the names of those that can be chosen; exclusive: one a row
    people:   how many label each row, each for themselves; left: rows that this person is to label
    audit:    of a random sample, once a row of it was judged
    """

    job: int
    queue: str
    title: str
    source: str
    said: str
    probable: int | None
    progress: Progress
    labels: list[str]
    exclusive: bool
    audit: Audit | None
    people: int
    left: int


def queue_now(conn: sqlite3.Connection, job: Job, who: str = "") -> QueueNow:
    """who: whose queue it is, where several people label each row
    Raises ReviewError, SourceError or ArtifactError when the queue cannot be worked in."""
    queue, settings, made = queue_facts(job)
    with exact(conn):
        now = open_queue(conn, job)
    progress = progress_of(conn, job.id)
    audit = None
    # Rows are decided the disputed ones first, which say nothing of the others.
    whole = settings.people < 2 or not (progress.open or progress.answered)
    if queue.name == "audit" and progress.done and whole:
        wrong = min(progress.changed, progress.done)
        low, high = wilson_interval(wrong, progress.done)
        audit = Audit(progress.done, wrong, wrong / progress.done, low, high)
    return QueueNow(
        job=job.id,
        queue=queue.name,
        title=queue.title,
        source=now.source.name,
        said=made.said,
        probable=made.probable,
        progress=progress,
        labels=list(now.labels.names),
        exclusive=now.task.exclusive,
        audit=audit,
        people=settings.people,
        left=progress.open if settings.people < 2 else left_for(conn, job.id, who),
    )


def show_row(conn: sqlite3.Connection, job: Job, place: int, who: str = "") -> ShownRow | None:
    """None where the queue has no such place, or the row is gone. Raises as `queue_now` does."""
    with exact(conn):
        queue = open_queue(conn, job)
        queued = row_at(conn, job.id, place)
        found = None if queued is None else _shown(conn, queue, queued)
        return found if found is None else _for_person(conn, queue, found, who)


def list_shown(
    conn: sqlite3.Connection, job: Job, *, after: int = 0, most: int = 50, who: str = ""
) -> list[ShownRow]:
    """The rows of a queue in their order, without those that are gone. Raises as `queue_now`."""
    with exact(conn):
        queue = open_queue(conn, job)
        rows = list_rows(conn, job.id, after=after, most=most)
        shown = (_shown(conn, queue, queued, near=False) for queued in rows)
        return [_for_person(conn, queue, row, who) for row in shown if row is not None]


def _for_person(conn: sqlite3.Connection, queue: OpenQueue, row: ShownRow, who: str) -> ShownRow:
    """A row that several people label, as this one may see it."""
    if queue.people < 2:
        return row
    given: dict[str, list[str] | None] = {}
    for answer in answers_of(conn, queue.job.id, row.place):
        values = queue.read(answer.after) if answer.action == "answer" else None
        given[answer.who] = None if values is None else queue.names(values)
    if row.state != "open":
        return replace(row, mine=given.get(who), answers=list(given.items()))
    return replace(
        row, blind=True, mine=given.get(who), labels=None, suggested=None, likely=[], words=[],
        neighbours=[], why="",
    )  # fmt: skip


def _shown(
    conn: sqlite3.Connection, queue: OpenQueue, queued: QueuedRow, *, near: bool = True
) -> ShownRow | None:
    now = read_row(conn, queue, queued)
    if now is None:
        return None
    names = queue.labels.names
    known = [(p, share) for p, share in queued.likely if p < len(names)]
    text = now.text
    return ShownRow(
        place=queued.place,
        key=json_key(queued.key),
        text=text if text is None else text[:LONGEST_TEXT],
        cut=text is not None and len(text) > LONGEST_TEXT,
        labels=None if now.labels is None else queue.names(now.labels),
        suggested=None
        if queued.suggested is None
        else [names[p] for p in queued.suggested if p < len(names)],
        likely=[(names[p], share) for p, share in known],
        why=queued.why,
        words=list(queued.words),
        neighbours=_neighbours(conn, queue, queued) if near else [],
        state=queued.state,
        claimed_by=queued.claimed_by,
        seen=now.seen,
        moved=now.moved,
    )


def _neighbours(conn: sqlite3.Connection, queue: OpenQueue, queued: QueuedRow) -> list[Neighbour]:
    found = []
    for key in queued.neighbours:
        near = QueuedRow(0, key, 0, None, (), "")
        now = read_row(conn, queue, near, any_text=True)
        if now is not None and now.text is not None:
            short = " ".join(now.text[: LONGEST_NEIGHBOUR + 1].split())
            text, near_labels = shortened(short, LONGEST_NEIGHBOUR), now.labels or ()
            found.append(Neighbour(json_key(key), text, queue.names(near_labels)))
    return found


@dataclass(frozen=True)
class ShownChange:
    """What somebody did with a row; labels by their names, None for none or what cannot be read."""

    id: int
    place: int
    key: JsonKey
    action: str
    before: list[str] | None
    after: list[str] | None
    note: str
    who: str
    created_at: str
    undone_by: str | None
    undone_at: str | None


def changes_shown(
    conn: sqlite3.Connection, job: Job, *, place: int | None = None, most: int = 50, who: str = ""
) -> list[ShownChange]:
    """The newest first. Of answers that people give each for themselves, this person's own."""
    with exact(conn):
        queue = open_queue(conn, job)
        return [
            _shown_change(queue, change)
            for change in list_changes(conn, job.id, place=place, most=most)
            if change.action not in ("answer", "pass") or change.who == who
        ]


def _shown_change(queue: OpenQueue, change: Change) -> ShownChange:
    def named(cells: tuple[Cell, ...]) -> list[str] | None:
        values = queue.read(cells) if len(cells) == len(queue.task.labels) else None
        return None if values is None else queue.names(values)

    return ShownChange(
        change.id, change.place, json_key(change.key), change.action, named(change.before),
        named(change.after), change.note, change.who, change.created_at, change.undone_by,
        change.undone_at,
    )  # fmt: skip


def label_order(labels: list[str], row: ShownRow) -> tuple[list[str], list[str]]:
    """The labels that get a key or a button, and the others: all of a few in their own order, so
    that hands learn them; of many the suggested, the given and the likely ones."""
    if len(labels) <= FEW_LABELS:
        return labels, []
    likely = [*(row.suggested or ()), *(row.labels or ()), *(name for name, _ in row.likely)]
    known = set(labels)
    first = [name for name in dict.fromkeys(likely) if name in known][:FEW_LABELS]
    return first, [name for name in labels if name not in first]
