"""Label columns that hold keys of another table, which has the labels' names.

A column `topic integer references topics(id)` holds 1, 2, 3. People, pages and services are told
the names; the cells, and what is written and answered, stay keys.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from .database import Relation, quote, relation
from .labels import MAX_LABELS, MAX_NAME, LabelSet, LabelValue, is_blank, label_name
from .task import Task


@dataclass(frozen=True)
class Lookup:
    """A table that names keys: the column that holds them, and the one with the names."""

    table: str
    key: str
    name: str


def find_lookup(conn: sqlite3.Connection, task: Task) -> Lookup | None:
    """The table that names the labels of a task with one label column; None without one.

    None, too, for a foreign key of several columns: their cells together are the key.
    """
    if len(task.labels) != 1 or not task.exclusive:
        return None
    return _lookup_of(conn, task.source, task.labels[0])


def naming_tables(conn: sqlite3.Connection, table: str) -> dict[str, str]:
    """By column, in small letters, the table that names the keys in it."""
    found: dict[str, Lookup | None] = {}
    for column, target, key in _keys(conn, table):
        if column not in found:
            found[column] = _lookup(conn, target, key)
    return {column: lookup.table for column, lookup in found.items() if lookup is not None}


def _lookup_of(conn: sqlite3.Connection, table: str, label: str) -> Lookup | None:
    for column, target, key in _keys(conn, table):
        if column == label.lower():
            return _lookup(conn, target, key)
    return None


def _keys(conn: sqlite3.Connection, table: str) -> Iterator[tuple[str, str, str | None]]:
    """Columns, in small letters, that refer to a table, and by which column of it."""
    keys = conn.execute(
        'select id, "table", "from", "to" from pragma_foreign_key_list(?)', [table]
    ).fetchall()
    parts = Counter(row[0] for row in keys)
    yield from ((column.lower(), to, key) for id_, to, column, key in keys if parts[id_] == 1)


def find_table_behind_view(
    conn: sqlite3.Connection, task: Task, keys: Sequence[LabelValue]
) -> str | None:
    """The table that a view's label column may come from: one in the view's SQL with a column of
    that name that refers to a table in which all of `keys`, the labels, have names.

    SQLite tells Python from which table a view's column comes only where both were compiled for
    it, so this goes by names alone: enough to ask about, not to name labels by.
    """
    source = relation(conn, task.source)
    if not source.is_view or len(task.labels) != 1 or not task.exclusive or not keys:
        return None
    tables = conn.execute(
        "select t.name from sqlite_master t join sqlite_master v on v.type = 'view' and v.name = ?"
        " where t.type = 'table' and instr(lower(v.sql), lower(t.name)) limit ?",
        [source.name, _MOST_TABLES],
    ).fetchall()
    for (table,) in tables:
        lookup = _lookup_of(conn, table, task.labels[0])
        if lookup is not None and not keys_without_name(conn, lookup, keys):
            return str(table)
    return None


_MOST_TABLES = 100


def _lookup(conn: sqlite3.Connection, table: str, key: str | None) -> Lookup | None:
    row = conn.execute(
        "select name from sqlite_master where type = 'table' and name = ? collate nocase", [table]
    ).fetchone()
    if row is None:
        return None
    target = relation(conn, row[0])
    key = key or (target.primary_key[0] if len(target.primary_key) == 1 else None)
    name = _label_column(target)
    if key is None or name is None or target.column(key) is None:
        return None
    found = target.column(key)
    return None if found is None or found == name else Lookup(target.name, found, name)


def _label_column(target: Relation) -> str | None:
    """Which column names a row, by the rule that both lines of Datasette have: `name` or `title`,
    or of two columns the one beside `id` or `pk`."""
    columns = target.columns
    named = [column for column in columns if column.lower() in ("name", "title")]
    if named:
        return named[0]
    others = [column for column in columns if column not in ("id", "pk")]
    return others[0] if len(columns) == 2 and len(others) == 1 else None


def read_names(
    conn: sqlite3.Connection, lookup: Lookup, keys: Iterable[LabelValue]
) -> dict[LabelValue, str]:
    """The name of each key; of one that the table lacks, or names with nothing, the key itself.

    Different keys have different names: where two rows bear one name, each has its key behind it.
    """
    wanted = list(dict.fromkeys(keys))[: MAX_LABELS + 1]
    sql = (
        f"select substr(cast({quote(lookup.name)} as text), 1, ?) from {quote(lookup.table)}"
        f" where {quote(lookup.key)} = ? and {quote(lookup.name)} is not null limit 1"
    )
    names: dict[LabelValue, str] = {}
    for key in wanted:
        row = conn.execute(sql, [MAX_NAME // 2, key]).fetchone()
        blank = row is None or is_blank(row[0])
        names[key] = label_name(key) if blank else " ".join(row[0].split())
    return _told_apart(names)


def keys_without_name(
    conn: sqlite3.Connection, lookup: Lookup, keys: Iterable[LabelValue]
) -> list[LabelValue]:
    """The keys that no row of the table has, or only one without a name."""
    sql = (
        f"select {quote(lookup.name)} from {quote(lookup.table)} where {quote(lookup.key)} = ?"
        f" and {quote(lookup.name)} is not null limit 1"
    )
    found = ((key, conn.execute(sql, [key]).fetchone()) for key in keys)
    return [key for key, row in found if row is None or is_blank(row[0])]


def _told_apart(names: dict[LabelValue, str]) -> dict[LabelValue, str]:
    while True:
        uses = Counter(names.values())
        if len(uses) == len(names):
            return names
        names = {
            key: f"{name} ({label_name(key)})" if uses[name] > 1 else name
            for key, name in names.items()
        }


def with_names(conn: sqlite3.Connection, task: Task, labels: LabelSet) -> LabelSet:
    """The labels with the names that the lookup table gives them now; as they are without one."""
    lookup = find_lookup(conn, task)
    if lookup is None:
        return labels
    return labels.named(read_names(conn, lookup, labels.values), lookup.table)


def all_keys(
    conn: sqlite3.Connection, task: Task, lookup: Lookup, known: Iterable[LabelValue]
) -> dict[str, LabelValue]:
    """{name: key} of the lookup table, for labels that are given by name. A key that a label in the
    column equals, for SQLite, is that label; others are as the column would store them.

    known: the labels in the column
    """
    key, table = quote(lookup.key), quote(lookup.table)
    same = ((label, _key_of(conn, lookup, label)) for label in known)
    written = {row[0]: label for label, row in same if row is not None}
    stored = f"cast({key} as text)" if _holds_texts(conn, task) else key
    sql = f"select {key}, {stored} from {table} where typeof({key}) in ('integer', 'text') limit ?"
    keys = [written.get(own, cell) for own, cell in conn.execute(sql, [MAX_LABELS])]
    return {name: cell for cell, name in read_names(conn, lookup, keys).items()}


def _key_of(conn: sqlite3.Connection, lookup: Lookup, label: LabelValue) -> Sequence[Any] | None:
    key = quote(lookup.key)
    sql = f"select {key} from {quote(lookup.table)} where {key} = ? limit 1"
    row: Sequence[Any] | None = conn.execute(sql, [label]).fetchone()
    return row


def _holds_texts(conn: sqlite3.Connection, task: Task) -> bool:
    """Whether the label column makes texts of numbers, by its declared type."""
    found = conn.execute(
        "select type from pragma_table_info(?) where name = ? collate nocase",
        [task.source, task.labels[0]],
    ).fetchone()
    declared = str(found[0]).upper() if found else ""
    return "INT" not in declared and any(word in declared for word in ("CHAR", "CLOB", "TEXT"))
