"""`review`: correcting labels in a terminal"""

from __future__ import annotations

import getpass
import sqlite3
import sys
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from ..core.errors import FtclassifyError, ReviewError, RowChanged
from ..core.humanize import counted, key_list, percent, rows_text
from ..jobs.settings import ReviewSettings, settings_of
from ..store.classifiers import find_classifier
from .options import Given, database_argument, described, json_command, open_database, task_of
from .output import echo, one_line, print_json, print_result, say
from .run_job import run_here

if TYPE_CHECKING:
    from ..jobs.review.shown import QueueNow, ShownRow
    from ..jobs.settings import ReviewSettings
    from ..store.jobs.job import Job

_WIDTH = 100
_LONGEST = 3_000
_HELP = "1-9 label, / another, s skip, u undo, n note, arrows move, q end"
_LEFT, _RIGHT = ("\x1b[D", "\x00K", "\xe0K"), ("\x1b[C", "\x00M", "\xe0M")


@click.command()
@database_argument
@click.argument("table")
@click.option(
    "--queue",
    default="mislabelled",
    show_default=True,
    metavar="KIND",
    help="Which rows: mislabelled, unsure, disagree, label or audit.",
)
@click.option("--classifier", metavar="NAME", help="Classifier whose columns and answers to use.")
@click.option("--other", metavar="NAME", help="Second classifier, for disagree.")
@described(label=False)
@click.option("--rows", type=click.IntRange(1, 5_000), metavar="N", help="At most so many.")
@click.option(
    "--people",
    type=click.IntRange(1, 10),
    default=1,
    show_default=True,
    metavar="N",
    help="Number of people who label each row independently.",
)
@click.option(
    "--as", "person", metavar="NAME", help="Name of the person who reviews. [your user name]"
)
@click.option("--new", is_flag=True, help="Make another queue, although one is unfinished.")
@click.option("--list", "listed", is_flag=True, help="List the rows, and change nothing.")
@click.option(
    "--set",
    "choices",
    type=(int, str),
    multiple=True,
    metavar="PLACE LABEL",
    help="Give the row at that place of the queue a label; repeat for more.",
)
@click.option("--add-labels", is_flag=True, help="Let --set add new labels.")
@click.option("--note", default="", help="Note stored with what --set changes.")
@click.option("--undo", "undo_last", is_flag=True, help="Undo your last change.")
@json_command
def review(
    database: str,
    table: str,
    *,
    as_json: bool,
    listed: bool,
    choices: Sequence[tuple[int, str]],
    add_labels: bool,
    note: str,
    undo_last: bool,
    person: str | None,
    **given: Any,
) -> None:
    """Review rows one by one, and correct their labels.

    An unfinished queue continues, also one from a page. Every change is recorded and can be
    undone. If several people label each row, the command agreement shows their answers.

    \b
      datasette ftclassify review mail.db messages --text body --label folder
      datasette ftclassify review mail.db messages --classifier mail --queue label
      datasette ftclassify review mail.db messages --classifier mail --list --json
      datasette ftclassify review mail.db messages --classifier mail --set 3 invoices
    """
    from ..jobs.review.changes import undo
    from ..jobs.review.shown import queue_now

    interactive = not (listed or as_json or choices or undo_last)
    if interactive and not sys.stdin.isatty():
        raise ReviewError(
            "Keys are read from a terminal, and there is none here: use --list, --json or --set."
        )
    with open_database(database) as conn:
        who = person_called(person)
        job = _queue(conn, database, table, given, who, open_one=interactive)
        if choices:
            _set(conn, job, choices, note, add_labels, as_json, who)
        elif undo_last:
            change = undo(conn, job, who).change
            said = f"Undone: row {change.place} is open again."
            print_result(as_json, {"change": change.id, "undone": True}, said)
        elif not interactive:
            _list(conn, job, as_json, who)
        else:
            Session(conn, job, who, click.getchar, click.prompt).run()
            queue = queue_now(conn, job, who)
            say(f"{rows_text(queue.left)} left. The same command continues.")


def person_called(name: str | None) -> str:
    """By which name changes are recorded: the one that was given, or the user's."""
    if name is not None and name.strip():
        return name.strip()[:200]
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return "command line"


def _queue(
    conn: sqlite3.Connection,
    database: str,
    table: str,
    given: Given,
    who: str,
    *,
    open_one: bool,
) -> Job:
    """The newest queue of that kind, or a new one. open_one: with rows that are left for `who`"""
    from ..jobs.review.build import submit_review
    from ..jobs.review.queues import queue_of
    from ..trainers.configuration import read_access

    kind = queue_of(given["queue"])
    uids: list[str | None] = [None, None]
    for i, option in enumerate(("classifier", "other")[: kind.classifiers]):
        if given[option] is None:
            raise ReviewError(f"The queue {kind.name} asks a classifier.", fields=(option,))
        uids[i] = find_classifier(conn, given[option]).uid
    task = task_of(conn, table, given, ("text", "label"))
    settings = ReviewSettings(
        task, kind.name, uids[0], uids[1], rows=given["rows"], people=given["people"]
    )
    if not given["new"] and (job := _newest(conn, settings, who, open_one)):
        return job
    return run_here(conn, submit_review(conn, settings), read_access(), database)


def _newest(
    conn: sqlite3.Connection, wanted: ReviewSettings, who: str, open_one: bool
) -> Job | None:
    from ..jobs.review.shown import queue_now
    from ..store.jobs.queries import newest_jobs

    for job in newest_jobs(conn, kind="review", state="finished"):
        try:
            found = settings_of(job, ReviewSettings)
        except FtclassifyError:
            continue
        same = replace(found, rows=wanted.rows, once=wanted.once) == wanted
        if same and (not open_one or queue_now(conn, job, who).left):
            return job
    return None


def _list(conn: sqlite3.Connection, job: Job, as_json: bool, who: str) -> None:
    from ..jobs.review.queue_rows import MOST_ROWS
    from ..jobs.review.shown import list_shown, queue_now

    queue = queue_now(conn, job, who)
    rows = list_shown(conn, job, most=MOST_ROWS, who=who)
    if as_json:
        print_json({**vars(queue), "rows": rows})
        return
    echo(queue.said)
    for row in rows:
        state = "" if row.state == "open" else f" ({row.state})"
        echo(
            f"{row.place:4}  {key_list([row.key])}  {_names(row.labels)} -> "
            f"{_names(row.suggested)}{state}  {one_line(row.text or '', 60)}"
        )
    _say_audit(queue)


def _say_audit(queue: QueueNow) -> None:
    found = queue.audit
    if found is not None:
        echo(
            f"Of {rows_text(found.rows)} drawn at random {found.wrong:,} had a wrong label:"
            f" {percent(found.share, 1)} of all, with 95% confidence from"
            f" {percent(found.low, 1)} to {percent(found.high, 1)}."
        )


def _names(labels: Sequence[str] | None) -> str:
    return "-" if labels is None else ", ".join(labels) or "none"


def by_place(choices: Sequence[tuple[int, str]]) -> dict[int, list[str]]:
    """The labels that options name for each place of a queue; none where one is empty."""
    wanted: dict[int, list[str]] = {}
    for place, label in choices:
        wanted.setdefault(place, []).extend([label] if label else [])
    return wanted


def _set(
    conn: sqlite3.Connection,
    job: Job,
    choices: Sequence[tuple[int, str]],
    note: str,
    add: bool,
    as_json: bool,
    who: str,
) -> None:
    """Each row as it is now, one after the other: what is refused stops the rest."""
    from ..jobs.review.changes import change_row
    from ..jobs.review.shown import queue_now, show_row

    done = []
    for place, labels in by_place(choices).items():
        row = show_row(conn, job, place, who)
        if row is None:
            raise ReviewError(f"The queue has no row {place}, or it is gone.")
        known = set(queue_now(conn, job).labels)
        new = [label for label in labels if label not in known] if add else []
        changed = change_row(
            conn, job, place, [label for label in labels if label not in new], seen=row.seen,
            who=who, note=note, new_label=new[0] if new else "",
        ).change  # fmt: skip
        done.append({"place": place, "key": row.key, "action": changed.action, "id": changed.id})
    said = f"{rows_text(len(done)).capitalize()} reviewed."
    print_result(as_json, {"job": job.id, "changes": done}, said)


class Session:
    """Somebody at the keys.

    read_key: gives a key, as `click.getchar` does; prompt: a line that was typed
    """

    def __init__(
        self,
        conn: sqlite3.Connection,
        job: Job,
        who: str,
        read_key: Callable[[], str],
        prompt: Callable[..., str],
    ) -> None:
        self._conn, self._job, self._who = conn, job, who
        self._read_key, self._prompt = read_key, prompt
        self._note = ""

    def run(self) -> None:
        from ..jobs.review.changes import start
        from ..jobs.review.shown import queue_now, show_row

        queue = queue_now(self._conn, self._job)
        echo(queue.said)
        say(_HELP)
        place = start(self._conn, self._job, self._who)
        while place is not None:
            row = show_row(self._conn, self._job, place, self._who)
            queue = queue_now(self._conn, self._job, self._who)
            if row is None:
                echo(f"Row {place} is gone.")
                place = start(self._conn, self._job, self._who)
                continue
            self._show(queue, row)
            place = self._act(queue, row)
        _say_audit(queue_now(self._conn, self._job))

    def _show(self, queue: QueueNow, row: ShownRow) -> None:
        from ..jobs.review.shown import label_order

        first, others = label_order(queue.labels, row)
        text = (row.text or "")[:_LONGEST]
        echo(f"\n{row.place} of {queue.progress.rows:,}, {queue.left:,} left")
        if row.why:
            echo(textwrap.fill(row.why, _WIDTH))
        for line in text.splitlines() or [""]:
            echo(textwrap.fill(line, _WIDTH, initial_indent="  ", subsequent_indent="  "))
        if row.words:
            echo(f"words: {', '.join(row.words)}")
        if row.blind:
            echo(f"your answer: {_names(row.mine)}")
        else:
            echo(f"label: {_names(row.labels)}   suggested: {_names(row.suggested)}")
        for person, labels in row.answers or []:
            echo(f"{person}: {_names(labels)}")
        more = f", and {counted(len(others), 'more label')}" if others else ""
        keys = "  ".join(f"{i} {name}" for i, name in enumerate(first[:9], 1))
        echo(f"{keys}{more}")

    def _act(self, queue: QueueNow, row: ShownRow) -> int | None:
        """What the next key says; gives the place to show then, None for the end."""
        key = self._read_key()
        if key in ("q", "\x04", ""):
            return None
        if key in ("\x03",):
            raise KeyboardInterrupt
        if key in _LEFT:
            return max(row.place - 1, 1)
        if key in _RIGHT:
            return min(row.place + 1, queue.progress.rows)
        if key == "n":
            self._note = self._prompt("note", default=self._note, show_default=False)
            return row.place
        try:
            return self._change(key, queue, row)
        except RowChanged as error:
            echo(str(error))
            return row.place
        except ReviewError as error:
            echo(f"{error}  ({_HELP})")
            return row.place

    def _change(self, key: str, queue: QueueNow, row: ShownRow) -> int | None:
        from ..jobs.review.changes import change_row, undo

        if key == "u":
            return undo(self._conn, self._job, self._who).next
        chosen = None if key == "s" else self._chosen(key, queue, row)
        changed = change_row(
            self._conn, self._job, row.place, chosen, seen=row.seen, who=self._who, note=self._note
        )
        self._note = ""
        return changed.next

    def _chosen(self, key: str, queue: QueueNow, row: ShownRow) -> list[str]:
        from ..jobs.review.shown import label_order

        first, _ = label_order(queue.labels, row)
        if key == "/" or (not queue.exclusive and key in ("\r", "\n")):
            typed = self._prompt("labels, with commas between" if not queue.exclusive else "label")
            return _found(typed, queue)
        if not key.isdigit() or not 0 < int(key) <= len(first[:9]):
            raise ReviewError("No label has that key.")
        name = first[int(key) - 1]
        if queue.exclusive:
            return [name]
        has = (row.mine if row.blind else row.labels) or []
        return [label for label in has if label != name] if name in has else [*has, name]


def _found(typed: str, queue: QueueNow) -> list[str]:
    """The labels that were typed, or begun. Raises ReviewError for one that is none, or several."""
    names = [typed.strip()] if queue.exclusive else [n.strip() for n in typed.split(",")]
    found = []
    for name in filter(None, names):
        begun = [one for one in queue.labels if one.casefold().startswith(name.casefold())]
        if name in queue.labels:
            begun = [name]
        if len(begun) != 1:
            raise ReviewError(f"{len(begun):,} labels begin with {name}.")
        found += begun
    return found
