"""The values that a shell gives for the parameters of a condition."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from ..core.database import Params, condition, count, quote, reading, relation
from ..core.numbers import NUMBER, WHOLE


def params_from(
    conn: sqlite3.Connection, table: str, where: str | None, given: Sequence[tuple[str, str]]
) -> Params:
    """The values of a condition's parameters. A shell gives texts, and SQLite makes numbers of them
    only beside a column whose type says so: those that read as numbers are some where the condition
    is true of no row or of all, and by numbers of others. Raises SourceError."""
    texts: Params = dict(given)
    numbers = {name: number for name, text in given if (number := _number(text)) is not None}
    if not where or not numbers:
        return texts
    source = relation(conn, table)
    sql = f"select count(*) from {quote(source.name)} where "
    with reading(source, where):
        every = count(conn, f"{sql} 1")
        chosen = count(conn, sql + condition(where), texts)
        by_numbers = count(conn, sql + condition(where), {**texts, **numbers})
    return {**texts, **numbers} if chosen in (0, every) and by_numbers != chosen else texts


def _number(text: str) -> float | None:
    whole = WHOLE.read(text)
    return NUMBER.read(text) if whole is None or abs(whole) >= 2**63 else whole
