"""`jobs list | show | follow | pause | resume | cancel | retry`, and `work`"""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from .options import database_argument, json_option, open_database
from .output import friendly, print_json, say, step_progress

if TYPE_CHECKING:
    from ..store.jobs import Job

_LOOK_EVERY = 0.5
"""Seconds between looks at a job that is followed, or for one that waits."""


@click.group()
def jobs() -> None:
    """Training, evaluation and prediction as jobs that survive their process.

    Every train, evaluate and predict is a job. One that was interrupted goes on when the same
    command is given again, or with: datasette ftclassify work DB
    """


@jobs.command("list")
@database_argument
@json_option
@friendly
def list_command(database: str, as_json: bool) -> None:
    """All jobs, newest first."""
    from ..store.jobs import list_jobs

    with open_database(database) as conn:
        found = list_jobs(conn)
    if as_json:
        print_json({"jobs": [job.to_dict() for job in found]})
        return
    if not found:
        click.echo("There is no job yet.")
    for job in found:
        click.echo(_line(job))


def _line(job: Job) -> str:
    state = job.to_dict()["state"]
    rows = f"  {job.done + job.skipped:,} of {job.total:,} rows" if job.total is not None else ""
    step = f"  {job.step}" if job.state == "running" and job.step else ""
    error = f"  {job.error}" if job.error else ""
    return (
        f"{job.id:4}  {job.kind:8}  {state:11}  {job.created_at}  {_about(job)}{rows}{step}{error}"
    )


def _about(job: Job) -> str:
    settings = job.settings
    if job.kind == "train":
        task = settings.get("task")
        source = task.get("source") if isinstance(task, dict) else None
        return f"{settings.get('name', '')} from {source or 'nowhere'}"
    if job.kind == "predict":
        return f"{settings.get('table', '')} with {settings.get('classifier', '')}"
    return ""


@jobs.command()
@database_argument
@click.argument("job_id", metavar="ID", type=int)
@json_option
@friendly
def show(database: str, job_id: int, as_json: bool) -> None:
    """One job: its settings, its events, what it did."""
    from ..store.jobs import get_job, job_events

    with open_database(database) as conn:
        job = get_job(conn, job_id)
        events = job_events(conn, job_id)
    if as_json:
        listed = [asdict(event) for event in events]
        print_json({**job.to_dict(), "events": listed})
        return
    click.echo(_line(job))
    for event in events:
        click.echo(f"      {event.at}  {event.message}")


@jobs.command()
@database_argument
@click.argument("job_id", metavar="ID", type=int)
@json_option
@friendly
def follow(database: str, job_id: int, as_json: bool) -> None:
    """Wait until a job has ended, and say how far it is meanwhile."""
    from ..store.jobs import get_job

    with open_database(database) as conn, step_progress() as progress:
        job = get_job(conn, job_id)
        while job.state == "running" and not job.interrupted:
            progress(job.step, (job.done + job.skipped) / job.total if job.total else 0.0)
            time.sleep(_LOOK_EVERY)
            job = get_job(conn, job_id)
    if as_json:
        print_json(job.to_dict())
    else:
        click.echo(_line(job))


def _asking(wish: str, text: str) -> click.Command:
    @click.command(wish, help=text)
    @database_argument
    @click.argument("job_id", metavar="ID", type=int)
    @json_option
    @friendly
    def ask(database: str, job_id: int, as_json: bool) -> None:
        from ..store.jobs import ask_job

        with open_database(database) as conn:
            job = ask_job(conn, job_id, wish)
        if as_json:
            print_json(job.to_dict())
        else:
            click.echo(_line(job))

    return ask


for _wish, _text in (
    ("pause", "Let a job rest; it keeps its place."),
    ("resume", "Put a paused job back in the queue."),
    ("cancel", "End a job; what it has written stays."),
    ("retry", "Put a failed or cancelled job back in the queue; it goes on where it stopped."),
):
    jobs.add_command(_asking(_wish, _text))


@click.command()
@database_argument
@click.option("--wait", is_flag=True, help="Go on waiting for new jobs when none is left.")
@json_option
@friendly
def work(database: str, wait: bool, as_json: bool) -> None:
    """Run the jobs that wait in a database, one after the other, without a server.

    \b
      datasette ftclassify predict mail.db messages --queue
      datasette ftclassify work mail.db
    """
    from ..jobs.runner import work as run_waiting

    ran: list[dict[str, Any]] = []

    def ended(job: Job) -> None:
        ran.append(job.to_dict())
        say(_line(job))

    with open_database(database) as conn, step_progress() as progress:
        run_waiting(conn, ended=ended, steps=progress, rows=_as_steps(progress))
        while wait:
            time.sleep(_LOOK_EVERY)
            run_waiting(conn, ended=ended, steps=progress, rows=_as_steps(progress))
    if as_json:
        print_json({"jobs": ran})
    else:
        click.echo(f"Ran {len(ran)} jobs." if ran else "No job waits.")


def _as_steps(progress: Any) -> Any:
    return lambda done, total: progress("classifying", done / total if total else 1.0)
