"""`train`"""

from __future__ import annotations

from typing import Any

import click

from ..jobs.train_request import TrainRequest
from .options import (
    TrainingCommand,
    json_command,
    open_database,
    plan_from,
    plan_options,
    task_from,
    task_options,
    training_options,
)
from .train_steps import access_for, options_from, request_with, train_agreed


@click.command(cls=TrainingCommand)
@task_options
@click.option(
    "--name", help="Name of the classifier; an existing one gets a new version. [the table's name]"
)
@click.option(
    "--trainer", default="local", show_default=True, help="See datasette ftclassify trainers."
)
@training_options
@plan_options
@json_command
def train(database: str, as_json: bool, **given: Any) -> None:
    """Train a classifier on a labelled table, and evaluate it.

    A paid trainer shows the price first and asks. Its key is read from OPENAI_API_KEY
    (AZURE_OPENAI_API_KEY for azure) and never stored.

    \b
      datasette ftclassify train mail.db messages --text body --label folder
      datasette ftclassify train ads.db ads --label relevant \\
          --template 'Company: {{ company }}\\nAd: {{ ad }}' --name ad-match
      datasette ftclassify train posts.db posts --text body --label topics --delimiter ';'
      datasette ftclassify train mail.db messages --text body --label folder \\
          --trainer openai --model gpt-4.1-mini --limit-usd 5
    """
    with open_database(database) as conn:
        access = access_for(given["trainer"], given["base_url"])
        task = task_from(conn, given)
        plan = plan_from(given)
        request = TrainRequest(
            name=given["name"],
            trainer=given["trainer"],
            plan=plan,
            options=options_from(given, plan.seed),
            curve=given["curve"],
            limit_usd=given["limit_usd"],
        )
        request = request_with(conn, request, access, given["continue_from"])
        train_agreed(conn, task, request, access, database, given, as_json)
