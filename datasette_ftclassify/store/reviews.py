"""Review queues: rows that are worth a look.

A queue is what a job of the kind `review` made: rows in an order, each with why it is shown.
Several people work in it at once: a row that one of them is shown is claimed for some minutes.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from ..core.database import Cell, Key, NotUtf8, packed, unpacked
from ..core.errors import ArtifactError
from ..core.untrusted_json import MOST_BYTES, read_json
from .cell_size import at_most, cut

CLAIM_SECONDS = 300.0
"""For how long a row is somebody's who was shown it."""

State = Literal["open", "answered", "done", "skipped"]
"""answered: by all people who were to answer it each for themselves; it waits for a decision"""


@dataclass(frozen=True)
class QueuedRow:
    """A row of a queue. Labels are positions in the queue's label set.

    place:      in the queue, from 1
    text_hash:  of the normalised text that the row had
    suggested:  labels that may be right; None: nothing is suggested
    likely:     the most probable labels with their probabilities, the most probable first
    why:        why it is shown, a sentence
    at_random:  whether it was drawn at random, and not for what a model says of it
    words:      that spoke for what is suggested
    neighbours: rows with texts like its own
    """

    place: int
    key: Key
    text_hash: int
    suggested: tuple[int, ...] | None
    likely: tuple[tuple[int, float], ...]
    why: str
    at_random: bool = False
    words: tuple[str, ...] = ()
    neighbours: tuple[Key, ...] = ()
    state: State = "open"
    claimed_by: str | None = field(default=None, compare=False)


def cells_text(cells: Sequence[Cell]) -> str:
    """As JSON. A text that is no UTF-8 comes back, too."""
    each = [{"text": c.raw.hex()} if isinstance(c, NotUtf8) else packed(c) for c in cells]
    return json.dumps(each, ensure_ascii=False)


def read_cells(text: object, most_bytes: int = MOST_BYTES) -> tuple[Cell, ...]:
    """The other way round, also of a row's key. Raises ArtifactError."""
    found = read_json(text, "cells", most_bytes=most_bytes)
    if not isinstance(found, list):
        raise ArtifactError("A stored row is damaged.")
    try:
        return tuple(map(unpacked, found))
    except (TypeError, ValueError) as error:
        raise ArtifactError("A stored row is damaged.") from error


def add_rows(conn: sqlite3.Connection, job_id: int, rows: Iterable[QueuedRow]) -> None:
    """Stores a queue, in the place of an unfinished one. Call inside a transaction."""
    conn.execute("delete from _ftclassify_review_rows where job_id = ?", [job_id])
    conn.executemany(
        "insert into _ftclassify_review_rows (job_id, place, row_key, text_hash, suggested, likely,"
        " why, at_random, words, neighbours, state) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'open')",
        (
            [
                job_id, row.place, cells_text(row.key), row.text_hash,
                None if row.suggested is None else json.dumps(row.suggested),
                json.dumps(row.likely), row.why, int(row.at_random),
                json.dumps(row.words, ensure_ascii=False),
                json.dumps(list(map(cells_text, row.neighbours)), ensure_ascii=False),
            ]
            for row in rows
        ),
    )  # fmt: skip


_ROW = ", ".join([
    "place", at_most("row_key"), "text_hash", at_most("suggested"), at_most("likely"), cut("why"),
    at_most("words", 100_000), at_most("neighbours", 100_000), "at_random", cut("state"),
    cut("claimed_by"), "claimed_until",
])  # fmt: skip


def row_at(conn: sqlite3.Connection, job_id: int, place: int) -> QueuedRow | None:
    """None where the queue has no such place. Raises ArtifactError."""
    sql = f"select {_ROW} from _ftclassify_review_rows where job_id = ? and place = ?"
    found = conn.execute(sql, [job_id, place]).fetchone()
    return None if found is None else _row(found)


def list_rows(
    conn: sqlite3.Connection, job_id: int, *, after: int = 0, most: int = 100
) -> list[QueuedRow]:
    """In their order, from the place after `after` on. Raises ArtifactError."""
    sql = (
        f"select {_ROW} from _ftclassify_review_rows where job_id = ? and place > ?"
        " order by place limit ?"
    )
    return [_row(row) for row in conn.execute(sql, [job_id, after, most]).fetchall()]


def _row(cells: Sequence[Any]) -> QueuedRow:
    place, key, text_hash, suggested, likely, why, words, neighbours = cells[:8]
    at_random, state, claimed_by, until = cells[8:]
    held = isinstance(until, (int, float)) and until > time.time()
    try:
        return QueuedRow(
            place=int(place),
            key=read_cells(key),
            text_hash=int(text_hash),
            suggested=None if suggested is None else tuple(map(_whole, _items(suggested))),
            likely=tuple((_whole(p), _share(s)) for p, s in _items(likely)),
            why=plain_text(why),
            at_random=bool(at_random),
            words=tuple(map(plain_text, _items(words))),
            neighbours=tuple(read_cells(k) for k in _items(neighbours)),
            state=_STATES[state],
            claimed_by=plain_text(claimed_by) if held and claimed_by is not None else None,
        )
    except (TypeError, ValueError, KeyError, OverflowError) as error:
        raise ArtifactError("A row of this queue is damaged: make the queue again.") from error


_STATES: dict[Any, State] = {
    "open": "open", "answered": "answered", "done": "done", "skipped": "skipped"
}  # fmt: skip


def _items(text: object) -> list[Any]:
    found = read_json(text, "list")
    if not isinstance(found, list):
        raise ValueError("no list")
    return found


def _whole(value: object) -> int:
    if type(value) is not int or value < 0:
        raise ValueError("no position")
    return value


def _share(value: object) -> float:
    if not isinstance(value, (int, float)) or not 0 <= value <= 1:
        raise ValueError("no probability")
    return float(value)


def plain_text(value: object) -> str:
    """Raises ValueError for anything else."""
    if not isinstance(value, str):
        raise ValueError("no text")
    return value


def claim_next(conn: sqlite3.Connection, job_id: int, who: str) -> int | None:
    """The place of the next open row that nobody else has in front of them, now theirs; None where
    none is left. Call inside a transaction."""
    row = conn.execute(
        "select place from _ftclassify_review_rows where job_id = ? and state = 'open'"
        " and (claimed_by is null or claimed_by = ? or claimed_until < ?) order by place limit 1",
        [job_id, who, time.time()],
    ).fetchone()
    if row is None:
        return None
    claim(conn, job_id, int(row[0]), who)
    return int(row[0])


def claim(conn: sqlite3.Connection, job_id: int, place: int, who: str) -> None:
    conn.execute(
        "update _ftclassify_review_rows set claimed_by = ?, claimed_until = ?"
        " where job_id = ? and place = ?",
        [who, time.time() + CLAIM_SECONDS, job_id, place],
    )


def set_state(conn: sqlite3.Connection, job_id: int, place: int, state: State) -> None:
    """And gives up the claim. Call inside a transaction."""
    conn.execute(
        "update _ftclassify_review_rows set state = ?, claimed_by = null, claimed_until = null"
        " where job_id = ? and place = ?",
        [state, job_id, place],
    )


@dataclass(frozen=True)
class Progress:
    """Rows of a queue. changed: of those done, that got another label; claimed: open, and in front
    of somebody; answered: see `State`"""

    rows: int
    open: int
    done: int
    skipped: int
    changed: int
    claimed: int
    answered: int = 0

    @property
    def share(self) -> float:
        return 1 - (self.open + self.answered) / self.rows if self.rows else 1.0


def progress_of(conn: sqlite3.Connection, job_id: int) -> Progress:
    sql = (
        "select count(*), coalesce(sum(state = 'open'), 0), coalesce(sum(state = 'done'), 0),"
        " coalesce(sum(state = 'skipped'), 0),"
        " coalesce(sum(state = 'open' and coalesce(claimed_until, 0) > ?), 0),"
        " coalesce(sum(state = 'answered'), 0)"
        " from _ftclassify_review_rows where job_id = ?"
    )
    rows, open_, done, skipped, claimed, answered = conn.execute(
        sql, [time.time(), job_id]
    ).fetchone()
    sql = (
        "select count(distinct place) from _ftclassify_label_changes"
        " where job_id = ? and action = 'label' and undone_at is null"
    )
    (changed,) = conn.execute(sql, [job_id]).fetchone()
    return Progress(rows, open_, done, skipped, changed, claimed, answered)
