"""The SQL functions of a classifier whose model is at a service: they answer from the answer cache.

Requests cost money, and anybody who may read a page may call a function. So a text without a stored
answer gets none, unless the operator set a budget (see `remote_inference`).
"""

from __future__ import annotations

import json
import math
import sqlite3
import time
from collections.abc import Callable, Sequence
from typing import Any

from ..core.errors import AccessError, FtclassifyError
from ..core.labels import LabelSet, LabelValue
from ..core.prediction import labels_cell
from ..jobs.remote.answer_cache import chosen_logprob, is_sound
from ..store.answers import CachedAnswer, find_answers, input_key
from ..store.classifiers import reading_store
from ..store.published import why_unasked
from ..trainers.access import Access
from ..trainers.service_errors import RowRejected
from . import remote_inference
from .registration import CutText
from .remote_inference import ASK_SECONDS, NoAnswer, ResponseTimeout
from .resolver import Served
from .texts import text_for

MEMO_SIZE = 2_048
"""Answers remembered for each classifier and connection."""

LOOKED_UP_AT_ONCE = 500

_NOTHING = CachedAnswer(None)


class ConnectionInference:
    """Inference for the functions of one connection.

    access:     called when it is first needed; may raise AccessError
    writable:   whether answers may be kept in a database file, by its path
    time_limit: seconds in all that its functions wait within twice that time
    """

    def __init__(
        self,
        access: Callable[[], Access],
        writable: Callable[[str], bool],
        time_limit: float,
    ) -> None:
        self._read_access = access
        self._writable = writable
        self._limit = time_limit
        self._access: Access | AccessError | None = None
        self._since = 0.0
        self._waited = 0.0

    def ask(self, served: Served, text: str) -> CachedAnswer:
        """The answer. Raises FtclassifyError, which says why there is none."""
        if (why := why_unasked(served.classifier)) is not None:
            raise NoAnswer(why)
        access = self._allowed()
        if access.sql_usd_per_day is None:
            raise NoAnswer(
                f"{served.classifier.title} has no stored answer for this text: predict the table "
                "first, or the operator may set a budget for SQL functions (sql_usd_per_day)."
            )
        return remote_inference.INFERENCE.ask(served, text, access, self._writable, self._timeout)

    def _allowed(self) -> Access:
        if self._access is None:
            try:
                self._access = self._read_access()
            except AccessError as error:
                self._access = error
        if isinstance(self._access, AccessError):
            raise AccessError(str(self._access))
        return self._access

    def _timeout(self) -> ResponseTimeout:
        """How long may still be waited. SQLite looks at its own limit between many rows only."""
        now = time.monotonic()
        if now - self._since > 2 * self._limit:
            self._since, self._waited = now, 0.0
        left = min(self._limit - self._waited, ASK_SECONDS)
        if left <= 0:
            raise NoAnswer(
                "The query has waited for other answers as long as it may: ask again for the rest."
            )
        return ResponseTimeout(left, self._note_wait)

    def _note_wait(self, seconds: float) -> None:
        self._waited += seconds


class CachedAnswers:
    """The functions of one connection for such classifiers."""

    def __init__(
        self, connection: Callable[[], sqlite3.Connection], inference: ConnectionInference
    ) -> None:
        self._connection = connection
        self._inference = inference

    def classify(self, text: object, served: Served) -> LabelValue | None:
        return _cell(self._answer(text, served), served)

    def labels(self, text: object, served: Served) -> str | None:
        values = self._answer(text, served).labels
        return None if values is None else json.dumps(values, ensure_ascii=False)

    def logprob(self, text: object, served: Served) -> float | None:
        """None without scores, or without a label."""
        return chosen_logprob(self._answer(text, served), served.labels)

    def score(self, text: object, served: Served) -> float | None:
        logprob = self.logprob(text, served)
        return None if logprob is None else math.exp(logprob)

    def full(self, text: object, served: Served) -> dict[str, Any]:
        """All that is known, or `error`."""
        try:
            answer = self._answer(text, served)
        except FtclassifyError as error:
            return {"error": str(error), **served.identity}
        return {**described(answer, served.labels), **served.identity}

    def cannot_explain(self, served: Served) -> str:
        title, trainer = served.classifier.title, served.classifier.trainer
        return (
            f"The model of {title} is at a service ({trainer}), which does not say what spoke for "
            "an answer: nothing can be explained here."
        )

    def many(
        self, texts: Sequence[str | None], served: Served, check: Callable[[], None]
    ) -> list[Any]:
        """A label or list of labels for each text, None where there is none.

        check: called now and then; may raise to stop
        """
        asked = (t for t in texts if t is not None and not isinstance(t, CutText))
        wanted = list(dict.fromkeys(asked))
        found: dict[str, CachedAnswer] = {}
        for start in range(0, len(wanted), LOOKED_UP_AT_ONCE):
            check()
            found |= self._look_up(wanted[start : start + LOOKED_UP_AT_ONCE], served)
        for text in wanted:
            if text not in found:
                try:
                    found[text] = self._inference.ask(served, text)
                except RowRejected:
                    continue
                except FtclassifyError:
                    break  # the others would fare no better
        return [
            None if text is None or text not in found else _plain(found[text], served.labels)
            for text in texts
        ]

    def _answer(self, value: object, served: Served) -> CachedAnswer:
        """Raises FtclassifyError when a text has none; to no text the answer is no label."""
        text = text_for(value, served)
        if text is None:
            return _NOTHING
        if isinstance(text, CutText):
            raise NoAnswer("The text is too long: no model reads a million bytes.")
        known, key = served.known, input_key(text)
        if key not in known:
            if len(known) >= MEMO_SIZE:
                known.clear()
            known[key] = self._look_up([text], served).get(text)
        answer = known[key]
        if answer is None:
            answer = known[key] = self._inference.ask(served, text)
        return answer

    def _look_up(self, texts: Sequence[str], served: Served) -> dict[str, CachedAnswer]:
        """Those that the file has, and that make sense."""
        if not served.keeps:
            return {}
        keys = {input_key(text): text for text in texts}
        conn, classifier = self._connection(), served.classifier
        with reading_store():
            found = find_answers(conn, classifier.id, keys, served.schema)
        return {keys[k]: answer for k, answer in found.items() if is_sound(answer, served.labels)}


def _cell(answer: CachedAnswer, served: Served) -> LabelValue | None:
    return None if answer.labels is None else labels_cell(served.labels, answer.labels)


def _plain(answer: CachedAnswer, labels: LabelSet) -> Any:
    if answer.labels is None:
        return None
    return list(answer.labels) if labels.multilabel else answer.labels[0]


def described(answer: CachedAnswer, labels: LabelSet) -> dict[str, Any]:
    """An answer as ft_classify_json gives it, JSON-safe."""
    fields: dict[str, Any] = {"labels" if labels.multilabel else "label": _plain(answer, labels)}
    if labels.given is not None and answer.labels:
        fields["name"] = labels.name_of(answer.labels[0])
    if answer.labels is None:
        fields |= {"reason": answer.reason, "raw": answer.raw}
    logprob = chosen_logprob(answer, labels)
    score = None if logprob is None else math.exp(logprob)
    fields |= {"score": score, "logprob": _finite(logprob), "logprobs": None}
    if answer.logprobs is not None:
        pairs = zip(labels.names, answer.logprobs, strict=True)
        fields["logprobs"] = {name: _finite(round(value, 6)) for name, value in pairs}
    return fields


def _finite(value: float | None) -> float | None:
    """JSON has no infinity, which is the logarithm of a probability of 0."""
    return value if value is not None and math.isfinite(value) else None
