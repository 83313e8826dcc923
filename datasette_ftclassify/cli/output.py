"""What the commands print: results on standard output, everything else on standard error."""

from __future__ import annotations

import functools
import json
import shlex
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ..errors import FtclassifyError

if TYPE_CHECKING:
    from ..store.jobs import Job

Command = TypeVar("Command", bound=Callable[..., Any])


def friendly(command: Command) -> Command:
    """Turns what may go wrong into one line on standard error and exit code 1."""

    @functools.wraps(command)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        try:
            return command(*args, **kwargs)
        except BrokenPipeError:
            raise  # `| head` has seen enough; click ends quietly
        except (FtclassifyError, sqlite3.Error, OSError) as error:
            raise click.ClickException(_one_line(error)) from error

    return guarded  # type: ignore[return-value]


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split())
    if isinstance(error, sqlite3.OperationalError) and "readonly" in text:
        return "The database file, or its folder, is read-only: work on a copy that is not."
    if isinstance(error, sqlite3.OperationalError) and "locked" in text:
        return "The database is locked by another process: try again when that has finished."
    return text


def print_json(data: object) -> None:
    click.echo(json.dumps(data, ensure_ascii=False, indent=2, default=str))


def say(message: str = "") -> None:
    """A message for the person at the terminal, out of the way of what a program reads."""
    click.echo(message, err=True)


def tell_queued(conn: sqlite3.Connection, job: Job, database: str, as_json: bool) -> None:
    """Has a job wait, and says who runs it."""
    from ..store.waiting import put_in_queue

    job = put_in_queue(conn, job)
    if as_json:
        print_json(job.to_dict())
    else:
        command = shlex.join(["datasette", "ftclassify", "work", database])
        click.echo(f"Job {job.id} waits. Run it with: {command}")


class StepProgress:
    """The step at hand and how far it is, on one line that is rewritten; silent in a pipe."""

    def __init__(self) -> None:
        self._visible = sys.stderr.isatty()
        self._shown = ""
        self._started = time.monotonic()

    def __call__(self, step: str, share: float) -> None:
        if not self._visible:
            return
        seconds = time.monotonic() - self._started
        line = f"{step} {share:4.0%}  {seconds:.0f} s"
        click.echo("\r" + line.ljust(len(self._shown)), nl=False, err=True)
        self._shown = line

    def done(self) -> None:
        if self._shown:
            click.echo("\r" + " " * len(self._shown) + "\r", nl=False, err=True)
            self._shown = ""


@contextmanager
def step_progress() -> Iterator[StepProgress]:
    progress = StepProgress()
    try:
        yield progress
    finally:
        progress.done()


@contextmanager
def row_progress(label: str, total: int | None = None) -> Iterator[Callable[[int, int], None]]:
    """A bar with rows, rate and time left; its function takes the rows done and the rows in all."""
    started = time.monotonic()
    first = [0]
    with click.progressbar(
        length=total or 0,
        label=label,
        file=sys.stderr,
        show_pos=True,
        show_percent=True,
        item_show_func=lambda rate: rate,
        hidden=not sys.stderr.isatty(),
    ) as bar:

        def update(done: int, total: int) -> None:
            bar.length = total
            seconds = max(time.monotonic() - started, 1e-9)
            first[0] = first[0] or bar.pos
            bar.update(done - bar.pos, f"{(done - first[0]) / seconds:,.0f} rows/s")

        yield update
