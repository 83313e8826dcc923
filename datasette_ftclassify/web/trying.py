"""The box to try a text: what a classifier says of it, with all scores and the words behind it."""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from ..errors import FtclassifyError
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


async def try_page(ask: Ask) -> Response:
    """GET /DB/-/ftclassify/classifiers/NAME/try?text=…, a page without JavaScript and JSON with."""
    classifier = ask.classifier
    assert classifier is not None
    text = ask.argument("text")
    if len(text) > MAX_TEXT:
        raise FtclassifyError(f"The text has more than {MAX_TEXT:,} characters: try a shorter one.")
    if ask.actor is None and not _limit.allows(_visitor(ask)):
        raise TooMany("You have tried many texts in a short time: wait a minute.")
    answer = await ask.read(lambda conn: _answer(conn, text, classifier.title)) if text else None
    data = {"classifier": classifier.name, "version": classifier.version, "text": text,
            "answer": answer, "scores": _scores(answer)}  # fmt: skip
    more = {"title": classifier.title, "back": ask.url("classifiers", classifier.title)}
    return await show(ask, "ftclassify_try.html", data, more=more)


def _visitor(ask: Ask) -> str:
    client = ask.request.scope.get("client")
    return str(client[0]) if client else ""


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
    rows = [{"name": name, "score": math.exp(value)} for name, value in logprobs.items()]
    return sorted(rows, key=lambda row: -row["score"])
