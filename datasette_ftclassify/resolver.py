"""Which classifier a query means, loaded once and dropped when it is gone.

Every call asks SQLite whether the file has changed (`pragma data_version`, two microseconds, for
other connections; `total_changes` for our own). Only then is the name looked up again, and only a
different training is loaded. Loaded classifiers are shared by the connections of a process.
"""

from __future__ import annotations

import sqlite3
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .errors import ClassifierNotFound, FtclassifyError
from .labels import LabelSet
from .predictions import Answerer
from .sql import quote
from .store.classifiers import Classifier, find_classifier, has_store

MAX_LOADED = 8
"""Classifiers kept in memory at once, in all."""


@dataclass(frozen=True)
class Loaded:
    """A classifier that is ready to answer."""

    uid: str
    answerer: Answerer
    identity: dict[str, Any]

    @property
    def labels(self) -> LabelSet:
        return self.answerer.labels


class Resolver:
    """Resolves classifier names for one connection.

    A name is looked for in the main database, then in attached ones. Without a name, the default
    of the first that has classifiers.
    """

    def __init__(self, connection: Callable[[], sqlite3.Connection]) -> None:
        self._connection = connection
        self._stamp: tuple[int, ...] | None = None
        self._schemas: list[tuple[str, str]] = []
        self._known: dict[str | None, Loaded] = {}

    def resolve(self, name: object = None) -> Loaded:
        """The loaded classifier. Raises FtclassifyError: not found, or damaged."""
        conn = self._connection()
        stamp = self._read_stamp(conn)
        if stamp != self._stamp:
            self._schemas = _schemas(conn)
            self._known.clear()
            self._stamp = self._read_stamp(conn)
        key = None if name is None else str(name)
        found = self._known.get(key)
        if found is not None:
            return found
        loaded = self._look_up(conn, key)
        if len(self._known) >= MAX_LOADED:
            self._known.clear()
        self._known[key] = loaded
        return loaded

    def _read_stamp(self, conn: sqlite3.Connection) -> tuple[int, ...]:
        versions = (
            conn.execute(f"pragma {quote(schema)}.data_version").fetchone()[0]
            for schema, _ in self._schemas
        )
        return (conn.total_changes, *versions)

    def _look_up(self, conn: sqlite3.Connection, name: str | None) -> Loaded:
        # Asked again for each look-up: a database may have been attached since.
        self._schemas = _schemas(conn)
        problem: FtclassifyError | None = None
        for schema, path in self._schemas:
            try:
                return _load(conn, find_classifier(conn, name, schema), schema, path)
            except ClassifierNotFound as error:
                # The first database that has classifiers at all says best what is missing.
                if problem is None or has_store(conn, schema):
                    problem = error
        raise problem or ClassifierNotFound("The connection has no database.")


def _schemas(conn: sqlite3.Connection) -> list[tuple[str, str]]:
    """(name, file) of the main and the attached databases, but for the temporary one."""
    rows = conn.execute("pragma database_list").fetchall()
    return [(name, path or "") for _, name, path in rows if name != "temp"]


_loaded: OrderedDict[tuple[str, str], Loaded] = OrderedDict()
_lock = threading.Lock()


def _load(conn: sqlite3.Connection, classifier: Classifier, schema: str, path: str) -> Loaded:
    """Shared by file and training. A database in memory has no name to share by but its own
    connection's address."""
    key = (path or f"memory-{id(conn)}", classifier.uid)
    with _lock:
        loaded = _loaded.get(key)
        if loaded is not None:
            _loaded.move_to_end(key)
    if loaded is None:
        # Outside the lock: a large classifier must not make the small ones wait.
        from .loading import load_answerer

        answerer = load_answerer(conn, classifier, schema)
        identity = {"classifier": classifier.name, "version": classifier.version}
        loaded = Loaded(classifier.uid, answerer, identity)
    with _lock:
        _loaded[key] = loaded
        while len(_loaded) > MAX_LOADED:
            _loaded.popitem(last=False)
    return loaded
