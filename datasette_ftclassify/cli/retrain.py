"""`retrain`"""

from __future__ import annotations

import shlex
from dataclasses import replace
from typing import Any

import click

from .comparison import describe_comparison
from .options import (
    base_url_option,
    database_argument,
    despite_option,
    json_option,
    limit_option,
    open_database,
    queue_option,
    yes_option,
)
from .output import friendly, print_json, say
from .run_job import tell_queued
from .train_steps import access_for, agree, describe_training, follow_training, next_step


@click.command()
@database_argument
@click.argument("name", required=False)
@base_url_option
@limit_option
@yes_option
@despite_option
@queue_option
@json_option
@friendly
def retrain(database: str, name: str | None, as_json: bool, **given: Any) -> None:
    """Train a new version of a classifier as it was trained, on the labels as they are now.

    Rows that were held back from it judge the new version, too; all others are trained on, those
    that have come since as well. NAME is a classifier's name, or name@version; without it, the
    default one.

    \b
      datasette ftclassify retrain mail.db messages
    """
    from ..jobs.compare import compare_or_why
    from ..jobs.train import submit_train
    from ..jobs.train_version import version_request
    from ..jobs.version_rows import version_changes
    from ..store.classifiers import find_classifier

    with open_database(database) as conn:
        first = find_classifier(conn, name)
        changes = version_changes(conn, first)
        assert changes is not None
        for sentence in changes.sentences(first.title):
            say(sentence)
        task, request = version_request(conn, first)
        request = replace(request, limit_usd=given["limit_usd"])
        access = access_for(request.trainer, given["base_url"])
        free = shlex.join(
            ["datasette", "ftclassify", "move", database, first.name, "--trainer", "local"]
        )
        estimate = agree(conn, task, request, access, yes=given["yes"], free=free,
            despite_findings=given["despite_findings"])  # fmt: skip
        job = submit_train(conn, task, request, estimate, access=access)
        if given["queue"]:
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
