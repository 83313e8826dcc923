"""`classifiers drift`"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ..core import typed_json
from ..core.humanize import key_list, percent, score
from ..core.splits import SplitPlan
from ..present.our_command import our_command
from ..store.classifiers import find_classifier
from .options import database_argument, json_command, open_database, param_option, where_option
from .output import echo, one_line, print_json, say
from .parameters import params_from
from .train_steps import train_words

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..jobs.drift import Drift, Growth


@click.command()
@database_argument
@click.argument("name", required=False)
@where_option
@param_option
@json_command
def drift(
    database: str,
    name: str | None,
    where: str | None,
    param: tuple[tuple[str, str], ...],
    as_json: bool,
) -> None:
    """Compare the rows that came after a training with the test rows.

    New rows are those that were in no split; --where narrows them. Three tests look at the scores,
    at how familiar the texts are, and at the answers; together they give a false alarm for one
    unchanged table in twenty.

    \b
      datasette ftclassify classifiers drift mail.db messages
      datasette ftclassify classifiers drift mail.db messages --where "received > '2026-11'"
    """
    from ..jobs.drift import find_drift

    with open_database(database) as conn:
        classifier = find_classifier(conn, name)
        params = params_from(conn, classifier.task.source, where, param)
        found = find_drift(conn, classifier, where=where, params=params)
    if as_json:
        about = {"classifier": classifier.name, "version": classifier.version}
        print_json({**about, **typed_json.as_json(found)})
    else:
        _describe(found)
        if found.share is not None:
            words = train_words(database, classifier.task, SplitPlan(test=found.share))
            words += ["--trainer", classifier.trainer, "--name", classifier.name]
            say(f"Next: {our_command(*words)}")


def _describe(found: Drift) -> None:
    from ..present.drift import drift_read, drift_sentences, drift_summary

    echo(drift_summary(found))
    for said in drift_sentences(found):
        echo(f"  {said}")
    _list("Words that are more frequent than in the test rows", found.words)
    _list("Labels that are answered more often", found.labels)
    if found.rows:
        echo("New rows that are least like the training rows:")
    for row in found.rows:
        known = "" if row.known is None else f", known {score(row.known)}"
        key = key_list([row.key])
        echo(f"  {key}  {row.label} ({score(row.score)}{known})  {one_line(row.text)}")
    echo(drift_read(found))


def _list(title: str, growths: Iterable[Growth]) -> None:
    said = [f"{each.name} ({percent(each.before)} to {percent(each.now)})" for each in growths]
    if said:
        echo(f"{title}: {', '.join(said)}")
