"""A queue as it is made, before it is stored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ...core.database import Key
from ...core.examples import Record
from ...core.labels import LabelSet
from ...core.text import text_hash
from ...store.reviews import QueuedRow

MOST_ROWS = 5_000
"""Of a queue: more than anybody reads."""

_LIKELY = 6
"""Labels of a row whose probabilities are kept."""


@dataclass(frozen=True)
class Made:
    """A queue. said: what there is to say of it, a sentence; probable: of its first rows, how many
    are probably what it looks for"""

    rows: list[QueuedRow]
    labels: LabelSet
    said: str
    probable: int | None = None


def queued(
    place: int,
    record: Record,
    suggested: Sequence[int] | None,
    chances: Any,
    why: str,
    *,
    at_random: bool = False,
    words: Sequence[str] = (),
    neighbours: Sequence[Key] = (),
) -> QueuedRow:
    """chances: of each label, (K,), 0-1; None: not known"""
    likely: list[tuple[int, float]] = []
    if chances is not None:
        order = chances.argsort()[::-1][:_LIKELY]
        likely = [(int(i), round(min(max(float(chances[i]), 0.0), 1.0), 4)) for i in order]
    return QueuedRow(
        place=place,
        key=record.key,
        text_hash=text_hash(record.text or ""),
        suggested=None if suggested is None else tuple(suggested),
        likely=tuple(likely),
        why=why,
        at_random=at_random,
        words=tuple(words),
        neighbours=tuple(neighbours),
    )
