"""The page on which somebody chooses from which score a classifier answers."""

from __future__ import annotations

import sqlite3
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from ...core.errors import ArtifactError, FtclassifyError
from ...core.numbers import LABEL_SHARE, SHARE, WRONG_SHARE
from ...core.strengths import PROMISES, STRENGTHS
from ...core.training_report import chosen_text
from ...jobs.label_trees import groups_on_test_rows
from ...jobs.minimum_scores import (
    FIGURES,
    MinimumChoice,
    Promises,
    choose_minimum,
    label_thresholds_for,
    promises,
    said,
    tested,
)
from ...metrics.minimum_scores import share_text
from ...store.classifiers import Classifier
from ...store.minimum_scores import MinimumScore, find_minimum
from .. import charts
from ..form_fields import number
from ..permissions import MINIMUM, VIEW
from ..registry import page
from ..responses import done, form_page, show
from .deletion import require_mutable

if TYPE_CHECKING:
    from datasette.utils.asgi import Response

    from ..page_request import PageRequest

FIELDS = ("strength", "wrong", "score", "figure", "least", "groups")
NONE = "none"
"""In the place of a strength: every answer is given again."""

_USUAL = MinimumChoice("likely", figure="precision", least=0.8)
"""What is shown of several labels before anybody chooses."""


@page(
    "/classifiers/{name}/minimum",
    "classifier",
    "ftclassify_minimum.html",
    reads=VIEW,
    writes=MINIMUM,
)
async def minimum_page(ask: PageRequest) -> Response:
    """GET /DB/-/ftclassify/classifiers/NAME/minimum: what can be promised, of the answers with one
    `label` where it is given. Of several labels a row: the threshold of each for a `figure`
    (precision or recall) of at `least` that much, in a `strength`.

    POST keeps what a `strength` comes to: likely or guaranteed with `wrong` (or `figure` and
    `least`), fixed with `score`, or none. With `groups` (confusion, column:NAME,
    or a delimiter) groups of labels answer below it, with empty ones none, else as before.
    """
    return await form_page(ask, _show, _keep)


async def _keep(ask: PageRequest) -> Response:
    require_mutable(ask)
    classifier = ask.classifier
    choice = _choice({name: ask.one(name) for name in FIELDS if name in ask.given})
    by = None if ask.actor is None else str(ask.actor.get("id"))[:200]
    minimum = await ask.write(lambda conn: choose_minimum(conn, classifier, choice, by))
    data = {"minimum": None if minimum is None else minimum.to_dict()}
    return await done(ask, ask.url("classifiers", classifier.title), data, said(minimum))


def _choice(typed: dict[str, str]) -> MinimumChoice | None:
    """As typed; fields that are not there are not meant. Raises FieldError."""
    given = {**dict.fromkeys(FIELDS, ""), **typed}
    strength = given["strength"] or PROMISES[0]
    if strength == NONE:
        return None
    fixed = strength == "fixed"
    return MinimumChoice(
        strength,
        wrong=None if fixed else number("wrong", given["wrong"], WRONG_SHARE),
        score=number("score", given["score"], SHARE) if fixed else None,
        figure=given["figure"] or None,
        least=number("least", given["least"], LABEL_SHARE),
        groups=given["groups"].strip()[:200] if "groups" in typed else None,
    )


async def _show(ask: PageRequest) -> Response:
    classifier, label = ask.classifier, ask.argument("label")
    typed = {name: ask.one(name) if ask.refused else ask.argument(name) for name in FIELDS}
    wanted = {} if ask.refused else typed
    found = await ask.read(lambda conn: _read(conn, classifier, label, wanted))
    more = {
        "found": found,
        "here": ask.url("classifiers", classifier.title, "minimum"),
        "drawn": promise_curve(found["promises"]),
        "labels": classifier.labels.names,
        "one_label": classifier.labels.exclusive,
        "label": label,
        "form": await minimum_form(ask, classifier, found["minimum"], typed),
    }
    return await show(ask, found, more=more)


async def minimum_form(
    ask: PageRequest,
    classifier: Classifier,
    minimum: dict[str, Any] | None,
    typed: dict[str, str] | None = None,
) -> dict[str, Any] | None:
    """What the form on pages needs; None for whoever may not choose.

    minimum: the one that is kept, which is shown but for what is `typed` in its place, unless that
             was refused: then all is shown as typed
    """
    if not ask.db.is_mutable or not await ask.may(MINIMUM):
        return None
    if typed is None or ask.refused is None:
        said = {name: text for name, text in (typed or {}).items() if text}
        typed = {**_fields(minimum), **said}
    return {
        "action": ask.url("classifiers", classifier.title, "minimum"),
        "strengths": list(STRENGTHS.items()),
        "figures": FIGURES,
        "one_label": classifier.labels.exclusive,
        "typed": typed,
    }


def _fields(minimum: dict[str, Any] | None) -> dict[str, str]:
    """As somebody would type what is kept."""
    if minimum is None:
        return {}
    found = {name: minimum[name] for name in ("strength", "figure") if minimum[name]}
    found |= {name: share_text(minimum[name]) for name in ("wrong", "least") if minimum[name]}
    if minimum["strength"] == "fixed":
        found["score"] = str(minimum["score"])
    return {**found, "groups": minimum.get("tree", {}).get("origin", "")}


def read_minimum(conn: sqlite3.Connection, classifier: Classifier) -> dict[str, Any]:
    """What is kept and what it gave on the test rows, and what can be promised; JSON-safe. Without
    thresholds of labels, which take a second for 60,000 rows."""
    return _read(conn, classifier, "", None)


def _read(
    conn: sqlite3.Connection, classifier: Classifier, label: str, typed: dict[str, str] | None
) -> dict[str, Any]:
    """typed: by which thresholds of labels are computed; None: they are not"""
    try:
        minimum, problem = find_minimum(conn, classifier), None
    except FtclassifyError as error:
        minimum, problem = None, str(error)
    position = None
    if label:
        position = classifier.labels.position_called(label)
        if position is None:
            raise FtclassifyError(f"{classifier.title} has no label {label}.")
    found, thresholds, outcome, of_groups = Promises(0, None, []), None, None, None
    try:
        if classifier.labels.exclusive:
            found = promises(conn, classifier, position)
        elif typed is not None:
            thresholds, why = _thresholds(conn, classifier, minimum, typed)
            problem = problem or why
        if minimum is not None and minimum.score is not None:
            outcome = tested(conn, classifier, minimum.score)
            of_groups = groups_on_test_rows(conn, classifier, minimum)
    except ArtifactError as error:  # damaged: the page has more to say than this
        found = Promises(0, str(error), [])
    told = found.to_dict()
    return {
        "classifier": classifier.name,
        "version": classifier.version,
        "minimum": None if minimum is None else minimum.to_dict(),
        "minimum_said": problem or said(minimum),
        "chosen_said": chosen_text(classifier.report),
        "test": None if outcome is None else asdict(outcome),
        "test_groups": None if of_groups is None else asdict(of_groups),
        **told,
        "problem": problem or told["problem"],
        "thresholds": thresholds,
    }


def _thresholds(
    conn: sqlite3.Connection,
    classifier: Classifier,
    minimum: MinimumScore | None,
    typed: dict[str, str],
) -> tuple[list[dict[str, Any]] | None, str | None]:
    """Of each label for what is typed, else for what is kept, else for the usual choice."""
    choice = _USUAL
    if minimum is not None:
        choice = MinimumChoice(minimum.strength, figure=minimum.figure, least=minimum.least)
    if any(typed.get(name) for name in ("figure", "least")):
        choice = _choice(typed) or _USUAL
    try:
        found = label_thresholds_for(conn, classifier, choice)
    except FtclassifyError as error:
        return None, str(error)
    names = classifier.labels.names
    return [{"label": name, **asdict(one)} for name, one in zip(names, found, strict=True)], None


def promise_curve(found: list[dict[str, Any]]) -> charts.Lines | None:
    """The curve: of each strength the share of rows that is answered, by the share of wrong answers
    in percent, with its interval. None where fewer than two promises can be made."""
    lines: dict[str, list[tuple[float, float]]] = {}
    bands: dict[str, list[tuple[float, float, float]]] = {}
    for promise in found:
        outcome = promise["outcome"]
        if outcome is not None:
            x = round(100 * promise["wrong"], 6)
            lines.setdefault(promise["strength"], []).append((x, outcome["coverage"]))
            band = (x, outcome["coverage_low"], outcome["coverage_high"])
            bands.setdefault(promise["strength"], []).append(band)
    return charts.lines(lines, bands=bands, share=True)
