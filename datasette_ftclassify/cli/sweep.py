"""`sweep`"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from ..core.errors import TrainingError
from ..core.humanize import counted
from ..jobs.load_classifier import service_of
from ..present.our_command import our_command
from ..trainers.registry import get_trainer
from ..trainers.service import Service
from .confirmation import ask, refuse_errors, review_lines
from .options import (
    Given,
    base_url_option,
    despite_option,
    json_command,
    limit_option,
    open_database,
    plan_from,
    plan_options,
    queue_option,
    task_from,
    task_options,
    yes_option,
)
from .output import echo, print_json, print_result, say, step_progress
from .run_job import run_here

if TYPE_CHECKING:
    import sqlite3

    from ..jobs.sweep import Sweep, SweepPrice
    from ..jobs.sweep_result import SweepResult
    from ..metrics.result import Evaluation
    from ..trainers.access import Access


@click.command()
@task_options
@click.option("--name", help="Prefix of the classifiers' names. [the table's name]")
@click.option(
    "--variant",
    "variants",
    multiple=True,
    metavar="'TRAINER OPTION=VALUE …'",
    help="A trainer with its options, such as 'openai model=M epochs=3'; repeat for more.",
)
@click.option("--seeds", type=int, default=1, show_default=True, help="Trainings of each variant.")
@plan_options
@base_url_option
@limit_option
@yes_option
@despite_option
@queue_option
@click.option("--cancel", is_flag=True, help="Cancel all trainings of the sweep.")
@json_command
def sweep(database: str, as_json: bool, **given: Any) -> None:
    """Train one task in several ways, and choose the best.

    The local trainer is always included. The best one is chosen by answers out of fold, or on the
    validation rows; only the chosen one is tested. --limit-usd is for all together. If interrupted,
    the same command continues.

    \b
      datasette ftclassify sweep mail.db messages --text body --label folder --seeds 3 \\
          --variant 'openai model=M epochs=2' --variant 'openai model=M epochs=4'
    """
    from ..jobs.sweep import Sweep, cancel_sweep, submit_sweep
    from ..jobs.sweep_result import sweep_result

    with open_database(database) as conn:
        task = task_from(conn, given)
        plan = plan_from(given)
        access = _access(given["variants"], given["base_url"])
        found = Sweep.of(
            task, plan, given["variants"], name=given["name"], seeds=given["seeds"], access=access
        )
        if given["cancel"]:
            ended = cancel_sweep(conn, found.id, access)
            echo(f"{counted(ended, 'training')} cancelled or asked to end.")
            return
        price = _agree(conn, found, access, given)
        jobs = submit_sweep(conn, found, price, limit_usd=given["limit_usd"], access=access)
        if given["queue"]:
            said = (
                f"{counted(len(jobs), 'training')} queued; the same command shows what was chosen."
            )
            print_result(as_json, {"sweep": found.id, "jobs": [job.id for job in jobs]}, said)
            return
        for number, job in enumerate(jobs, 1):
            say(f"Training {number} of {len(jobs)}: {job.settings['name']}")
            run_here(conn, job, access, database)
        result = sweep_result(conn, found.id)
        metrics, following = _judge(conn, result, database)
    if as_json:
        print_json({**result.to_dict(), "metrics": metrics})
        return
    _describe(result)
    if metrics is not None:
        from ..metrics import headline

        echo(f"\nOn the test rows: {headline(metrics)}")
    if following:
        say(f"\nNext: {following}")


def _access(variants: tuple[str, ...], base_url: str | None) -> Access:
    """What the environment lets the trainers reach; base_url: of the only service among them."""
    from ..jobs.sweep import Variant
    from ..trainers.configuration import read_access

    names = {Variant.parse(text).trainer for text in variants}
    services = [name for name in names if isinstance(get_trainer(name), Service)]
    access = read_access()
    if base_url is None:
        return access
    if len(services) != 1:
        raise TrainingError("--base-url is the address of one service: name variants of one.")
    return access.at(services[0], base_url)


def _agree(conn: sqlite3.Connection, sweep: Sweep, access: Access, given: Given) -> SweepPrice:
    """Says what all trainings together will send and cost, and asks once."""
    from ..jobs.sweep import price_sweep

    with step_progress() as progress:
        progress("reading rows", 0.0)
        price = price_sweep(conn, sweep, access, download=True)
    price.limits(given["limit_usd"])
    if not price.paid:
        return price
    for request, found in zip(price.requests, price.confirmations, strict=True):
        if found is not None:
            say(f"{request.name}, seed {request.chosen.seed}: {found.estimate.price}")
    first = price.paid[0]
    say(f"{counted(len(price.paid), 'training')}, each with answers to the validation rows:")
    say(f"together {price.text}. The test rows of the chosen one are paid for afterwards.")
    for line in review_lines(first.review):
        say(line)
    refuse_errors(first.review, given["despite_findings"])
    ask(yes=given["yes"])
    return price


def _judge(
    conn: sqlite3.Connection, result: SweepResult, database: str
) -> tuple[Evaluation | None, str]:
    """The chosen one's figures on the test rows, where they cost nothing, and what to do next."""
    from ..jobs.evaluate import evaluate_classifier

    chosen = result.chosen
    if chosen is None:
        return None, ""
    if service_of(chosen) is not None:
        return None, our_command("evaluate", database, chosen.title)
    others = [one.best.classifier for one in result.tried[1:] if one.best is not None]
    titles = [one.title for one in others if one is not None][:3]
    metrics = evaluate_classifier(conn, chosen) if result.has_test else None
    following = our_command("classifiers", "compare", database, chosen.title, *titles)
    return metrics, following if titles and result.has_test else ""


def _describe(result: SweepResult) -> None:
    width = max(len(one.name) for one in result.tried)
    echo(f"{result.metric[:1].upper()}{result.metric[1:]} of answers to rows {result.split}:")
    for one in result.tried:
        figures = "no figure" if one.mean is None else f"{one.mean:.3f}"
        if len(one.figures) > 1:
            figures += f" ({min(one.figures):.3f} to {max(one.figures):.3f})"
        echo(f"  {one.name:{width}}  {figures}")
        for trained in one.trained:
            if trained.state != "finished":
                echo(f"    seed {trained.seed}: {trained.state}, job {trained.job}")
    if result.baseline is not None:
        echo(f"  {'Most frequent label':{width}}  {result.baseline:.3f}")
    echo(f"\n{result.why}")
