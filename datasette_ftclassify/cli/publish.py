"""`publish-copy`"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ..core.humanize import rows_text
from .options import database_argument, json_option
from .output import friendly, print_json, say, step_progress

if TYPE_CHECKING:
    from ..jobs.publish import PublishedCopy

_NAMES = {
    "jobs": "jobs", "job_events": "events of jobs", "spending": "notes of what was spent",
    "batches": "batches at services", "following": "tables whose new rows are classified",
    "answers": "stored answers", "evaluations": "evaluations",
    "evaluation_rows": "answers to test rows", "split_rows": "rows of splits",
}  # fmt: skip


@click.command("publish-copy")
@database_argument
@click.argument("out", type=click.Path(dir_okay=False))
@click.option(
    "--classifier", "classifiers", multiple=True, metavar="NAME",
    help="NAME or NAME@VERSION; repeat for more. [the version that answers of each]",
)  # fmt: skip
@click.option(
    "--table", "tables", multiple=True, metavar="NAME",
    help="Table or view; repeat for more. [all of them]",
)  # fmt: skip
@click.option("--force", is_flag=True, help="Replace OUT if it is there.")
@json_option
@friendly
def publish_copy(
    database: str,
    out: str,
    classifiers: tuple[str, ...],
    tables: tuple[str, ...],
    force: bool,
    as_json: bool,
) -> None:
    """Write a clean copy of a database to OUT, for `datasette publish`.

    Tables and classifiers stay, with what answering and their pages need. Jobs, spending, hosts,
    ids at services, other versions and everything that was deleted stay behind. DB is not changed.

    \b
      datasette ftclassify publish-copy mail.db public.db
      datasette ftclassify publish-copy mail.db public.db --table messages --classifier topics
    """
    from ..jobs.publish import publish_copy as make
    from .publish_commands import publish_commands

    with step_progress() as progress:
        copy = make(
            database, out, classifiers=classifiers, tables=tables, force=force,
            tell=lambda name: progress(f"Copying {name}", 0.0),
        )  # fmt: skip
    commands = publish_commands(copy.path, copy.packages)
    if as_json:
        print_json({**copy.to_dict(), "commands": commands})
        return
    _describe(copy)
    click.echo("\nTo publish it:")
    for host, command in commands.items():
        needs = f"   # datasette install datasette-publish-{host}" if host in _EXTRA else ""
        click.echo(f"  {command}{needs}")


_EXTRA = ("fly", "vercel")


def _describe(copy: PublishedCopy) -> None:
    click.echo(f"Wrote {copy.path}: {_size(copy.bytes_after)}, of {_size(copy.bytes_before)}.")
    click.echo("\nStays:")
    for name, n in copy.tables.items():
        click.echo(f"  table {name}, {rows_text(n)}")
    for name in copy.views:
        click.echo(f"  view {name}")
    for title in copy.classifiers:
        default = ", the default" if title.rpartition("@")[0] == copy.default else ""
        click.echo(f"  classifier {title}{default}")
    for name in ("answers", "evaluation_rows"):
        if copy.ours.get(name, (0, 0))[1]:
            click.echo(f"  {_NAMES[name]}: {copy.ours[name][1]:,}")
    click.echo("\nGoes:")
    gone = list(_gone(copy))
    for line in gone or ["nothing"]:
        click.echo(f"  {line}")
    for name, why in copy.left_out.items():
        say(f"{name} is left out: {why}.")
    for found in copy.private:
        keys = ", ".join(found.keys)
        say(
            f"Private data: {found.rows:,} of {found.sampled:,} sampled rows of {found.table} have"
            f" {found.what}, such as {keys}."
        )
    say("Private data was looked for in a sample of each table alone: there may be more.")
    say("A classifier holds the words of the texts that it was trained on, and their weights.")


def _gone(copy: PublishedCopy) -> list[str]:
    lines = [
        f"view {name}" if n is None else f"table {name}, {rows_text(n)}"
        for name, n in copy.removed.items()
    ]
    lines += [f"classifier {title}" for title in copy.removed_classifiers]
    for name in _NAMES:
        before, after = copy.ours.get(name, (0, 0))
        if before > after:
            lines.append(f"{_NAMES[name]}: {before - after:,}")
    return lines


def _size(size: int) -> str:
    return f"{size / 1e6:,.1f} MB" if size >= 1e6 else f"{max(size // 1000, 1):,} kB"
