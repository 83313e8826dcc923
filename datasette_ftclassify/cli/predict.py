"""`predict`"""

from __future__ import annotations

from typing import Any

import click

from .options import (
    database_argument,
    json_option,
    open_database,
    param_option,
    queue_option,
    where_option,
)
from .output import friendly, print_json, row_progress, say, tell_queued


@click.command()
@database_argument
@click.argument("table")
@click.option(
    "--classifier", metavar="NAME", help="Name or name@version. [one trained on this table]"
)
@where_option
@param_option
@click.option("--unlabelled", is_flag=True, help="Only rows without a label.")
@click.option(
    "--columns-prefix", metavar="P", help="Write P_label, P_score, P_logprob, P_logprobs."
)
@click.option(
    "--column",
    type=(click.Choice(["label", "score", "logprob", "logprobs"]), str),
    multiple=True,
    metavar="ROLE NAME",
    help="Write a role to a column of this name; an empty name leaves it out.",
)
@click.option("--overwrite", is_flag=True, help="Allow writing to columns that are there already.")
@queue_option
@json_option
@friendly
def predict(database: str, table: str, as_json: bool, **given: Any) -> None:
    """Classify the rows of a table into new columns.

    Interrupted, the same command goes on where it stopped.

    \b
      datasette ftclassify predict mail.db messages --classifier messages --unlabelled
      datasette ftclassify predict mail.db messages --where "received > '2026'" --columns-prefix ai
      datasette ftclassify predict mail.db messages --column label topic --column logprobs ''
    """
    from ..jobs.predict import Columns, column_prefix, predict_rows, submit_predict
    from ..store.classifiers import find_classifier, find_for_table

    with open_database(database) as conn, row_progress("Classifying") as progress:
        name = given["classifier"]
        classifier = find_classifier(conn, name) if name else find_for_table(conn, table)
        if classifier.task.source.lower() != table.lower():
            say(f"{classifier.title} was trained on {classifier.task.source}, not on {table}.")
        columns = Columns.named(given["columns_prefix"] or column_prefix(classifier.name))
        columns = columns.renamed(dict(given["column"]))
        asked: dict[str, Any] = {
            "columns": columns,
            "where": given["where"],
            "params": dict(given["param"]),
            "unlabelled": given["unlabelled"],
            "overwrite": given["overwrite"],
        }
        if given["queue"]:
            tell_queued(submit_predict(conn, classifier, table, **asked), database, as_json)
            return
        try:
            result = predict_rows(conn, classifier, table, **asked, progress=progress)
        except KeyboardInterrupt:
            raise click.ClickException("Stopped. The same command goes on where it was.") from None
    if as_json:
        print_json(
            {
                "classifier": classifier.name,
                "version": classifier.version,
                "table": table,
                **result.to_dict(),
            }
        )
        return
    if result.resumed_at:
        say(f"Went on after {result.resumed_at:,} rows that were already written.")
    names = ", ".join(name for _, name in columns.items())
    click.echo(
        f"{classifier.title} classified {result.written:,} of {result.total:,} rows"
        f" of {table} into {names}."
    )
    if result.skipped:
        click.echo(f"{result.skipped:,} rows have no text and got NULL.")
