"""`train`"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

import click

from ..sql import quote_text
from .options import (
    json_option,
    open_database,
    plan_from,
    plan_options,
    queue_option,
    task_from,
    task_options,
)
from .output import friendly, print_json, say, step_progress, tell_queued

if TYPE_CHECKING:
    import sqlite3

    from ..jobs.train import TrainResult
    from ..store.classifiers import Classifier


@click.command()
@task_options
@click.option("--name", help="Of the classifier; an existing one gets a new version. [the table's]")
@click.option("--trainer", default="local", show_default=True, help="Who trains.")
@click.option(
    "--embeddings",
    metavar="MODEL",
    help="Folder or hub name of a static embedding model (model2vec), to try beside TF-IDF.",
)
@click.option(
    "--curve/--no-curve",
    default=True,
    help="Estimate whether more labels would help (a learning curve). [on]",
)
@queue_option
@plan_options
@json_option
@friendly
def train(database: str, as_json: bool, **given: Any) -> None:
    """Train a classifier on a labelled table, and evaluate it on rows held back.

    \b
      datasette ftclassify train mail.db messages --text body --label folder
      datasette ftclassify train ads.db ads --label relevant \\
          --template 'Company: {{ company }}\\nAd: {{ ad }}' --name ad-match
      datasette ftclassify train posts.db posts --text body --label topics --delimiter ';'
    """
    from ..jobs.train import submit_train, train_classifier
    from ..trainers.base import TrainerOptions

    with open_database(database) as conn, step_progress() as progress:
        task = task_from(conn, given)
        plan = plan_from(given)
        asked: dict[str, Any] = {
            "name": given["name"],
            "trainer": given["trainer"],
            "plan": plan,
            "curve": given["curve"],
            "options": TrainerOptions(seed=plan.seed, embeddings=given["embeddings"]),
        }
        if given["queue"]:
            tell_queued(submit_train(conn, task, **asked), database, as_json)
            return
        result = train_classifier(conn, task, **asked, progress=progress)
        next_step = _next_step(conn, result.classifier, database)
    if as_json:
        print_json(result.to_dict())
    else:
        _describe(result, next_step)


def _describe(result: TrainResult, next_step: str) -> None:
    classifier, report = result.classifier, result.classifier.report
    used = " and ".join(f"{n:,} {name}" for name, n in report["rows"].items() if name != "test")
    click.echo(f"Trained {classifier.title} on {classifier.training_rows:,} rows ({used}).")
    click.echo(f"  {len(classifier.labels)} labels, {classifier.labels.kind}")
    for value, count in report["left_out"].items():
        click.echo(f"  left out: {count:,} rows whose split column says {value}")
    if report["shared_with_train"]:
        shared = report["shared_with_train"]
        click.echo(f"  {shared:,} rows held back have a text that also stands in train")
    for line in _report_lines(report):
        click.echo(f"  {line}")
    if result.metrics is None:
        click.echo("  Not evaluated: no rows were held back for a test.")
    else:
        from ..evaluation import headline

        click.echo(f"  {headline(result.metrics)}")
    say(f"\nNext: {next_step}")


def _next_step(conn: sqlite3.Connection, classifier: Classifier, database: str) -> str:
    """The command or query that people want after a training."""
    from ..jobs.predict import count_unlabelled
    from ..sql import relation

    source = relation(conn, classifier.task.source)
    if source.is_view:
        sql = f"select ft_classify('a text', {quote_text(classifier.name)})"
        return f"ask it in SQL, since a view has no columns to write: {sql}"
    words = ["datasette", "ftclassify", "predict", database, source.name]
    words += ["--classifier", classifier.name]
    if count_unlabelled(conn, classifier):
        words.append("--unlabelled")
    return shlex.join(words)


def _report_lines(report: dict[str, Any]) -> list[str]:
    lines = [report["why"]] if "why" in report else []
    if "learning_curve" in report:
        lines.append(report["learning_curve"]["summary"])
    return lines + [f"warning: {warning}" for warning in report.get("warnings", [])]
