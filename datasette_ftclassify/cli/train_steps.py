"""What the commands that train share: reading their options, the confirmation of costs, following a
training, and printing its result."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from ..core.database import quote_text, relation
from ..core.errors import JobStopped, TrainingError
from ..core.humanize import counted, dollars, price, rows_have, rows_text
from ..core.splits import SplitPlan
from ..core.training_report import chosen_text
from ..jobs.rows import count_unlabelled
from ..jobs.train_request import continued
from ..present.our_command import our_command
from ..store.classifiers import find_classifier
from ..store.jobs.remote_cancel import goes_on_elsewhere
from ..store.jobs.state import ask_job, get_job
from ..store.reports import calibration_text
from ..trainers.access import Access
from ..trainers.options import DECLARED, TrainerOptions
from ..trainers.registry import get_trainer, list_own_options
from ..trainers.service import Service
from .comparison import describe_comparison
from .confirmation import ask, refuse_errors, review_lines
from .evaluate import describe_headline
from .options import Given
from .output import Stopped, echo, print_json, say, step_progress, with_options
from .run_job import again, say_queued, watched, work_command

if TYPE_CHECKING:
    import sqlite3

    from ..core.splits import SplitPlan
    from ..core.task import Task
    from ..core.training_report import TrainingReport
    from ..jobs.train import TrainResult
    from ..jobs.train_plan import TrainEstimate
    from ..jobs.train_request import TrainRequest
    from ..store.classifiers import Classifier
    from ..store.jobs.job import Job
    from ..trainers.access import Access
    from ..trainers.options import Option, TrainerOptions


def options_from(given: Given, seed: int) -> TrainerOptions:
    """The options of `training_options`."""
    options = [*DECLARED, *(option for _, option in list_own_options())]
    said = {o.name: _value(o, given[o.name]) for o in options if o.name in given}
    return TrainerOptions.of(said, seed)


def _value(option: Option, given: Any) -> Any:
    if option.kind == "meanings":
        return dict(given)
    if option.offered is not None and given:  # which a new version finds from any folder
        from ..trainers.encoders.known import from_root

        return from_root(given)
    if option.kind != "object" or given is None:
        return given
    try:
        value = json.loads(given)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise TrainingError(
            f'{option.command_line} must be a JSON object, such as \'{{"priority": "low"}}\'.'
        )
    return value


def access_for(trainer: str, base_url: str | None) -> Access:
    """What the environment lets a trainer reach, with another address for it if one was given."""
    from ..trainers.configuration import read_access

    if not isinstance(get_trainer(trainer), Service):
        if base_url is not None:
            raise TrainingError(f"The trainer {trainer} asks no server: leave out --base-url.")
        return Access()
    return read_access().at(trainer, base_url)


def request_with(
    conn: sqlite3.Connection, request: TrainRequest, access: Access, continue_from: str | None
) -> TrainRequest:
    """The request with the host that it is for, and what it continues from."""
    trainer = get_trainer(request.trainer)
    if isinstance(trainer, Service):
        request = replace(request, host=trainer.host(access.endpoint(trainer.name)))
    if continue_from is None:
        return request
    return continued(conn, request, find_classifier(conn, continue_from).uid)


def agree(
    conn: sqlite3.Connection,
    task: Task,
    request: TrainRequest,
    access: Access,
    given: Given,
    free: str,
) -> TrainEstimate | None:
    """Says what a training will send and cost, and asks; None when there is nothing to ask.

    free: the command that trains the same on this machine
    Raises ClickException for a no, and where nobody can be asked.
    """
    from ..jobs.confirming import confirm_train
    from ..jobs.train import begun

    job = begun(conn, task, request)
    if job is not None:
        usd = job.terms.usd
        sum_ = "" if usd is None else f" (about {dollars(usd)})"
        say(f"Job {job.id} was agreed to{sum_}, and continues.")
        return None
    with step_progress() as progress:
        progress("counting tokens", 0.0)  # which may fetch a vocabulary first
        found = confirm_train(conn, task, request, access, download=True)
    if found is None:
        return None
    for line in [*estimate_lines(found.estimate, free), *review_lines(found.review)]:
        say(line)
    refuse_errors(found.review, given["despite_findings"])
    ask(yes=given["yes"])
    return found.estimate


def estimate_lines(estimate: TrainEstimate, free: str) -> list[str]:
    """What somebody should know before agreeing to it."""
    exact = "" if estimate.exact else " (an estimate)"
    lines = [f"{rows_text(estimate.rows_sent)} will leave this machine, to {estimate.host}."]
    if estimate.billed_tokens and not estimate.epochs:
        lines.append(
            f"Vectors by {estimate.model}: {estimate.training_tokens:,} tokens{exact},"
            f" {price(estimate.training_usd)}."
        )
    elif estimate.billed_tokens:
        lines.append(
            f"Training {estimate.model}: {estimate.training_tokens:,} tokens{exact} x"
            f" {counted(estimate.epochs, 'epoch')}, {price(estimate.training_usd)}."
        )
    if estimate.requests:
        lines.append(
            f"Then {counted(estimate.requests, 'request')} to evaluate it:"
            f" {price(estimate.evaluation_usd)}."
        )
    lines.append(f"Together {estimate.price}.")
    lines += estimate.notes
    if estimate.local:
        lines.append("On the same rows, on this machine and for free:")
        lines += [f"  {line}" for line in estimate.local]
    else:
        lines.append(
            "No classifier was trained on the same rows on this machine, which is free and may do"
            f" as well: {free}"
        )
    return lines


def train_words(database: str, task: Task, plan: SplitPlan) -> list[str]:
    """The words of the command that trains a task on a split; see `our_command`."""
    words = ["train", database, task.source, "--kind", task.kind]
    if task.template is not None:
        words += ["--template", task.template]
    else:
        words += [word for column in task.text for word in ("--text", column)]
    words += [word for column in task.labels for word in ("--label", column)]
    words += [w for name, v in task.params.items() for w in ("--param", name, str(v))]
    for option, value in (
        ("--where", task.where),
        ("--split-column", task.split_column),
        ("--delimiter", task.delimiter),
        ("--label-names", json.dumps(task.label_names) if task.label_names else None),
        ("--markup", task.markup),
    ):
        words += [option, value] if value is not None else []
    words += ["--merge-variants"] if task.merged else []
    usual = SplitPlan()
    for name in ("seed", "validation", "test"):
        value = getattr(plan, name)
        words += [f"--{name}", str(value)] if value != getattr(usual, name) else []
    return words


def follow_training(
    conn: sqlite3.Connection, job: Job, access: Access, database: str, base_url: str | None
) -> TrainResult:
    """Runs a training to its end. Interrupted from the keyboard, it leaves one at a service to go
    on there, and the job to whoever comes next.

    base_url: the service's, as it was given
    """
    from ..jobs.train import run_submitted

    try:
        with step_progress() as progress, watched(database, job.id, progress):
            return run_submitted(conn, job, access=access)
    except JobStopped as stopped:
        raise click.ClickException(
            f"{with_options(stopped)} {again(conn, job.id, database)}"
        ) from None
    except KeyboardInterrupt:
        job = get_job(conn, job.id)
        if not goes_on_elsewhere(conn, job):
            goes_on = "goes on" if job.remote else "begins the training again"
            raise Stopped(f"Stopped. The same command {goes_on}.") from None
        if job.state == "paused":
            job = ask_job(conn, job.id, "resume")
        host = job.settings.get("host") or "the service"
        command = work_command(conn, job, database, base_url)
        raise Stopped(
            f"Stopped following job {job.id}. What has begun at {host} continues there. Give the "
            "same"
            f" command again to follow it to its end, or: {command}"
            f"\nTo end it there: {our_command('jobs', 'cancel', database, job.id)}"
        ) from None


def finish_training(
    conn: sqlite3.Connection,
    job: Job,
    access: Access,
    database: str,
    *,
    as_json: bool,
    base_url: str | None = None,
    queue: bool = False,
    first: Classifier | None = None,
) -> None:
    """Follows a submitted training to its end and prints the result, with what people want next.

    base_url: the service's, as it was given
    queue:    only queue the job
    first:    the classifier that the new one is compared with
    """
    from ..jobs.compare import compare_or_why

    if queue:
        say_queued(conn, job, database, as_json, base_url)
        return
    result = follow_training(conn, job, access, database, base_url)
    comparison, why_not = compare_or_why(conn, first, result.classifier) if first else (None, None)
    if as_json:
        compared = comparison.to_dict() if comparison else None
        about = {"comparison": compared, "not_compared": why_not} if first else {}
        print_json({**result.to_dict(), **about})
        return
    describe_training(result)
    if comparison is not None:
        echo()
        describe_comparison(comparison)
    elif first:
        echo(f"\nNot compared: {why_not}")
    say(f"\nNext: {next_step(conn, result, database, base_url)}")


def train_agreed(
    conn: sqlite3.Connection,
    task: Task,
    request: TrainRequest,
    access: Access,
    database: str,
    given: Given,
    as_json: bool,
    first: Classifier | None = None,
) -> None:
    """Trains once the costs are agreed to.

    given: the options of the command
    first: as of `finish_training`; without it, a task that cannot be learnt well is refused
    """
    from ..jobs.plausible import check_plausible
    from ..jobs.train import submit_train

    if first is not None:
        free = our_command("move", database, first.name, "--trainer", "local")
    else:
        named = ("--name", f"{request.settings(task)['name']}-local")
        free = our_command(*train_words(database, task, request.plan), *named)
    estimate = agree(conn, task, request, access, given, free)
    if first is None and estimate is None and not given["despite_findings"]:
        check_plausible(conn, task)
    job = submit_train(conn, task, request, estimate, access=access)
    queue = given["queue"] or not given.get("follow", True)
    finish_training(conn, job, access, database, as_json=as_json, base_url=given["base_url"],
        queue=queue, first=first)  # fmt: skip


def describe_training(result: TrainResult) -> None:
    classifier, report = result.classifier, result.classifier.report
    if classifier.training_rows:
        counts = {name: n for name, n in report["rows"].items() if name != "test"}
        used = " and ".join(f"{n:,} {name}" for name, n in counts.items())
        if sum(counts.values()) != classifier.training_rows:  # a service only validates on some
            used = f"and validated on {counts.get('validation', 0):,} others"
        echo(f"Trained {classifier.title} on {rows_text(classifier.training_rows)} ({used}).")
    else:
        echo(f"{classifier.title} is ready.")
    echo(f"  {len(classifier.labels)} labels, {classifier.labels.kind}")
    for value, count in report["left_out"].items():
        echo(f"  left out: {rows_text(count)} whose split column says {value}")
    if report.get("left_out_new"):
        echo(f"  left out: {rows_text(report['left_out_new'])} that came since")
    if report.get("predicted_labels"):
        echo(f"  {rows_have(report['predicted_labels'])} the label that was predicted")
    if report["shared_with_train"]:
        shared = report["shared_with_train"]
        echo(f"  {rows_have(shared)} been held back with a text that also stands in train")
    if variants := report.get("label_variants"):
        shown = "; ".join(" / ".join(map(ascii, group[:4])) for group in variants[:3])
        echo(
            f"  warning: {counted(len(variants), 'label')} written in several ways: {shown}."
            " --merge-variants counts them as one"
        )
    said = [*report.get("labels_said", []), *report.get("texts_said", [])]
    for line in [*said, *_report_lines(report)]:
        echo(f"  {line}")
    if result.usd:
        echo(f"  {dollars(result.usd)} spent")
    if result.metrics is None:
        echo(f"  Not evaluated: {result.not_evaluated or 'no rows were held back.'}")
    else:
        describe_headline(result.metrics, report)
    if result.local and result.metrics:
        echo("  On the same rows, on this machine:")
        for summary in result.local:
            echo(f"    {summary.classifier.title}: {summary.headline()}")


def _report_lines(report: TrainingReport) -> list[str]:
    curve = report.get("learning_curve")
    lines = [
        report.get("why"), calibration_text(report), chosen_text(report),
        curve["summary"] if curve else None,
    ]  # fmt: skip
    warnings = [f"warning: {warning}" for warning in report.get("warnings", ())]
    return [*filter(None, lines), *warnings]


def next_step(
    conn: sqlite3.Connection, result: TrainResult, database: str, base_url: str | None
) -> str:
    """The command or query that people want after a training, as it will work.

    base_url: the service's, as it was given
    """
    classifier: Classifier = result.classifier
    there = ["--base-url", base_url] if base_url is not None else []
    deploys = get_trainer(classifier.trainer).capabilities.deploys
    if deploys and classifier.at_service.deployment is None:
        there += ["--deployment", "DEPLOYMENT"]
    held_back = (classifier.report.get("rows") or {}).get("test")
    if result.metrics is None and held_back:
        return our_command("evaluate", database, classifier.name, *there)
    source = relation(conn, classifier.task.source)
    if source.is_view:
        sql = f"select ft_classify('a text', {quote_text(classifier.name)})"
        return f"ask it in SQL, since a view has no columns to write: {sql}"
    only = ["--unlabelled"] if count_unlabelled(conn, classifier) else []
    named = ("--classifier", classifier.name)
    return our_command("predict", database, source.name, *named, *only, *there)
