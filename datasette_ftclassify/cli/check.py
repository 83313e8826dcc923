"""`check`"""

from __future__ import annotations

import shlex
from typing import Any

import click

from ..checks import CheckReport, Finding, run_checks
from ..checks.codes import Section
from ..checks.registry import codes_of
from ..checks.report_data import Lengths
from ..core.database import relation
from ..core.humanize import counted, dollars, key_list, rows_text
from ..present.our_command import our_command
from ..store.columns import predicted_columns
from ..trainers.registry import get_trainer
from .options import (
    Given,
    json_command,
    open_database,
    plan_from,
    plan_options,
    task_from,
    task_options,
)
from .output import echo, one_line, print_json, say, step_progress
from .train_steps import train_words

_COLOURS = {"error": "red", "warning": "yellow", "info": "cyan"}
_BAR, _LABELS = 30, 15
_OPTIONS = {
    "label-notation": "--label-names a,b,c, --delimiter CHAR, --kind KIND",
    "label-on-every-row": "--label-names a,b,c",
    "likely-mislabelled": "review --text COL --label COL",
    "no-label-for-the-rest": "predict --min-score SCORE",
}
"""What an advice is called on the command line, where the finding proposes nothing itself."""


@click.command()
@task_options
@click.option("--model", help="Model whose tokens and price are shown.")
@click.option("--trainer", help="Trainer whose price is shown. [a service that trains]")
@click.option(
    "--local", is_flag=True, help="For the local trainer: count no tokens, show no price."
)
@click.option("--sample", default=5, show_default=True, help="Number of random examples to show.")
@click.option("--quick", is_flag=True, help="Skip the search for label errors and leaks.")
@plan_options
@json_command
def check(database: str, as_json: bool, **given: Any) -> None:
    """Check a labelled table for problems before training on it.

    The exit code is 0 whatever is found; scripts read the severities from --json.

    \b
      datasette ftclassify check mail.db messages --text body --label folder
      datasette ftclassify check ads.db ads --label relevant \\
          --template 'Company: {{ company }}\\nAd: {{ ad }}'
      datasette ftclassify check posts.db posts --text body --label a --label b --label c
    """
    from ..jobs.check import as_trained_by

    leaves_machine = _leaves_machine(given)
    with open_database(database) as conn, step_progress() as progress:
        task = task_from(conn, given, checks=True)
        plan = plan_from(given)
        report = run_checks(
            conn,
            task,
            plan=plan,
            model=given["model"],
            leaves_machine=leaves_machine,
            sample_size=given["sample"],
            seed=plan.seed,
            deep=not given["quick"],
            download=True,
            predicted=predicted_columns(conn, relation(conn, task.source)),
            progress=progress,
            **as_trained_by(given["trainer"], given["model"]),
        )
    if as_json:
        print_json(report)
    else:
        _describe(report, hosted=leaves_machine is True)
        if report.ok:
            proposed = [_option(finding) or "" for finding in report.findings if finding.proposal]
            command = " ".join([our_command(*train_words(database, task, plan)), *proposed])
            say(f"No error stands in the way of training. Next: {command}")
        else:
            say("Errors stand in the way of training: fix them first.")


def _leaves_machine(given: Given) -> bool | None:
    """None: nobody has chosen a trainer."""
    if given["local"]:
        return False
    if given["trainer"]:
        return get_trainer(given["trainer"]).capabilities.leaves_machine
    return True if given["model"] else None


def _describe(report: CheckReport, *, hosted: bool) -> None:
    """hosted: whether a hosted model was chosen; what one would make of the rows stands apart from
    the rest otherwise."""
    rows, task = report.rows, report.task
    echo(
        f"{task.source}: {rows_text(rows['total'])}, {rows['labelled']:,} labelled,"
        f" {rows['usable']:,} usable as examples; {task.kind}"
        + task.label_reading.words
        + (f", texts in {task.markup} read as their words" if task.markup else "")
    )
    splits = ", ".join(f"{n:,} {name}" for name, n in report.splits["rows"].items())
    echo(f"Split: {splits}\n")
    _describe_labels(report)
    _describe_lengths("characters", report.distributions["characters"])
    if hosted:
        _describe_tokens(report)
    for example in report.sample:
        labels = ", ".join(map(str, example["labels"]))
        echo(f"  e.g. {example['key']} {labels}: {one_line(example['text'])}")
    echo()
    apart = frozenset() if hosted else codes_of(Section.MODEL)
    for finding in report.findings:
        if finding.code not in apart:
            _describe_finding(finding)
    if report.tokens and not hosted:
        model = report.tokens["model"]
        echo(f"\nOnly if a hosted model is trained, such as {model} (--local leaves this out):")
        _describe_tokens(report)
        for finding in report.findings:
            if finding.code in apart:
                _describe_finding(finding)


def _describe_labels(report: CheckReport) -> None:
    counts: dict[str, int] = {}
    for by_label in report.distributions["labels"].values():
        for name, n in by_label.items():
            counts[name] = counts.get(name, 0) + n
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    largest = max(counts.values(), default=1)
    width = max((len(_visible(name)) for name in counts), default=0)
    for name, n in ordered[:_LABELS]:
        bar = "█" * max(1, round(_BAR * n / largest))
        echo(f"  {_visible(name):{width}}  {n:7,}  {bar}")
    if rest := ordered[_LABELS:]:
        echo(f"  … {counted(len(rest), 'more label')}, the smallest with {rows_text(rest[-1][1])}")


def _visible(name: str) -> str:
    """In quotes where white space that nobody sees may tell it from another label."""
    return one_line(name if name == " ".join(name.split()) else repr(name), 30)


def _describe_lengths(unit: str, lengths: Lengths | None) -> None:
    if lengths:
        echo(
            f"  {unit} per text: {lengths['min']:,} to {lengths['max']:,},"
            f" median {lengths['median']:,}, 95% under {lengths['p95']:,}"
        )


def _describe_tokens(report: CheckReport) -> None:
    _describe_lengths("tokens", report.distributions["tokens"])
    if report.tokens:
        exact = "" if report.tokens["exact"] else " (an estimate)"
        echo(
            f"  {report.tokens['training_tokens']:,} training tokens for"
            f" {report.tokens['model']}{exact}"
        )
    usd = report.estimate["usd"] if report.estimate else None
    if report.estimate and usd is not None:
        echo(
            f"  training there would cost about {dollars(usd)} for"
            f" {counted(report.estimate['epochs'], 'epoch')}; train asks before it pays"
        )


def _option(finding: Finding) -> str | None:
    proposed = finding.proposal or {}
    if "merged" in proposed:
        return "--merge-variants"
    options = [f"--{name} {shlex.quote(str(value))}" for name, value in proposed.items()]
    return " ".join(options) or _OPTIONS.get(finding.code)


def _describe_finding(finding: Finding) -> None:
    colour = _COLOURS[finding.severity]
    click.echo(click.style(finding.severity, fg=colour, bold=True), nl=False)
    echo(f": {finding.message}")
    nothing = finding.advice.startswith("Nothing to do")
    option = None if nothing else _option(finding)
    echo(f"    {finding.advice}{f' ({option})' if option else ''}")
    for group in finding.groups:
        echo(f"    {counted(group.rows, 'row')} together: {key_list(group.keys, group.rows)}")
    if finding.keys and not finding.groups:
        echo(f"    rows: {key_list(finding.keys)}")
