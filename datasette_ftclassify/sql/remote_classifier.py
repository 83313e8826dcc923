"""A classifier whose model is at a service, as the SQL functions ask it: by the answer cache.

Requests cost money, and anybody who may read a page may call a function. So a text without a stored
answer gets none, unless the operator set a budget (see `remote_inference`).
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence

from ..core.errors import AccessError, FtclassifyError
from ..core.labels import LabelSet, LabelValue
from ..jobs.answer_cells import chosen_logprob
from ..jobs.load_classifier import parts_of, service_of
from ..jobs.remote.answer_cache import find_sound
from ..store.answers import CachedAnswer, input_key
from ..store.classifiers import Classifier, reading_store
from ..store.minimum_scores import MinimumScore
from ..store.published import why_unasked
from ..store.tables import has_table
from ..trainers.access import Access, Endpoint
from ..trainers.embeddings.trainer import EmbeddingsTrainer
from ..trainers.service_errors import RowRejected
from . import remote_inference
from .classifier import Answer, AnswerJson, described, explained, identity_of, within_minimum
from .registration import CutText
from .remote_inference import ASK_SECONDS, NoAnswer, ResponseTimeout, Served
from .texts import text_for

MEMO_SIZE = 2_048
"""Answers remembered for each classifier and connection."""

LOOKED_UP_AT_ONCE = 500


class ConnectionInference:
    """Inference for the functions of one connection.

    access:     called when it is first needed; may raise AccessError
    writable:   whether answers may be kept in a database file, by its path
    time_limit: seconds in all that its functions wait within twice that time
    """

    def __init__(
        self, access: Callable[[], Access], writable: Callable[[str], bool], time_limit: float
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

    def endpoint(self, trainer: str) -> Endpoint:
        """Raises AccessError."""
        return self._allowed().endpoint(trainer)

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
                "The query has waited for other answers as long as it may: run it again for the "
                "rest."
            )
        return ResponseTimeout(left, self._note_wait)

    def _note_wait(self, seconds: float) -> None:
        self._waited += seconds


class RemoteClassifier:
    """See `classifier.SqlClassifier`. Good until the file changes, as what it knows of it.

    schema, path: of the database that it was found in; no path: it is in memory
    """

    def __init__(
        self,
        classifier: Classifier,
        minimum: MinimumScore | None,
        schema: str,
        path: str,
        connection: Callable[[], sqlite3.Connection],
        inference: ConnectionInference,
        check: Callable[[], None],
    ) -> None:
        self.labels = classifier.labels
        self.read = classifier.task.read
        self.identity = identity_of(classifier)
        self._minimum = minimum
        self._served = Served(classifier, path)
        self._schema = schema
        self._connection = connection
        self._inference = inference
        self._check = check
        self._keeps = has_table(connection(), "answers", schema)
        self._known: dict[bytes, CachedAnswer | None] = {}
        """Answers found in the database, by key; None: it has none."""

    def answer(self, value: object) -> Answer | None:
        found = self._answer(value)
        return None if found is None else answer_of(found, self.labels, self._minimum)

    def cell(self, value: object) -> LabelValue | None:
        labels = self._labels(self._answer(value))
        return None if labels is None else self.labels.cell(labels)

    def _labels(self, found: CachedAnswer | None) -> tuple[LabelValue, ...] | None:
        if found is None or self._minimum is None:
            return None if found is None else found.labels
        return answer_of(found, self.labels, self._minimum).labels

    def known(self, value: object) -> None:
        """A service does not say it."""

    def explain(self, text: str) -> AnswerJson:
        classifier = self._served.classifier
        title, trainer = classifier.title, classifier.trainer
        service = service_of(classifier)
        if not isinstance(service, EmbeddingsTrainer):
            raise NoAnswer(
                f"The model of {title} is at a service ({trainer}), which does not explain its "
                "answers."
            )
        # It asks for the vector, where it may.
        answer = answer_of(self._answer_to(text), self.labels, self._minimum)
        if (why := why_unasked(classifier)) is not None:
            raise NoAnswer(why)
        with reading_store():
            parts = parts_of(self._connection(), classifier, self._schema)
        endpoint = self._inference.endpoint(trainer)
        predictor = service.explained(classifier.header, parts, self.labels, text, endpoint)
        if predictor is None:
            raise NoAnswer(
                f"The vector of this text is not stored on this machine, and {title} explains "
                "nothing without it."
            )
        return explained(predictor, text, answer, self.labels, self._check)

    def labels_of(self, texts: Sequence[str | None]) -> Iterator[tuple[LabelValue, ...] | None]:
        asked = (t for t in texts if t is not None and not isinstance(t, CutText))
        wanted = list(dict.fromkeys(asked))
        found: dict[str, CachedAnswer] = {}
        for start in range(0, len(wanted), LOOKED_UP_AT_ONCE):
            self._check()
            found |= self._look_up(wanted[start : start + LOOKED_UP_AT_ONCE])
        for text in wanted:
            if text not in found:
                try:
                    found[text] = self._inference.ask(self._served, text)
                except RowRejected:
                    continue
                except FtclassifyError:
                    break  # the others would fare no better
        for item in texts:
            yield self._labels(None if item is None else found.get(item))

    def _answer(self, value: object) -> CachedAnswer | None:
        """None where there is no text."""
        text = text_for(value, self.read)
        return None if text is None else self._answer_to(text)

    def _answer_to(self, text: str) -> CachedAnswer:
        """text: as `read` gives it"""
        if isinstance(text, CutText):
            raise NoAnswer("The text is too long: no model reads a million bytes.")
        known, key = self._known, input_key(text)
        if key not in known:
            if len(known) >= MEMO_SIZE:
                known.clear()
            known[key] = self._look_up([text]).get(text)
        answer = known[key]
        if answer is None:
            answer = known[key] = self._inference.ask(self._served, text)
        return answer

    def _look_up(self, texts: Sequence[str]) -> dict[str, CachedAnswer]:
        """Those that the file has, and that make sense."""
        if not self._keeps:
            return {}
        keys = {input_key(text): text for text in texts}
        with reading_store():
            found = find_sound(self._connection(), self._served.classifier, keys, self._schema)
        return {keys[key]: answer for key, answer in found.items()}


def answer_of(found: CachedAnswer, labels: LabelSet, minimum: MinimumScore | None) -> Answer:
    """A stored answer, which is one of the label set."""
    logprob = chosen_logprob(found, labels)
    answer = Answer(found.labels, logprob, found.logprobs, found.reason, found.raw)
    return within_minimum(answer, minimum)


def described_answer(
    found: CachedAnswer, classifier: Classifier, minimum: MinimumScore | None
) -> AnswerJson:
    """A stored answer as ft_classify_json gives it, JSON-safe."""
    answer = answer_of(found, classifier.labels, minimum)
    return {**described(answer, classifier.labels), **identity_of(classifier)}
