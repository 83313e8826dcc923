"""The cells that a prediction writes, from the answers of a model that is here, or from the stored
ones of a service: into the columns of a table or of files."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Literal

from ..core.labels import LabelSet, LabelValue
from ..core.prediction import Answerer, LogprobsJson, Prediction, probability_at
from ..store.answers import CachedAnswer
from ..store.minimum_scores import MinimumScore
from .columns import LABEL_SCORE, Columns

Withheld = Literal["known", "score"]
"""What is too low for a label: how much a text is like the training rows, or the score."""

_Answer = Prediction | CachedAnswer


class AnswerCells:
    """Turns answers into cells, in the order of `columns.items()`.

    threshold: the minimum score of a label, 0-1; None: there is none
    min_known: how much a text must be like the training rows, 0-1; None: any will do
    groups:    with the groups of labels that answer below the threshold; None: there are none
    default:   labels of a row that the service did not answer; None: NULL
    """

    def __init__(
        self,
        labels: LabelSet,
        columns: Columns,
        threshold: float | None = None,
        min_known: float | None = None,
        groups: MinimumScore | None = None,
        default: tuple[LabelValue, ...] | None = None,
    ) -> None:
        self._groups = groups
        self._labels = labels
        self._threshold = threshold
        self._min_known = min_known
        self._default = default
        self._reads_known = min_known is not None or columns.known is not None
        as_json = LogprobsJson(labels)
        # Of an answer, the logarithm of the probability of what it chose, and how known its text is
        values: dict[str, Callable[[_Answer, float | None, float | None], Any]] = {
            "label": self._label,
            "score": lambda a, logprob, known: None if logprob is None else math.exp(logprob),
            "logprob": lambda a, logprob, known: logprob,
            "logprobs": lambda a, *_: None if a.logprobs is None else as_json(a.logprobs),
            "raw": lambda a, *_: a.raw if isinstance(a, CachedAnswer) else None,
            "reason": self._reason,
            "known": lambda a, logprob, known: known,
            "group": self._group,
            "fingerprint": lambda *_: None,  # who knows the row fills it in: Plan.mark
        }
        for label in columns.label_scores:
            values[LABEL_SCORE + label] = self._score_of(label)
        self._values = [values[role] for role, _ in columns.items()]

    def of(
        self, answerer: Answerer, texts: Sequence[str | None]
    ) -> tuple[list[list[Any]], Counter[Withheld | None]]:
        """The cells of each text, None of one that is None; and how many texts get no label for
        want of what, by None those that get one."""
        asked = [text for text in texts if text is not None]
        known: Sequence[float | None] = [None] * len(asked)
        if self._reads_known:
            predictions, known = answerer.answers_known(asked)
        else:
            predictions = answerer.answers(asked)
        every = [(p, p.logprob, k) for p, k in zip(predictions, known, strict=True)]
        answers = iter(every)
        nothing = [None] * len(self._values)
        cells = [list(nothing) if text is None else self._cells(*next(answers)) for text in texts]
        return cells, Counter(self._why_withheld(*answer) for answer in every)

    def of_stored(self, answer: CachedAnswer | None) -> tuple[list[Any], bool]:
        """The cells, NULLs for a row that has no text; and whether there is an answer, and it is
        not sure enough for a label."""
        if answer is None:
            return [None] * len(self._values), False
        logprob = chosen_logprob(answer, self._labels)
        withheld = self._why_withheld(answer, logprob, None)
        return self._cells(answer, logprob, None), withheld is not None

    def _cells(self, answer: _Answer, logprob: float | None, known: float | None) -> list[Any]:
        return [value(answer, logprob, known) for value in self._values]

    def _score_of(self, label: str) -> Callable[..., float | None]:
        position = self._labels.position_called(label)
        if position is None:  # of an earlier version, whose probability is not to stay
            return lambda *_: None
        return lambda a, *_: None if a.logprobs is None else probability_at(a.logprobs, position)

    def _label(
        self, answer: _Answer, logprob: float | None, known: float | None
    ) -> LabelValue | None:
        if self._why_withheld(answer, logprob, known) is not None:
            return None
        values = self._default if answer.labels is None else answer.labels
        return None if values is None else self._labels.cell(values)

    def _group(self, answer: _Answer, logprob: float | None, known: float | None) -> str | None:
        if self._groups is None or self._why_withheld(answer, logprob, known) != "score":
            return None
        found = self._groups.group(answer.logprobs)
        return None if found is None else found.name

    def _reason(self, answer: _Answer, logprob: float | None, known: float | None) -> str | None:
        held = self._why_withheld(answer, logprob, known)
        if held is None:
            return answer.reason if isinstance(answer, CachedAnswer) else None
        if held == "known":
            return f"unlike the training rows: known {known or 0:.3f}, below {self._min_known:g}"
        if logprob is None:
            return f"no score, and {self._threshold:g} is asked for"
        return f"score below {self._threshold:g}"

    def _why_withheld(
        self, answer: _Answer, logprob: float | None, known: float | None
    ) -> Withheld | None:
        """What the answer lacks for a label; None: nothing."""
        if answer.labels is None:
            return None
        if self._min_known is not None and (known or 0) < self._min_known:
            return "known"
        low = self._threshold is not None and (
            logprob is None or math.exp(logprob) < self._threshold
        )
        return "score" if low else None


def chosen_logprob(answer: CachedAnswer, labels: LabelSet) -> float | None:
    """Of the label that was answered, natural logarithm; of several, of just these labels being
    there, taken as independent. None without scores, or without a label."""
    if answer.labels is None or answer.logprobs is None:
        return None
    import numpy as np

    kind = labels.label_kind
    chosen = kind.as_array([labels.positions(answer.labels)], len(labels))
    return min(float(kind.logprob(np.array([answer.logprobs]), chosen)[0]), 0.0)
