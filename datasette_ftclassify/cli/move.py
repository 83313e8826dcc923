"""`move`"""

from __future__ import annotations

from typing import Any

import click

from ..jobs.train_request import TrainRequest
from ..store.classifiers import find_classifier
from .options import (
    TrainingCommand,
    database_argument,
    json_command,
    open_database,
    training_options,
)
from .train_steps import access_for, options_from, request_with, train_agreed


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
@json_command
def move(database: str, name: str, as_json: bool, **given: Any) -> None:
    """Train a classifier again with another trainer.

    Every row stays in its split, so both are tested and compared on the same rows. Rows added since
    are left out.

    \b
      datasette ftclassify move mail.db messages --trainer openai --model gpt-4.1-mini
      datasette ftclassify move mail.db messages-openai --trainer local
      datasette ftclassify move mail.db messages-openai --trainer local --on-predictions
    """
    from ..jobs.compare import move_request

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
        train_agreed(conn, first.task, request, access, database, given, as_json, first)
