"""Inference through llm: one prompt for each text, without any of llm's own logs."""

from __future__ import annotations

import asyncio
import inspect
import math
from functools import lru_cache
from typing import Any

from ...core.errors import ArtifactError, ExportError
from ...core.labels import LabelSet
from ...core.training_report import Header
from ...prompts.answer_parser import AnswerReader
from ...prompts.formats import ExportFormat
from ...prompts.tokenizer import tokenizer_for
from ..openai_protocol.requests import longest_answer
from ..service import InferenceResponse
from ..service_errors import ServiceRefused, TryAgain
from ..stored_model import DAMAGED
from ..usage import Usage

TIMEOUT = 120.0
"""Seconds for one answer: models on this machine are among llm's, too."""

_TOKEN_LIMITS = ("max_tokens", "max_output_tokens", "max_completion_tokens", "num_predict")
"""Names that plugins of llm have for the most tokens of an answer."""

_LEAST_LIMIT = 64
"""Tokens: a limit below it would cut answers that repeat the question."""

_WITHOUT_LIMIT = 1_000
"""Tokens of an answer that are reserved where the model takes no limit."""

_MARGIN, _FRAME = 1.25, 64
"""What the model's own vocabulary, which is not known, and its frame may add to a count."""

_LONGEST_ERROR = 300


class LlmInferenceClient:
    """The `InferenceClient` of one model of llm's. For one event loop.

    model: by which prices are found
    Raises ArtifactError for a damaged header.
    """

    def __init__(self, model: Any, header: Header, labels: LabelSet, *, priced_as: str) -> None:
        self.model = priced_as
        self._asked = model
        try:
            codec = ExportFormat.from_dict(header["format"]).bind(labels)
        except (ExportError, KeyError, TypeError, AttributeError) as error:
            raise ArtifactError(f"{DAMAGED}: its format of prompts. Train it again.") from error
        if codec.format.form != "chat":
            raise ArtifactError(f"{DAMAGED}: its prompts are no messages. Train it again.")
        self._system = codec.system
        self._prompt_for = codec.prompt_for
        self._read = lru_cache(maxsize=1000)(AnswerReader(codec).read)
        tokenizer = tokenizer_for(model.model_id)
        self._count = tokenizer.count
        self._system_tokens = tokenizer.count(codec.system or "")
        taken = model.Options.model_fields
        limit = next((name for name in _TOKEN_LIMITS if name in taken), None)
        self._most = max(longest_answer(codec, tokenizer), _LEAST_LIMIT)
        self._options: dict[str, Any] = {} if limit is None else {limit: self._most}
        if limit is None:
            self._most = _WITHOUT_LIMIT
        if "temperature" in taken:
            self._options["temperature"] = 0

    async def ask(self, text: str) -> InferenceResponse:
        """One prompt. Raises TryAgain, or ServiceRefused without a key."""
        import llm

        try:
            raw, used = await asyncio.wait_for(self._prompt(text), TIMEOUT)
        except llm.NeedsKeyException as error:
            raise ServiceRefused(f"llm has no key: {error}") from None
        except (asyncio.TimeoutError, TimeoutError):
            raise TryAgain(f"{self._asked.model_id} gave no answer in {TIMEOUT:g} s.") from None
        except Exception as error:  # each plugin has errors of its own
            raise TryAgain(self._told(error)) from None
        usage = Usage(max(used.input or 0, 0), 0, max(used.output or 0, 0))
        return InferenceResponse(self._read(raw), None, usage)

    async def _prompt(self, text: str) -> tuple[str, Any]:
        """What it said, and llm's count of the tokens."""
        messages = self._prompt_for(text)
        assert not isinstance(messages, str)  # which only prompts to be completed are
        said = {
            "prompt": messages[-1]["content"],
            "system": self._system or None,
            "stream": False,
            "options": self._options,
        }
        if inspect.isasyncgenfunction(self._asked.execute):
            response = self._asked.prompt(**said)
            return await response.text(), await response.usage()

        def here() -> tuple[str, Any]:
            response = self._asked.prompt(**said)
            return response.text(), response.usage()

        return await asyncio.to_thread(here)

    def _told(self, error: Exception) -> str:
        """An error of a plugin, without the key that it may repeat."""
        words = str(error) or type(error).__name__
        try:
            key = self._asked.get_key()
        except Exception:  # there is none
            key = None
        if key:
            words = words.replace(key, "(key)")
        return f"{self._asked.model_id}: {words[:_LONGEST_ERROR]}"

    def expected(self, text: str) -> Usage:
        """The tokens that a prompt takes, at most, as far as they can be counted without the
        model's own vocabulary."""
        count = self._system_tokens + self._count(text)
        return Usage(math.ceil(count * _MARGIN) + _FRAME, 0, self._most)

    async def close(self) -> None:
        """There is nothing of ours to close."""
