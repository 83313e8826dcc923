"""Jobs that take a while, and looks at how far they are."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from stored import list_jobs

from datasette_ftclassify.core.database import connect
from datasette_ftclassify.jobs.agreements import agree
from datasette_ftclassify.jobs.plan import PredictRequest
from datasette_ftclassify.jobs.predict import submit_predict
from datasette_ftclassify.store.classifiers import find_classifier
from datasette_ftclassify.store.jobs.job import Job
from datasette_ftclassify.store.jobs.state import add_job, get_job
from datasette_ftclassify.trainers.access import Access

PATIENCE = 120.0
"""Seconds to wait for what should have happened by then."""


def wait_for(condition: Callable[[], object], what: str, patience: float = PATIENCE) -> None:
    deadline = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.02)


def agreed_job(
    conn: sqlite3.Connection,
    kind: str,
    settings: dict[str, Any],
    *,
    limit_usd: float | None = None,
    **more: Any,
) -> Job:
    """A queued job that a person has agreed to."""
    job = add_job(conn, kind, settings, **more)
    agree(conn, job, Access(), limit_usd)
    return job


def job_of(path: Path, job_id: int) -> Job:
    with closing(connect(path)) as conn:
        return get_job(conn, job_id)


def jobs_of(path: Path, kind: str | None = None) -> list[Job]:
    """Newest first."""
    with closing(connect(path)) as conn:
        return list_jobs(conn, kind)


def without_jobs(path: Path) -> Path:
    """The file, its jobs forgotten."""
    with closing(connect(path)) as conn:
        forget_jobs(conn)
    return path


def forget_jobs(conn: sqlite3.Connection) -> None:
    """Leaves no job, nor the number that the last one had: the next one is 1."""
    with conn:
        conn.execute("delete from _ftclassify_job_events")
        conn.execute("delete from _ftclassify_jobs")
        conn.execute("delete from _ftclassify_settings where key = 'jobs:highest'")


def queue_predict(path: Path, where: str | None = None) -> int:
    with closing(connect(path)) as conn:
        topics = find_classifier(conn, "topics")
        return submit_predict(conn, topics, "messages", PredictRequest(where=where)).id


def make_slow(path: Path) -> None:
    """Some batches of rows, each of which takes a while to write; every write is noted."""
    with closing(connect(path)) as conn, conn:
        conn.execute(
            "with recursive n(i) as (select 1 union all select i + 1 from n where i < 8)"
            " insert into messages (message, topic) select message, topic from messages, n"
        )
        conn.execute("create table written (id integer)")
        conn.execute(
            "create trigger noted after update on messages begin"
            " insert into written values (new.id);"
            " insert into written with recursive n(i) as"
            " (select 1 union all select i + 1 from n where i < 400)"
            " select null from n where i < 0; end"
        )


@contextmanager
def in_the_middle(path: Path, job_id: int) -> Iterator[None]:
    """Once a job has some of its rows and not all: nobody writes to the file in the block, so the
    job can't end there however long the block takes."""
    with closing(connect(path)) as conn:

        def halted() -> bool:
            conn.execute("begin immediate")
            job = job_of(path, job_id)
            if job.total is not None and 0 < job.done + job.skipped < job.total:
                return True
            conn.rollback()
            return False

        wait_for(halted, "some rows")
        yield
        conn.rollback()
