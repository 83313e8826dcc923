"""`move`"""

from __future__ import annotations

import shlex
from typing import Any

import click

from .comparison import describe_comparison
from .options import (
    TrainingCommand,
    database_argument,
    json_option,
    open_database,
    training_options,
)
from .output import friendly, print_json, say
from .run_job import tell_queued
from .train_steps import (
    access_for,
    agree,
    describe_training,
    follow_training,
    next_step,
    options_from,
    request_with,
)


@click.command(cls=TrainingCommand)
@database_argument
@click.argument("name")
@click.option("--trainer", required=True, help="Trainer of the second classifier.")
@click.option("--name", "new_name", help="Name of the second classifier. [NAME-TRAINER]")
@click.option(
    "--on-predictions",
    is_flag=True,
    help="Also train on unlabelled rows, with the labels that NAME predicted for them.",
)
@training_options
@json_option
@friendly
def move(database: str, name: str, as_json: bool, **given: Any) -> None:
    """Train a classifier again with another trainer, on the same rows, and compare the two.

    Every row stays in its split, so both are tested on the same rows. Rows added since are left
    out.

    \b
      datasette ftclassify move mail.db messages --trainer openai --model gpt-4.1-mini
      datasette ftclassify move mail.db messages-openai --trainer local
      datasette ftclassify move mail.db messages-openai --trainer local --on-predictions
    """
    from ..jobs.compare import compare_or_why, move_request
    from ..jobs.train import TrainRequest, submit_train
    from ..store.classifiers import find_classifier

    with open_database(database) as conn:
        access = access_for(given["trainer"], given["base_url"])
        first = find_classifier(conn, name)
        request = move_request(
            first,
            TrainRequest(
                name=given["new_name"],
                trainer=given["trainer"],
                options=options_from(given, first.seed),
                curve=given["curve"],
                limit_usd=given["limit_usd"],
            ),
            on_predictions=given["on_predictions"],
        )
        request = request_with(conn, request, access, given["continue_from"])
        free = shlex.join(
            ["datasette", "ftclassify", "move", database, first.name, "--trainer", "local"]
        )
        estimate = agree(conn, first.task, request, access, yes=given["yes"], free=free,
            despite_findings=given["despite_findings"])  # fmt: skip
        job = submit_train(conn, first.task, request, estimate, access=access)
        if given["queue"] or not given["follow"]:
            tell_queued(conn, job, database, as_json, given["base_url"])
            return
        result = follow_training(conn, job, access, database, given["base_url"])
        comparison, why_not = compare_or_why(conn, first, result.classifier)
        following = next_step(conn, result, database, given["base_url"])
    if as_json:
        compared = comparison.to_dict() if comparison else None
        print_json({**result.to_dict(), "comparison": compared, "not_compared": why_not})
        return
    describe_training(result, database)
    if comparison is None:
        click.echo(f"\nNot compared: {why_not}")
    else:
        click.echo()
        describe_comparison(comparison)
    say(f"\nNext: {following}")
