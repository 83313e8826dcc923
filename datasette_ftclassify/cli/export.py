"""`export`"""

from __future__ import annotations

from typing import Any

import click

from ..export import ExportFormat
from ..prompts.tokenizer import tokenizer_for
from .options import (
    json_command,
    open_database,
    plan_from,
    plan_options,
    task_from,
    task_options,
    unescape,
)
from .output import echo, print_json, row_progress, say


@click.command()
@task_options
@click.option("--out", required=True, type=click.Path(file_okay=False), help="Folder to write to.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["chat", "completion"]),
    default="chat",
    show_default=True,
    help="Format of the examples.",
)
@click.option(
    "--labels",
    type=click.Choice(["text", "code"]),
    default="text",
    show_default=True,
    help="Labels as they are, or as numbers that are one token each.",
)
@click.option(
    "--multilabel",
    type=click.Choice(["array", "flags"]),
    default="array",
    show_default=True,
    help="Several labels as a JSON array, or as 0s and 1s in a fixed order.",
)
@click.option("--separator", help="Ends each prompt (completion). [\\n\\n###\\n\\n]")
@click.option("--stop", help="Ends each completion. [one that is in no label]")
@click.option("--model", help="Count the tokens for this model.")
@click.option("--system", help="System message, in place of the one that lists the labels.")
@click.option(
    "--bom", is_flag=True, help="Start the files with a byte order mark (Azure wants it)."
)
@click.option("--overwrite", is_flag=True, help="Replace files of an earlier export.")
@plan_options
@json_command
def export(database: str, as_json: bool, **given: Any) -> None:
    """Write fine-tuning files, one for each split, each with a manifest.

    A manifest holds the label map, the counts, the seed and the task, enough to turn the file back
    into texts and labels.

    \b
      datasette ftclassify export mail.db messages --text body --label folder --out mail/
      datasette ftclassify export mail.db messages --text body --label folder \\
          --out mail/ --format completion --labels code
    """
    from ..jobs.export import export_task

    with open_database(database) as conn:
        task = task_from(conn, given)
        plan = plan_from(given)
        given["separator"] = unescape(given["separator"])
        given["stop"] = unescape(given["stop"])
        chosen = ("form", "labels", "multilabel", "separator", "stop", "system", "bom")
        fmt = ExportFormat(**{k: v for k, v in given.items() if k in chosen and v is not None})
        with row_progress("Exporting") as progress:
            result = export_task(
                conn,
                task,
                fmt,
                given["out"],
                plan=plan,
                overwrite=given["overwrite"],
                tokenizer=tokenizer_for(given["model"], download=True),
                progress=progress,
            )
    if as_json:
        print_json(result.to_dict())
        return
    for name, rows in result.rows.items():
        path = result.files.get(name)
        echo(f"{name:10} {rows:8,} rows  {path if path else 'no file, since it has no rows'}")
    for note in result.notes:
        say(note)
