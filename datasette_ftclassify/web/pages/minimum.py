"""The page on which somebody chooses from which score a classifier answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from datasette.utils.asgi import Response

from ...core.numbers import LABEL_SHARE, SHARE, WRONG_SHARE
from ...core.strengths import PROMISES, STRENGTHS
from ...jobs.minimum_scores import FIGURES, MinimumChoice, Tested, chosen_minimum, said
from ...metrics.minimum_scores import share_text
from ...present.minimum import read_minimum
from ...store.classifiers import Classifier
from ...store.minimum_scores import MinimumScore, set_minimum
from .. import charts
from ..background_reads import read_aside, require_own_condition
from ..form_fields import number
from ..page_request import PageRequest
from ..permissions import MINIMUM, VIEW
from ..registry import page
from ..responses import done, form_page, show
from .deletion import require_mutable

FIELDS = ("strength", "wrong", "score", "figure", "least", "groups")
NONE = "none"
"""In the place of a strength: every answer is given again."""


@dataclass(frozen=True)
class MinimumForm:
    """What is chosen from, and what is `typed`, by the names of FIELDS."""

    action: str
    one_label: bool
    typed: Mapping[str, str]
    strengths: Mapping[str, str] = field(default_factory=lambda: STRENGTHS)
    figures: Sequence[str] = FIGURES


@page("/classifiers/{name}/minimum", reads=VIEW, writes=MINIMUM)
async def minimum_page(ask: PageRequest) -> Response:
    return await form_page(ask, _show, _keep)


async def _keep(ask: PageRequest) -> Response:
    require_mutable(ask)
    classifier = ask.classifier
    choice = _choice({name: ask.one(name) for name in FIELDS if name in ask.given})
    if choice is not None and choice.groups != "":  # those of a column are found by the rows
        await require_own_condition(ask)
    by = None if ask.actor is None else str(ask.actor.get("id"))[:200]
    # It may take its time, in which others want to write.
    chosen = await read_aside(ask, lambda conn: chosen_minimum(conn, classifier, choice, by))
    minimum = await ask.write(lambda conn: set_minimum(conn, classifier, chosen))
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
    said = ask.refused is None and (typed["figure"] or typed["least"])
    choice = _choice(typed) if said and not classifier.labels.exclusive else None
    found = await ask.read(lambda conn: read_minimum(conn, classifier, label or None, choice))
    more = {
        "found": found,
        "here": ask.url("classifiers", classifier.title, "minimum"),
        "drawn": promise_curve(found.promises.tested),
        "labels": classifier.labels.names,
        "one_label": classifier.labels.exclusive,
        "label": label,
        "form": await minimum_form(ask, classifier, found.minimum, typed),
    }
    return await show(ask, found.to_dict(), more=more)


async def minimum_form(
    ask: PageRequest,
    classifier: Classifier,
    minimum: MinimumScore | None,
    typed: dict[str, str] | None = None,
) -> MinimumForm | None:
    """What the form on pages needs; None for whoever may not choose.

    minimum: the one that is kept, which is shown but for what is `typed` in its place, unless that
             was refused: then all is shown as typed
    """
    if not ask.db.is_mutable or not await ask.may(MINIMUM):
        return None
    if typed is None or ask.refused is None:
        said = {name: text for name, text in (typed or {}).items() if text}
        typed = {**_fields(minimum), **said}
    action = ask.url("classifiers", classifier.title, "minimum")
    return MinimumForm(action, classifier.labels.exclusive, typed)


def _fields(minimum: MinimumScore | None) -> dict[str, str]:
    """As somebody would type what is kept."""
    if minimum is None:
        return {}
    shares = {"wrong": minimum.wrong, "least": minimum.least}
    return {
        "strength": minimum.strength,
        "figure": minimum.figure or "",
        **{name: share_text(share) for name, share in shares.items() if share},
        "score": str(minimum.score) if minimum.strength == "fixed" else "",
        "groups": "" if minimum.tree is None else minimum.tree.origin,
    }


def promise_curve(found: Sequence[Tested]) -> charts.Lines | None:
    """The curve: of each strength the share of rows that is answered, by the share of wrong answers
    in percent, with its interval. None where fewer than two promises can be made."""
    lines: dict[str, list[tuple[float, float]]] = {}
    bands: dict[str, list[tuple[float, float, float]]] = {}
    for promise in (one.promise for one in found):
        outcome = promise.outcome
        if outcome is not None and promise.wrong is not None:
            x = round(100 * promise.wrong, 6)
            lines.setdefault(promise.strength, []).append((x, outcome.coverage))
            band = (x, outcome.coverage_low, outcome.coverage_high)
            bands.setdefault(promise.strength, []).append(band)
    return charts.lines(lines, bands=bands, share=True)
