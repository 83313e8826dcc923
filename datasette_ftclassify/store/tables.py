"""Whether the tables that bear our names are tables like ours.

A file may come from anyone, and hold a view without end in the place of a table of ours, or a table
whose columns are computed whenever a row of it is read or written. Such a file is refused before
anything is read: a time limit alone would come too late for what SQLite does in one step.

Only what has no expression in it passes, whatever its columns: what a later version adds does, and
so does an index or a key that a tool has made.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from ..core.database import connect, quote
from ..core.errors import ArtifactError

PREFIX = "_ftclassify_"
MIGRATIONS = "_sqlite_migrations"
"""Where sqlite-utils notes which of our migrations a file has seen."""

COUNTS = "_counts"
"""Where `sqlite-utils enable-counts` keeps how many rows each table has."""

MOST_OBJECTS = 1_000
"""Tables, indexes and triggers of our names; we make about forty."""

_LONGEST = 20_000
"""Characters of a definition; the longest of ours has 2,000."""

_OURS = (
    f"(lower(tbl_name) glob '{PREFIX}*' or lower(name) glob '{PREFIX}*'"
    f" or lower(tbl_name) = '{MIGRATIONS}' or lower(name) = '{MIGRATIONS}')"
)
_TOKEN = re.compile(
    r"""(?P<space>\s+|--[^\n]*|/\*.*?(?:\*/|\Z))
    | '(?:[^']|'')*' | "(?:[^"]|"")*" | `(?:[^`]|``)*` | \[[^\]]*\] | [\w$]+ | .""",
    re.DOTALL | re.VERBOSE,
)
_NAME = re.compile(r"""['"`\[\w$]""")
_COMPUTED = {"generated", "as", "check"}
_KINDS = {"without", "rowid", "strict", ","}


def has_table(conn: sqlite3.Connection, name: str, schema: str = "main") -> bool:
    """Whether the (attached) database has our table of that name, given without its prefix: one
    that nobody has written to since an earlier version lacks the newer ones."""
    sql = f"select 1 from {quote(schema)}.sqlite_master where name = ?"
    return conn.execute(sql, [PREFIX + name]).fetchone() is not None


def open_database(path: str | Path) -> sqlite3.Connection:
    """A connection to the file. Raises SourceError when it is no database, ArtifactError when what
    bears our tables' names is something else."""
    return checked(connect(path))


def checked(conn: sqlite3.Connection) -> sqlite3.Connection:
    """The connection, if its tables are ours as `check_tables` says; else it is closed."""
    try:
        check_tables(conn)
    except BaseException:
        conn.close()
        raise
    return conn


def check_tables(conn: sqlite3.Connection, schema: str = "main") -> None:
    """Raises ArtifactError for anything of our tables' names that is not a plain table, or a plain
    index of one. Triggers run when a table is written: see `check_triggers`."""
    for kind, name, sql in _objects(conn, schema, f"{_OURS} and type <> 'trigger'"):
        wrong = _wrong(kind, sql)
        if wrong:
            raise ArtifactError(
                f"{name} in this file is {wrong}, and none of the tables that "
                "datasette-ftclassify makes: nothing is read from them. Drop it, or use a copy of "
                f"the file without the tables {PREFIX}*."
            )


def check_triggers(conn: sqlite3.Connection) -> None:
    """Raises ArtifactError when a trigger would run as we write our tables, but for those that do
    nothing but count their rows, as `sqlite-utils enable-counts` makes them."""
    found = list(_objects(conn, "main", f"{_OURS} and type = 'trigger'"))
    counts = bool(found) and _has_counts(conn)
    for _, name, sql in found:
        if not (counts and _is_counting(sql or "")):
            raise ArtifactError(
                f"The trigger {name} in this file runs whenever a table {PREFIX}* is written, so "
                f"none is: drop it (drop trigger {quote(name)})."
            )


def _has_counts(conn: sqlite3.Connection) -> bool:
    """Whether the table of counts is as sqlite-utils makes it, and nothing happens when it is
    written: its only index is that of its key, no trigger is on it, no other table follows it."""
    rows = conn.execute(
        f"select type, sql from sqlite_master where lower(tbl_name) = '{COUNTS}'"
        f" or lower(name) = '{COUNTS}' limit 3"
    ).fetchall()
    tables = [str(sql) for kind, sql in rows if kind == "table"]
    if [_names(sql) for sql in tables] != [_COUNTS_TABLE]:
        return False
    return all(kind == "table" or (kind == "index" and sql is None) for kind, sql in rows)


def _is_counting(sql: str) -> bool:
    """Whether a trigger does what it does for sqlite-utils, and no more."""
    names = _names(sql)
    table = names[6] if len(names) > 6 else ""
    return names in (_counting(table, "insert", "+"), _counting(table, "delete", "-"))


def _counting(table: str, event: str, sign: str) -> list[str]:
    literal = "'" + table.replace("'", "''") + "'"
    return _names(
        f"create trigger {quote(f'{table}_counts_{event}')} after {event} on {quote(table)}"
        f" begin insert or replace into {COUNTS} values ({literal},"
        f' coalesce((select count from {COUNTS} where "table" = {literal}), 0) {sign} 1); end'
    )


def _names(sql: str) -> list[str]:
    """Its tokens, names without their quotes: tools quote in different ways."""
    return [
        token[1:-1] if token[0] in '"`[' and len(token) > 1 else token for token in _tokens(sql)
    ]


def _objects(
    conn: sqlite3.Connection, schema: str, which: str
) -> Iterator[tuple[str, str, str | None]]:
    """(type, name, definition) of what is to be looked at; the definition is None for what SQLite
    made by itself."""
    rows = conn.execute(
        f"select type, name, substr(sql, 1, {_LONGEST + 1}) from {quote(schema)}.sqlite_master"
        f" where {which} limit {MOST_OBJECTS + 1}"
    ).fetchall()
    if len(rows) > MOST_OBJECTS:
        raise ArtifactError(f"This file has more than {MOST_OBJECTS:,} tables {PREFIX}*: too many.")
    for kind, name, sql in rows:
        yield str(kind), str(name), None if sql is None else str(sql)


def _wrong(kind: str, sql: str | None) -> str | None:
    if kind == "view":
        return "a view"
    if kind == "index":
        return None if sql is None or _is_plain_index(sql) else "an index that computes something"
    if kind != "table" or sql is None:
        return "no table"
    return None if _is_plain_table(sql) else "a table that computes something"


@lru_cache(maxsize=512)
def _is_plain_table(sql: str) -> bool:
    """Whether it has only stored columns, and no expression in its definition."""
    tokens = _tokens(sql)
    if tokens[:2] != ["create", "table"] or len(sql) > _LONGEST or "(" not in tokens:
        return False
    start = tokens.index("(")
    depth, group = 0, list[str]()
    for place, token in enumerate(tokens[start:], start):
        if token == "(":
            depth, group = depth + 1, []
        elif token == ")":
            depth -= 1
            if depth == 0:
                return set(tokens[place + 1 :]) <= _KINDS
            if not _is_list(group):
                return False
        elif depth == 1 and token in _COMPUTED:
            return False
        elif depth > 1:
            group.append(token)
        if depth > 2:
            return False
    return False


@lru_cache(maxsize=512)
def _is_plain_index(sql: str) -> bool:
    """Whether it is of columns as they are, perhaps of the rows where one has a value."""
    tokens = _tokens(sql)
    if len(sql) > _LONGEST or "(" not in tokens or ")" not in tokens:
        return False
    start, end = tokens.index("("), tokens.index(")")
    where = tokens[end + 1 :]
    some = len(where) == 5 and where[0] == "where" and where[2:] == ["is", "not", "null"]
    return _is_list(tokens[start + 1 : end]) and (not where or some)


def _is_list(tokens: list[str]) -> bool:
    """Names, or numbers, with commas between them."""
    words = [token for token in tokens if token not in ("asc", "desc")]
    names, commas = words[::2], words[1::2]
    return all(_NAME.match(name) for name in names) and set(commas) <= {","}


def _tokens(sql: str) -> list[str]:
    """In small letters, without comments and white space."""
    return [match[0].lower() for match in _TOKEN.finditer(sql) if not match["space"]]


_COUNTS_TABLE = _names(f'create table {COUNTS}("table" text primary key, count integer default 0)')
