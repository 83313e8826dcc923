"""What the commands print: results on standard output, everything else on standard error."""

from __future__ import annotations

import functools
import json
import os
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import is_dataclass
from textwrap import indent
from typing import IO, Any, TypeVar

import click

from ..core.distribution import NOT_HERE, only_answers, require_whole
from ..core.errors import FtclassifyError
from ..core.humanize import duration, shortened
from ..core.sqlite_errors import OPERATIONAL_ERRORS, SQLITE_ERRORS
from ..core.typed_json import as_json

Command = TypeVar("Command", bound=Callable[..., Any])


class Stopped(click.ClickException):
    """Ended with Ctrl-C: no error, and the exit code that shells know for it."""

    exit_code = 130

    def show(self, file: IO[Any] | None = None) -> None:
        say(self.message)


def friendly(command: Command) -> Command:
    """Turns what may go wrong into one line on standard error and exit code 1, and Ctrl-C into one
    line and exit code 130. Without colours where NO_COLOR says so (https://no-color.org)."""

    @functools.wraps(command)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        if os.environ.get("NO_COLOR"):
            click.get_current_context().color = False
        try:
            return command(*args, **kwargs)
        except BrokenPipeError:
            raise  # `| head` has seen enough; click ends quietly
        except KeyboardInterrupt:
            raise Stopped("Stopped.") from None
        except UnicodeEncodeError as error:
            what = repr(error.object[error.start : error.end])
            raise click.ClickException(
                f"{what} is not valid UTF-8: check the name and the terminal's encoding."
            ) from None
        except ModuleNotFoundError as error:
            if not only_answers():
                raise
            raise click.ClickException(NOT_HERE) from error
        except (FtclassifyError, *SQLITE_ERRORS, OSError) as error:
            raise click.ClickException(with_options(error)) from error

    return guarded  # type: ignore[return-value]


def whole_only(command: click.Command) -> None:
    """Has a command say so, before anything else, where only what answers is installed."""
    run = command.callback
    assert run is not None

    @functools.wraps(run)
    def checked(*args: Any, **kwargs: Any) -> Any:
        require_whole()
        return run(*args, **kwargs)

    command.callback = friendly(checked)


def with_options(error: Exception) -> str:
    """An error on a line, with those of the running command's options that it is about."""
    text = _one_line(error)
    fields = error.fields if isinstance(error, FtclassifyError) else ()
    context = click.get_current_context(silent=True)
    params = [] if context is None else context.command.get_params(context)
    options = {p.name: max(p.opts, key=len) for p in params if isinstance(p, click.Option)}
    named = ", ".join(options[field] for field in fields if field in options)
    return f"{text.removesuffix('.')} ({named})." if named else text


def _one_line(error: Exception) -> str:
    text = _visible(" ".join(str(error).split()))
    if isinstance(error, OPERATIONAL_ERRORS) and "readonly" in text:
        return "The database file, or its folder, is read-only: work on a copy that is not."
    if isinstance(error, OPERATIONAL_ERRORS) and "locked" in text:
        return "The database is locked by another process: try again when that has finished."
    if isinstance(error, OPERATIONAL_ERRORS) and text.startswith(("no such table", "no such col")):
        return f"A table was changed meanwhile: {text}. Restore it, or start again."
    return text


def one_line(text: object, most: int = 90) -> str:
    """A text on a line, cut when it is long."""
    return shortened(" ".join(str(text).split()), most)


def print_json(data: object) -> None:
    click.echo(json.dumps(data, ensure_ascii=False, indent=2, default=_default))


def print_json_list(name: str, items: Iterable[object]) -> None:
    """As `print_json`, of an object with a list under that name, of which one is in memory at a
    time."""
    click.echo(f'{{\n  "{name}": [', nl=False)
    between = ""
    for item in items:
        text = json.dumps(item, ensure_ascii=False, indent=2, default=_default)
        click.echo(f"{between}\n{indent(text, '    ')}", nl=False)
        between = ","
    click.echo("\n  ]\n}" if between else "]\n}")


def print_result(as_json: bool, data: object, *lines: str) -> None:
    """What a command has done: an object of JSON, or lines for people."""
    if as_json:
        print_json(data)
        return
    for line in lines:
        echo(line)


def _default(value: object) -> object:
    return as_json(value) if is_dataclass(value) else str(value)


_CONTROLS = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)


def echo(message: object = "", *, nl: bool = True, err: bool = False) -> None:
    """Prints a message as it is but for characters that could move the terminal's cursor, change
    its colours or the direction of writing: those, which may come from a cell, are shown as
    `\\x1b`."""
    click.echo(_visible(str(message)), nl=nl, err=err)


def _visible(text: str) -> str:
    return _CONTROLS.sub(lambda found: ascii(found[0])[1:-1], text)


def say(message: str = "") -> None:
    """A message for the person at the terminal, out of the way of what a program reads."""
    echo(message, err=True)


class StepProgress:
    """What is being done and how far it is, on one line that is rewritten; silent in a pipe."""

    def __init__(self) -> None:
        self.visible = sys.stderr.isatty()
        self._shown = ""
        self._started = time.monotonic()

    def __call__(self, step: str, share: float) -> None:
        self.show(f"{step} {share:4.0%}" if share else step)

    def show(self, text: str) -> None:
        """The text and the time since the beginning, cut to the terminal's width: what is longer
        would go on below, where nothing takes it away again."""
        if not self.visible:
            return
        since = f"  {duration(int(time.monotonic() - self._started))}"
        room = shutil.get_terminal_size().columns - len(since) - 1
        line = (text if len(text) <= room else text[: max(room - 1, 0)] + "…") + since
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
