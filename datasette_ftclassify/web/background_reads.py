"""Long reads in threads of their own, with a connection of their own, since they would block
Datasette's few read threads or its event loop."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TypeVar

from datasette.utils.asgi import NotFound

from ..core.database import decode
from ..core.errors import FtclassifyError
from ..core.time_limit import within
from ..jobs import train_version
from ..store.classifiers import has_store
from ..store.jobs.job import Job
from ..store.jobs.queue import put_in_queue
from ..store.schema import ensure_schema
from ..store.tables import checked, open_database
from .lifespan import wake
from .operator_settings import access_or_why
from .page_request import PageRequest

T = TypeVar("T")

READ_SECONDS = 30.0
"""For one reading: a whole table is read to know its labels, a job has no limit like this."""

WRITE_SECONDS = 60.0
"""For one writing, which may wait half a minute for another process that writes."""


def path_of(ask: PageRequest) -> str:
    """The database's file. Raises FtclassifyError for a database in memory."""
    if not ask.db.path:
        raise FtclassifyError(
            f"The database {ask.database} is in memory: this needs one that is a file."
        )
    return str(ask.db.path)


def require_file(ask: PageRequest, so: str = "nothing can be trained in it.") -> None:
    """Raises NotFound for a database that cannot be changed, FtclassifyError for one in memory.

    so: what cannot be done therefore, and what to do instead
    """
    if not ask.db.is_mutable:
        raise NotFound(f"{ask.database} cannot be changed here, so {so}")
    path_of(ask)


def read_uri(ask: PageRequest) -> str:
    """The file's address for a connection that can write nothing."""
    mode = "mode=ro" if ask.db.is_mutable else "immutable=1"
    return f"{Path(path_of(ask)).resolve().as_uri()}?{mode}"


def open_to_read(ask: PageRequest) -> sqlite3.Connection:
    """A connection that can write nothing, for one thread at a time."""
    conn = sqlite3.connect(read_uri(ask), uri=True, check_same_thread=False)
    conn.text_factory = decode
    return checked(conn)


async def read_aside(
    ask: PageRequest, function: Callable[[sqlite3.Connection], T], seconds: float = READ_SECONDS
) -> T:
    """What a function finds that may take its time. Raises TooSlow after so many seconds; of a
    database in memory, which has no other connection, after those of a page."""
    if not ask.db.path:
        return await ask.read(function)

    def run() -> T:
        with closing(open_to_read(ask)) as conn, within(conn, seconds):
            return function(conn)

    return await asyncio.to_thread(run)


async def require_own_condition(ask: PageRequest) -> None:
    """Call before rows are read as the classifier's task means them. Raises TrainingError, see
    `train_version.require_own_condition`."""
    access, _ = await access_or_why(ask.datasette)
    await ask.read(lambda conn: train_version.require_own_condition(conn, ask.classifier, access))


async def bring_up_to_date(ask: PageRequest) -> None:
    """Gives the database what our tables have had since an earlier version made them, which who
    only reads could not."""
    await write_aside(ask, lambda conn: ensure_schema(conn) if has_store(conn) else None)


async def write_aside(ask: PageRequest, function: Callable[[sqlite3.Connection], T]) -> T:
    """What a function does that writes; it commits by itself."""
    path = path_of(ask)

    def run() -> T:
        with closing(open_database(path)) as conn, within(conn, WRITE_SECONDS):
            return function(conn)

    return await asyncio.to_thread(run)


async def queue_aside(ask: PageRequest, submit: Callable[[sqlite3.Connection], Job]) -> Job:
    """The job that a function submits, queued for a worker; an old one with the same settings that
    is paused or has failed is resumed."""
    job = await write_aside(ask, lambda conn: put_in_queue(conn, submit(conn)))
    wake(ask.datasette)
    return job
