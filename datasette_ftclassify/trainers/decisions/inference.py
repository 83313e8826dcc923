"""One request for each text: the questions are the same, only the input differs.

The SDK's models of questions and answers, which cost more time than the rest, are left out on both
ways. So an answer is checked here.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from ...core.labels import LabelSet
from ...core.untrusted_json import JsonObject
from ...prompts.answer_parser import Answer
from ...prompts.token_scores import FLOOR, LabelScores
from ...prompts.tokenizer import tokenizer_for
from ..access import Endpoint
from ..openai_protocol.errors import FAILURES, Refusal, problem
from ..openai_protocol.http_client import HttpClient
from ..openai_protocol.rate_limits import hold_of
from ..openai_protocol.training_options import extra_body_of
from ..service import InferenceResponse
from ..service_errors import TryAgain
from ..usage import Usage
from .requests import DIALECT, PRICED_AS

TIMEOUT = 60.0
"""Seconds for one request; the API answers within a second or so."""

GIVEN_FROM = 0.5
"""Multilabel: the probability from which on a label is given."""

_MARGIN, _FRAME = 1.25, 64
"""What the model's own vocabulary, which is not known, and the service's frame may add to a count
of tokens."""


class DecisionsInferenceClient:
    """The `InferenceClient` of this API. For one event loop."""

    def __init__(
        self, model: str, questions: Sequence[JsonObject], labels: LabelSet, endpoint: Endpoint
    ) -> None:
        """Raises AccessError without a key."""
        self.model = PRICED_AS.format(model)
        self._labels = labels
        self._questions = len(questions)
        body = {**extra_body_of(endpoint), "model": model, "questions": questions}
        self._head = json.dumps(body)[:-1] + ', "input": '
        self._tokenizer = tokenizer_for(model)
        self._question_tokens = self._tokenizer.count(json.dumps(questions, ensure_ascii=False))
        self._http = HttpClient(endpoint, "decisions", model, DIALECT, timeout=TIMEOUT)

    async def ask(self, text: str) -> InferenceResponse:
        """One request, without retries. Raises RowRejected, TryAgain or ServiceRefused."""
        body = f"{self._head}{json.dumps(text)}}}"
        try:
            response = await self._http.post(body.encode())
            if not response.is_success:
                raise Refusal.of(response).problem()
            said = response.json()
        except FAILURES as error:
            raise problem(error) from None
        try:
            answer, scores = read_answers(said["answers"], self._labels)
            usage = _usage(said.get("usage"))
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
            raise TryAgain("The service's answer is no decision about the questions.") from None
        return InferenceResponse(answer, scores, usage, hold_of(response.headers))

    def expected(self, text: str) -> Usage:
        """The tokens that a request about the text takes, at most."""
        count = self._question_tokens + self._tokenizer.count(text)
        return Usage(math.ceil(count * _MARGIN) + _FRAME, 0, self._questions)

    async def close(self) -> None:
        await self._http.close()


def read_answers(answers: Any, labels: LabelSet) -> tuple[Answer, LabelScores | None]:
    """What the `answers` of a decision say of the labels.

    One refusal makes it an abstention: with the rest alone the labels would be a guess.
    Raises KeyError, TypeError or ValueError when they are no answers to the questions.
    """
    if not isinstance(answers, list) or len(answers) != (1 if labels.exclusive else len(labels)):
        raise ValueError("There are not as many answers as questions.")
    if any(answer["type"] == "refusal" for answer in answers):
        return Answer(None, None, "refused", ""), None
    return _choice(answers[0], labels) if labels.exclusive else _predicates(answers, labels)


def _choice(answer: JsonObject, labels: LabelSet) -> tuple[Answer, LabelScores | None]:
    said = answer["choice"]
    listed = {p["value"]: _probability(p["probability"]) for p in answer["probabilities"]}
    if said not in labels.names:
        return Answer(None, None, "outside the label set", str(said)), None
    value = labels.values[labels.names.index(said)]
    probabilities = [listed.get(name, 0.0) for name in labels.names]
    total = math.fsum(probabilities)
    chosen = Answer((value,), "exact", None, said)
    if not total:
        return chosen, None
    floored = [max(p / total, FLOOR) for p in probabilities]
    whole = math.fsum(floored)
    logprobs = tuple(math.log(p / whole) for p in floored)
    return chosen, LabelScores(logprobs, _beyond(total), exact=True)


def _beyond(total: float) -> float:
    """The probability of no choice at all: not what rounding leaves."""
    return 1 - total if total < 1 - 1e-6 else 0.0


def _predicates(answers: Sequence[JsonObject], labels: LabelSet) -> tuple[Answer, LabelScores]:
    probabilities = [_probability(answer["probability"]) for answer in answers]
    given = [i for i, p in enumerate(probabilities) if p >= GIVEN_FROM]
    raw = json.dumps([labels.names[i] for i in given], ensure_ascii=False)
    answer = Answer(tuple(labels.values[i] for i in given), "exact", None, raw)
    logprobs = tuple(math.log(max(p, FLOOR)) for p in probabilities)
    return answer, LabelScores(logprobs, 0.0, exact=True)


def _probability(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1 + 1e-6:
        raise ValueError("A probability is no number from 0 to 1.")
    return min(float(value), 1.0)


def _usage(usage: Any) -> Usage:
    if not isinstance(usage, Mapping):
        return Usage()
    details = usage.get("input_tokens_details")
    cached = details.get("cached_tokens") if isinstance(details, Mapping) else 0
    return Usage(
        _count(usage.get("input_tokens")), _count(cached), _count(usage.get("output_tokens"))
    )


def _count(value: Any) -> int:
    return max(int(value or 0), 0)
