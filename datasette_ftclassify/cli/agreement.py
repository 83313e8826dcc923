"""`agreement`: a queue that several people have labelled, each for themselves"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from ..core.errors import FtclassifyError, ReviewError
from ..core.humanize import counted, percent, rows_text, score
from ..store.change_batches import last_of_queue
from ..store.jobs.state import get_job
from .options import database_argument, json_command, open_database
from .output import echo, one_line, print_json
from .review import by_place, person_called

if TYPE_CHECKING:
    import sqlite3

    from ..jobs.review.agreement import Agreement
    from ..store.jobs.job import Job

_SHOWN = 100
"""Disagreements."""


@click.command()
@database_argument
@click.argument("job_id", metavar="[JOB]", type=int, required=False)
@click.option(
    "--decide",
    "decided",
    type=(int, str),
    multiple=True,
    metavar="PLACE LABEL",
    help="Decide about the row at that place of the queue; repeat for more.",
)
@click.option("--accept", is_flag=True, help="Write the labels on which all agree.")
@click.option("--undo", "batch", type=int, metavar="N", help="Undo what --accept wrote as N.")
@click.option("--note", default="", help="Note stored with what --decide changes.")
@click.option(
    "--as", "person", metavar="NAME", help="Name of the person who decides. [your user name]"
)
@json_command
def agreement(
    database: str,
    job_id: int | None,
    decided: Sequence[tuple[int, str]],
    accept: bool,
    batch: int | None,
    note: str,
    person: str | None,
    as_json: bool,
) -> None:
    """Show how far people agree on a queue, and decide.

    JOB is the number of the queue's job; without it, the newest queue for several people. The label
    column changes only when a row is decided or agreed labels are accepted.

    \b
      datasette ftclassify review mail.db messages --classifier mail --queue audit --people 2
      datasette ftclassify agreement mail.db
      datasette ftclassify agreement mail.db --decide 3 invoices --accept
    """
    from ..jobs.review.agreement import agreement as find_agreement

    with open_database(database) as conn:
        job = _job(conn, job_id)
        done = _act(conn, job, decided, accept, batch, note, person_called(person))
        found = find_agreement(conn, job)
    if as_json:
        print_json({**vars(found), **({"said": done} if done else {})})
        return
    for line in done:
        echo(line)
    _describe(found)


def _job(conn: sqlite3.Connection, job_id: int | None) -> Job:
    from ..jobs.review.changes import people_of
    from ..store.jobs.queries import newest_jobs

    if job_id is not None:
        return get_job(conn, job_id)
    for job in newest_jobs(conn, kind="review", state="finished"):
        try:
            if people_of(job) > 1:
                return job
        except FtclassifyError:
            continue
    raise ReviewError("There is no queue for several people: make one with review --people.")


def _act(
    conn: sqlite3.Connection,
    job: Job,
    decided: Sequence[tuple[int, str]],
    accept: bool,
    batch: int | None,
    note: str,
    who: str,
) -> list[str]:
    """Does what was asked, one after the other, and says it."""
    from ..jobs.review.agreement import accept_agreed
    from ..jobs.review.batches import undo_batch
    from ..jobs.review.changes import change_row
    from ..jobs.review.shown import show_row

    said: list[str] = []
    for place, labels in by_place(decided).items():
        row = show_row(conn, job, place, who)
        if row is None or row.state == "open":
            raise ReviewError(f"Row {place} does not wait for a decision.")
        change_row(conn, job, place, labels, seen=row.seen, who=who, note=note)
        said.append(f"Row {place} is decided.")
    if batch is not None:
        said.append(f"Undone: {undo_batch(conn, batch, who, job).said}.")
    if accept:
        found = accept_agreed(conn, job, who)
        made = last_of_queue(conn, job.id)
        number = "" if made is None else f" (--undo {made.id})"
        said.append(f"{rows_text(len(found.written)).capitalize()} written{number}.")
        if found.left:
            said.append(f"{rows_text(found.left).capitalize()} left as they are. {found.reason}")
    return said


def _describe(found: Agreement) -> None:
    if not found.rows or found.share is None or found.low is None or found.high is None:
        echo(f"No row has been answered by {found.wanted} people yet.")
        return
    echo(
        f"{found.agreed:,} of {rows_text(found.rows)} have the same labels from all:"
        f" {percent(found.share, 1)}, with 95% confidence from {percent(found.low, 1)} to"
        f" {percent(found.high, 1)}."
    )
    alpha = "not defined" if found.alpha is None else score(found.alpha)
    echo(f"  Krippendorff's alpha  {alpha}")
    for pair in found.pairs:
        kappa = "not defined" if pair.kappa is None else score(pair.kappa)
        echo(
            f"  {pair.first}, {pair.second}: the same on {percent(pair.share, 1)} of"
            f" {rows_text(pair.rows)}, Cohen's kappa {kappa}"
        )
    for row in found.disagreements[:_SHOWN]:
        answers = "; ".join(
            f"{who}: {', '.join(labels) or 'none'}" for who, labels in row.answers.items()
        )
        state = "" if row.state == "answered" else f" ({row.state})"
        echo(f"{row.place:4}  {answers}{state}  {one_line(row.text, 60)}")
    if found.to_decide or found.to_accept:
        echo(
            f"{counted(found.to_decide, 'disagreement')} to decide,"
            f" {counted(found.to_accept, 'agreed row')} to accept."
        )
