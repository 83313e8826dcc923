"""Inference with a language model: one request for each text, many at the same time.

Models and servers differ in the fields that they take. A field that one refuses is left out from
then on: an answer without log-probabilities is still an answer, and nobody has to configure that.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from ...core.labels import LabelSet
from ...core.training_report import Header
from ...prompts.answer_parser import Answer
from ..access import Endpoint
from ..service import InferenceResponse
from ..service_errors import AskAgain
from ..usage import Usage
from .dialect import OPENAI, Dialect
from .errors import FAILURES, Refusal, problem
from .http_client import HttpClient
from .rate_limits import hold_of
from .request_options import StoredModelClient
from .requests import TOKEN_LIMITS

SCOUT_SECONDS = 2.0
"""Seconds that other requests wait for the first to find out which fields the server takes."""


class OpenAIInferenceClient(StoredModelClient):
    """The `InferenceClient` of one model. For one event loop.

    timeout: seconds that a request may take
    Raises as `StoredModelClient` does.
    """

    def __init__(
        self,
        header: Header,
        labels: LabelSet,
        endpoint: Endpoint,
        dialect: Dialect = OPENAI,
        *,
        priced_as: Callable[[str], str] = str,
        timeout: float = 60.0,
    ) -> None:
        super().__init__(header, labels, endpoint, dialect, priced_as)
        path = "chat/completions" if self._builder.form == "chat" else "completions"
        self._http = HttpClient(endpoint, path, self._tuned.asked, dialect, timeout=timeout)
        self._scouting = False
        self._scouted = asyncio.Event()

    def ask(self, text: str) -> Coroutine[Any, Any, InferenceResponse]:
        """One request. A refusal of one of its fields, and an answer that was all reasoning, are
        learnt from: they raise AskAgain.

        Raises RowRejected, TryAgain or ServiceRefused.
        """
        return self._ask(text, self._options)  # what it may cost was counted with these

    async def _ask(self, text: str, counted: Mapping[str, Any]) -> InferenceResponse:
        await self._wait_for_scout()
        if _most_tokens(self._options) > _most_tokens(counted):
            raise AskAgain("The model needs more tokens than were counted.", sent=False)
        try:
            return await self._send(text, self._options)
        except AskAgain:
            self._scouting = False  # the next one finds out more
            raise
        except BaseException:
            self._scouted.set()
            raise

    async def _wait_for_scout(self) -> None:
        """Lets one request go first, until it is known which fields the server takes."""
        if self._scouting and not self._scouted.is_set():
            try:
                await asyncio.wait_for(self._scouted.wait(), SCOUT_SECONDS)
            except (asyncio.TimeoutError, TimeoutError):
                pass
        self._scouting = True

    async def close(self) -> None:
        await self._http.close()

    async def _send(self, text: str, options: Mapping[str, Any]) -> InferenceResponse:
        body = json.dumps(self._builder.body(text, options), ensure_ascii=False)
        try:
            response = await self._http.post(body.encode("utf-8", "replace"))
            if not response.is_success:
                return self._refused(Refusal.of(response), text, options)
            data = response.json()
        except FAILURES as error:
            raise problem(error) from None
        result = self._builder.read(data, hold_of(response.headers))
        cut = result.answer.reason == "cut off" and _has_reasoned(data)
        if cut and self._learn(options, self._fields.longer(options)):
            raise AskAgain("Reasoning left no tokens for an answer.", usage=result.usage)
        self._scouted.set()
        return result

    def _refused(
        self, refusal: Refusal, text: str, options: Mapping[str, Any]
    ) -> InferenceResponse:
        """What a refusal is: an answer, or a problem to raise."""
        if refusal.filtered:
            self._scouted.set()
            return InferenceResponse(Answer(None, None, "filtered", refusal.words), None, Usage())
        if self._learn(options, self._fields.without_refused(options, refusal, text)):
            raise AskAgain(str(refusal))
        raise refusal.problem()

    def _learn(self, used: Mapping[str, Any], better: dict[str, Any] | None) -> bool:
        """Whether there are other options to try: the better ones, or what another request has
        found out while this one was under way."""
        if better is not None and self._options is used:
            self._options = better
        return better is not None


def _most_tokens(options: Mapping[str, Any]) -> float:
    """Of an answer, as far as the options say it."""
    return max((options[name] for name in TOKEN_LIMITS if name in options), default=0)


def _has_reasoned(data: Any) -> bool:
    usage = data.get("usage")
    details = usage.get("completion_tokens_details") if isinstance(usage, dict) else None
    return isinstance(details, dict) and bool(details.get("reasoning_tokens"))
