"""`jobs list | show | follow | run | pause | resume | cancel | retry`, and `work`"""

from __future__ import annotations

import os
import sqlite3
import time
from contextlib import ExitStack
from dataclasses import replace

import click

from ..core.errors import FtclassifyError, JobStopped
from ..core.humanize import counted
from ..present.jobs import JobFacts, describe, describe_all, shows_step
from ..present.our_command import our_command
from ..store.jobs.events import job_events
from ..store.jobs.job import Job
from ..store.jobs.remote_cancel import is_ending
from ..store.jobs.state import get_job
from ..trainers.access import Access
from .job_output import event_lines, line, line_of, settings_lines
from .options import database_argument, json_command, open_database, usd_option
from .output import StepProgress, echo, print_json, print_json_list, say, step_progress
from .run_job import LOOK_EVERY, now_line, watched, work_command

_WORKER_SECONDS = 5.0
"""Seconds after which a job that is followed has no worker, it seems."""

_INTERRUPTED = 130
"""The exit code of a command that was ended with Ctrl-C."""


@click.group()
def jobs() -> None:
    """List, follow, pause, resume, cancel and retry jobs.

    Every train, evaluate and predict is a job. An interrupted job goes on when the same command is
    given again, when Datasette serves the database, or with: datasette ftclassify work DB
    """


@jobs.command("list")
@database_argument
@json_command
def list_command(database: str, as_json: bool) -> None:
    """List all jobs, newest first."""
    from ..store.jobs.queries import MOST_JOBS, newest_brief, newest_jobs, remembered

    shown, find = 0, remembered()
    with open_database(database) as conn:
        if as_json:
            whole = describe_all(conn, newest_jobs(conn))
            print_json_list("jobs", whole)
            return
        for facts in describe_all(conn, newest_brief(conn)):
            echo(line_of(conn, facts, find))
            shown += 1
    if not shown:
        echo("There is no job yet.")
    if shown == MOST_JOBS:
        say(f"These are the newest {MOST_JOBS:,}.")


@jobs.command()
@database_argument
@click.argument("job_id", metavar="ID", type=int)
@json_command
def show(database: str, job_id: int, as_json: bool) -> None:
    """Show one job: what it did and cost, and its events."""
    with open_database(database) as conn:
        job = get_job(conn, job_id)
        events = job_events(conn, job_id)
        if as_json:
            facts = describe(conn, job)
            print_json({**facts.to_dict(), "events": events})
            return
        echo(line(conn, job))
    for text in (*settings_lines(job), *event_lines(events)):
        echo(f"      {text}")


@jobs.command()
@database_argument
@click.argument("job_id", metavar="ID", type=int)
@json_command
def follow(database: str, job_id: int, as_json: bool) -> None:
    """Show the progress of a job until it has ended.

    Exit code 1 when it has failed. Ctrl-C ends the following, not the job.
    """
    with open_database(database) as conn, step_progress() as progress:
        try:
            job = _Follower(conn, job_id, database, progress).follow()
        except KeyboardInterrupt:
            progress.done()
            say(f"Job {job_id} is no longer followed; it is not stopped.")
            raise SystemExit(_INTERRUPTED) from None
        progress.done()
        if as_json:
            print_json(describe(conn, job))
        else:
            echo(line(conn, job))
    if job.state == "failed":
        raise SystemExit(1)


class _Follower:
    """Looks at a job until it has ended or is paused."""

    def __init__(
        self, conn: sqlite3.Connection, job_id: int, database: str, progress: StepProgress
    ) -> None:
        self._conn, self._job_id, self._database = conn, job_id, database
        self._progress = progress
        self._alone_since: float | None = None
        self._told: set[str] = set()

    def follow(self) -> Job:
        get_job(self._conn, self._job_id)  # there is one, and so there are events
        seen = len(job_events(self._conn, self._job_id))
        while True:
            job = get_job(self._conn, self._job_id)
            events = job_events(self._conn, self._job_id)
            for text in event_lines(events[seen:]):
                self._say(text)
            seen = len(events)
            if job.state not in ("queued", "running"):
                return job
            self._look_at(job)
            time.sleep(LOOK_EVERY)

    def _look_at(self, job: Job) -> None:
        if job.state == "running" and not job.interrupted:
            self._alone_since = None
            self._progress.show(now_line(self._conn, job))
            return
        self._alone_since = self._alone_since or time.monotonic()
        if shows_step(job):
            self._say_once(f"Job {job.id} {job.step}")
        elif time.monotonic() - self._alone_since > _WORKER_SECONDS:
            command = work_command(self._conn, job, self._database)
            self._say_once(
                f"Nobody runs job {job.id} yet: serve {self._database} with Datasette, or, in "
                f"another terminal: {command}"
            )

    def _say_once(self, text: str) -> None:
        if text not in self._told:
            self._told.add(text)
            self._say(text)

    def _say(self, text: str) -> None:
        self._progress.done()
        say(text)


def _action_command(action: str, text: str) -> click.Command:
    limits = action in ("run", "resume", "retry")

    @click.command(action, help=text)
    @database_argument
    @click.argument("job_id", metavar="ID", type=int)
    @usd_option("Spending limit of the job.", hidden=not limits)
    @json_command
    def ask(database: str, job_id: int, limit_usd: float | None, as_json: bool) -> None:
        from ..jobs.agreements import ask as ask_for
        from ..trainers.configuration import read_access

        with open_database(database) as conn:
            job = ask_for(conn, job_id, action, read_access(), limit_usd)
            if action == "cancel":
                job = cancel_at_service(conn, job)
            if as_json:
                print_json(describe(conn, job))
            else:
                echo(line(conn, job))
        if action == "cancel" and job.state == "failed":
            raise SystemExit(1)

    return ask


def cancel_at_service(conn: sqlite3.Connection, job: Job) -> Job:
    """Cancels at its service what nobody is at here. Says so when that cannot be done."""
    from ..jobs.runner import run_job

    if not is_ending(job):
        return job
    try:
        return run_job(conn, job.id)
    except JobStopped:
        pass
    except FtclassifyError:
        say(
            f"The service was not told, so what job {job.id} has begun there may continue and cost "
            "money. Fix what the job says and cancel it again, or cancel it at the service."
        )
    return get_job(conn, job.id)


for _action, _text in (
    (
        "run",
        "Agree to a job that came with the file, or was changed; look at it with `jobs show` "
        "first. A server, or `work`, then runs it.",
    ),
    ("pause", "Pause a job; it keeps its progress."),
    ("resume", "Put a paused job back in the queue."),
    ("cancel", "End a job; what it has written stays."),
    ("retry", "Put a failed or cancelled job back in the queue; it continues where it stopped."),
):
    jobs.add_command(_action_command(_action, _text))


@click.command()
@database_argument
@click.option("--wait", is_flag=True, help="Wait for new jobs when none is left.")
@click.option(
    "--base-url",
    metavar="URL",
    help="Address of a server that speaks OpenAI's protocol. [OPENAI_BASE_URL, or OpenAI]",
)
@usd_option("Spending limit of each job. [FTCLASSIFY_USD_PER_JOB]")
@json_command
def work(
    database: str, wait: bool, base_url: str | None, limit_usd: float | None, as_json: bool
) -> None:
    """Run the queued jobs of a database without a server.

    Paid jobs run only if a limit is set: --limit-usd, or FTCLASSIFY_USD_PER_JOB or
    FTCLASSIFY_USD_PER_DAY in the environment. Ctrl-C pauses the current job; a job whose process
    ends otherwise continues at the next start. The exit code is 1 if a job failed.

    \b
      datasette ftclassify predict mail.db messages --queue
      datasette ftclassify work mail.db
    """
    from ..trainers.configuration import read_access

    given = {} if base_url is None else {"OPENAI_BASE_URL": base_url}
    access = read_access(environ={**os.environ, **given})
    if limit_usd is not None:
        access = replace(access, usd_per_job=limit_usd)
    with open_database(database) as conn, step_progress() as progress:
        worker = _Work(conn, access, database, progress)
        try:
            worker.run()
            while wait:
                time.sleep(LOOK_EVERY)
                worker.run()
        except KeyboardInterrupt:
            worker.say_paused()
            raise SystemExit(_INTERRUPTED) from None
    if as_json:
        left = [{"id": job_id, "why": why} for job_id, why in worker.left.items()]
        print_json({"jobs": worker.ran, "left": left})
    else:
        echo(worker.summary())
    if any(facts.job.state == "failed" for facts in worker.ran):
        raise SystemExit(1)


class _Work:
    """Runs what waits; `ran` and `left` say what became of it."""

    def __init__(
        self, conn: sqlite3.Connection, access: Access, database: str, progress: StepProgress
    ) -> None:
        self.ran: list[JobFacts] = []
        self.left: dict[int, str] = {}
        self._conn, self._access, self._progress = conn, access, progress
        self._database = database
        self._current: int | None = None
        self._watch = ExitStack()

    def run(self) -> None:
        from ..jobs.runner import work as run_waiting

        run_waiting(
            self._conn,
            access=self._access,
            started=self._started,
            ended=self._ended,
            held=self._held,
        )

    def summary(self) -> str:
        if not self.ran:
            return f"Left {counted(len(self.left), 'job')}." if self.left else "No job waits."
        left = f", left {len(self.left)}" if self.left else ""
        return f"Ran {counted(len(self.ran), 'job')}{left}."

    def say_paused(self) -> None:
        self._watch.close()
        if self._current is not None:
            command = our_command("jobs", "resume", self._database, self._current)
            say(f"Job {self._current} is paused and keeps its place: {command}")

    def _started(self, job: Job) -> None:
        self._current = job.id
        self.left.pop(job.id, None)
        self._watch.enter_context(watched(self._database, job.id, self._progress))

    def _ended(self, job: Job) -> None:
        self._current = None
        self._watch.close()
        self.ran.append(describe(self._conn, job))
        say(line(self._conn, job))

    def _held(self, job: Job, why: str) -> None:
        if self.left.get(job.id) != why:
            command = work_command(self._conn, job, self._database)
            say(f"Left. {why} Or: {command}")
        self.left[job.id] = why
