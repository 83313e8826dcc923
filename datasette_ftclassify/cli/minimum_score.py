"""`classifiers minimum`"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from ..core.errors import ArtifactError
from ..core.humanize import percent, rows_text
from ..core.numbers import LABEL_SHARE
from ..store.classifiers import find_classifier
from .classifiers import classifiers
from .options import (
    Given,
    database_argument,
    json_command,
    number_option,
    open_database,
    strength_option,
    wrong_option,
)
from .output import echo, print_json

if TYPE_CHECKING:
    from ..jobs.minimum_scores import MinimumChoice, Promises, Tested
    from ..metrics.minimum_scores import Outcome


@classifiers.command("minimum")
@database_argument
@click.argument("name", required=False)
@wrong_option
@strength_option
@number_option("--score", help="Fixed score, which promises nothing.")
@number_option(
    "--precision",
    within=LABEL_SHARE,
    metavar="SHARE",
    help="Multilabel: give each label from the probability with this precision.",
)
@number_option(
    "--recall", within=LABEL_SHARE, metavar="SHARE", help="Multilabel: the same for recall."
)
@click.option(
    "--groups",
    metavar="WHICH",
    help="Groups of labels that answer below it: confusion, column:NAME, or a delimiter in the"
    " labels, such as /. Empty: none. [as before]",
)
@click.option("--none", "no_minimum", is_flag=True, help="Remove the minimum score.")
@click.option(
    "--label", metavar="LABEL", help="Show what can be promised for answers with this label."
)
@json_command
def minimum_command(database: str, name: str | None, as_json: bool, **given: Any) -> None:
    """Choose the minimum score of a classifier, or see the effect of each choice.

    Below it, ft_classify() and predictions give no label. It is computed from rows that training
    held out, checked on the test rows, and stored with this version of the classifier.

    \b
      datasette ftclassify classifiers minimum mail.db messages
      datasette ftclassify classifiers minimum mail.db messages --wrong-at-most 5%
      datasette ftclassify classifiers minimum mail.db --wrong-at-most 2% --strength guaranteed
      datasette ftclassify classifiers minimum mail.db messages --none
    """
    from ..jobs.minimum_scores import choose_minimum
    from ..present.minimum import read_minimum

    with open_database(database) as conn:
        classifier = find_classifier(conn, name)
        choice = _choice(given)
        chosen = choice is not None or given["no_minimum"]
        if chosen:
            choose_minimum(conn, classifier, choice, None)
        found = read_minimum(conn, classifier, given["label"], choice, thresholds=as_json)
    if found.damaged is not None:
        raise ArtifactError(found.damaged)
    if as_json:
        print_json(found)
        return
    echo(f"{classifier.title}: {found.minimum_said}")
    if found.test is not None:
        echo(f"On the test rows: {_outcome(found.test)}.")
    if found.test_groups is not None:
        gave = _outcome(found.test_groups).replace("answered", "get a group", 1)
        echo(f"Of {found.test_groups.rows:,} of the test rows without a label: {gave}.")
    if not chosen and classifier.labels.exclusive:
        _describe(found.promises)
    if found.chosen_said:
        echo(found.chosen_said)


def _choice(given: Given) -> MinimumChoice | None:
    from ..jobs.minimum_scores import FIGURES, MinimumChoice

    ways = [name for name in ("wrong", "score", *FIGURES) if given[name] is not None]
    if len(ways) + given["no_minimum"] > 1:
        raise click.UsageError(
            "Choose one of --wrong-at-most, --score, --precision, --recall and --none."
        )
    if given["groups"] and not {*ways} & {"wrong", "score"}:
        raise click.UsageError("--groups needs --wrong-at-most or --score: below it groups answer.")
    if not ways:
        return None
    (way,) = ways
    if way in FIGURES:
        return MinimumChoice(given["strength"], figure=way, least=given[way])
    if way == "score":
        return MinimumChoice("fixed", score=given["score"], groups=given["groups"])
    return MinimumChoice(given["strength"], wrong=given["wrong"], groups=given["groups"])


def _describe(found: Promises) -> None:
    if found.problem is not None:
        echo(found.problem)
        return
    echo(f"By {rows_text(found.rows)} that were held out of the training:")
    for one in found.tested:
        echo(_line(one))


def _line(one: Tested) -> str:
    from ..metrics.minimum_scores import share_text

    promise = one.promise
    start = f"  {share_text(promise.wrong or 0):>5} wrong, {promise.strength:<10}"
    if promise.score is None or promise.outcome is None:
        more = f", about {promise.more_rows:,} more rows needed" if promise.more_rows else ""
        return f"{start}  nothing can be promised{more}"
    covered = f"  from {promise.score:.3f}: {percent(promise.outcome.coverage, 1)} answered"
    return f"{start}{covered}" + ("" if one.test is None else f"; test rows: {_outcome(one.test)}")


def _outcome(outcome: Outcome) -> str:
    answered = f"{percent(outcome.coverage, 1)} answered"
    if outcome.error is None or outcome.error_low is None or outcome.error_high is None:
        return answered
    low, high = percent(outcome.error_low, 1), percent(outcome.error_high, 1)
    return f"{answered}, {percent(outcome.error, 1)} of these wrong ({low} to {high})"
