"""The cells that a prediction writes, from the answers of a model that is here: into the columns of
a table or of files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Literal

from ..core.labels import LabelSet, LabelValue
from ..core.prediction import Answerer, LogprobsJson, Prediction, probability_at
from ..store.minimum_scores import MinimumScore
from .columns import LABEL_SCORE, Columns

Withheld = Literal["known", "score"]
"""What is too low for a label: how much a text is like the training rows, or the score."""


class AnswerCells:
    """Turns predictions into cells, in the order of `columns.items()`.

    threshold: the minimum score of a label, 0-1; None: there is none
    min_known: how much a text must be like the training rows, 0-1; None: any will do
    groups:    with the groups of labels that answer below the threshold; None: there are none
    """

    def __init__(
        self,
        labels: LabelSet,
        columns: Columns,
        threshold: float | None,
        min_known: float | None,
        groups: MinimumScore | None = None,
    ) -> None:
        self._groups = groups
        self._labels = labels
        self._threshold = threshold
        self._min_known = min_known
        self._reads_known = min_known is not None or columns.known is not None
        logprobs_json = LogprobsJson(labels)
        values: dict[str, Callable[[Prediction, float | None], Any]] = {
            "label": self._label,
            "score": lambda p, known: p.score,
            "logprob": lambda p, known: p.logprob,
            "logprobs": lambda p, known: logprobs_json(p.logprobs),
            "reason": self._reason,
            "known": lambda p, known: known,
            "group": self._group,
            "fingerprint": lambda p, known: None,  # who knows the row fills it in: Plan.mark
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
        every = list(zip(predictions, known, strict=True))
        answers = iter(every)
        nothing = [None] * len(self._values)
        cells = [list(nothing) if text is None else self._cells(*next(answers)) for text in texts]
        return cells, Counter(self._why_withheld(*answer) for answer in every)

    def _cells(self, prediction: Prediction, known: float | None) -> list[Any]:
        return [value(prediction, known) for value in self._values]

    def _score_of(self, label: str) -> Callable[[Prediction, float | None], float]:
        position = self._labels.position_called(label)
        assert position is not None  # who chose the columns has looked
        return lambda p, known: probability_at(p.logprobs, position)

    def _label(self, prediction: Prediction, known: float | None) -> LabelValue | None:
        held = self._why_withheld(prediction, known)
        return self._labels.cell(prediction.labels) if held is None else None

    def _group(self, prediction: Prediction, known: float | None) -> str | None:
        if self._groups is None or self._why_withheld(prediction, known) != "score":
            return None
        found = self._groups.group(prediction.logprobs)
        return None if found is None else found.name

    def _reason(self, prediction: Prediction, known: float | None) -> str | None:
        held = self._why_withheld(prediction, known)
        if held == "known":
            return f"unlike the training rows: known {known or 0:.3f}, below {self._min_known:g}"
        return None if held is None else f"score below {self._threshold:g}"

    def _why_withheld(self, prediction: Prediction, known: float | None) -> Withheld | None:
        """What the answer lacks for a label; None: nothing."""
        if self._min_known is not None and (known or 0) < self._min_known:
            return "known"
        if self._threshold is not None and prediction.score < self._threshold:
            return "score"
        return None
