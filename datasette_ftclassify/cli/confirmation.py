"""What commands that may cost money share: limits, estimates and the confirmation."""

from __future__ import annotations

import sqlite3
import sys
from typing import TYPE_CHECKING

import click

from ..core.errors import TrainingError
from ..core.humanize import counted, dollars, key_list, price
from ..trainers.registry import get_trainer
from .options import Given, together, usd_option, yes_option
from .output import Stopped, one_line, say

if TYPE_CHECKING:
    from ..jobs.confirming import Review
    from ..jobs.estimates import JobEstimate
    from ..store.classifiers import Classifier
    from ..trainers.access import Access


request_options = together(
    usd_option("Spending limit of the job, in USD. [1.5 times the estimate]"),
    yes_option,
    click.option(
        "--base-url", metavar="URL", help="Address of the service that has the model. [as trained]"
    ),
    click.option(
        "--deployment",
        metavar="NAME",
        help="Azure: name of the model's deployment; stored with the classifier.",
    ),
)
"""For classifiers whose model is at a service."""


def reach(
    conn: sqlite3.Connection, classifier: Classifier, given: Given
) -> tuple[Classifier, Access]:
    """The classifier as `request_options` change it, and the way to its model."""
    from ..jobs.remote.model_names import deploy
    from ..trainers.configuration import read_access

    access = read_access().at(classifier.trainer, given["base_url"])
    if given["deployment"]:
        if not get_trainer(classifier.trainer).capabilities.deploys:
            raise TrainingError(
                f"{classifier.title} is by {classifier.trainer}, which has no deployments: leave "
                "out --deployment."
            )
        classifier = deploy(conn, classifier, given["deployment"], access)
    return classifier, access


def agree(
    estimate: JobEstimate | None, classifier: Classifier, given: Given, review: Review | None = None
) -> None:
    """Says whom it will ask and what that costs, and asks; returns when somebody agrees, or nothing
    is asked.

    given:  as `request_options` have it, and with a review `despite_option`
    review: what was found in the rows
    Raises click's exceptions otherwise.
    """
    if estimate is None or estimate.requests == 0:
        return
    asked, limit_usd = classifier.at_service, given["limit_usd"]
    say(f"{classifier.title} asks {asked.model} at {asked.host}, so the texts leave this machine.")
    cost = price(estimate.usd, estimate.most_usd if limit_usd is None else limit_usd)
    tokens = f"{counted(estimate.requests, 'request')}, about {estimate.input_tokens:,} tokens"
    say(f"{tokens}: {cost}. {estimate.note}")
    if limit_usd is not None and estimate.usd is not None and limit_usd < estimate.usd:
        say(
            f"The limit of {dollars(limit_usd)} will be reached before the end: the job will then "
            "pause and keep what it has."
        )
    if review is not None:
        for line in review_lines(review):
            say(line)
        refuse_errors(review, given["despite_findings"])
    ask(yes=given["yes"])


def review_lines(review: Review) -> list[str]:
    """What leaves this machine, and what the checks found."""
    sends = review.sending
    what = f"Of each the text of {', '.join(sends.columns)}"
    what += f", with the labels of {', '.join(sends.labels)}," if sends.labels else ""
    example = "" if sends.example is None else f", such as: {one_line(sends.example)}"
    lines = [f"{what} goes to {sends.host}{example}"]
    for found in review.findings:
        lines += [f"{found.severity}: {found.message}", f"    {found.advice}"]
        lines += [f"    rows: {key_list(found.keys, found.count)}"] if found.keys else []
    if review.warnings:
        lines.append(f"{counted(review.warnings, 'more warning')}: see datasette ftclassify check.")
    return [*lines, review.checked]


def refuse_errors(review: Review, despite: bool) -> None:
    """Raises ClickException for errors that somebody has not agreed to pay despite of."""
    if review.refusal is not None and not despite:
        raise click.ClickException(
            f"{review.refusal} Fix the rows, or pay despite that: --despite-findings."
        )


def ask(*, yes: bool) -> None:
    """Asks whether to go on and pay, unless that was said beforehand.

    Raises ClickException for a no, and where nobody can be asked; Stopped for Ctrl-C.
    """
    confirm("Continue?", yes=yes, otherwise="Nothing was sent.")


def confirm(prompt: str, *, yes: bool, otherwise: str) -> None:
    """Asks, unless the answer was given beforehand.

    otherwise: what a no means, for people
    Raises ClickException for a no, and where nobody can be asked; Stopped for Ctrl-C.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise click.ClickException(f"{otherwise} To agree to that, add --yes.")
    try:
        agreed = click.confirm(prompt, err=True)
    except click.Abort:
        say()
        raise Stopped(otherwise) from None
    if not agreed:
        raise click.ClickException(otherwise)
