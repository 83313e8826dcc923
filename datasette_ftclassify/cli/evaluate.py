"""`evaluate`"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import click

from ..core.humanize import rows_have, rows_text
from ..store.classifiers import find_classifier
from .confirmation import agree, reach, request_options
from .options import database_argument, despite_option, json_command, open_database, queue_option
from .output import echo, one_line, print_json, say
from .run_job import run_here, say_queued

if TYPE_CHECKING:
    from ..core.training_report import TrainingReport
    from ..metrics.result import Confusion, Evaluation


@click.command()
@database_argument
@click.argument("name", required=False)
@request_options
@despite_option
@queue_option
@json_command
def evaluate(database: str, name: str | None, as_json: bool, **given: Any) -> None:
    """Evaluate a classifier on its held-back test rows.

    NAME is a classifier's name, or name@version; without it, the default one.

    \b
      datasette ftclassify evaluate mail.db messages
      datasette ftclassify evaluate mail.db messages@1 --json
    """
    from ..core.database import is_read_only
    from ..jobs.confirming import confirm_evaluate
    from ..jobs.evaluate import evaluate_classifier, submit_evaluate

    with open_database(database) as conn:
        classifier = find_classifier(conn, name)
        if is_read_only(conn):
            metrics = evaluate_classifier(conn, classifier, store=False)
            say("The file is read-only, so this evaluation is not kept in it.")
            _show(metrics, classifier.report, as_json)
            return
        classifier, access = reach(conn, classifier, given)
        found = confirm_evaluate(conn, classifier, access)
        estimate = None if found is None else found.estimate
        agree(estimate, classifier, given, None if found is None else found.review)
        limit = given["limit_usd"]
        job = submit_evaluate(
            conn, classifier.id, limit_usd=limit, estimate=estimate, access=access
        )
        if given["queue"]:
            say_queued(conn, job, database, as_json, given["base_url"])
            return
        metrics = cast("Evaluation", run_here(conn, job, access, database).result)
    _show(metrics, classifier.report, as_json)


def _show(metrics: Evaluation, report: TrainingReport, as_json: bool) -> None:
    if as_json:
        print_json(metrics)
    else:
        describe_metrics(metrics, report)


def describe_metrics(metrics: Evaluation, report: TrainingReport) -> None:
    """The headline, the labels as a table, and the most frequent confusions.

    report: of the training
    """
    describe_headline(metrics, report, f"{metrics.get('classifier')}@{metrics.get('version')}: ")
    width = max(len("label"), *(min(len(name), 40) for name in metrics["labels"]))
    echo(f"\n{'label':{width}}  precision  recall     f1  support")
    for name, row in metrics["labels"].items():
        echo(
            f"{one_line(name, width):{width}}  {row['precision']:9.3f}  {row['recall']:6.3f}"
            f"  {row['f1']:5.3f}  {row['support']:7,}"
        )
    _describe_all(metrics)
    if confusion := metrics.get("confusion"):
        _describe_mistakes(confusion)


def describe_headline(metrics: Evaluation, report: TrainingReport, before: str = "  ") -> None:
    """The figures that say most, after what stands `before` them, and what to know of the rows.

    report: of the training
    """
    from ..metrics import easier_test_rows, headline

    echo(f"{before}{headline(metrics)}")
    if easier := easier_test_rows(metrics, report):
        echo(f"  warning: {easier}")
    if metrics.get("missing"):
        echo(
            f"  {metrics['missing']:,} of the {metrics['held_back']:,} rows held back are gone, or"
            " now have a text that was trained on."
        )
    if metrics.get("unknown_labels"):
        unknown = rows_have(metrics["unknown_labels"])
        echo(f"  {unknown} been held back with a label that it does not know.")
    for why, count in (metrics.get("abstained_reasons") or {}).items():
        echo(f"  {rows_text(count)} held back got no answer: {why}")


def _describe_all(metrics: Evaluation) -> None:
    """Every figure of its kind, as the page lists them."""
    from ..metrics.registry import metrics_in

    found = metrics_in(metrics)
    positive = metrics.get("positive_label")
    about = "" if positive is None else f" (the positive label is {one_line(positive, 40)})"
    echo(f"\nAll figures{about}:")
    width = max(len(each.name) for each in found)
    for each in found:
        interval = each.interval_text(metrics)
        shown = each.text(metrics) + (f" ({interval})" if interval else "")
        echo(f"  {each.name:{width}}  {shown:21}  {each.help}")


def _describe_mistakes(confusion: Confusion) -> None:
    from ..metrics.counts import confusion_cells, mistakes

    names, found = [*confusion["labels"], "no answer"], mistakes(confusion_cells(confusion))
    if found:
        echo("\nMost confused:")
    for i, j, count in found[:5]:
        echo(f"  {count:5,} x {names[i]} answered with {names[j]}")
