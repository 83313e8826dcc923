"""`publish-copy`"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ..core.humanize import bytes_text
from ..present.our_command import our_command
from .options import database_argument, json_command
from .output import echo, print_json, say, step_progress

if TYPE_CHECKING:
    from ..jobs.publish import PublishedCopy


@click.command("publish-copy")
@database_argument
@click.argument("out", type=click.Path(dir_okay=False))
@click.option(
    "--classifier", "classifiers", multiple=True, metavar="NAME",
    help="NAME or NAME@VERSION; repeat for more. [the version in use of each]",
)  # fmt: skip
@click.option(
    "--table", "tables", multiple=True, metavar="NAME",
    help="Table or view; repeat for more. [all of them]",
)  # fmt: skip
@click.option("--force", is_flag=True, help="Replace OUT if it is there.")
@json_command
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
    ids at services, other versions and deleted data are left out. DB is not changed.

    \b
      datasette ftclassify publish-copy mail.db public.db
      datasette ftclassify publish-copy mail.db public.db --table messages --classifier topics
    """
    from ..jobs.publish import publish_copy as make
    from ..present import publishing
    from ..present.publish_commands import PLUGINS, publish_commands, why_fewer

    with step_progress() as progress:
        copy = make(
            database, out, classifiers=classifiers, tables=tables, force=force,
            report=lambda name: progress(f"Copying {name}", 0.0),
        )  # fmt: skip
    commands = publish_commands(copy.path, copy.packages)
    if as_json:
        print_json({**copy.to_dict(), "commands": commands, "fewer": why_fewer(copy.path)})
        return
    _describe(database, copy)
    echo("\nTo publish it:")
    for host, command in commands.items():
        needs = f"   # datasette install {PLUGINS[host]}" if host in PLUGINS else ""
        echo(f"  {command}{needs}")
    if fewer := why_fewer(copy.path):
        say(fewer)
    echo(publishing.metadata(copy.path))


def _describe(database: str, copy: PublishedCopy) -> None:
    from ..present import publishing

    after, before = bytes_text(copy.bytes_after or 0), bytes_text(copy.bytes_before)
    echo(f"Wrote {copy.path}: {after}, of {before}.")
    echo("\nIn the copy:")
    for line in publishing.stays(copy):
        echo(f"  {line}")
    echo("\nLeft out:")
    for line in list(publishing.goes(copy)) or ["nothing"]:
        echo(f"  {line}")
    for name, why in copy.left_out.items():
        say(f"{name} is left out: {why}.")
    for sentence in publishing.reveals(copy):
        say(sentence)
    for title in copy.undescribed:
        command = our_command("classifiers", "describe", database, title)
        say(
            f"{title}: its model card has no intended use or limits. To add them before you "
            f"publish: {command} --intended-use … --limits …"
        )
