"""Names, columns and keys of other people's tables.

Table and column names come from strangers' files, so every identifier is quoted here and in no
other way, and every row is found again by a key that SQLite itself guarantees.
"""

from __future__ import annotations

import difflib
import json
import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from .errors import SourceError

BUSY_SECONDS = 30.0
"""How long to wait for another process that is writing."""

ROWID_NAMES = ("rowid", "_rowid_", "oid")

Cell = str | int | float | bytes | None
Key = tuple[Cell, ...]


def quote(identifier: str) -> str:
    """`identifier` as SQL, whatever characters it holds."""
    return '"' + identifier.replace('"', '""') + '"'


def quote_all(identifiers: Iterable[str]) -> str:
    return ", ".join(quote(identifier) for identifier in identifiers)


def connect(path: str | Path, *, must_exist: bool = True) -> sqlite3.Connection:
    """A connection to the database file; invalid UTF-8 is read as Datasette reads it.

    Raises SourceError when the file is missing or is no SQLite database.
    """
    if must_exist and not Path(path).is_file():
        raise SourceError(f"No database file at {path}: check the path.")
    try:
        conn = sqlite3.connect(path, timeout=BUSY_SECONDS)
        conn.execute("select 1 from sqlite_master limit 1").fetchone()
    except sqlite3.Error as error:
        raise SourceError(f"Cannot open {path} as a SQLite database: {error}.") from error
    conn.text_factory = decode
    return conn


def decode(value: bytes) -> str:
    return value.decode("utf-8", "replace")


@dataclass(frozen=True)
class Relation:
    """A table or a view: its columns in order, and what identifies a row of it."""

    name: str
    is_view: bool
    columns: tuple[str, ...]
    primary_key: tuple[str, ...]
    """The declared primary key, in its own order; empty without one."""
    rowid: str | None
    """A name by which the rowid can be read; None for views, WITHOUT ROWID tables, and tables
    whose own columns hide all three names."""

    @property
    def identity(self) -> tuple[str, ...]:
        """Columns whose values name a row to a person: the primary key, else the rowid."""
        if self.primary_key:
            return self.primary_key
        return (self.rowid,) if self.rowid else ()

    @property
    def cursor(self) -> tuple[str, ...]:
        """Columns to walk the table by, never NULL and unique: the rowid, else the primary key.

        A declared key of a rowid table may hold NULLs, so it cannot serve as a position.
        """
        return (self.rowid,) if self.rowid else self.primary_key

    def column(self, name: str) -> str | None:
        """The column's own spelling of `name` (SQLite's names ignore case); None without one."""
        return next((c for c in self.columns if c.lower() == name.lower()), None)

    def require_columns(self, names: Iterable[str]) -> None:
        """Raises SourceError for the first name that is not a column, with the likeliest one."""
        for name in names:
            if name not in self.columns:
                raise SourceError(
                    f"{self.kind.capitalize()} {self.name} has no column {name}"
                    f"{did_you_mean(name, self.columns)}"
                )

    @property
    def kind(self) -> str:
        return "view" if self.is_view else "table"


def did_you_mean(name: str, known: Sequence[str]) -> str:
    """` - did you mean x?`, or a list of what there is; empty when there is nothing."""
    close = difflib.get_close_matches(name.lower(), [k.lower() for k in known], n=1)
    for candidate in known:
        if close and candidate.lower() == close[0]:
            return f" - did you mean {candidate}?"
    return f" - there is {', '.join(known[:20])}" if known else ""


def relation(conn: sqlite3.Connection, name: str) -> Relation:
    """Describes the table or view called `name`. Raises SourceError when there is none."""
    row = conn.execute(
        "select type, name from sqlite_master where type in ('table', 'view') and name = ?"
        " collate nocase",
        [name],
    ).fetchone()
    if row is None:
        names = [r[0] for r in conn.execute("select name from sqlite_master where type = 'table'")]
        visible = [n for n in names if not n.startswith(("sqlite_", "_ftclassify_"))]
        raise SourceError(f"No table or view called {name}{did_you_mean(name, visible)}")
    is_view, real_name = row[0] == "view", row[1]
    info = conn.execute(f"select name, pk from pragma_table_xinfo({quote(real_name)})").fetchall()
    columns = tuple(r[0] for r in info)
    primary_key = tuple(n for _, n in sorted((pk, n) for n, pk in info if pk))
    rowid = None if is_view else _rowid_name(conn, real_name, columns)
    return Relation(real_name, is_view, columns, primary_key, rowid)


def _rowid_name(conn: sqlite3.Connection, table: str, columns: Sequence[str]) -> str | None:
    taken = {column.lower() for column in columns}
    for name in ROWID_NAMES:
        if name in taken:
            continue
        try:
            # Unquoted: a quoted name that is no column would be taken for a string.
            conn.execute(f"select {name} from {quote(table)} limit 0")
        except sqlite3.OperationalError:
            return None  # WITHOUT ROWID
        return name
    return None


def condition(where: str | None) -> str:
    """A condition of the user's as part of a larger one; true without one.

    The line break keeps a trailing `--` comment from swallowing the closing bracket.
    """
    return f"({where}\n)" if where else "1"


def key_text(key: Key) -> str:
    """A row's key as JSON, for storage and for people: `[12]`, `["a", 3]`."""
    return json.dumps(
        [cell.hex() if isinstance(cell, bytes) else cell for cell in key], ensure_ascii=False
    )


def count(conn: sqlite3.Connection, sql: str, params: object = ()) -> int:
    with closing(conn.execute(sql, params)) as cursor:  # type: ignore[arg-type]
        return int(cursor.fetchone()[0])
