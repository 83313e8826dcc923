"""`student`"""

from __future__ import annotations

from typing import Any

import click

from ..jobs.train_request import TrainRequest
from ..store.classifiers import find_classifier
from ..trainers.access import Access
from .options import database_argument, json_command, open_database, queue_option
from .train_steps import train_agreed


@click.command()
@database_argument
@click.argument("name", required=False)
@click.option("--name", "new_name", help="Name of the student. [NAME-student]")
@queue_option
@json_command
def student(database: str, name: str | None, as_json: bool, **given: Any) -> None:
    """Train a small local classifier on the answers of another.

    The student learns from the training rows of NAME and from its answers for unlabelled rows. If
    NAME is at a service, only its stored answers are used, so nothing is sent or paid. Both are
    tested on the same rows.

    \b
      datasette ftclassify student mail.db messages-encoder
    """
    from ..jobs.compare import student_request

    with open_database(database) as conn:
        first = find_classifier(conn, name)
        request = student_request(first, TrainRequest(name=given["new_name"]))
        given |= {"yes": True, "despite_findings": False, "base_url": None}
        train_agreed(conn, first.task, request, Access(), database, given, as_json, first)
