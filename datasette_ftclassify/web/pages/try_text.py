"""The page that tries a text: its labels, all scores, and the words that moved them.

A classifier whose model is at a service costs money for each text without a stored answer.
Showing the page never costs anything: users who may spend see the price, and agree to it.
"""

from __future__ import annotations

import math
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

from datasette.utils.asgi import Response

from ...core.errors import AccessError, FtclassifyError
from ...core.humanize import dollars
from ...core.numbers import AGREED_USD
from ...core.settings import PROXIES
from ...jobs.ask import ask_text, estimate_text, kept_answer, text_of
from ...jobs.estimates import JobEstimate
from ...jobs.load_classifier import may_measure_known, service_of
from ...present.known import known_sentence
from ...sql.classifier import AnswerJson
from ...sql.functions import explained_json
from ...sql.remote_classifier import described_answer
from ...store.classifiers import Classifier
from ...store.minimum_scores import find_minimum
from ...store.published import why_unasked
from ...trainers.access import Access
from ..background_reads import bring_up_to_date, path_of, read_aside, write_aside
from ..form_fields import number
from ..operator_settings import access_of, plugin_settings
from ..page_request import PageRequest
from ..paying import require_may_pay
from ..permissions import VIEW
from ..registry import page
from ..responses import show

MAX_TEXT = 20_000
"""Characters: some pages; more than anyone types."""

PER_MINUTE = 60
"""Texts that an anonymous visitor may try in a minute, and twice that at once after a rest."""

_REMEMBERED = 10_000
_LONGEST_ADDRESS = 100


class RateLimit:
    """A bucket of tokens for each visitor: it fills evenly, and holds a minute's worth."""

    def __init__(self, per_minute: int) -> None:
        self._rate = per_minute / 60
        self._most = float(per_minute)
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._lock = threading.Lock()

    def allows(self, who: str, at: float | None = None) -> bool:
        """Takes a token; False when the visitor has none left."""
        moment = time.monotonic() if at is None else at
        with self._lock:
            left, since = self._buckets.pop(who, (self._most, moment))
            left = min(self._most, left + (moment - since) * self._rate)
            self._buckets[who] = (left - 1 if left >= 1 else left, moment)
            while len(self._buckets) > _REMEMBERED:
                self._buckets.popitem(last=False)
            return left >= 1


_limit = RateLimit(PER_MINUTE)


class TooMany(FtclassifyError):
    """A visitor sends more requests than the rate limit allows."""

    status = 429


# A POST that costs money needs another permission: the view asks for it.
@page("/classifiers/{name}/try", reads=VIEW, writes=VIEW)
async def try_page(ask: PageRequest) -> Response:
    classifier = ask.classifier
    if ask.actor is None and not _limit.allows(_visitor(ask)):
        raise TooMany("You have tried many texts in a short time: wait a minute.")
    if ask.method == "POST" and not ask.db.is_mutable:
        raise FtclassifyError(
            f"{ask.database} cannot be changed here, so no answer that is paid for could be kept."
        )
    typed, columns = _typed(ask, classifier)
    text = text_of(classifier, typed, columns) if typed or any(columns.values()) else ""
    if len(text) > MAX_TEXT:
        raise FtclassifyError(f"The text has more than {MAX_TEXT:,} characters: try a shorter one.")
    outcome = _Outcome()
    if text and service_of(classifier) is None:
        outcome = _Outcome(
            await ask.read(lambda conn: explained_json(conn, text, classifier.title))
        )
    elif text:
        outcome = await _of_service(ask, classifier, text)
    several = classifier.task.template is not None or len(classifier.task.text) > 1
    estimate = outcome.estimate
    data = {
        "text": text,
        "answer": outcome.answer,
        "scores": _scores(outcome.answer),
        "usd": outcome.usd,
        "estimate": estimate,
    }
    more = {
        "action": ask.url("classifiers", classifier.title, "try"),
        "typed": typed,
        "columns": {name: columns.get(name, "") for name in classifier.task.text},
        "several": several and not typed,
        "price": None if estimate is None else estimate.price,
        "asks": classifier.at_service,
        "cost": None if outcome.usd is None else dollars(outcome.usd),
        "problem": outcome.problem,
        "unlike": None
        if outcome.answer is None
        else known_sentence(outcome.answer, measurable=may_measure_known(classifier)),
    }
    return await show(ask, data, more=more, problem=outcome.problem)


@dataclass(frozen=True)
class _Outcome:
    """answer: None: there is none yet; then `estimate` is what it would cost
    usd:     what it cost just now; None: nothing was asked
    problem: why a request to pay was not carried out
    """

    answer: AnswerJson | None = None
    estimate: JobEstimate | None = None
    usd: float | None = None
    problem: str | None = None


def _typed(ask: PageRequest, classifier: Classifier) -> tuple[str, dict[str, str]]:
    """The text, and the values of columns, of a form, an address or JSON."""
    given = ask.given.get("columns") if ask.method == "POST" else None
    if isinstance(given, dict):
        return ask.one("text"), {str(name): str(value) for name, value in given.items()}
    one = ask.one if ask.method == "POST" else ask.argument
    values = {name: one(f"column-{name}") for name in classifier.task.text}
    return one("text"), {name: value for name, value in values.items() if value}


async def _of_service(ask: PageRequest, classifier: Classifier, text: str) -> _Outcome:
    """The stored answer; else, for users who may spend, its price, or the answer once that is
    agreed."""
    minimum = await ask.read(lambda conn: find_minimum(conn, classifier))
    kept = await ask.read(lambda conn: kept_answer(conn, classifier, text))
    if kept is not None:
        return _Outcome(described_answer(kept, classifier, minimum))
    try:
        access = await _may_ask(ask, classifier)
        estimate = await read_aside(ask, lambda conn: estimate_text(classifier, text, access))
    except FtclassifyError as error:
        if ask.method == "POST":
            raise
        said = str(error)
        return _Outcome(
            {"error": said, "classifier": classifier.name, "version": classifier.version}
        )
    if ask.method != "POST":
        return _Outcome(estimate=estimate)
    if (problem := _not_agreed(ask, estimate)) is not None:
        return _Outcome(estimate=estimate, problem=problem)
    await bring_up_to_date(ask)
    asked = await write_aside(
        ask, lambda conn: ask_text(conn, classifier, text, access, estimate=estimate)
    )
    answer = described_answer(asked.answer, classifier, minimum)
    return _Outcome(answer, usd=asked.spent.usd)


async def _may_ask(ask: PageRequest, classifier: Classifier) -> Access:
    """Raises FtclassifyError when the visitor cannot have it asked."""
    title = classifier.title
    if (why := why_unasked(classifier)) is not None:
        raise FtclassifyError(why)
    if not ask.db.is_mutable:
        raise FtclassifyError(
            f"{title} has no stored answer for this text, and {ask.database} cannot be changed "
            "here, so one that is paid for could not be stored."
        )
    path_of(ask)
    access = await access_of(ask.datasette)
    what = f"{title} has no stored answer for this text, and a request"
    await require_may_pay(ask, what, access)
    return access


def _not_agreed(ask: PageRequest, estimate: JobEstimate | None) -> str | None:
    """Why nothing is asked yet; None when the price is agreed to."""
    if estimate is None:
        return None
    if estimate.usd is None:
        return f"No limit can be kept for it: {estimate.note}"
    confirmed = number("confirm_usd", ask.one("confirm_usd"), AGREED_USD)
    if confirmed is not None and estimate.usd <= confirmed:
        return None
    return f"It costs {estimate.price}. {estimate.note} To agree to that, send confirm_usd."


def _visitor(ask: PageRequest) -> str:
    """The visitor's address; that of the proxy before it where the operator knows of none. What
    stands before the addresses that the operator's own proxies added may be anybody's invention."""
    try:
        proxies = PROXIES.of(plugin_settings(ask.datasette), {}) or 0
    except AccessError:  # said in the log at the start
        proxies = 0
    headers = ask.request.scope.get("headers") or []
    lines = [v.decode("latin-1") for k, v in headers if k.lower() == b"x-forwarded-for"]
    seen = [part.strip() for part in ",".join(lines).split(",") if part.strip()]
    if proxies and len(seen) >= proxies:
        return seen[-proxies][:_LONGEST_ADDRESS]
    client = ask.request.scope.get("client")
    return str(client[0]) if client else ""


def _scores(answer: AnswerJson | None) -> list[dict[str, Any]]:
    """All labels, the most probable first, each with its name and its probability, 0-1."""
    logprobs = (answer or {}).get("logprobs") or {}
    rows = {name: 0.0 if one is None else math.exp(one) for name, one in logprobs.items()}
    ordered = sorted(rows, key=lambda name: -rows[name])
    return [{"name": name, "score": rows[name]} for name in ordered]
