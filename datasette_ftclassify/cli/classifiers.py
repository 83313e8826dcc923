"""`classifiers list | show | rename | default | delete`"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from .evaluate import describe_metrics
from .options import database_argument, json_option, open_database
from .output import friendly, print_json

if TYPE_CHECKING:
    from ..store.classifiers import Classifier
    from ..store.summaries import Summary


@click.group()
def classifiers() -> None:
    """The classifiers in a database: list, show, rename, make default, delete."""


@classifiers.command("list")
@database_argument
@json_option
@friendly
def list_command(database: str, as_json: bool) -> None:
    """All classifiers and their versions."""
    from ..store.summaries import summaries

    with open_database(database) as conn:
        found = summaries(conn)
    if as_json:
        print_json({"classifiers": [_listed(summary) for summary in found]})
        return
    if not found:
        click.echo("There is no classifier yet: make one with datasette ftclassify train.")
    for summary in found:
        row = _listed(summary)
        mark = "*" if summary.default else " "
        click.echo(
            f"{mark} {summary.classifier.title}  {row['trainer']}, {row['kind']},"
            f" {len(row['labels'])} labels, {row['training_rows']:,} rows of {row['source']},"
            f" {row['created_at']}  {row['quality']}"
        )
    if any(summary.default for summary in found):
        click.echo("* the default: what ft_classify(text) uses without a name")


def _listed(summary: Summary) -> dict[str, Any]:
    metrics = summary.metrics or {}
    quality = next(
        (
            f"{key.replace('_', ' ')} {metrics[key]:.3f}"
            for key in ("accuracy", "micro_f1")
            if isinstance(metrics.get(key), float)
        ),
        "not evaluated",
    )
    return {**summary.to_dict(), "quality": quality}


@classifiers.command()
@database_argument
@click.argument("name", required=False)
@json_option
@friendly
def show(database: str, name: str | None, as_json: bool) -> None:
    """Everything about one classifier: task, training, quality, and the SQL to use it."""
    from ..store.classifiers import find_classifier
    from ..store.summaries import summarise

    with open_database(database) as conn:
        classifier = find_classifier(conn, name)
        summary = summarise(conn, classifier)
    details = {
        **_listed(summary),
        "task": classifier.task.to_dict(),
        "report": classifier.report,
        "metrics": summary.metrics,
        "sql": usage_sql(classifier),
    }
    if as_json:
        print_json(details)
        return
    task = classifier.task
    click.echo(f"{classifier.title}: {classifier.labels.kind}, by the {classifier.trainer} trainer")
    click.echo(f"  text    {', '.join(task.text)} of {task.source}")
    click.echo(f"  labels  {', '.join(classifier.labels.names)}")
    click.echo(f"  rows    {classifier.training_rows:,} trained on, {classifier.created_at}")
    if "why" in classifier.report:
        click.echo(f"  recipe  {classifier.report['why']}")
    if task.template is not None:
        click.echo(f"  written {task.template!r}")
    sql = details["sql"] or "its template cannot be written in SQL: classify with predict"
    click.echo(f"  SQL     {sql}\n")
    try:
        if summary.metrics:
            describe_metrics(summary.metrics)
    except (KeyError, TypeError, ValueError, AttributeError):
        # The file may be a stranger's; what it says of its quality need not make sense.
        click.echo(summary.headline())


def usage_sql(classifier: Classifier) -> str | None:
    """A query that classifies the classifier's own source; None where the text cannot be put
    together in SQL as training did."""
    from ..rendering import sql_expression
    from ..sql import quote, quote_text

    task = classifier.task
    text = sql_expression(task.text, task.template)
    if text is None:
        return None
    function = "ft_labels" if task.multilabel else "ft_classify"
    call = f"{function}({text}, {quote_text(classifier.name)})"
    return f"select {call} from {quote(task.source)} limit 10"


@classifiers.command()
@database_argument
@click.argument("old")
@click.argument("new")
@friendly
def rename(database: str, old: str, new: str) -> None:
    """Rename a classifier, with all its versions."""
    from ..store.classifiers import rename_classifier

    with open_database(database) as conn:
        rename_classifier(conn, old, new)
    click.echo(f"{old} is now called {new}.")


@classifiers.command("default")
@database_argument
@click.argument("name")
@friendly
def default_command(database: str, name: str) -> None:
    """Make a classifier the one that the SQL functions use without a name."""
    from ..store.classifiers import set_default

    with open_database(database) as conn:
        set_default(conn, name)
    click.echo(f"{name} is now the default classifier.")


@classifiers.command()
@database_argument
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask.")
@friendly
def delete(database: str, name: str, yes: bool) -> None:
    """Delete a classifier with all its versions, or the one version NAME@VERSION.

    Columns with its predictions stay.
    """
    from ..store.classifiers import default_name, delete_classifier, has_store

    with open_database(database) as conn:
        before = default_name(conn) if has_store(conn) else None
        if not yes:
            click.confirm(f"Delete {name}?", abort=True, err=True)
        gone = delete_classifier(conn, name)
        after = default_name(conn)
    click.echo(f"Deleted {', '.join(gone)}.")
    if after != before:
        click.echo(f"{after} is the default now." if after else "There is no default any more.")
