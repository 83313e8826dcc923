"""`retrain`"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import click

from ..jobs.version_rows import version_changes
from ..store.classifiers import find_classifier
from .options import (
    base_url_option,
    database_argument,
    despite_option,
    json_command,
    limit_option,
    open_database,
    queue_option,
    yes_option,
)
from .output import print_json, say
from .train_steps import access_for, train_agreed


@click.command()
@database_argument
@click.argument("name", required=False)
@base_url_option
@limit_option
@yes_option
@despite_option
@queue_option
@click.option("--only-if-changed", is_flag=True, help="Train nothing if there are no new labels.")
@click.option(
    "--only-if-better",
    is_flag=True,
    help="Use the new version only if it is as good out of fold.",
)
@json_command
def retrain(
    database: str,
    name: str | None,
    only_if_changed: bool,
    only_if_better: bool,
    as_json: bool,
    **given: Any,
) -> None:
    """Train a new version of a classifier on the current labels.

    It has the same settings and test rows, and is trained on all other rows, including newer ones.
    NAME is a classifier's name, or name@version; without it, the default one.

    \b
      datasette ftclassify retrain mail.db messages
      datasette ftclassify retrain mail.db messages --only-if-changed --only-if-better
    """
    from ..jobs import train_version

    with open_database(database) as conn:
        first = find_classifier(conn, name)
        for sentence in version_changes(conn, first).sentences(first.title):
            say(sentence)
        if only_if_changed and not train_version.has_new_labels(conn, first):
            said = f"{first.name} knows all labels: nothing is trained."
            print_json({"trained": False, "said": said}) if as_json else say(said)
            return
        task, request = train_version.version_request(conn, first)
        if only_if_better:
            request = train_version.only_if_better(request)
        request = replace(request, limit_usd=given["limit_usd"])
        access = access_for(request.trainer, given["base_url"])
        train_agreed(conn, task, request, access, database, given, as_json, first)
