"""Responses as cached answers, and where those are kept."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta, timezone
from typing import Protocol

from ...core.labels import LabelSet
from ...store.answers import MOST_RAW, CachedAnswer, find_answers, keep_answers
from ...store.classifiers import Classifier
from ...trainers.service import InferenceResponse


class Answers(Protocol):
    """Where an inference loop finds answers that there are, and keeps new ones."""

    def find(self, texts: Mapping[bytes, str]) -> Mapping[bytes, CachedAnswer]:
        """Of texts by `input_key`, those that need no request."""

    def keep(self, answers: Mapping[bytes, CachedAnswer]) -> None:
        """Called inside a transaction of the job's database."""

    def is_new(self, seconds: float) -> bool:
        """Whether the model was made so lately that it may still come."""


class ClassifierAnswers:
    """Those of a classifier, in its database."""

    def __init__(self, conn: sqlite3.Connection, classifier: Classifier) -> None:
        self._conn, self._classifier = conn, classifier

    def find(self, texts: Mapping[bytes, str]) -> dict[bytes, CachedAnswer]:
        return find_sound(self._conn, self._classifier, texts)

    def keep(self, answers: Mapping[bytes, CachedAnswer]) -> None:
        keep_answers(self._conn, self._classifier.id, answers)

    def is_new(self, seconds: float) -> bool:
        oldest = datetime.now(timezone.utc) - timedelta(seconds=seconds)
        # As text: a file that somebody else made may hold anything in the place of a time.
        return self._classifier.created_at > oldest.strftime("%Y-%m-%dT%H:%M:%SZ")


def find_sound(
    conn: sqlite3.Connection, classifier: Classifier, keys: Iterable[bytes], schema: str = "main"
) -> dict[bytes, CachedAnswer]:
    """Those of the keys that the file has answers for, and that make sense."""
    found = find_answers(conn, classifier.id, keys, schema)
    return {key: answer for key, answer in found.items() if is_sound(answer, classifier.labels)}


def kept_from(response: InferenceResponse) -> CachedAnswer:
    answer, scores = response.answer, response.scores
    return CachedAnswer(
        answer.labels,
        answer.how,
        answer.reason,
        storable(answer.raw)[:MOST_RAW],
        None if scores is None else scores.logprobs,
        None if scores is None else scores.other,
    )


def storable(text: str) -> str:
    """Without halves of surrogate pairs, which JSON can say and SQLite cannot hold."""
    return text.encode("utf-8", "replace").decode("utf-8")


def no_answer(reason: str) -> CachedAnswer:
    """What a row gets whose text the service did not answer."""
    return CachedAnswer(None, reason=storable(reason))


def is_sound(answer: CachedAnswer, labels: LabelSet) -> bool:
    """Whether a kept answer fits the label set: files may come from anywhere."""
    values, logprobs = answer.labels, answer.logprobs
    if logprobs is not None and (
        len(logprobs) != len(labels) or any(math.isnan(x) or x > 1e-6 for x in logprobs)
    ):
        return False
    if values is None:
        return True
    if labels.exclusive and len(values) != 1:
        return False
    return all(isinstance(v, (str, int, float)) and labels.index(v) is not None for v in values)
