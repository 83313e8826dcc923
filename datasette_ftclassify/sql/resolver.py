"""Finds the classifier that a query names, loads it once, and drops it when it has changed.

SQLite is asked whether the file has changed (`pragma data_version` for other connections,
`total_changes` for our own). Only then is the name looked up again, and only a different training
is loaded (`loading`). Of a classifier whose model is at a service nothing is: only the stored
answers are used.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING

from ..core.database import quote
from ..core.errors import ClassifierNotFound, FtclassifyError
from ..core.prediction import Answerer
from ..core.sqlite_errors import SQLITE_ERRORS
from ..jobs.load_classifier import answerer_maker, service_of
from ..store.artifacts import artifact_size
from ..store.cell_size import LONGEST_NAME
from ..store.classifiers import find_classifier, has_store
from ..store.minimum_scores import find_minimum
from ..store.tables import check_tables
from ..trainers.access import Access
from ..trainers.configuration import read_access
from . import loading
from .classifier import SqlClassifier
from .local_classifier import AnswerMemo, LocalClassifier
from .query_limit import QueryLimit, QueryStopped, was_stopped

if TYPE_CHECKING:
    from .remote_classifier import ConnectionInference

CHECK_EVERY = 0.001
"""Seconds for which the answer of `pragma data_version` is trusted while call follows call."""

SAME_STATEMENT = 10e-6
"""Seconds between two calls of functions in which nobody can have stored anything.

A statement never sees a change while it runs, so one check for each would do, but a function is not
told where a statement begins. Asking at every row would cost a twentieth of the time of a short
text. Between two rows of a statement there are a few microseconds; to end a statement, to commit
in another connection and to begin the next statement takes several times that.
"""


WAIT_SECONDS = 60.0
"""How long the functions of a query may wait for services, by default."""


class ConnectionState:
    """What the SQL functions of one connection share.

    time_limit: seconds in all that functions wait for services within twice that time
    access:     called when a service is first to be asked; may raise AccessError
    writable:   whether answers may be kept in a database file, by its path
    """

    def __init__(
        self,
        connection: Callable[[], sqlite3.Connection],
        time_limit: float = WAIT_SECONDS,
        access: Callable[[], Access] = read_access,
        writable: Callable[[str], bool] = lambda path: True,
    ) -> None:
        self.connection = connection
        self.limit = QueryLimit(connection)
        self.memo = AnswerMemo()
        self._time_limit = time_limit
        self._access = access
        self._writable = writable

    @cached_property
    def inference(self) -> ConnectionInference:
        from .remote_classifier import ConnectionInference

        return ConnectionInference(self._access, self._writable, self._time_limit)


class Resolver:
    """Resolves classifier names for one connection.

    A name is looked for in the main database, then in attached ones. Without a name it is the
    default of the main database, else of the attached one that has classifiers; with several such
    ones a name must be given.
    """

    def __init__(self, state: ConnectionState) -> None:
        self._state = state
        self._connection = state.connection
        self._checked = 0.0
        self._called = 0.0
        self._changes = -1
        self._versions: list[object] = []
        self._version_queries: list[str] = []
        self._known: dict[object, SqlClassifier | FtclassifyError] = {}
        self._missing: dict[object, FtclassifyError] = {}
        with loading.lock:
            loading.users.add(self)

    def rest(self) -> None:
        """Drops its cache, unless it is in use just now. Any thread may call this."""
        if time.perf_counter() - self._checked > AT_REST:
            self._known.clear()

    def resolve(self, name: object = None) -> SqlClassifier:
        """The classifier, ready to answer. Raises FtclassifyError: not found, or damaged; and
        QueryStopped when the query's time ran out while it was read."""
        try:
            return self._resolve(name)
        except (*SQLITE_ERRORS, FtclassifyError) as error:
            if was_stopped(error):
                raise QueryStopped from None
            raise

    def _resolve(self, name: object) -> SqlClassifier:
        conn = self._connection()
        now = time.perf_counter()
        recent = now - self._called < SAME_STATEMENT and now - self._checked < CHECK_EVERY
        if not recent or conn.total_changes != self._changes:
            self._check(conn)
        if isinstance(name, str) and len(name) > LONGEST_NAME:
            raise ClassifierNotFound(f"No classifier has a name of {len(name):,} characters.")
        found = self._known.get(name)
        if found is None:
            found = self._known[name] = self._find(conn, name)
        if isinstance(found, FtclassifyError):
            raise found.with_traceback(None)
        return found

    def _find(self, conn: sqlite3.Connection, name: object) -> SqlClassifier | FtclassifyError:
        """What is wrong with it is known until the file changes: a query asks for every row, and it
        takes as long to read what is damaged. That there is none is known until the next check, as
        one may be attached; raised then, as what SQLite says is, such as that a file is locked."""
        missing = self._missing.get(name)
        if missing is None:
            try:
                return self._look_up(conn, name)
            except FtclassifyError as error:
                if isinstance(error.__cause__, SQLITE_ERRORS):
                    raise
                error.__cause__ = error.__context__ = None  # they hold all that was read
                missing = error.with_traceback(None)
                if not isinstance(error, ClassifierNotFound):
                    return missing
                self._missing[name] = missing
        raise missing.with_traceback(None)

    def note_call(self) -> None:
        """Call it when a function has answered: what follows at once is of the same statement."""
        self._called = time.perf_counter()

    def _check(self, conn: sqlite3.Connection) -> None:
        self._missing.clear()
        versions = self._read_versions(conn)
        if versions != self._versions or conn.total_changes != self._changes:
            self._known.clear()
        self._changes = conn.total_changes
        self._versions = versions
        self._checked = time.perf_counter()

    def _read_versions(self, conn: sqlite3.Connection) -> list[object]:
        return [conn.execute(sql).fetchone() for sql in self._version_queries]

    def _look_up(self, conn: sqlite3.Connection, named: object) -> SqlClassifier:
        if isinstance(named, bytes):
            raise ClassifierNotFound("A classifier is named by a text, not by a BLOB.")
        name = None if named is None else str(named)
        if len(self._known) >= loading.MAX_LOADED:
            self._known.clear()
        # Listed anew for each look-up: a database may have been attached since the last one.
        schemas = _schemas(conn)
        self._version_queries = [f"pragma {quote(schema)}.data_version" for schema, _ in schemas]
        self._versions = self._read_versions(conn)
        holding = [(schema, path) for schema, path in schemas if has_store(conn, schema)]
        if name is None and len(holding) > 1 and holding[0][0] != "main":
            names = ", ".join(schema for schema, _ in holding)
            raise ClassifierNotFound(
                f"Several attached databases have classifiers ({names}): name one of them."
            )
        problem: FtclassifyError | None = None
        for schema, path in holding or schemas[:1]:
            try:
                return self._load(conn, name, schema, path)
            except ClassifierNotFound as error:
                problem = problem or error
        raise problem or ClassifierNotFound("The connection has no database.")

    def _load(
        self, conn: sqlite3.Connection, name: str | None, schema: str, path: str
    ) -> SqlClassifier:
        check_tables(conn, schema)
        classifier = find_classifier(conn, name, schema)
        minimum = find_minimum(conn, classifier, schema)
        state = self._state
        if service_of(classifier) is not None:
            from .remote_classifier import RemoteClassifier

            return RemoteClassifier(
                classifier,
                minimum,
                schema,
                path,
                state.connection,
                state.inference,
                state.limit.check,
            )

        def read() -> tuple[Callable[[], Answerer], int]:
            size = artifact_size(conn, classifier, schema)
            loading.make_room(size)
            return answerer_maker(conn, classifier, schema), size

        # A database in memory has no file to be known by but its own connection.
        key = path or f"memory-{id(conn)}", classifier.uid
        answerer = loading.loaded(key, read, state.limit.check)
        return LocalClassifier(classifier, minimum, answerer, state.memo, state.limit.check)


def _schemas(conn: sqlite3.Connection) -> list[tuple[str, str]]:
    """(name, file) of the main and the attached databases, but for the temporary one."""
    rows = conn.execute("pragma database_list").fetchall()
    return [(name, path or "") for _, name, path in rows if name != "temp"]


AT_REST = 1.0
"""Seconds after which a connection that asks for no classifier is taken to be done."""
