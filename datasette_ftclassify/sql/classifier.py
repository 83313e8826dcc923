"""What the SQL functions ask of a classifier, whether its model is here or at a service."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypedDict

from ..core.label_tree import Group
from ..core.labels import LabelSet, LabelValue
from ..core.prediction import Predictor
from ..core.text import Read
from ..store.classifiers import Classifier
from ..store.minimum_scores import MinimumScore


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer about one text.

    labels:   one where labels exclude each other, else any number of them; None: no label, whose
              `reason` says why, and `raw` what the model said
    logprob:  natural log of the probability of those labels, or of the ones that would be given
              without a minimum score; None without scores
    logprobs: of each label, in the label set's order; None: no scores
    withheld: the labels that would be, where a minimum score keeps them back; `minimum` is that
              score, 0-1, and `group` what is sure enough in their place
    """

    labels: tuple[LabelValue, ...] | None
    logprob: float | None
    logprobs: Sequence[float] | None
    reason: str | None = None
    raw: str | None = None
    withheld: tuple[LabelValue, ...] | None = None
    minimum: float | None = None
    group: Group | None = None

    @property
    def score(self) -> float | None:
        """The probability of those labels, 0-1."""
        return None if self.logprob is None else math.exp(self.logprob)


class Identity(TypedDict):
    """Of who answered. version: None of a name that no classifier has"""

    classifier: str
    version: int


class Spoken(TypedDict):
    """A word, and how much it spoke for (or against) a label."""

    word: str
    weight: float


class AnswerJson(TypedDict, total=False):
    """An answer as ft_classify_json gives it; fields as in `Answer`.

    label:         where labels exclude each other, else `labels`; `name`: of a label that is a key
    minimum_score, likeliest: where a minimum score keeps back the label
    group, group_score: of several labels, one of which it is; where that is sure enough
    known:         how much the text is like the training rows, 0-1
    words:         that spoke for the label, or for each label; of ft_explain
    usd:           what it cost now
    error:         why there is no answer
    """

    classifier: str
    version: int
    label: LabelValue | None
    labels: list[LabelValue] | None
    name: str
    reason: str | None
    raw: str | None
    minimum_score: float | None
    likeliest: str
    group: str
    group_score: float
    score: float | None
    logprob: float | None
    logprobs: dict[str, float | None] | None
    known: float | None
    words: list[Spoken] | dict[LabelValue, list[Spoken]] | None
    usd: float
    error: str


class SqlClassifier(Protocol):
    """A classifier that is ready to answer, by the name it was found under.

    read: from a text to the one that the model is given, as it was when it was trained

    Its methods raise FtclassifyError, which says why there is no answer.
    """

    labels: LabelSet
    read: Read
    identity: Identity

    def answer(self, value: object) -> Answer | None:
        """About a cell; None where it has no text."""

    def known(self, value: object) -> float | None:
        """How much a cell is like the training rows, 0 to 1; None where it has no text, or where
        that was not measured."""

    def cell(self, value: object) -> LabelValue | None:
        """The labels of `answer` as a label column has them: all that most queries ask for."""

    def labels_of(self, texts: Sequence[str | None]) -> Iterator[tuple[LabelValue, ...] | None]:
        """For each text, as `read` gives it; None where there is no text or no label."""

    def explain(self, text: str) -> AnswerJson:
        """The labels of a text, as `read` gives it, and the words that spoke for and against."""


def within_minimum(answer: Answer, minimum: MinimumScore | None) -> Answer:
    """The answer as it may be given: without labels, and with the reason, where its score is below
    the minimum score of its classifier."""
    if minimum is None or answer.labels is None or minimum.allows(answer.score):
        return answer
    had = "no score" if answer.score is None else f"the score {answer.score:.3g}"
    reason = f"It has {had}, and {minimum.score:.3g} is the minimum score."
    return replace(
        answer, labels=None, reason=reason, withheld=answer.labels, minimum=minimum.score,
        group=minimum.group(answer.logprobs),
    )  # fmt: skip


def identity_of(classifier: Classifier) -> Identity:
    """What answers as JSON say of who answered."""
    return {"classifier": classifier.name, "version": classifier.version}


def label_fields(values: Sequence[LabelValue] | None, labels: LabelSet) -> AnswerJson:
    """`label`, or `labels` where a row may have several, JSON-safe."""
    plain = plain_labels(values, labels)
    return {"label": plain} if labels.exclusive else {"labels": plain}


def plain_labels(values: Sequence[LabelValue] | None, labels: LabelSet) -> Any:
    """The label, or a list of them, JSON-safe."""
    return None if values is None else labels.label_kind.plain(values)


def described(answer: Answer, labels: LabelSet, known: float | None = None) -> AnswerJson:
    """An answer as ft_classify_json gives it, JSON-safe.

    known: how much the text is like the training rows, 0 to 1; None: not measured
    """
    fields = label_fields(answer.labels, labels)
    if labels.given is not None and answer.labels:
        fields["name"] = labels.name_of(answer.labels[0])
    if answer.labels is None:
        fields |= {"reason": answer.reason, "raw": answer.raw}
    fields |= withheld_fields(answer, labels)
    fields |= {"score": answer.score, "logprob": _finite(answer.logprob), "logprobs": None}
    if answer.logprobs is not None:
        pairs = zip(labels.names, answer.logprobs, strict=True)
        fields["logprobs"] = {name: _finite(round(value, 6)) for name, value in pairs}
    return {**fields, "known": None if known is None else round(known, 6)}


def explained(
    predictor: Predictor, text: str, answer: Answer, labels: LabelSet, check: Callable[[], None]
) -> AnswerJson:
    """The labels of a text, and the words that spoke for and against them.

    answer: about the text; check: called now and then, may raise to stop
    """
    spoken: dict[LabelValue, list[Spoken]] = {}
    found = (answer.labels if answer.withheld is None else answer.withheld) or ()
    for label, position in zip(found, labels.positions(found), strict=True):
        check()
        words = predictor.explain(text, position)
        spoken[label] = [{"word": word, "weight": round(weight, 4)} for word, weight in words]
    said = spoken[found[0]] if found and labels.exclusive else spoken
    given = label_fields(answer.labels, labels)
    return {**given, **withheld_fields(answer, labels), "words": said}


def withheld_fields(answer: Answer, labels: LabelSet) -> AnswerJson:
    """Why the label is not given, and which it would be; nothing where that is not so."""
    if not answer.withheld:
        return {}
    likeliest = labels.name_of(answer.withheld[0])
    fields: AnswerJson = {
        "reason": answer.reason, "minimum_score": answer.minimum, "likeliest": likeliest,
    }  # fmt: skip
    if answer.group is not None:
        fields |= {"group": answer.group.name, "group_score": round(answer.group.score, 6)}
    return fields


def _finite(value: float | None) -> float | None:
    """JSON has no infinity, which is the logarithm of a probability of 0."""
    return value if value is not None and math.isfinite(value) else None
