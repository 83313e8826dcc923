"""Earlier names of classifiers, so that queries, views and dashboards that use them go on working.

A classifier that is renamed keeps its old name as an alias; one that really has the name comes
first. They are settings of the database, which all versions of our tables have: `alias:OLD` is NEW.
"""

from __future__ import annotations

import sqlite3

from ..core.database import quote
from ..core.errors import ClassifierNotFound
from .cell_size import fits
from .schema import transaction
from .settings import SETTING, read_setting

ALIAS = "alias:"


def resolve_alias(conn: sqlite3.Connection, name: str, schema: str = "main") -> str:
    """The name that an alias stands for, `new@2` for `old@2`; any other name as it is."""
    base, at, version = name.partition("@")
    stands_for = read_setting(conn, ALIAS + base, schema)
    return name if stands_for is None else f"{stands_for}{at}{version}"


def aliases_of(conn: sqlite3.Connection, name: str, schema: str = "main") -> list[str]:
    """The earlier names that `name` still answers to, in alphabetical order."""
    rows = conn.execute(
        f"select substr(key, ?) from {quote(schema)}._ftclassify_settings"
        f" where key like ? and value = ? and {fits('key')}"
        " order by 1 limit 100",
        [len(ALIAS) + 1, f"{ALIAS}%", name],
    )
    return [str(row[0]) for row in rows]


def remove_alias(conn: sqlite3.Connection, alias: str) -> None:
    """Raises ClassifierNotFound when no classifier has that alias."""
    with transaction(conn):
        gone = _forget(conn, "key = ?", ALIAS + alias)
    if not gone:
        raise ClassifierNotFound(f"No classifier has the alias {alias}.")


def note_name(conn: sqlite3.Connection, name: str) -> None:
    """Call it when a classifier gets a name: the name is no alias any more. In a transaction."""
    _forget(conn, "key = ?", ALIAS + name)


def note_renaming(conn: sqlite3.Connection, old: str, new: str) -> None:
    """Makes `old` and its aliases those of `new`. In a transaction."""
    note_name(conn, new)
    conn.execute(
        "update _ftclassify_settings set value = ? where key like ? and value = ?",
        [new, f"{ALIAS}%", old],
    )
    conn.execute(SETTING, [ALIAS + old, new])


def note_deletion(conn: sqlite3.Connection, name: str) -> None:
    """Call it when no version of `name` is left. In a transaction."""
    _forget(conn, f"key like '{ALIAS}%' and value = ?", name)


def _forget(conn: sqlite3.Connection, which: str, value: str) -> int:
    return conn.execute(f"delete from _ftclassify_settings where {which}", [value]).rowcount
