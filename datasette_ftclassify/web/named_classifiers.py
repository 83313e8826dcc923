"""Which classifiers the SQL of a page names, and which of them cannot answer.

A function cannot raise: for a name that no classifier has, or one that is damaged, every answer is
NULL. So a page whose SQL does that says so: a query, a canned query, a view.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from datasette.app import Datasette
from datasette.utils import tilde_decode

from ..core.errors import ClassifierNotFound, FtclassifyError
from ..sql.functions import FUNCTIONS
from ..sql.resolver import ConnectionState, Resolver
from ..store.classifiers import list_classifiers
from .classifier_names import tables_revealed
from .datasette_reads import read_or
from .permissions import VIEW, is_modern, may

_LONGEST = 200_000
"""Characters of SQL that is looked through for one page, with that of the views it reads."""
_MOST_VIEWS = 500
_MOST_SIMILAR = 3
_MOST_NAMES = 8
"""Of one page, each of which may have to be loaded."""

_TOKEN = re.compile(
    r"""(?P<space>\s+|--[^\n]*|/\*.*?(?:\*/|\Z))
    | '(?P<text>(?:[^']|'')*)' | [:@$](?P<parameter>\w+)
    | "(?P<name>(?:[^"]|"")*)" | `(?P<tick>[^`]*)` | \[(?P<bracket>[^\]]*)\] | (?P<word>\w+) | .""",
    re.DOTALL | re.VERBOSE,
)


async def silent_classifiers(
    datasette: Datasette, request: Any, database: str | None, table: str | None
) -> list[str]:
    """One sentence for each classifier that the page's SQL names and that cannot answer."""
    if request is None or database is None or database not in datasette.databases:
        return []
    if hasattr(request, "_ftclassify_silent"):
        found: list[str] = request._ftclassify_silent
        return found
    sql = None if table else await _query_of(datasette, request, database)
    parameters = {name: request.args[name] for name in request.args}
    db = datasette.get_database(database)
    silent = await read_or(db, lambda conn: _silent(conn, sql, table, parameters), ())
    said = [one.sentence(await _seen(datasette, request, database, one)) for one in silent]
    request._ftclassify_silent = said
    return said


@dataclass(frozen=True)
class _Silent:
    """Why a classifier does not answer, and the names that are like its, each with the tables that
    it reveals something of."""

    why: str
    similar: Mapping[str, frozenset[str]] = field(default_factory=dict)

    def sentence(self, names: Sequence[str]) -> str:
        mean = f": did you mean {' or '.join(names)}?" if names else "."
        return f"{self.why.rstrip('.')}{mean} What this page asks of it is empty (NULL)."


async def _seen(datasette: Datasette, request: Any, database: str, silent: _Silent) -> list[str]:
    """The similar names that the visitor may know of."""
    return [
        name
        for name, tables in silent.similar.items()
        if tables
        and all([await may(datasette, request.actor, VIEW, database, table) for table in tables])
    ]


async def _query_of(datasette: Datasette, request: Any, database: str) -> str | None:
    """The SQL of a page that shows a query: the visitor's own, or a canned one."""
    if request.args.get("sql"):
        return str(request.args["sql"])
    name = tilde_decode(request.url_vars.get("table") or "")
    if not name:
        return None
    if is_modern(datasette):
        stored = await datasette.get_query(database, name)
        return None if stored is None else str(stored.sql)
    canned = await datasette.get_canned_query(database, name, request.actor)
    return str(canned["sql"]) if canned else None


def _silent(
    conn: sqlite3.Connection, sql: str | None, table: str | None, parameters: Mapping[str, str]
) -> list[_Silent]:
    found = conn.execute(
        "select name, substr(sql, 1, ?) from sqlite_master where type = 'view' limit ?",
        [_LONGEST, _MOST_VIEWS],
    )
    views = {str(name).lower(): str(text) for name, text in found}
    start = views.get((table or "").lower()) if sql is None else sql
    if start is None:
        return []
    resolver = Resolver(ConnectionState(lambda: conn))
    named = dict.fromkeys(
        name for text in _with_views(start, views) for name in named_classifiers(text, parameters)
    )
    silent = (_why_silent(conn, resolver, name) for name in list(named)[:_MOST_NAMES])
    return [one for one in silent if one]


def _why_silent(conn: sqlite3.Connection, resolver: Resolver, name: str | None) -> _Silent | None:
    try:
        resolver.resolve(name)
    except ClassifierNotFound as error:
        which = "called " + name[:100] if name else "that answers where none is named"
        similar = {one: _revealed(conn, one) for one in error.similar[:_MOST_SIMILAR]}
        return _Silent(f"This database has no classifier {which}", similar)
    except FtclassifyError as error:
        return _Silent(str(error))
    return None


def _revealed(conn: sqlite3.Connection, name: str) -> frozenset[str]:
    every = (tables_revealed(classifier) for classifier in list_classifiers(conn, name=name))
    return frozenset[str]().union(*every)


def _with_views(sql: str, views: Mapping[str, str]) -> Iterator[str]:
    """The SQL, and that of all views it reads, directly or through others."""
    waiting, seen, left = [sql], set[str](), _LONGEST
    while waiting and left > 0:
        text = waiting.pop()[:left]
        left -= len(text)
        yield text
        for token in _TOKEN.finditer(text):
            name = _identifier(token)
            if name in views and name not in seen:
                seen.add(name)
                waiting.append(views[name])


def named_classifiers(sql: str, parameters: Mapping[str, str]) -> Iterator[str | None]:
    """What calls of our functions name, as text or as a parameter whose value is known; None where
    a call names none. A name that is computed is left out."""
    calls: list[list[list[re.Match[str]]] | None] = []
    previous = ""
    for token in _TOKEN.finditer(sql):
        if token["space"]:
            continue
        if token[0] == "(":
            # The arguments of a call of ours; None for any other bracket.
            function = FUNCTIONS.get(previous)
            calls.append([[]] if function and function.names_classifier else None)
        elif token[0] == ")" and calls:
            arguments = calls.pop()
            if arguments and len(arguments) == 1:
                yield None
            elif arguments and len(arguments[1]) == 1:
                yield from _named_by(arguments[1][0], parameters)
        elif calls and calls[-1]:
            if token[0] == ",":
                calls[-1].append([])
            else:
                calls[-1][-1].append(token)
        previous = _identifier(token)


def _named_by(token: re.Match[str], parameters: Mapping[str, str]) -> Iterator[str]:
    if token["text"] is not None:
        yield token["text"].replace("''", "'")
    elif token["parameter"] in parameters:
        yield parameters[token["parameter"]]


def _identifier(token: re.Match[str]) -> str:
    """In small letters; empty for what is no name."""
    name = token["word"] or token["tick"] or token["bracket"] or ""
    return (name or (token["name"] or "").replace('""', '"')).lower()
