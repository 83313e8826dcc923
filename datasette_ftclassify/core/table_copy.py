"""Other people's tables and views, copied into a new database.

The new file is built from what is to be in it, so nothing that was deleted from the old one can
come along: no free page, no old entry of a full-text index. The database that is copied is
attached, and read in one transaction.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field

from .database import count, did_you_mean, quote, quote_all, relation
from .errors import SourceError
from .sqlite_errors import OPERATIONAL_ERRORS, SQLITE_ERRORS, SQLITE_WARNINGS

SOURCE = "source"
"""The schema that the copied database is attached as."""

_QUOTED = r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|`(?:[^`]|``)*`|\[[^\]]*\]"""
_VIRTUAL = re.compile(
    rf"create\s+virtual\s+table\s+(?:{_QUOTED}|[^\s(]+)\s*using\s+({_QUOTED}|\w+)(.*)",
    re.IGNORECASE | re.DOTALL,
)
_CONTENT = re.compile(rf"[(,]\s*content\s*=\s*({_QUOTED}|[^\s,)]*)", re.IGNORECASE)
_FULL_TEXT = ("fts3", "fts4", "fts5")
_SHADOWS = {
    "fts3": ("content", "segments", "segdir"),
    "fts4": ("content", "segments", "segdir", "docsize", "stat"),
    "fts5": ("data", "idx", "content", "docsize", "config"),
    **dict.fromkeys(("rtree", "geopoly"), ("node", "parent", "rowid")),
}
"""The tables in which a module keeps what it knows; they are made anew with the virtual table."""

_COUNTS = "_counts"


@dataclass(frozen=True)
class Part:
    """An entry of a schema; `table` is what an index or a trigger is on."""

    kind: str
    name: str
    table: str
    sql: str

    @property
    def module(self) -> str | None:
        """Of a virtual table, in small letters; None of others."""
        found = _VIRTUAL.match(self.sql)
        return _plain(found[1]).lower() if found else None

    @property
    def content(self) -> str | None:
        """The table that a full-text table is about; empty: it keeps no texts; None: its own."""
        found = _VIRTUAL.match(self.sql)
        option = _CONTENT.search(found[2]) if found else None
        return None if option is None else _plain(option[1])

    @property
    def shadows(self) -> set[str]:
        """The tables of its module's own, in small letters. Of one that is about another table, or
        keeps no texts, NAME_content is the user's."""
        of = _SHADOWS.get(self.module or "", ())
        return {f"{self.name}_{s}".lower() for s in of if s != "content" or self.content is None}


@dataclass(frozen=True)
class Selection:
    """What is to be copied, and what is not.

    left_out: {name: why} of what was wanted and cannot be copied
    gone:     tables and views that were not wanted
    """

    tables: tuple[Part, ...]
    virtual: tuple[Part, ...]
    views: tuple[Part, ...]
    indexes: tuple[Part, ...]
    triggers: tuple[Part, ...]
    gone: tuple[str, ...]
    left_out: dict[str, str] = field(default_factory=dict)

    @property
    def names(self) -> frozenset[str]:
        """Of the tables and views, in small letters."""
        return _names([*self.tables, *self.virtual, *self.views])


def attach(conn: sqlite3.Connection, uri: str) -> None:
    """Attaches the database that is copied; where that cannot be done in a read-only folder, as one
    that nobody writes, see `database.connect`."""
    try:
        conn.execute(f"attach ? as {SOURCE}", [f"{uri}?mode=rw"])
        conn.execute(f"select 1 from {SOURCE}.sqlite_master limit 1").fetchone()
    except OPERATIONAL_ERRORS as error:
        if not any(what in str(error) for what in ("unable to open", "readonly")):
            raise
        if any(row[1] == SOURCE for row in conn.execute("pragma database_list").fetchall()):
            conn.execute(f"detach {SOURCE}")
        conn.execute(f"attach ? as {SOURCE}", [f"{uri}?immutable=1"])


def select_parts(
    conn: sqlite3.Connection, ours: Callable[[str], bool], wanted: Sequence[str] = ()
) -> Selection:
    """Chooses from the attached database: the tables and views that are wanted (none: all), with
    their indexes, triggers and full-text tables.

    ours: whether a table of that name is not the user's
    Raises SourceError for a name that is no table or view.
    """
    rows = conn.execute(
        f"select type, name, tbl_name, sql from {SOURCE}.sqlite_master where sql is not null"
        " and name not like 'sqlite\\_%' escape '\\' order by rowid"
    ).fetchall()
    parts = [Part(*map(str, row)) for row in rows]
    parts = [part for part in parts if not ours(part.name) and not ours(part.table)]
    for part in parts:
        _check_kind(part)
    virtual = [part for part in parts if re.match(r"\s*create\s+virtual\b", part.sql, re.I)]
    shadows = set[str]().union(*(v.shadows for v in virtual))
    tables = [p for p in parts if p.kind == "table" and p not in virtual]
    tables = [p for p in tables if p.name.lower() not in shadows]
    views = [part for part in parts if part.kind == "view"]
    every = [*tables, *virtual, *views]
    chosen = _chosen(every, wanted)
    kept = {part.name.lower() for part in every if part.name.lower() in chosen}
    left_out = {v.name: why for v in virtual if v.name.lower() in kept and (why := _why_not(v))}
    for v in virtual:
        about = v.content if v.module in _FULL_TEXT and v.name.lower() in kept else None
        if about and about.lower() not in kept:
            left_out[v.name] = f"it is about {about}, which is not copied"
    kept -= {name.lower() for name in left_out}

    def staying(some: Collection[Part]) -> tuple[Part, ...]:
        return tuple(part for part in some if part.name.lower() in kept)

    def on_them(kind: str) -> tuple[Part, ...]:
        return tuple(p for p in parts if p.kind == kind and p.table.lower() in kept)

    gone = tuple(p.name for p in every if p.name.lower() not in kept and p.name not in left_out)
    return Selection(
        staying(tables), staying(virtual), staying(views), on_them("index"), on_them("trigger"),
        gone, left_out,
    )  # fmt: skip


def _check_kind(part: Part) -> None:
    """A file that somebody else made may call a trigger a table: it would run during the copying.
    Raises SourceError."""
    kind = rf"\s*create\s+(unique\s+|virtual\s+)?{re.escape(part.kind)}\b"
    if not re.match(kind, part.sql, re.IGNORECASE):
        raise SourceError(
            f"The {part.kind} {part.name} is damaged in this file: nothing is copied."
        )


def _chosen(every: Sequence[Part], wanted: Sequence[str]) -> set[str]:
    known = {part.name.lower() for part in every}
    if not wanted:
        return known
    for name in wanted:
        if name.lower() not in known:
            like = did_you_mean(name, [part.name for part in every])
            raise SourceError(f"No table or view called {name}{like}")
    chosen = {name.lower() for name in wanted} | ({_COUNTS} & known)
    return chosen | {part.name.lower() for part in every if (part.content or "").lower() in chosen}


def _why_not(part: Part) -> str | None:
    if part.module in _FULL_TEXT and part.content == "":
        return "it keeps no texts, so its index may hold words of rows that were deleted"
    if part.module not in _SHADOWS and part.module not in ("fts5vocab", "fts4aux"):
        return f"its module {part.module or '(unknown)'} is not known here"
    return None


def copy_parts(
    conn: sqlite3.Connection, selection: Selection, report: Callable[[str], None]
) -> dict[str, str]:
    """Copies what was chosen into the main database, which has none of it, inside a transaction.
    Gives {name: why} of the views and triggers that cannot run there, and so are left out.

    Raises SourceError for what this SQLite cannot make.
    """
    for part in selection.tables:
        report(part.name)
        _make(conn, part)
        _copy_rows(conn, part.name)
    _copy_sequences(conn, selection)
    for part in selection.indexes:
        _make(conn, part)
    left_out = {}
    for part in (*selection.views, *selection.virtual):  # a view may need others, and full text
        _make(conn, part)
    for part in selection.views:
        if why := _missing(conn, [f"select 1 from {quote(part.name)} limit 0"]):
            conn.execute(f"drop view {quote(part.name)}")
            left_out[part.name] = why
    for part in selection.virtual:
        report(part.name)
        _fill(conn, part)
    for part in selection.triggers:
        if part.table in left_out:
            continue
        _make(conn, part)
        if why := _missing(conn, _writes(conn, part.table)):
            conn.execute(f"drop trigger {quote(part.name)}")
            left_out[part.name] = why
    return left_out


def finish(conn: sqlite3.Connection) -> None:
    """Call it when all tables are there: their counts are those of the copy, and what the planner
    knows of them is, too, where the database that was copied has either."""
    tables = "(select name from main.sqlite_master where type = 'table')"
    if _has(conn, "main", _COUNTS) and {"table", "count"} <= set(_columns(conn, _COUNTS)):
        conn.execute(f'delete from main.{_COUNTS} where "table" not in {tables}')
    if _has(conn, SOURCE, "sqlite_stat1"):
        conn.execute("pragma analysis_limit = 1000")
        conn.execute("analyze main")


def _make(conn: sqlite3.Connection, part: Part) -> None:
    try:
        conn.execute(part.sql)
    except (*SQLITE_ERRORS, *SQLITE_WARNINGS) as error:
        raise SourceError(
            f"The {part.kind} {part.name} cannot be copied: {error}. To leave it out, name the "
            "tables to copy.",
            fields=("tables",),
        ) from error


def _copy_rows(conn: sqlite3.Connection, table: str) -> None:
    names = _columns(conn, table)
    # The number of a row names it, also where no column holds it: to our tables and to full text.
    rowid = relation(conn, table).rowid
    columns = ([rowid] if rowid else []) + [quote(name) for name in names]
    listed = ", ".join(columns)
    try:
        conn.execute(
            f"insert into main.{quote(table)} ({listed})"
            f" select {listed} from {SOURCE}.{quote(table)}"
        )
    except SQLITE_ERRORS as error:
        raise SourceError(f"The table {table} cannot be copied: {error}.") from error


def _columns(conn: sqlite3.Connection, table: str) -> list[str]:
    """Those that are stored, and not computed or made by a module."""
    sql = "select name from pragma_table_xinfo(?, 'main') where hidden = 0"
    return [str(name) for (name,) in conn.execute(sql, [table]).fetchall()]


def _copy_sequences(conn: sqlite3.Connection, selection: Selection) -> None:
    """The highest numbers that tables with AUTOINCREMENT have given."""
    if not (_has(conn, "main", "sqlite_sequence") and _has(conn, SOURCE, "sqlite_sequence")):
        return
    conn.execute("delete from main.sqlite_sequence")
    for part in selection.tables:
        conn.execute(
            f"insert into main.sqlite_sequence select * from {SOURCE}.sqlite_sequence"
            " where name = ?",
            [part.name],
        )


def _has(conn: sqlite3.Connection, schema: str, table: str) -> bool:
    sql = f"select 1 from {schema}.sqlite_master where name = ? and type = 'table'"
    return conn.execute(sql, [table]).fetchone() is not None


def _fill(conn: sqlite3.Connection, part: Part) -> None:
    name = quote(part.name)
    if part.module not in _SHADOWS:
        return  # it shows what another one holds
    try:
        if part.module in _FULL_TEXT and part.content:
            conn.execute(f"insert into main.{name} ({name}) values ('rebuild')")
            return
        columns = quote_all(_columns(conn, part.name))
        if part.module in _FULL_TEXT:
            columns = f"rowid, {columns}"
        conn.execute(f"insert into main.{name} ({columns}) select {columns} from {SOURCE}.{name}")
    except SQLITE_ERRORS as error:
        raise SourceError(f"The table {part.name} cannot be copied: {error}.") from error


def _writes(conn: sqlite3.Connection, table: str) -> Iterator[str]:
    """Statements that would run the triggers of a table or view."""
    name, column = quote(table), quote(relation(conn, table).columns[0])
    yield f"explain delete from {name}"
    yield f"explain insert into {name} default values"
    yield f"explain update {name} set {column} = {column}"


def _missing(conn: sqlite3.Connection, statements: Collection[str] | Iterator[str]) -> str | None:
    """Why one of the statements cannot run, where that is for want of a table. What else it may
    want, such as a function, the reader's connection may have."""
    for sql in statements:
        try:
            conn.execute(sql).close()
        except SQLITE_ERRORS as error:
            if "no such table" in str(error):
                return f"it needs a table that is not copied ({error})"
    return None


def size_of_parts(conn: sqlite3.Connection, selection: Selection) -> int | None:
    """Bytes of what was chosen, where it stands in the main database; None: this SQLite was built
    without what knows it, or the database has no such table now."""
    names = selection.names.union(*(v.shadows for v in selection.virtual))
    sql = (
        "select lower(m.tbl_name), sum(s.pgsize) from dbstat s join sqlite_master m using (name)"
        " group by 1"
    )
    try:
        sizes = dict(conn.execute(sql).fetchall())
    except OPERATIONAL_ERRORS as error:
        if "no such table" not in str(error):
            raise
        return None
    return sum(int(size) for name, size in sizes.items() if name in names)


def row_count(conn: sqlite3.Connection, schema: str, name: str) -> int:
    return count(conn, f"select count(*) from {schema}.{quote(name)}")


def _names(parts: Collection[Part]) -> frozenset[str]:
    return frozenset(part.name.lower() for part in parts)


def _plain(name: str) -> str:
    """A name without its quotes."""
    if name[:1] in ("'", '"', "`") and len(name) > 1:
        return name[1:-1].replace(name[0] * 2, name[0])
    return name[1:-1] if name.startswith("[") else name
