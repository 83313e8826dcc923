"""The worker of a Datasette: finds queued jobs, and starts a process for each.

It is a thread, on both lines of Datasette: a look reads a database file, which must block neither
the event loop nor Datasette's few read threads. Several servers may serve one file, since whoever
claims a job first has it. See `lifespan` for its beginning and its end.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import threading
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from ..core.errors import AccessError, FtclassifyError, JobError, JobNotFound
from ..core.sqlite_errors import SQLITE_ERRORS
from ..core.time_limit import within
from ..jobs.agreements import agreement_to, agreements_in, digest_of
from ..jobs.kinds import kind_of
from ..ledger import identity_of
from ..store.classifiers import find_by_id
from ..store.jobs.job import Job
from ..store.jobs.queue import hold_job, is_waiting, maybe_waiting, note_death
from ..store.jobs.state import ENDED, get_job
from ..store.schema import ensure_schema
from ..store.tables import open_database
from ..trainers.access import Access
from ..trainers.registry import get_trainer
from .events import track_end
from .job_process import Child
from .operator_settings import access_of

if TYPE_CHECKING:
    from datasette.app import Datasette

    from ..jobs.new_rows import EditSearch

LOOK_EVERY = 1.0
"""Seconds between looks into the databases."""

CHILDREN = {"computing": 1, "checking": 1, "waiting": 3}
"""Processes at once: of jobs that compute here, of checks, which somebody waits for at a page, and
of jobs that mostly wait for a service."""

TURN_SECONDS = 20.0
"""How long the jobs of other files keep a file waiting whose jobs have no process."""

BESIDES = 3
"""Processes of one manner that may be added for files that waited so long: a job may last for
hours, or, in a file that somebody made so, for ever."""

NEW_ROWS_EVERY = 5.0
"""Seconds between looks for new rows of the tables that have theirs classified as they come."""

SEARCH_SECONDS = 0.2
"""Of those looks for the part that reads texts again, to find edited rows: 1 in 25 of the time."""

LOOK_SECONDS = 2.0
"""For one reading of a file's jobs."""

CONSIDER_SECONDS = 30.0
"""For what it takes to start one: an upgrade of our tables, and the operator's settings."""

MOST_LOOKED_AT = 20
"""Jobs of one file that a look considers, before it comes to the next file."""

REST = 60.0
"""Seconds for which a held job, or a file that cannot be worked on, is left alone."""

_POLL_EVERY = 0.1
_ANSWER_SECONDS = 10.0
_STOP_SECONDS = 10.0
_log = logging.getLogger(__name__)


class Worker:
    """Runs the waiting jobs of all mutable database files of a Datasette, from now on."""

    def __init__(self, datasette: Datasette, loop: asyncio.AbstractEventLoop) -> None:
        self._datasette = datasette
        self._loop = loop
        self._children: list[Child] = []
        self._resting: dict[tuple[str, int], float] = {}
        self._followed: dict[str, float] = {}
        self._searches: dict[str, EditSearch] = {}
        self._prepared: set[str] = set()
        self._served: dict[str, float] = {}
        self._over = threading.Event()
        self._woken = threading.Event()
        self._thread = threading.Thread(target=self._run, name="ftclassify-worker", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        self._resting.clear()
        self._woken.set()

    def stop(self) -> None:
        """Ends the children, whose jobs go on at the next start, and the thread."""
        self._over.set()
        self._woken.set()
        self._thread.join(_STOP_SECONDS)  # it may wait for a locked file; nothing is lost then

    def _run(self) -> None:
        next_look = 0.0
        try:
            while not self._over.is_set():
                if self._reap() or self._woken.is_set() or time.monotonic() >= next_look:
                    self._woken.clear()
                    self._look()
                    next_look = time.monotonic() + LOOK_EVERY
                self._woken.wait(_POLL_EVERY if self._children else LOOK_EVERY)
        finally:
            for child in self._children:
                child.stop()

    def _look(self) -> None:
        # First the file that has waited longest, or a long queue in one would keep all the others.
        for path in sorted(set(self._files()), key=lambda path: self._served.get(path, 0.0)):
            if self._over.is_set() or self._rests(path):
                continue
            try:
                access, trouble = self._access()
                agreed = agreements_in(identity_of(path), access)
                if not agreed:
                    continue  # whatever the file asks for, nobody here has agreed to it
                with closing(_open(path)) as conn:
                    self._look_into(path, conn, access, trouble, {key.job for key in agreed})
            except Exception as error:  # one file's trouble is no other's, nor the worker's end
                self._leave(path, error)

    def _files(self) -> Iterator[str]:
        """Database files that may be written. Databases come and go while the server runs."""
        for database in list(self._datasette.databases.values()):
            if database.path and database.is_mutable and not database.is_memory:
                yield str(Path(database.path).resolve())

    def _look_into(
        self,
        path: str,
        conn: sqlite3.Connection,
        access: Access,
        trouble: str | None,
        agreed: Collection[int],
    ) -> None:
        if time.monotonic() >= self._followed.get(path, 0.0):
            from ..jobs.new_rows import EditSearch, queue_new_rows

            self._followed[path] = time.monotonic() + NEW_ROWS_EVERY
            search = self._searches.setdefault(path, EditSearch(SEARCH_SECONDS))
            with within(conn, LOOK_SECONDS):
                queue_new_rows(conn, access, search)
        ours = {child.job.id for child in self._children if child.path == path}
        with within(conn, LOOK_SECONDS):
            waiting = maybe_waiting(conn)
        looked_at = 0
        for job_id in waiting:
            if job_id in ours or job_id not in agreed or self._rests(path, job_id):
                continue
            looked_at += 1
            if self._over.is_set() or looked_at > MOST_LOOKED_AT:
                return  # the next look goes on: those that cannot run rest by then
            try:
                with within(conn, CONSIDER_SECONDS):
                    self._consider(path, conn, job_id, access, trouble)
            except JobError as error:  # a damaged one holds up no other
                self._leave(path, error, job_id)

    def _consider(
        self, path: str, conn: sqlite3.Connection, job_id: int, access: Access, trouble: str | None
    ) -> None:
        """Has the job run, if it waits, may run, and there is a place. One that nobody here has
        agreed to, as it now is, is left as it is: not even a note is written into its file."""
        if agreement_to(conn, get_job(conn, job_id), access) is None:
            return
        if path not in self._prepared:
            ensure_schema(conn)  # the job may have been queued by an older version
            self._prepared.add(path)
        job = get_job(conn, job_id)
        if not is_waiting(job):
            return
        manner = _manner(conn, job)
        if not has_place(self._children, path, job, manner):
            return
        from ..jobs.runner import may_run

        reason = trouble or may_run(conn, job, access)
        if reason is not None:
            hold_job(conn, job, reason)
            self._rest(path, job_id)
            return
        digest = digest_of(conn, job)
        self._children.append(Child(path, job, access, manner=manner, digest=digest))
        self._served[path] = time.monotonic()

    def _access(self) -> tuple[Access, str | None]:
        """What jobs may reach and spend, and why none may run, if so."""
        asked = asyncio.run_coroutine_threadsafe(access_of(self._datasette), self._loop)
        try:
            return asked.result(_ANSWER_SECONDS), None
        except AccessError as error:
            return Access(), str(error)

    def _reap(self) -> bool:
        """Takes leave of children that have ended; whether there were any."""
        ended = [child for child in self._children if child.returncode is not None]
        for child in ended:
            self._children.remove(child)
            try:
                if child.returncode:
                    self._note_death(child)
                self._track_end(child)
            except JobNotFound:
                pass  # deleted with its classifier
            except Exception as error:
                self._leave(child.path, error)
            finally:
                child.close()
        return bool(ended)

    def _note_death(self, child: Child) -> None:
        how = child.last_words()
        with closing(_open(child.path)) as conn:
            if note_death(conn, child.job.id, how, again=not child.was_stuck):
                _log.error("The process of job %d in %s died: %s", child.job.id, child.path, how)

    def _track_end(self, child: Child) -> None:
        """Tells other plugins of a job that has ended, and of the classifier that it made."""
        if not hasattr(self._datasette, "track_event"):
            return  # Datasette 0.65
        try:
            with closing(_open(child.path)) as conn, within(conn, LOOK_SECONDS):
                job = get_job(conn, child.job.id)
                used = None if job.classifier_id is None else find_by_id(conn, job.classifier_id)
        except (FtclassifyError, *SQLITE_ERRORS):
            return  # deleted meanwhile, or locked: the job's end does not depend on who hears of it
        names = [
            name for name, database in self._datasette.databases.items()
            if database.path and str(Path(database.path).resolve()) == child.path
        ]  # fmt: skip
        if job.state in ENDED and names:
            told = track_end(self._datasette, names[0], job, used)
            asyncio.run_coroutine_threadsafe(told, self._loop)

    def _rests(self, path: str, job_id: int = 0) -> bool:
        """A job (0: the whole file) that is not to be looked at yet."""
        return time.monotonic() < self._resting.get((path, job_id), 0.0)

    def _rest(self, path: str, job_id: int = 0) -> None:
        self._resting[path, job_id] = time.monotonic() + REST

    def _leave(self, path: str, error: Exception, job_id: int = 0) -> None:
        self._rest(path, job_id)
        known = isinstance(error, (FtclassifyError, *SQLITE_ERRORS, OSError))
        _log.error("Cannot work on the jobs of %s: %s", path, error, exc_info=not known)


def _open(path: str) -> sqlite3.Connection:
    conn = open_database(path)
    conn.execute("pragma busy_timeout = 2000")  # a later look will do, and a shutdown waits for it
    return conn


class Running(Protocol):
    """A job that runs: in which file, what it mostly does (one of CHILDREN), and since when, by
    time.monotonic()."""

    path: str
    job: Job
    manner: str
    since: float


def has_place(running: Sequence[Running], path: str, job: Job, manner: str) -> bool:
    """Whether one more job may run beside the others.

    No file has all the slots for longer than TURN_SECONDS: then a file without any gets one more.
    Predictions that ask the same classifier take turns: at the same time, each would pay for the
    texts that they have in common; in turn, the second finds the answers of the first.
    """
    alike = [other for other in running if other.manner == manner]
    if len(alike) >= CHILDREN[manner] and not _has_waited(alike, path, manner):
        return False
    return not _asks(job, manner) or not any(
        other.path == path
        and _asks(other.job, other.manner)
        and other.job.classifier_id == job.classifier_id
        for other in running
    )


def _has_waited(alike: Sequence[Running], path: str, manner: str) -> bool:
    """Whether a file without a process has been kept waiting for a whole turn."""
    if len(alike) >= CHILDREN[manner] + BESIDES or any(other.path == path for other in alike):
        return False
    return time.monotonic() - max(other.since for other in alike) >= TURN_SECONDS


def _asks(job: Job, manner: str) -> bool:
    """Whether the job sends requests row by row, and not in batches that take up to a day."""
    return manner == "waiting" and kind_of(job.kind).writes_rows and not job.terms.batch


def _manner(conn: sqlite3.Connection, job: Job) -> str:
    """What the job mostly does; one of CHILDREN."""
    if kind_of(job.kind).checks:
        return "checking"
    try:
        name = job.settings.get("trainer") or find_by_id(conn, int(job.classifier_id or 0)).trainer
        away = get_trainer(str(name)).capabilities.leaves_machine
    except FtclassifyError:
        return "computing"  # it will fail, and say why
    return "waiting" if away else "computing"
