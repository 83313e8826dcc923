"""Running a job in this process with progress, or following one that another process runs."""

from __future__ import annotations

import shlex
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial

import click

from ..core.errors import FtclassifyError, JobPaused, JobStopped
from ..core.humanize import counted
from ..core.sqlite_errors import SQLITE_ERRORS
from ..jobs.lease import in_background
from ..present.jobs import describe, money
from ..present.our_command import our_command
from ..store.batches import open_batches
from ..store.jobs.job import Job
from ..store.jobs.state import get_job
from ..store.tables import open_database
from ..trainers.access import Access
from ..trainers.registry import list_services
from .output import StepProgress, Stopped, print_result, step_progress, with_options

LOOK_EVERY = 0.5
"""Seconds between looks at a job that is followed, or for one that waits."""


def run_here(conn: sqlite3.Connection, job: Job, access: Access, database: str) -> Job:
    """Runs a queued job to its end, with its progress on a line that moves. Gives it with its
    result.

    Raises Stopped for Ctrl-C and ClickException for a job that is paused, with what to do next.
    """
    from ..jobs.runner import run_job

    try:
        with step_progress() as progress, watched(database, job.id, progress):
            return run_job(conn, job.id, access=access)
    except JobPaused as reason:
        raise click.ClickException(
            f"{with_options(reason)} {again(conn, job.id, database)}"
        ) from None
    except JobStopped as stopped:
        raise click.ClickException(f"{stopped} {again(conn, job.id, database)}") from None
    except KeyboardInterrupt:
        job = get_job(conn, job.id)
        if job.state == "finished":
            return job  # it came a moment too late
        raise Stopped(_interrupted(conn, job.id, database)) from None


def again(conn: sqlite3.Connection, job_id: int, database: str) -> str:
    """How a job goes on that somebody has paused or cancelled."""
    action = "resume" if get_job(conn, job_id).state == "paused" else "retry"
    command = our_command("jobs", action, database, job_id)
    return f"To continue: {command}, or the same command again."


def _interrupted(conn: sqlite3.Connection, job_id: int, database: str) -> str:
    batches = batches_there(conn, job_id)
    if not batches:
        return "Stopped. The same command continues where it stopped."
    what = counted(batches, "batch goes on", "batches go on")
    return (
        f"Stopped. {what} at the service and will be paid for: the same command fetches the"
        f" answers. To end that: {our_command('jobs', 'cancel', database, job_id)}"
    )


def batches_there(conn: sqlite3.Connection, job_id: int) -> int:
    """Batches of a job that a service has, and whose answers are not here."""
    return sum(batch.batch_id is not None for batch in open_batches(conn, job_id))


def work_command(
    conn: sqlite3.Connection, job: Job, database: str, base_url: str | None = None
) -> str:
    """What runs a job that waits. One that costs money is not run without a limit."""
    from ..jobs.agreements import paid_trainer
    from ..jobs.estimates import usual_limit, whole_cents

    words = ["work", database]
    terms = job.terms
    limit = terms.limit_usd
    if limit is None and terms.usd is not None:
        limit = usual_limit(terms.usd)
    if limit is not None and paid_trainer(conn, job) is not None:
        words += ["--limit-usd", f"{whole_cents(limit):.2f}"]
    # The environment variable of the service's address.
    services = {service.name: service.variables for service in list_services()}
    variable = services.get(paid_trainer(conn, job) or "", {}).get("base_url", "OPENAI_BASE_URL")
    if base_url is None or variable == "OPENAI_BASE_URL":
        return our_command(*words, *(["--base-url", base_url] if base_url is not None else []))
    # The option is OpenAI's; another service's address goes by the name that it has itself.
    return f"{variable}={shlex.quote(base_url)} {our_command(*words)}"


def say_queued(
    conn: sqlite3.Connection, job: Job, database: str, as_json: bool, base_url: str | None
) -> None:
    """Has a job wait, and says who runs it; `base_url` is the service's, as it was given."""
    from ..store.jobs.queue import put_in_queue

    job = put_in_queue(conn, job)
    said = f"Job {job.id} waits. Run it with: {work_command(conn, job, database, base_url)}"
    print_result(as_json, job.to_dict(), said)


@contextmanager
def watched(database: str, job_id: int, progress: StepProgress) -> Iterator[None]:
    """Shows meanwhile how far the job is, as its row says: it moves while nothing comes from a
    service for hours, and shows the same whichever process runs the job."""
    if not progress.visible:
        yield
        return
    try:
        with in_background(partial(_watch, database, job_id, progress)):
            yield
    finally:
        progress.done()


def _watch(database: str, job_id: int, progress: StepProgress, over: threading.Event) -> None:
    with closing(open_database(database)) as conn:
        while not over.wait(LOOK_EVERY):
            try:
                progress.show(now_line(conn, get_job(conn, job_id)))
            except (FtclassifyError, *SQLITE_ERRORS):
                continue  # locked for a moment; the next look comes soon


def now_line(conn: sqlite3.Connection, job: Job) -> str:
    """What a running job is doing, and how far, how fast and how dear it is."""
    from ..jobs.kinds import kind_of
    from ..store.spending import spent_by_job

    facts = describe(conn, job)
    share = job.at_service.shown
    parts = [f"{job.step} {share:.0%}" if share else job.step]
    if job.total:
        parts.append(f"{job.rows_done:,} of {job.total:,} rows")
    if (answers := spent_by_job(conn, job.id).requests) and not kind_of(job.kind).trains:
        parts.append(f"{answers:,} answered")
    if facts.pace.rows_per_second:
        parts.append(f"{facts.pace.rows_per_second:,.0f} rows/s")
    if facts.pace.left:
        parts.append(facts.pace.left)
    if paid := money(job, facts.usd):
        parts.append(paid)
    return ", ".join(parts)
