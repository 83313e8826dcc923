"""SQL conditions that lead from a finding to its rows.

A page and a person want to see the very rows that a message speaks of. Conditions are written from
cells and names in strangers' files, and collations or type affinities can make `=` match more than
Python saw. So every condition is run once, and dropped when it does not select as many rows as were
counted.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Hashable
from dataclasses import dataclass, field

from ..core.database import Key, Relation, condition, count, quote
from ..core.sqlite_errors import SQLITE_ERRORS
from ..core.task import Task

MOST_KEYS = 200
"""Keys noted for a condition; beyond it a list of keys is no longer simple."""


@dataclass
class Seen:
    """Rows that show something: how many, and the keys of the first of them."""

    count: int = 0
    keys: list[Key] = field(default_factory=list)

    def add(self, key: Key) -> None:
        self.count += 1
        if len(self.keys) < MOST_KEYS:
            self.keys.append(key)

    @property
    def complete(self) -> bool:
        return self.count == len(self.keys)


@dataclass(frozen=True)
class RowGroup:
    """Rows that belong together: how many, and the keys of the first of them."""

    rows: int
    keys: tuple[Key, ...]


class SeenGroups:
    """Rows that belong together, such as copies of a text, to be read side by side. Seen rows whose
    keys stand group by group, the largest group first.

    Notes the keys of NOTED rows, and then no further group: memory does not follow the table.
    """

    NOTED = 10 * MOST_KEYS

    def __init__(self) -> None:
        self.count = 0
        self._groups: dict[Hashable, list[Key]] = {}
        self._rows: Counter[Hashable] = Counter()
        self._noted = 0

    def add(self, key: Key, group: Hashable) -> None:
        self.count += 1
        if self._noted < self.NOTED:
            self._groups.setdefault(group, []).append(key)
            self._noted += 1
        if group in self._groups:
            self._rows[group] += 1

    @property
    def keys(self) -> list[Key]:
        return [key for group in self.groups(MOST_KEYS) for key in group.keys]

    @property
    def complete(self) -> bool:
        return self.count <= MOST_KEYS

    def groups(self, most: int) -> tuple[RowGroup, ...]:
        """Groups with at most so many keys in all; some of each where they are more."""
        whole = self.count <= most
        each = most if whole else max(_LEAST_SHOWN, most // len(self._groups))
        found = []
        for group, rows in self._rows.most_common():
            keys = self._groups[group][: min(each, most)]
            if len(keys) > 1 or whole:
                found.append(RowGroup(rows, tuple(keys)))
                most -= len(keys)
        return tuple(found)


_LEAST_SHOWN = 3
"""Rows of a group: with fewer there is little to compare."""


def checked(
    conn: sqlite3.Connection, task: Task, source: Relation, where: str | None, rows: int
) -> str | None:
    """`where` within the task's own condition, if that selects `rows` rows of the source."""
    if where is None or task.params:
        return None
    combined = f"{condition(task.where)} and {where}" if task.where else where
    sql = f"select count(*) from {quote(source.name)} where {combined}"
    try:
        return combined if count(conn, sql) == rows else None
    except SQLITE_ERRORS:
        return None
