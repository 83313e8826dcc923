"""Running a job under its lease.

The lease is renewed by a thread with a connection of its own, so that a long training counts as
alive. Between its steps the job checks the lease and whether it was asked to stop.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from functools import partial

from ..core.database import path_of
from ..core.errors import FtclassifyError, JobError, JobPaused, JobStopped, SourceError
from ..core.humanize import counted, dollars
from ..core.job_events import LOST_REQUESTS
from ..core.sqlite_errors import OPERATIONAL_ERRORS, SQLITE_ERRORS
from ..ledger import Ledger, LedgerError
from ..store.disk_space import is_full, no_room
from ..store.jobs.job import Job
from ..store.jobs.leases import new_owner
from ..store.jobs.state import add_event, ask_job, claim_job, end_job, get_job, renew_lease
from ..store.schema import transaction
from ..store.spending import Spent, add_spending, spent_by_job
from ..store.tables import open_database
from ..trainers.access import Access
from ..trainers.configuration import read_access
from .agreements import key_of, require_agreement

RENEW_EVERY = 2.0
"""Seconds between renewals, and so the time that a request to pause a training may take."""


RENEW_WAIT_MS = 200
"""How long a renewal waits for others; ten more come before the lease is over."""


class Lease:
    """The right to run a job. Fill `result` before the block ends.

    lost: set when the job is no longer this process's; `why_lost` says why
    """

    def __init__(self, conn: sqlite3.Connection, job: Job) -> None:
        self.conn = conn
        self.job = job
        self.result: Mapping[str, object] | None = None
        self.lost = threading.Event()
        self.why_lost = f"Job {job.id} was taken over by another process."

    def check(self) -> None:
        """Raises JobStopped when a pause or cancellation was requested, JobError without a lease.

        Reads no database: requests are seen at each renewal and after each batch.
        """
        if self.lost.is_set():
            raise JobError(self.why_lost)
        if self.job.wanted:
            raise JobStopped(f"Job {self.job.id} was asked to {self.job.wanted}, and did.")


@contextmanager
def leased(
    conn: sqlite3.Connection, job_id: int, access: Access | None = None, digest: str | None = None
) -> Iterator[Lease]:
    """Claims a job that a person on this machine has agreed to, and writes down how the block
    ended. What its last process had under way when it died counts as spent from here on.

    access: where the ledger is; None: as the environment says
    digest: of the job as it was agreed to, from the process that started this one

    finished, when it ends; failed with the error, when it raises one; paused, when it is
    interrupted from the keyboard; paused or cancelled, when that was requested (JobStopped
    goes on to the caller); paused with the reason, when it has one (JobPaused goes on, too), such
    as a full disk.
    A killed process writes nothing: its lease runs out. So does that of a process which another one
    kept from writing for too long: nothing is wrong with the job.
    """
    reach = access or read_access()
    require_agreement(conn, get_job(conn, job_id), reach, digest)
    lease = Lease(conn, claim_job(conn, job_id, new_owner()))
    try:
        # Again: the claim is a write, and so may set off a trigger.
        require_agreement(conn, lease.job, reach, digest)
        _count_lost(lease, reach)
        with _renewed(lease):
            yield lease
    except JobPaused as reason:
        _rest(lease, str(reason))
        raise
    except JobStopped:
        _end(lease, "paused" if lease.job.wanted == "pause" else "cancelled")
        raise
    except KeyboardInterrupt:
        _rest(lease)
        raise
    except Exception as error:
        if isinstance(error, OPERATIONAL_ERRORS) and is_full(error):
            why = no_room(error)
            _rest(lease, why)
            raise JobPaused(why) from error
        if not lease.lost.is_set() and not _is_busy(error):
            _end(lease, "failed", _text(error))
        raise
    end_job(conn, lease.job, "finished", result=lease.result)


def _count_lost(lease: Lease, access: Access) -> None:
    """What the job's last process had under way when it died counts as spent, in the file as in the
    ledger: an answer may be stored whose cost the ledger has as that of a lost one."""
    conn, job = lease.conn, lease.job
    try:
        ledger, key = Ledger(access.ledger), key_of(conn, job)
        lost, spent = ledger.take_over(key), ledger.spent(key)
    except LedgerError:
        return  # and so nothing that costs money will be asked
    noted = spent_by_job(conn, job.id)
    more = Spent(max(spent.usd - noted.usd, 0.0), max(spent.requests - noted.requests, 0))
    if more == Spent() and not lost.requests:
        return
    with transaction(conn):
        add_spending(conn, job.id, more)
        if lost.requests:
            requests = counted(lost.requests, "request was", "requests were")
            add_event(
                conn,
                job,
                LOST_REQUESTS,
                f"{requests} under way when its process died: counted as {dollars(lost.usd)}, and "
                "asked again",
            )


def _rest(lease: Lease, why: str | None = None) -> None:
    """Pauses the job, or cancels it when that was requested."""
    wanted = lease.job.wanted
    _end(lease, "paused", why)
    if wanted == "cancel":
        ask_job(lease.conn, lease.job.id, wanted)


def _end(lease: Lease, state: str, why: str | None = None) -> None:
    """Writes down how it ended before its time. Where there is no room for that, its lease runs out
    instead: whoever looks then sees it interrupted."""
    try:
        end_job(lease.conn, lease.job, state, error=why)
    except OPERATIONAL_ERRORS as error:
        if not is_full(error):
            raise


def _is_busy(error: Exception) -> bool:
    return isinstance(error, OPERATIONAL_ERRORS) and "locked" in str(error)


def _text(error: Exception) -> str:
    if isinstance(error, FtclassifyError):
        return str(error)
    if not isinstance(error, SQLITE_ERRORS):
        return f"{type(error).__name__}: {error}"
    if "no such" in str(error):
        return (
            f"A table was changed while the job was at it: {error}. If you restore it, retry the "
            "job; otherwise start a new one."
        )
    return f"The database does not let the job continue: {error}. Fix that, then retry the job."


@contextmanager
def _renewed(lease: Lease) -> Iterator[None]:
    """Keeps the lease alive in the background; a database in memory has no second connection."""
    path = path_of(lease.conn)
    if not path:
        yield
        return
    with in_background(partial(_renew, lease, path)):
        yield


def _renew(lease: Lease, path: str, over: threading.Event) -> None:
    while not over.wait(RENEW_EVERY):
        try:
            # Opened anew each time: the file may be locked when it is opened, too.
            with closing(open_database(path)) as conn:
                # While the job reads, a writer that waits for it keeps every new reader out:
                # Datasette, which reads each file's schema for any page, among them.
                conn.execute(f"pragma busy_timeout = {RENEW_WAIT_MS}")
                lease.job.wanted = renew_lease(conn, lease.job.id, str(lease.job.owner))
        except JobError as error:
            lease.why_lost = str(error)
            lease.lost.set()
            return
        except (*OPERATIONAL_ERRORS, SourceError):
            continue  # locked by a long write: the lease has room for some more tries


@contextmanager
def in_background(work: Callable[[threading.Event], None]) -> Iterator[None]:
    """Runs `work` in a thread meanwhile, until the event that it is given is set at the end."""
    over = threading.Event()
    thread = threading.Thread(target=work, args=(over,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
