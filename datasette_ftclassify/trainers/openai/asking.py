"""Asks a fine-tuned model about one text at a time, many times at once.

Models and servers differ in what they let a request say. What one refuses is left out from then
on, for without log-probabilities an answer is still an answer; nobody is asked to know beforehand.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from ...answers import Answer
from ...labels import LabelSet
from ..access import Endpoint
from ..service import Reply, TryAgain, Usage
from .dialect import OPENAI, Dialect
from .fields import Fields
from .poster import Poster
from .problems import FAILURES, Refusal, hold_of, problem
from .questions import Questions

SCOUT_SECONDS = 2.0
"""The longest that others wait for the first question to show what the server takes."""


class OpenAIAsker:
    """Asks one model; see `Asker`. For one event loop.

    priced_as: from the name of the model that it was tuned from to the one that prices are under
    timeout:   seconds that a question may take
    Raises ArtifactError for a damaged header, and AccessError without a key, or when the model is
    not at the host that the operator set.
    """

    def __init__(
        self,
        header: Mapping[str, Any],
        labels: LabelSet,
        endpoint: Endpoint,
        dialect: Dialect = OPENAI,
        *,
        priced_as: Callable[[str], str] = str,
        timeout: float = 60.0,
    ) -> None:
        self._questions = Questions(header, labels, endpoint, dialect)
        self._tuned = self._questions.tuned
        self.model = priced_as(self._tuned.base)
        path = "chat/completions" if self._questions.form == "chat" else "completions"
        self._poster = Poster(endpoint, path, self._tuned.asked, dialect, timeout=timeout)
        self._fields = Fields.of(self._questions, endpoint)
        # Replaced and never changed, so that a question can see whether another one has learnt.
        self._options = self._questions.options
        self._scouting = False
        self._scouted = asyncio.Event()

    async def ask(self, text: str) -> Reply:
        """One question. A request that is refused for one of its fields is sent again without it.

        Raises RowRejected, TryAgain or ServiceRefused.
        """
        if self._scouted.is_set():
            return await self._ask(text)
        if self._scouting:
            try:
                await asyncio.wait_for(self._scouted.wait(), SCOUT_SECONDS)
            except (asyncio.TimeoutError, TimeoutError):
                pass
            return await self._ask(text)
        self._scouting = True
        try:
            return await self._ask(text)
        finally:
            self._scouted.set()

    def expected(self, text: str) -> Usage:
        """See `Questions.expected`."""
        return self._questions.expected(text, self._options)

    async def close(self) -> None:
        await self._poster.close()

    async def _ask(self, text: str) -> Reply:
        spent = Usage()
        # Each round leaves out, or changes, one of the few fields that can be.
        for _ in range(2 * len(self._options)):
            options = self._options
            outcome = await self._send(text, options)
            if isinstance(outcome, Refusal):
                if outcome.filtered:
                    return Reply(Answer(None, None, "filtered", outcome.words), None, spent)
                if not self._learn(options, self._fields.without_refused(options, outcome, text)):
                    raise outcome.problem()
                continue
            reply, reasoned = outcome
            spent += reply.usage
            if not (reasoned and self._learn(options, self._fields.longer(options))):
                return replace(reply, usage=spent)
        raise TryAgain(f"{self._tuned.host} refuses one field of the request after another.")

    async def _send(self, text: str, options: Mapping[str, Any]) -> Refusal | tuple[Reply, bool]:
        """The reply, and whether reasoning left no tokens for it; or why there is none."""
        body = json.dumps(self._questions.body(text, options), ensure_ascii=False)
        try:
            response = await self._poster.post(body.encode("utf-8", "replace"))
            if not response.is_success:
                return Refusal.of(response)
            data = json.loads(response.content)
        except FAILURES as error:
            raise problem(error) from None
        reply = self._questions.read(data, hold_of(response.headers))
        return reply, reply.answer.reason == "cut off" and _has_reasoned(data)

    def _learn(self, used: Mapping[str, Any], better: dict[str, Any] | None) -> bool:
        """Whether there are other options to try: the better ones, or what another question has
        found out while this one was under way."""
        if better is not None and self._options is used:
            self._options = better
        return better is not None


def _has_reasoned(data: Any) -> bool:
    usage = data.get("usage")
    details = usage.get("completion_tokens_details") if isinstance(usage, dict) else None
    return isinstance(details, dict) and bool(details.get("reasoning_tokens"))
