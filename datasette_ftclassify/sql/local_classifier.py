"""A classifier whose model is in the database, as the SQL functions ask it."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from ..core.labels import LabelValue
from ..core.prediction import Answerer, Prediction
from ..jobs.load_classifier import label_thresholds
from ..store.classifiers import Classifier
from ..store.minimum_scores import MinimumScore
from .classifier import Answer, AnswerJson, explained, identity_of, within_minimum
from .texts import as_text, text_for

if TYPE_CHECKING:
    import numpy as np

MEMO_SIZE = 2_048
"""Answers kept for each connection: one page of a view asks for the same row several times."""
MEMO_CHARACTERS = 4_000_000
"""Characters of the texts whose answers are kept, in all."""
CHUNK_TEXTS, CHUNK_CHARACTERS = 256, 100_000
"""What is answered between two looks at the clock, each text for itself at least."""


class AnswerMemo:
    """Log-probabilities of all labels, (K,), by a classifier's uid and the text."""

    def __init__(self) -> None:
        self._rows: OrderedDict[tuple[str, str], np.ndarray] = OrderedDict()
        self._characters = 0
        self.get = self._rows.get

    def add(self, key: tuple[str, str], row: np.ndarray) -> None:
        self._rows[key] = row
        self._characters += len(key[1])
        while len(self._rows) > MEMO_SIZE or self._characters > MEMO_CHARACTERS:
            (_, oldest), _ = self._rows.popitem(last=False)
            self._characters -= len(oldest)


class LocalClassifier:
    """See `classifier.SqlClassifier`.

    minimum: the one that is kept with the classifier now; the answerer may be an older one's
    check:   called now and then; may raise to stop
    """

    def __init__(
        self,
        classifier: Classifier,
        minimum: MinimumScore | None,
        answerer: Answerer,
        memo: AnswerMemo,
        check: Callable[[], None],
    ) -> None:
        self.labels = answerer.labels
        self.read = classifier.task.read
        self.identity = identity_of(classifier)
        self._uid = classifier.uid
        self._minimum = minimum
        self._answerer = Answerer(answerer.predictor, answerer.labels, label_thresholds(minimum))
        self._memo = memo
        self._check = check

    def answer(self, value: object) -> Answer | None:
        row = self._logprobs(value)
        if row is None:
            return None
        return self._answer_of(self._answerer.from_logprobs(row))

    def known(self, value: object) -> float | None:
        row = self._logprobs(value)
        text = None if row is None else text_for(value, self.read)
        return None if row is None or text is None else self._answerer.known(text, row)

    def cell(self, value: object) -> LabelValue | None:
        row = self._logprobs(value)
        if row is None:
            return None
        kind, values = self.labels.label_kind, self.labels.values
        chosen = kind.choose_one(row, self._answerer.thresholds)
        if kind.exclusive:  # the quick way to what `cell` says: a query asks row by row
            if self._minimum is not None and not self._minimum.allows(math.exp(row[chosen[0]])):
                return None
            return values[chosen[0]]
        return self.labels.cell([values[i] for i in chosen])

    def labels_of(self, texts: Sequence[str | None]) -> Iterator[tuple[LabelValue, ...] | None]:
        answers = self._answers(text for text in texts if text is not None)
        return (None if text is None else next(answers) for text in texts)

    def _answers(self, texts: Iterable[str]) -> Iterator[tuple[LabelValue, ...] | None]:
        minimum = self._minimum
        most = getattr(self._answerer.predictor, "texts_at_once", None) or CHUNK_TEXTS
        for chunk in _chunks(texts, most):
            self._check()
            for found in self._answerer.answers(chunk):
                yield found.labels if minimum is None or minimum.allows(found.score) else None

    def explain(self, text: str) -> AnswerJson:
        answer = self._answer_of(self._answerer.answer(text))
        return explained(self._answerer.predictor, text, answer, self.labels, self._check)

    def _answer_of(self, found: Prediction) -> Answer:
        return within_minimum(Answer(found.labels, found.logprob, found.logprobs), self._minimum)

    def _logprobs(self, value: object) -> np.ndarray | None:
        """Of all labels, remembered for the next function; None where there is no text."""
        plain = value if isinstance(value, str) else as_text(value)
        if plain is None:
            return None
        key = (self._uid, plain)
        row = self._memo.get(key)
        if row is None:
            read = text_for(plain, self.read)
            if read is None:
                return None
            row = self._answerer.predictor.log_probabilities_one(read)
            self._memo.add(key, row)
        return row


def _chunks(texts: Iterable[str], most: int) -> Iterator[list[str]]:
    """The texts in order, few enough at a time that none keeps anybody waiting for long."""
    chunk: list[str] = []
    size = 0
    for text in texts:
        if chunk and (len(chunk) == most or size + len(text) > CHUNK_CHARACTERS):
            yield chunk
            chunk, size = [], 0
        chunk.append(text)
        size += len(text)
    if chunk:
        yield chunk
