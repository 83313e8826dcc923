"""`predict`"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from ..core.database import relation
from ..core.errors import PredictError
from ..core.humanize import counted, dollars, one_or_more, rows_have, rows_text
from ..core.untrusted_json import JsonObject
from ..jobs.columns import Columns
from ..jobs.load_classifier import batch_service
from ..jobs.plan import CONCURRENCY, Plan, PredictRequest
from ..present.writing import triggers_sentence
from ..store.classifiers import find_classifier, find_for_table
from ..store.jobs.state import find_unfinished
from .confirmation import agree, reach, request_options
from .options import (
    Given,
    column_options,
    columns_from,
    database_argument,
    despite_option,
    json_command,
    known_option,
    min_known_option,
    min_score_option,
    number_option,
    open_database,
    param_option,
    queue_option,
    strength_option,
    where_option,
    wrong_option,
)
from .output import echo, print_json, say, with_options
from .parameters import params_from
from .run_job import batches_there, run_here, say_queued

if TYPE_CHECKING:
    import sqlite3

    from ..core.database import Params
    from ..jobs.stale import Ages, Answers
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
    "--stale",
    is_flag=True,
    help="Only rows whose answer is older than their text or classifier, with its settings.",
)
@column_options
@click.option("--overwrite", is_flag=True, help="Write to existing columns, too.")
@min_score_option
@wrong_option
@strength_option
@known_option
@min_known_option
@number_option(
    "--concurrency",
    within=CONCURRENCY,
    metavar="N",
    help="Maximum number of concurrent requests to a service. [32]",
)
@click.option(
    "--batch",
    is_flag=True,
    help="Send requests to a service in batches: cheaper, done within a day.",
)
@click.option(
    "--on-error",
    default="null",
    metavar="WHAT",
    help="What a row without an answer gets: null, a label, or fail, which ends the job. [null]",
)
@number_option(
    "--max-errors",
    metavar="SHARE",
    default=0.2,
    show_default=True,
    help="Share of rows without an answer that ends the job.",
)
@request_options
@despite_option
@queue_option
@json_command
def predict(database: str, table: str, as_json: bool, **given: Any) -> None:
    """Classify the rows of a table into new columns.

    If interrupted, the same command continues where it stopped.

    \b
      datasette ftclassify predict mail.db messages --classifier messages --unlabelled
      datasette ftclassify predict mail.db messages --stale
      datasette ftclassify predict mail.db messages --where "received > '2026'" --columns-prefix ai
      datasette ftclassify predict mail.db messages --column label topic --column logprobs ''
    """
    from ..jobs.confirming import confirm_predict
    from ..jobs.predict import submit_plan
    from ..jobs.stale import submit_stale

    with open_database(database) as conn:
        relation(conn, table)  # first of all, what is named wrongly
        name = given["classifier"]
        chosen = find_classifier(conn, name) if name else None
        answers = _stale(conn, chosen, table, given) if given["stale"] else None
        classifier = answers.classifier if answers else chosen or find_for_table(conn, table)
        if classifier.task.source.lower() != table.lower():
            say(f"{classifier.title} was trained on {classifier.task.source}, not on {table}.")
        classifier, access = reach(conn, classifier, given)
        more = {}
        if answers is None:
            params = params_from(conn, table, given["where"], given["param"])
            request = _request(classifier, given, params)
        else:
            request = answers.request(**_terms(classifier, given))
            more["stale"] = _say_stale(conn, answers)
        plan = Plan.of(conn, classifier, table, request)
        found = confirm_predict(conn, plan, request, access)
        estimate = None if found is None else found.estimate
        _say_begun(conn, plan)
        if triggers := triggers_sentence(plan.target.name, list(plan.updates.triggers(conn))):
            say(triggers)
        if found is not None and (fewer := found.unlabelled) is not None:
            requests = counted(fewer.requests, "request")
            say(f"The rows without a label alone (--unlabelled): {requests}, {fewer.price}.")
        agree(estimate, classifier, given, None if found is None else found.review)
        if answers is None:
            job = submit_plan(conn, plan, request, estimate=estimate, access=access)
        else:
            job = submit_stale(conn, answers, plan, request, estimate=estimate, access=access)
        if given["queue"]:
            say_queued(conn, job, database, as_json, given["base_url"])
            return
        result = run_here(conn, job, access, database).result or {}
    if as_json:
        named = {"classifier": classifier.name, "version": classifier.version, "table": table}
        print_json({**named, **result, **more})
    else:
        _describe(result, classifier, table)


_REDONE = (
    "where", "param", "unlabelled", "column", "label_scores", "overwrite", "threshold", "wrong",
    "known", "min_known",
)  # fmt: skip
"""Options that --stale takes from the answers that are there."""


def _stale(
    conn: sqlite3.Connection, classifier: Classifier | None, table: str, given: Given
) -> Answers:
    """The answers of which the stale ones are to be made again."""
    from ..jobs.stale import find_answers_in

    changed = [name for name in _REDONE if given[name]]
    if changed:
        option = {"threshold": "min-score"}.get(changed[0], changed[0].replace("_", "-"))
        raise click.UsageError(
            f"--stale makes answers again as they were made: leave out --{option}, or classify the"
            " rows without --stale."
        )
    prefix = given["columns_prefix"]
    column = Columns.named(prefix, ["fingerprint"]).fingerprint if prefix else None
    try:
        return find_answers_in(conn, relation(conn, table).name, classifier, column)
    except PredictError as error:
        raise click.UsageError(with_options(error)) from error


def _say_stale(conn: sqlite3.Connection, answers: Answers) -> Ages:
    """Says how many are stale."""
    from ..jobs.stale import AGES_TEXT, count_ages

    ages = count_ages(conn, answers.plan(conn))
    reasons = (f"{ages.counts[age]:,} {text}" for age, text in AGES_TEXT.items()
               if ages.counts[age])  # fmt: skip
    few = one_or_more(ages.stale, "is", "are")
    why = "; ".join(reasons)
    table = answers.settings.table
    say(f"{rows_text(ages.stale)} of {table} {few} stale{': ' if why else ''}{why}.")
    return ages


def _terms(classifier: Classifier, given: Given) -> dict[str, Any]:
    """How a service is asked, and for how much."""
    if given["batch"]:
        batch_service(classifier)
    return {name: given[name] for name in ("concurrency", "limit_usd", "max_errors", "batch")}


def _say_begun(conn: sqlite3.Connection, plan: Plan) -> None:
    """Says of which requests the estimate counts a second time: those that an interrupted job has
    at a service, in batches whose answers are still to come."""
    job = find_unfinished(conn, "predict", plan.settings.to_dict())
    if job is not None and (batches := batches_there(conn, job.id)):
        what = counted(batches, "batch", "batches")
        say(
            f"Job {job.id} goes on, with {what} at the service: their requests are not sent or "
            "paid for again, although the estimate below counts them."
        )


def _request(classifier: Classifier, given: Given, params: Params) -> PredictRequest:
    same = (
        "where", "unlabelled", "overwrite", "threshold", "wrong", "strength", "min_known",
        "on_error",
    )  # fmt: skip
    return PredictRequest(
        columns=columns_from(classifier, given),
        params=params,
        **{name: given[name] for name in same},
        **_terms(classifier, given),
    )


def _describe(result: JsonObject, classifier: Classifier, table: str) -> None:
    if result["resumed_at"]:
        say(f"Continued after {rows_text(result['resumed_at'])} already written.")
    columns = {**result["columns"]}
    names = ", ".join(filter(None, [*columns.pop("label_scores", {}).values(), *columns.values()]))
    echo(
        f"{classifier.title} classified {result['predicted']:,} of {rows_text(result['rows'])}"
        f" of {table} into {names}."
    )
    describe_counts(result)
    if result.get("failed"):
        what = "got no answer, or were not written" if "spent" in result else "not written"
        echo(f"{rows_text(result['failed'])} {what}:")
    for reason, count in result.get("reasons", {}).items():
        echo(f"  {count:5,} x {reason}")
    if "spent" in result:
        echo(_spent(result["spent"]))


def describe_counts(result: JsonObject) -> None:
    """Rows without a label, and why."""
    if result.get("abstained"):
        echo(
            f"{rows_have(result['abstained'])} a score below {result['threshold']:.3g}, the minimum"
            " score, and no label."
        )
    if result.get("unlike"):
        few = one_or_more(result["unlike"], "is", "are")
        echo(f"{rows_text(result['unlike'])} {few} less known than --min-known: no label.")
    if result["skipped"]:
        echo(f"{rows_have(result['skipped'])} no text and got NULL.")


def _spent(spent: JsonObject) -> str:
    if not spent["requests"]:
        return "Spent nothing: every answer was stored by earlier requests."
    requests = counted(spent["requests"], "request")
    if spent["usd"]:
        return f"Spent {dollars(spent['usd'])} on {requests}."
    tokens = spent["input_tokens"] + spent["output_tokens"]
    return f"Sent {requests} ({tokens:,} tokens), at an unknown price."
