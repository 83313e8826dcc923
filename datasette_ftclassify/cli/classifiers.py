"""`classifiers list | show | rename | remove-alias | default | checkpoint | delete`, and those that
have files of their own"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from ..core.humanize import dollars, rows_text
from ..core.training_report import chosen_text
from ..jobs.load_classifier import is_elsewhere, shutdown_of
from ..present.our_command import our_command
from ..present.usage_sql import usage_sql
from ..prompts.price_table import today
from ..store.aliases import remove_alias
from ..store.classifiers import find_classifier, rename_classifier, set_default
from ..store.published import why_unasked
from ..store.reports import calibration_text
from .comparison import describe_comparison
from .confirmation import confirm
from .drift import drift
from .evaluate import describe_metrics
from .jobs import cancel_at_service
from .options import base_url_option, database_argument, json_command, open_database
from .other import other
from .output import echo, print_json, print_result, say
from .train_steps import access_for

if TYPE_CHECKING:
    from ..jobs.remote.models import ServiceFacts
    from ..store.summaries import Summary


@click.group()
def classifiers() -> None:
    """List, show, compare, rename and delete classifiers."""


classifiers.add_command(drift)
classifiers.add_command(other)


@classifiers.command("list")
@database_argument
@json_command
def list_command(database: str, as_json: bool) -> None:
    """List all classifiers and their versions."""
    from ..store.damaged import damaged_classifiers
    from ..store.summaries import summaries

    with open_database(database) as conn:
        found, damaged = summaries(conn), damaged_classifiers(conn)
    if as_json:
        print_json({
            "classifiers": [_listed(summary) for summary in found],
            "damaged": [{"title": one.title, "error": one.why} for one in damaged],
        })  # fmt: skip
        return
    if not found and not damaged:
        echo("There is no classifier yet: make one with datasette ftclassify train.")
    for summary in found:
        row = _listed(summary)
        mark = "*" if summary.default else " "
        also = f"  also called {', '.join(summary.aliases)}" if summary.aliases else ""
        echo(
            f"{mark} {summary.classifier.title}  {row['trainer']}, {row['kind']},"
            f" {len(row['labels'])} labels, {rows_text(row['training_rows'])} of {row['source']},"
            f" {row['created_at']}  {''.join(_quality(summary))}"
            f"{_unused(summary)}{_stops(row['shutdown_date'])}{also}"
        )
    for one in damaged:
        echo(f"! {one.title}  {one.why}")
    if any(summary.default for summary in found):
        echo("* the default: what ft_classify(text) uses without a name")


def _listed(summary: Summary) -> dict[str, Any]:
    stops = shutdown_of(summary.classifier) if is_elsewhere(summary.classifier) else None
    return {
        **summary.to_dict(),
        "quality": _quality(summary)[0],
        "shutdown_date": None if stops is None else stops.isoformat(),
    }


def _quality(summary: Summary) -> tuple[str, str]:
    """The figure that says most, and its interval, so that nobody takes two for different that are
    not."""
    from ..metrics.registry import main_metrics

    if summary.metrics is None:
        return "not evaluated", ""
    first = main_metrics(summary.metrics)[0]
    interval = first.interval_text(summary.metrics)
    said = f"{first.name_in_sentence} {first.text(summary.metrics)}"
    return said, f" ({interval})" if interval else ""


def _unused(summary: Summary) -> str:
    return "" if summary.used else ", not in use"


def _stops(day: str | None) -> str:
    if day is None:
        return ""
    return f"  {'stops' if day > today().isoformat() else 'stopped'} on {day}"


@classifiers.command()
@database_argument
@click.argument("name", required=False)
@json_command
def show(database: str, name: str | None, as_json: bool) -> None:
    """Show one classifier: task, training, figures, and the SQL to use it."""
    from ..jobs.remote.models import service_facts
    from ..store.summaries import summarise

    with open_database(database) as conn:
        classifier = find_classifier(conn, name)
        summary = summarise(conn, classifier)
        facts = service_facts(conn, classifier)
    details = {
        **_listed(summary),
        "task": classifier.task.to_dict(),
        "report": classifier.report,
        "metrics": summary.metrics,
        "service": facts,
        "sql": usage_sql(classifier),
    }
    if as_json:
        print_json(details)
        return
    task = classifier.task
    used = ", the default" if summary.default else _unused(summary)
    by = f"by the {classifier.trainer} trainer"
    echo(f"{classifier.title}: {classifier.labels.kind}, {by}{used}")
    echo(f"  text    {', '.join(task.text)} of {task.source}")
    echo(f"  labels  {', '.join(classifier.labels.names)}")
    if task.merged:
        echo(f"  merged  all variants of {', '.join(map(str, task.merged[:20]))} count as one")
    echo(f"  rows    {classifier.training_rows:,} trained on, {classifier.created_at}")
    if "why" in classifier.report:
        echo(f"  recipe  {classifier.report['why']}")
    if said := calibration_text(classifier.report):
        echo(f"  scores  {said}")
    if said := chosen_text(classifier.report):
        echo(f"  queues  {said}")
    if (why := why_unasked(classifier)) is not None:
        echo(f"  model   {why}")
    elif facts is not None:
        _describe_service(facts)
    if task.template is not None:
        echo(f"  written {task.template!r}")
    if task.markup is not None:
        echo(f"  markup  {task.markup}: read as its words, in SQL as well")
    sql = details["sql"] or "its template cannot be written in SQL: classify with predict"
    echo(f"  SQL     {sql}\n")
    if summary.problem:
        echo(summary.problem)
    if summary.metrics:
        describe_metrics(summary.metrics, classifier.report)


def _describe_service(facts: ServiceFacts) -> None:
    echo(f"  model   {facts.model} at {facts.host}")
    if facts.deployment:
        echo(f"  asked   as the deployment {facts.deployment}")
    if facts.shutdown is not None and facts.days_left is not None:
        left = f"in {facts.days_left:,} days" if facts.days_left > 0 else "which is past"
        echo(f"  stops   {facts.shutdown}, {left}: move it to another trainer before")
    for checkpoint in facts.checkpoints:
        figures = ", ".join(
            f"{name} {checkpoint.figures[key]:.3f}"
            for key, name in (("train_loss", "loss"), ("valid_loss", "validation loss"))
            if key in checkpoint.figures
        )
        echo(f"  kept    checkpoint of step {checkpoint.step}  {figures}")
    echo(f"  spent   {dollars(facts.usd)}")


@classifiers.command()
@database_argument
@click.argument("names", nargs=-1, required=True)
@json_command
def compare(database: str, names: tuple[str, ...], as_json: bool) -> None:
    """Compare classifiers on the test rows that were held back from all of them.

    Only rows that all of them have answered count. A model at a service is not asked again: its
    answers from the evaluation count. Beside them are the most frequent label as a baseline and, if
    all are at services, the newest local classifier of the task. Each newer one is compared with
    the older ones; p-values are from exact McNemar tests, corrected for the number of pairs (Holm).
    Local classifiers are also compared on their training rows, answered out of fold.

    \b
      datasette ftclassify classifiers compare mail.db messages messages-openai
      datasette ftclassify classifiers compare mail.db messages@1 messages@2 messages@3
    """
    from ..jobs.compare import compare as compare_classifiers

    with open_database(database) as conn:
        comparison = compare_classifiers(conn, *(find_classifier(conn, name) for name in names))
    if as_json:
        print_json(comparison.to_dict())
    else:
        describe_comparison(comparison)


@classifiers.command()
@database_argument
@click.argument("old")
@click.argument("new")
@json_command
def rename(database: str, old: str, new: str, as_json: bool) -> None:
    """Rename a classifier, with all its versions.

    Queries that use the old name go on working: `remove-alias` ends that.
    """
    with open_database(database) as conn:
        rename_classifier(conn, old, new)
    said = f"{old} is now called {new}. Queries with the old name keep working."
    print_result(as_json, {"old": old, "name": new}, said)


@classifiers.command("remove-alias")
@database_argument
@click.argument("alias")
@json_command
def remove_alias_command(database: str, alias: str, as_json: bool) -> None:
    """Remove an earlier name of a classifier, which queries may still use."""
    with open_database(database) as conn:
        remove_alias(conn, alias)
    print_result(as_json, {"removed": alias}, f"{alias} is no longer the name of a classifier.")


@classifiers.command("default")
@database_argument
@click.argument("name")
@json_command
def default_command(database: str, name: str, as_json: bool) -> None:
    """Make a classifier the one that the SQL functions use without a name."""
    with open_database(database) as conn:
        set_default(conn, name)
    print_result(as_json, {"default": name}, f"{name} is now the default classifier.")


@classifiers.command("use")
@database_argument
@click.argument("name", metavar="NAME@VERSION")
@json_command
def use_command(database: str, name: str, as_json: bool) -> None:
    """Make a version the one in use, even if there are later ones."""
    from ..store.used_version import use_version

    with open_database(database) as conn:
        classifier = find_classifier(conn, name)
        use_version(conn, classifier)
    said = f"{classifier.name} is now version {classifier.version}."
    print_result(as_json, {"classifier": classifier.name, "version": classifier.version}, said)


@classifiers.command()
@database_argument
@click.argument("name")
@click.argument("step", type=int)
@json_command
def checkpoint(database: str, name: str, step: int, as_json: bool) -> None:
    """Make a new version from the checkpoint at a STEP of the training.

    `classifiers show` lists the steps that the service has kept.
    """
    from ..jobs.remote.models import use_checkpoint
    from ..store.summaries import summarise

    with open_database(database) as conn:
        classifier = use_checkpoint(conn, find_classifier(conn, name), step)
        row = _listed(summarise(conn, classifier))
    if as_json:
        print_json(row)
        return
    echo(f"{classifier.title} asks {classifier.at_service.model}.")
    say(f"\nNext: {our_command('evaluate', database, classifier.title)}")


@classifiers.command()
@database_argument
@click.argument("name")
@click.option("--yes", is_flag=True, help="Delete without asking.")
@click.option("--cancel-jobs", is_flag=True, help="First cancel the jobs that use it.")
@click.option(
    "--at-service", is_flag=True, help="Delete the model and its files at the service as well."
)
@base_url_option
@json_command
def delete(
    database: str,
    name: str,
    yes: bool,
    cancel_jobs: bool,
    at_service: bool,
    base_url: str | None,
    as_json: bool,
) -> None:
    """Delete a classifier with all its versions, or the one version NAME@VERSION.

    Columns with its predictions stay. While jobs use it, nothing is deleted unless --cancel-jobs
    cancels them first. Numbers of deleted versions are not reused.
    """
    from ..jobs.deletion import end_jobs
    from ..jobs.remote.models import forget_models
    from ..store.deletion import delete_classifier, plan_deletion

    there: list[str] = []
    with open_database(database) as conn:
        plan = plan_deletion(conn, name)
        if plan.busy and not cancel_jobs:
            raise click.ClickException(f"{plan.in_use()} To cancel that first: --cancel-jobs.")
        say(plan.losses)
        if plan.consequence:
            say(plan.consequence)
        confirm(f"Delete {name}?", yes=yes, otherwise="Nothing was deleted.")
        if plan.busy:
            say(f"Cancels {', '.join(f'job {job.id}' for job in plan.busy)}.")
            end_jobs(conn, name, cancel_at_service=lambda job: cancel_at_service(conn, job))
            if (left := plan_deletion(conn, name)).busy:
                raise left.in_use()  # before the model is deleted at the service
        if at_service:
            trainer = find_classifier(conn, name).trainer
            there = forget_models(conn, name, access_for(trainer, base_url))
            for what in there or ["nothing, it was gone"]:
                echo(f"At the service: deleted {what}.", err=as_json)
        gone = delete_classifier(conn, name)
    if as_json:
        print_json({
            "deleted": list(gone.titles), "deleted_at_service": there, "default": gone.default,
            "cancelled_jobs": [job.id for job in plan.busy],
        })  # fmt: skip
        return
    echo(gone.done)
