"""The box to try a text: what a classifier says of it, with all scores and the words behind it.

A classifier whose model is at a service costs money for each text that it has no kept answer to.
It is asked for those who may spend, within the operator's budget for SQL functions, and no others.
"""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from ..errors import FtclassifyError
from ..loading import service_of
from ..resolver import Resolver, Served
from ..sql_answers import Asking, KeptAnswers
from ..sql_asking import NoAnswer
from ..store.answers import KeptAnswer
from ..store.classifiers import Classifier
from ..trainers.access import Access
from .permissions import SPEND
from .showing import show

if TYPE_CHECKING:
    from datasette.utils.asgi import Response

    from .routing import Ask

MAX_TEXT = 20_000
"""Characters: some pages; more than anyone types."""

PER_MINUTE = 60
"""Texts that an anonymous visitor may try in a minute, and twice that at once after a rest."""

_REMEMBERED = 10_000


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
    """A visitor asks more often than is good for the others."""

    status = 429


class _AsksNobody(Asking):
    """For a visitor who may not spend."""

    def __init__(self) -> None:
        super().__init__(Access, lambda path: False, 0.0)

    def ask(self, served: Served, text: str) -> KeptAnswer:
        """Raises NoAnswer."""
        raise NoAnswer(
            f"{served.classifier.title} has no kept answer to this text, and asking for one costs "
            f"money: that needs the permission {SPEND}."
        )


async def try_page(ask: Ask) -> Response:
    """GET /DB/-/ftclassify/classifiers/NAME/try?text=…, a page without JavaScript and JSON with."""
    classifier = ask.classifier
    assert classifier is not None
    text = ask.argument("text")
    if len(text) > MAX_TEXT:
        raise FtclassifyError(f"The text has more than {MAX_TEXT:,} characters: try a shorter one.")
    if ask.actor is None and not _limit.allows(_visitor(ask)):
        raise TooMany("You have tried many texts in a short time: wait a minute.")
    answer = None
    if text:
        find = _answer if await ask.may(SPEND) or not _is_asked(classifier) else _kept
        answer = await ask.read(lambda conn: find(conn, text, classifier.title))
    data = {"classifier": classifier.name, "version": classifier.version, "text": text,
            "answer": answer, "scores": _scores(answer)}  # fmt: skip
    more = {"title": classifier.title, "back": ask.url("classifiers", classifier.title)}
    return await show(ask, "ftclassify_try.html", data, more=more)


def _visitor(ask: Ask) -> str:
    client = ask.request.scope.get("client")
    return str(client[0]) if client else ""


def _is_asked(classifier: Classifier) -> bool:
    """Whether its model is at a service. Raises TrainingError when its trainer is not here."""
    return service_of(classifier) is not None


def _kept(conn: sqlite3.Connection, text: str, title: str) -> dict[str, Any]:
    """What the file already knows."""
    served = Resolver(lambda: conn).resolve(title)
    if not isinstance(served, Served):
        raise NoAnswer(f"{title} has been replaced just now: try again.")
    return KeptAnswers(lambda: conn, _AsksNobody()).full(text, served)


def _answer(conn: sqlite3.Connection, text: str, title: str) -> dict[str, Any]:
    """What ft_classify_json and ft_explain say: the same that a query would get."""
    said, words = conn.execute(
        "select ft_classify_json(?, ?), ft_explain(?, ?)", [text, title, text, title]
    ).fetchone()
    answer: dict[str, Any] = json.loads(said) if said else {"error": "There is no answer."}
    found = json.loads(words) if words else {}
    answer["words"] = found.get("words")
    return answer


def _scores(answer: dict[str, Any] | None) -> list[dict[str, Any]]:
    """All labels with their probability (0-1), most probable first."""
    import math

    logprobs = (answer or {}).get("logprobs") or {}
    rows = [
        {"name": name, "score": 0.0 if value is None else math.exp(value)}
        for name, value in logprobs.items()
    ]
    return sorted(rows, key=lambda row: -row["score"])
