"""Responses as cached answers, and cached answers as the cells of a row."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta, timezone
from typing import Any, Protocol

from ...core.labels import LabelSet, LabelValue
from ...core.prediction import LogprobsJson, probability_at
from ...store.answers import CachedAnswer, find_answers, keep_answers
from ...store.classifiers import Classifier
from ...store.minimum_scores import MinimumScore
from ...trainers.service import InferenceResponse
from ..columns import LABEL_SCORE, Columns


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
        found = find_answers(self._conn, self._classifier.id, texts)
        labels = self._classifier.labels
        return {key: answer for key, answer in found.items() if is_sound(answer, labels)}

    def keep(self, answers: Mapping[bytes, CachedAnswer]) -> None:
        keep_answers(self._conn, self._classifier.id, answers)

    def is_new(self, seconds: float) -> bool:
        oldest = datetime.now(timezone.utc) - timedelta(seconds=seconds)
        # As text: a file that somebody else made may hold anything in the place of a time.
        return self._classifier.created_at > oldest.strftime("%Y-%m-%dT%H:%M:%SZ")


_MOST_RAW = 10_000
"""Characters of an answer that are kept: a label has fewer."""


def kept_from(response: InferenceResponse) -> CachedAnswer:
    answer, scores = response.answer, response.scores
    return CachedAnswer(
        answer.labels,
        answer.how,
        answer.reason,
        storable(answer.raw)[:_MOST_RAW],
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


def chosen_logprob(answer: CachedAnswer, labels: LabelSet) -> float | None:
    """Of the label that was answered, natural logarithm; of several, of just these labels being
    there, taken as independent. None without scores, or without a label."""
    if answer.labels is None or answer.logprobs is None:
        return None
    import numpy as np

    kind = labels.label_kind
    chosen = kind.as_array([labels.positions(answer.labels)], len(labels))
    return min(float(kind.logprob(np.array([answer.logprobs]), chosen)[0]), 0.0)


class Cells:
    """The values of a row's columns from an answer.

    default:   labels of a row without an answer; None: NULL
    threshold: the least score of an answered label; below it, and without a score, it is NULL
    groups:    with the groups of labels that answer then; None: there are none
    """

    def __init__(
        self,
        columns: Columns,
        labels: LabelSet,
        default: tuple[LabelValue, ...] | None,
        threshold: float | None = None,
        groups: MinimumScore | None = None,
    ) -> None:
        self._groups = groups
        self._labels = labels
        self._default = default
        self._threshold = threshold
        self._json = LogprobsJson(labels)
        values: dict[str, Callable[[CachedAnswer, float | None], Any]] = {
            "label": self._label,
            "score": lambda _, logprob: None if logprob is None else math.exp(logprob),
            "logprob": lambda _, logprob: logprob,
            "logprobs": lambda a, _: None if a.logprobs is None else self._json(a.logprobs),
            "raw": lambda a, _: a.raw,
            "reason": self._reason,
            "group": self._group,
            "fingerprint": lambda *_: None,  # see Plan.mark
        }
        for label in columns.label_scores:
            values[LABEL_SCORE + label] = self._score_of(label)
        self._values = [values[role] for role, _ in columns.items()]

    def _score_of(self, label: str) -> Callable[[CachedAnswer, float | None], float | None]:
        position = self._labels.position_called(label)
        assert position is not None  # the plan has looked
        return lambda a, _: None if a.logprobs is None else probability_at(a.logprobs, position)

    def __call__(self, answer: CachedAnswer | None) -> list[Any]:
        """In the order of the columns; NULLs for a row that has no text."""
        if answer is None:
            return [None] * len(self._values)
        logprob = chosen_logprob(answer, self._labels)
        return [value(answer, logprob) for value in self._values]

    def abstains(self, answer: CachedAnswer | None) -> bool:
        """Whether there is an answer, and it is not sure enough for a label."""
        if self._threshold is None or answer is None:
            return False
        return self._too_low(answer, chosen_logprob(answer, self._labels))

    def _too_low(self, answer: CachedAnswer, logprob: float | None) -> bool:
        if self._threshold is None or answer.labels is None:
            return False
        return logprob is None or math.exp(logprob) < self._threshold

    def _reason(self, answer: CachedAnswer, logprob: float | None) -> str | None:
        if not self._too_low(answer, logprob):
            return answer.reason
        if logprob is None:
            return f"no score, and {self._threshold:g} is asked for"
        return f"score below {self._threshold:g}"

    def _group(self, answer: CachedAnswer, logprob: float | None) -> str | None:
        if self._groups is None or not self._too_low(answer, logprob):
            return None
        found = self._groups.group(answer.logprobs)
        return None if found is None else found.name

    def _label(self, answer: CachedAnswer, logprob: float | None) -> LabelValue | None:
        if self._too_low(answer, logprob):
            return None
        values = self._default if answer.labels is None else answer.labels
        return None if values is None else self._labels.cell(values)
