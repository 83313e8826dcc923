"""Names, columns and keys of other people's tables.

Table and column names come from strangers' files, so every identifier is quoted here and in no
other way, and every row is found again by a key that SQLite itself guarantees.
"""

from __future__ import annotations

import difflib
import json
import math
import re
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import SourceError
from .sqlite_errors import OPERATIONAL_ERRORS, SQLITE_ERRORS, SQLITE_WARNINGS

BUSY_SECONDS = 30.0
"""How long to wait for another process that is writing."""

ROWID_NAMES = ("rowid", "_rowid_", "oid")

Cell = str | int | float | bytes | None
Key = tuple[Cell, ...]
JsonKey = tuple[str | int | float | None, ...]
"""A row's key as it is shown, see `json_key`."""
Params = Mapping[str, Cell]
"""The values of a condition's named parameters."""


def quote(identifier: str) -> str:
    """`identifier` as SQL, whatever characters it holds."""
    return '"' + identifier.replace('"', '""') + '"'


def quote_text(value: str) -> str:
    """`value` as a text literal, for SQL that people are shown; our own statements bind values."""
    return "'" + value.replace("'", "''") + "'"


def quote_all(identifiers: Iterable[str]) -> str:
    return ", ".join(quote(identifier) for identifier in identifiers)


def connect(path: str | Path, *, must_exist: bool = True) -> sqlite3.Connection:
    """A connection to the database file; invalid UTF-8 is read as Datasette reads it.

    A file in WAL mode needs one beside it even to be read. Where none can be made, in a read-only
    folder, it is read as immutable, unless one with changes is there.
    Raises SourceError when the file is missing or is no SQLite database.
    """
    if must_exist and not Path(path).is_file():
        raise SourceError(f"No database file at {path}: check the path.")
    try:
        conn = _opened(f"{path}")
    except SQLITE_ERRORS as error:
        refused = any(what in str(error) for what in ("unable to open", "readonly"))
        if not refused or not _is_wal(path):
            raise SourceError(f"Cannot open {path} as a SQLite database: {error}.") from error
        wal = Path(f"{path}-wal")
        if wal.exists() and wal.stat().st_size:
            raise SourceError(
                f"Cannot read {path}: its folder is read-only, and {wal.name} holds changes that "
                "cannot be read without writing there. Copy both files to a folder of your own."
            ) from error
        conn = _opened(f"{Path(path).resolve().as_uri()}?immutable=1", uri=True)
    conn.text_factory = decode
    return conn


def _opened(name: str, *, uri: bool = False) -> sqlite3.Connection:
    conn = sqlite3.connect(name, timeout=BUSY_SECONDS, uri=uri)
    try:
        conn.execute("select 1 from sqlite_master limit 1").fetchone()
    except SQLITE_ERRORS:
        conn.close()
        raise
    return conn


def _is_wal(path: str | Path) -> bool:
    """By the byte of the file's header that says how it is read."""
    try:
        with Path(path).open("rb") as file:
            return file.read(20)[19:] == b"\x02"
    except OSError:
        return False


def path_of(conn: sqlite3.Connection) -> str:
    """The file of a connection, as an absolute path; "" where it has none."""
    return str(conn.execute("pragma database_list").fetchone()[2] or "")


def is_read_only(conn: sqlite3.Connection) -> bool:
    """Whether nothing can be written: a read-only file, folder or connection."""
    version = count(conn, "pragma user_version")
    try:
        # A transaction alone begins without complaint: only a write is refused.
        conn.execute("begin immediate")
        conn.execute(f"pragma user_version = {version}")
    except OPERATIONAL_ERRORS as error:
        if "readonly" not in str(error):
            raise
        return True
    finally:
        conn.rollback()
    return False


class NotUtf8(str):
    """A TEXT cell whose bytes, `raw`, are no UTF-8, with signs (U+FFFD) in the place of what is
    wrong."""

    raw: bytes

    def __new__(cls, shown: str, raw: bytes) -> NotUtf8:
        text = super().__new__(cls, shown)
        text.raw = raw
        return text

    def __reduce__(self) -> tuple[type[NotUtf8], tuple[str, bytes]]:
        """By which it is copied."""
        return NotUtf8, (str(self), self.raw)


def decode(value: bytes) -> str:
    """A TEXT cell as Datasette reads it; a NotUtf8 where it is none."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return NotUtf8(value.decode("utf-8", "replace"), value)


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
    typeless: frozenset[str] = frozenset()
    """Columns in which a number is never equal to its text."""
    is_virtual: bool = False
    """Whether a module makes its rows, such as full text: it can have no more columns."""

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
        "select type, name, sql from sqlite_master where type in ('table', 'view') and name = ?"
        " collate nocase",
        [name],
    ).fetchone()
    if row is None:
        every = conn.execute("select name from sqlite_master where type in ('table', 'view')")
        visible = [n for (n,) in every if not n.startswith(("sqlite_", "_sqlite_", "_ftclassify_"))]
        raise SourceError(f"No table or view called {name}{did_you_mean(name, visible)}")
    is_view, real_name = row[0] == "view", row[1]
    try:
        # The name is bound: quoted, a table called `name` would be the pragma's own column.
        info = conn.execute(
            "select name, pk, type from pragma_table_xinfo(?) where hidden <> 1", [real_name]
        ).fetchall()
    except SQLITE_ERRORS as error:
        raise SourceError(f"The {row[0]} {real_name} cannot be read: {error}.") from error
    columns = tuple(r[0] for r in info)
    primary_key = tuple(n for _, n in sorted((pk, n) for n, pk, _ in info if pk))
    typeless = frozenset(n for n, _, declared in info if not _TYPED.search(declared or ""))
    rowid = None if is_view else _rowid_name(conn, real_name, columns)
    is_virtual = re.match(r"\s*create\s+virtual\b", str(row[2]), re.IGNORECASE) is not None
    return Relation(real_name, is_view, columns, primary_key, rowid, typeless, is_virtual)


_TYPED = re.compile(r"int|char|clob|text|^(?!any$|.*blob).", re.IGNORECASE)
"""A declared type that makes numbers of texts, or the reverse; ANY does in no STRICT table."""


def _rowid_name(conn: sqlite3.Connection, table: str, columns: Sequence[str]) -> str | None:
    taken = {column.lower() for column in columns}
    for name in ROWID_NAMES:
        if name in taken:
            continue
        try:
            # Unquoted: a quoted name that is no column would be taken for a string.
            conn.execute(f"select {name} from {quote(table)} limit 0")
        except OPERATIONAL_ERRORS:
            return None  # WITHOUT ROWID
        return name
    return None


def condition(where: str | None) -> str:
    """A condition of the user's as part of a larger one; true without one.

    The line break keeps a trailing `--` comment from swallowing the closing bracket.
    """
    return f"({where}\n)" if where else "1"


@contextmanager
def reading(source: Relation, where: str | None) -> Iterator[None]:
    """Around the reading of rows: what SQLite has against it becomes a SourceError."""
    try:
        yield
    except (*SQLITE_ERRORS, *SQLITE_WARNINGS, ValueError, OverflowError) as error:
        # ValueError and OverflowError: parameters that SQLite cannot hold.
        what = (
            "The condition does not run"
            if where
            else f"The {source.kind} {source.name} cannot be read"
        )
        raise SourceError(f"{what}: {str(error).rstrip('.')}.") from error


def check_condition(
    conn: sqlite3.Connection, source: Relation, where: str | None, params: Params
) -> None:
    """Raises SourceError when rows of the source cannot be read, or not by this condition.

    The condition has to make sense within brackets and without: `1) or (1=1` would escape from
    those of `condition`, and undo whatever else the rows have to meet.
    """
    sql = f"select 1 from {quote(source.name)} where"
    with reading(source, where):
        conn.execute(f"{sql} {condition(where)} limit 1", dict(params)).fetchone()
        if where:
            conn.execute(f"explain {sql} {where}", dict(params)).close()


def row_condition(source: Relation, key: Sequence[Cell]) -> tuple[str, list[Cell]] | None:
    """The condition for the row with a key as `examples.Record` has it, and its values; None for
    what is no key of the table."""
    if source.rowid and len(key) == len(source.identity) + 1:  # a NULL is in the declared key
        return f"{source.rowid} = ?", [key[-1]]
    if not key or len(key) != len(source.identity):
        return None
    return " and ".join(f"{quote(name)} is ?" for name in source.identity), list(key)


def stored_key(key: Key) -> list[Any]:
    """A row's key as JSON for storage, see `packed`."""
    return list(map(packed, key))


def packed(cell: Cell) -> Any:
    """A cell as JSON; what JSON has not, as an object, so that it comes back by `unpacked`."""
    if isinstance(cell, bytes):
        return {"blob": cell.hex()}
    if isinstance(cell, float) and not math.isfinite(cell):
        return {"real": str(cell)}
    return cell


def unpacked(value: Any) -> Cell:
    """The other way round. Raises TypeError or ValueError for what is no packed cell."""
    if isinstance(value, list):
        raise TypeError("a list is no cell")
    if not isinstance(value, dict):
        return value  # type: ignore[no-any-return]
    ((kind, said),) = value.items()
    if kind == "real":
        return float(said)
    raw = bytes.fromhex(said)
    return raw if kind == "blob" else decode(raw)


def key_text(key: Key) -> str:
    """The same as a text: `[12]`, `["a", 3]`, `[{"blob": "ff"}]`. Different keys have different
    texts."""
    return json.dumps(stored_key(key), ensure_ascii=False)


def json_key(key: Iterable[Cell]) -> JsonKey:
    """A row's key as pages, commands and their JSON show it: a BLOB as in SQL, `x'00ff'`,
    infinities as text."""
    return tuple(map(_json_cell, key))


def _json_cell(cell: Cell) -> str | int | float | None:
    if isinstance(cell, bytes):
        return f"x'{cell.hex()}'"
    return str(cell) if isinstance(cell, float) and math.isinf(cell) else cell


def meant_by(shown: Cell) -> tuple[Cell, ...]:
    """What a cell of `json_key` may be in its row: itself, or the BLOB or infinity shown so."""
    if not isinstance(shown, str):
        return (shown,)
    if _BLOB.fullmatch(shown):
        return shown, bytes.fromhex(shown[2:-1])
    return (shown, float(shown)) if shown in ("inf", "-inf") else (shown,)


_BLOB = re.compile(r"x'(?:[0-9a-f]{2})*'")


def schema_version(conn: sqlite3.Connection) -> int:
    """Another one when a table was changed, or a VACUUM may have given rows other rowids."""
    return count(conn, "pragma schema_version")


def count(conn: sqlite3.Connection, sql: str, params: object = ()) -> int:
    with closing(conn.execute(sql, params)) as cursor:  # type: ignore[arg-type]
        return int(cursor.fetchone()[0])
