"""`ask`"""

from __future__ import annotations

import math
import sys
from typing import TYPE_CHECKING, Any

import click

from ..core.humanize import dollars
from ..jobs.load_classifier import may_measure_known, service_of
from ..store.classifiers import find_classifier
from ..store.minimum_scores import find_minimum
from .confirmation import agree, reach, request_options
from .options import Given, database_argument, json_command, open_database
from .output import echo, print_json, say

if TYPE_CHECKING:
    import sqlite3

    from ..sql.classifier import AnswerJson
    from ..store.classifiers import Classifier

MOST_LABELS = 10
"""Labels whose probabilities are shown."""


@click.command()
@database_argument
@click.argument("classifier")
@click.argument("text", required=False)
@click.option(
    "--column",
    type=(str, str),
    multiple=True,
    metavar="NAME VALUE",
    help="Value of a column that the classifier reads, instead of TEXT; repeat for more.",
)
@request_options
@json_command
def ask(database: str, classifier: str, text: str | None, as_json: bool, **given: Any) -> None:
    """Classify one text, or standard input if TEXT is -.

    A classifier at a paid service shows the cost first and asks for consent; a text with a stored
    answer is free.

    \b
      datasette ftclassify ask mail.db messages 'Where is my parcel?'
      datasette ftclassify ask mail.db messages@2 - --yes --json < letter.txt
      datasette ftclassify ask ads.db ad-match --column company Acme --column ad 'Anvils!'
    """
    from ..jobs.ask import text_of

    with open_database(database) as conn:
        found = find_classifier(conn, classifier)
        if text == "-":
            text = sys.stdin.read()
        asked = text_of(found, text, dict(given.pop("column")))
        answer = _answer(conn, found, asked, given)
    if as_json:
        print_json(answer)
    else:
        _describe(answer, measurable=may_measure_known(found))
    if "error" in answer:
        click.get_current_context().exit(1)


def _answer(
    conn: sqlite3.Connection, classifier: Classifier, text: str, given: Given
) -> AnswerJson:
    """As ft_classify_json gives it; `usd` is what it cost now."""
    from ..core.database import is_read_only
    from ..jobs.ask import ask_text, estimate_text, kept_answer
    from ..sql.functions import answer_json, register
    from ..sql.remote_classifier import described_answer

    if service_of(classifier) is None:
        register(conn)
        return {**answer_json(conn, text, classifier.title), "usd": 0.0}
    minimum = find_minimum(conn, classifier)
    kept = kept_answer(conn, classifier, text)
    if kept is not None:
        say("This text has a stored answer, which costs nothing.")
        return {**described_answer(kept, classifier, minimum), "usd": 0.0}
    if is_read_only(conn):
        raise click.ClickException(
            "The file is read-only, so an answer that is paid for could not be kept: ask in a copy."
        )
    classifier, access = reach(conn, classifier, given)
    estimate = estimate_text(classifier, text, access)
    agree(estimate, classifier, given)
    asked = ask_text(
        conn, classifier, text, access, estimate=estimate, limit_usd=given["limit_usd"]
    )
    return {**described_answer(asked.answer, classifier, minimum), "usd": asked.spent.usd}


def _describe(answer: AnswerJson, *, measurable: bool) -> None:
    from ..present.known import known_sentence

    if "error" in answer:
        say(f"Error: {answer['error']}")
        return
    labels = answer.get("labels", answer.get("name", answer.get("label")))
    if labels is None:
        echo(f"no label: {answer.get('reason') or 'no answer'}")
    else:
        said = ", ".join(map(str, labels)) if isinstance(labels, list) else str(labels)
        score = "" if answer["score"] is None else f"  (score {answer['score']:.3f})"
        echo(f"{said or 'none of the labels'}{score}")
    if said_of_text := known_sentence(answer, measurable=measurable):
        echo(said_of_text)
    scores = {
        name: value for name, value in (answer["logprobs"] or {}).items() if value is not None
    }
    for name in sorted(scores, key=lambda name: -scores[name])[:MOST_LABELS]:
        echo(f"  {math.exp(scores[name]):.3f}  {name}")
    if answer["usd"]:
        say(f"Spent {dollars(answer['usd'])}.")
