"""SQL conditions that lead from a finding to its rows.

A page and a person want to see the very rows that a message speaks of. Conditions are written from
cells and names in strangers' files, and collations or type affinities can make `=` match more than
Python saw. So every condition is run once, and dropped when it does not select as many rows as were
counted.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, field

from ..core.database import Cell, Key, Relation, condition, count, quote, quote_all
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


def literal(cell: Cell) -> str | None:
    """A cell as SQL; None for what has no simple form (NULL, long reals, NUL, bad UTF-8)."""
    if isinstance(cell, str):
        plain = "\0" not in cell and "\ufffd" not in cell
        return "'" + cell.replace("'", "''") + "'" if plain else None
    if isinstance(cell, bytes):
        return f"X'{cell.hex()}'"
    if cell is None or (isinstance(cell, float) and not _is_short(cell)):
        return None
    return repr(cell)


def _is_short(number: float) -> bool:
    """Whether SQLite very likely reads the number back as it was: it may round the last bit."""
    return number == 0 or (1e-3 < abs(number) < 1e6 and len(repr(abs(number))) <= 8)


def in_list(column: str, cells: Iterable[Cell]) -> str | None:
    """`"column" in (…)`; None when a cell cannot be written."""
    literals = [literal(cell) for cell in cells]
    written = [text for text in literals if text is not None]
    if not written or len(written) < len(literals):
        return None
    return f"{quote(column)} in ({', '.join(written)})"


def of_keys(identity: Sequence[str], keys: Sequence[Key]) -> str | None:
    """A condition for the rows with these keys; None without columns that identify a row."""
    if not identity or not keys:
        return None
    if len(identity) == 1:
        return in_list(identity[0], [key[0] for key in keys])
    tuples = []
    for key in keys:
        cells = [literal(cell) for cell in key]
        if None in cells:
            return None
        tuples.append(f"({', '.join(map(str, cells))})")
    return f"({quote_all(identity)}) in (values {', '.join(tuples)})"


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
