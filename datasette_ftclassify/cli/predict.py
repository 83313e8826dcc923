"""`predict`"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

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
from .paying import agree, asking_options, reach

if TYPE_CHECKING:
    from ..jobs.predict import PredictRequest, PredictResult
    from ..store.classifiers import Classifier


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
    "--columns-prefix", metavar="P", help="Write P_label, P_score, P_logprob, P_logprobs …"
)
@click.option(
    "--column",
    type=(click.Choice(["label", "score", "logprob", "logprobs", "raw", "reason"]), str),
    multiple=True,
    metavar="ROLE NAME",
    help="Write a role to a column of this name; an empty name leaves it out.",
)
@click.option("--overwrite", is_flag=True, help="Allow writing to columns that are there already.")
@click.option(
    "--min-score",
    "threshold",
    type=click.FloatRange(0, 1),
    metavar="P",
    help="Write no label whose score is below P; the score is kept. [every label]",
)
@click.option(
    "--concurrency",
    type=click.IntRange(1, 512),
    metavar="N",
    help="Requests to a service at once, at most. [32]",
)
@click.option("--batch", is_flag=True, help="Ask a service in batches: cheaper, within a day.")
@click.option(
    "--on-error",
    default="null",
    metavar="WHAT",
    help="For a row without an answer: null, a label, or fail, which ends the job. [null]",
)
@click.option(
    "--max-errors",
    type=click.FloatRange(0, 1),
    default=0.2,
    show_default=True,
    help="Share of rows without an answer that ends the job.",
)
@asking_options
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
    from ..errors import JobPaused
    from ..jobs.estimates import estimate_predict
    from ..jobs.predict import predict_rows, submit_predict
    from ..store.classifiers import find_classifier, find_for_table

    with open_database(database) as conn:
        name = given["classifier"]
        classifier = find_classifier(conn, name) if name else find_for_table(conn, table)
        if classifier.task.source.lower() != table.lower():
            say(f"{classifier.title} was trained on {classifier.task.source}, not on {table}.")
        classifier, access = reach(conn, classifier, given)
        request = _request(classifier, given)
        estimate = estimate_predict(conn, classifier, table, request, access)
        agree(estimate, yes=given["yes"], limit_usd=given["limit_usd"])
        if given["queue"]:
            job = submit_predict(conn, classifier, table, request, estimate=estimate)
            tell_queued(conn, job, database, as_json)
            return
        try:
            with row_progress("Classifying") as progress:
                result = predict_rows(
                    conn,
                    classifier,
                    table,
                    request,
                    access=access,
                    estimate=estimate,
                    progress=progress,
                )
        except JobPaused as reason:
            text = str(reason)
            if "same command" not in text:
                text += " The job rests: the same command goes on, and pays for no answer again."
            raise click.ClickException(text) from None
        except KeyboardInterrupt:
            raise click.ClickException("Stopped. The same command goes on where it was.") from None
    if as_json:
        named = {"classifier": classifier.name, "version": classifier.version, "table": table}
        print_json({**named, **result.to_dict()})
    else:
        _describe(result, classifier, table)


def _request(classifier: Classifier, given: dict[str, Any]) -> PredictRequest:
    from ..jobs.predict import Columns, PredictRequest, column_prefix
    from ..loading import service_of

    service = service_of(classifier)
    columns = Columns.named(
        given["columns_prefix"] or column_prefix(classifier.name),
        says_anything=service is not None and service.capabilities.says_anything,
    )
    same = (
        "where", "unlabelled", "overwrite", "threshold", "concurrency", "limit_usd", "on_error",
    )  # fmt: skip
    return PredictRequest(
        columns=columns.renamed(dict(given["column"])),
        params=dict(given["param"]),
        max_errors=given["max_errors"],
        batch=given["batch"],
        **{name: given[name] for name in same},
    )


def _describe(result: PredictResult, classifier: Classifier, table: str) -> None:
    from ..prices import dollars

    if result.resumed_at:
        say(f"Went on after {result.resumed_at:,} rows that were already written.")
    names = ", ".join(name for _, name in result.columns.items())
    click.echo(
        f"{classifier.title} classified {result.written:,} of {result.total:,} rows"
        f" of {table} into {names}."
    )
    if result.abstained:
        click.echo(f"{result.abstained:,} rows have a score below --min-score and no label.")
    if result.skipped:
        click.echo(f"{result.skipped:,} rows have no text and got NULL.")
    if result.failed:
        click.echo(f"{result.failed:,} rows got no answer:")
    for reason, count in result.reasons.items():
        click.echo(f"  {count:5,} x {reason}")
    if result.spent is not None:
        if result.spent.requests:
            spent = f"{dollars(result.spent.usd)} on {result.spent.requests:,} questions"
            click.echo(f"Spent {spent}.")
        else:
            click.echo("Spent nothing: every answer was kept from earlier questions.")
