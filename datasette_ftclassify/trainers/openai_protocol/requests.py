"""One inference request: its body, and how the response is read.

The prompt is the one that the model was trained on, from the same code. Single requests and batches
both use this.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from ...core.errors import ArtifactError, ExportError
from ...core.labels import LabelSet
from ...core.training_report import Header
from ...core.untrusted_json import JsonObject, text_or_none
from ...prompts.answer_parser import AnswerReader
from ...prompts.formats import Codec, ExportFormat
from ...prompts.price_table import base_model
from ...prompts.token_scores import TokenScorer
from ...prompts.tokenizer import Tokenizer, encoding_of, tokenizer_for
from ..access import Endpoint
from ..service import InferenceResponse
from ..service_errors import TryAgain
from ..stored_model import DAMAGED, check_host, read_name
from ..usage import Usage
from .dialect import OPENAI, Dialect
from .errors import Refusal
from .training_options import extra_body_of

TOP_CHAT, TOP_COMPLETION = 20, 5
"""Log-probabilities beside each token: the most that OpenAI's API gives (its reference)."""

TOKEN_LIMITS = ("max_completion_tokens", "max_tokens")
"""Names that servers have for the most tokens of an answer."""

EFFORTS = ("none", "minimal", "low")
"""Of reasoning, least first: the SDK's `ReasoningEffort`. A model that reasons gives no
log-probabilities, and is paid for its thoughts."""

_REASONS = re.compile(r"(?:.*/)?(?:ft:)?(?:gpt-(?:[5-9]|\d\d)|o\d)")
"""Models that reason unless they are told not to."""


@dataclass(frozen=True)
class StoredModel:
    """What inference needs, from the header of a stored classifier.

    model: as the service names it
    asked: the name in requests, which at Azure is the deployment's
    base:  the model it was tuned from, as the file says it, by which the vocabulary is found
    host:  who has it
    known: the model that the asked name itself stands for; None: it may stand for any
    is_deployed: whether the name is a deployment's
    """

    model: str
    asked: str
    base: str
    host: str
    codec: Codec
    known: str | None
    is_deployed: bool

    @property
    def priced(self) -> str:
        """By which prices are found, whatever the file says: the model, else the name that is
        asked; of a deployment with its host, since it may be called like another model."""
        if self.known is not None:
            return self.known
        return f"{self.host}/{self.asked}" if self.is_deployed else self.asked

    @classmethod
    def of(cls, header: Header, labels: LabelSet, dialect: Dialect) -> StoredModel:
        """Of `{"model", "format", "host"}` and, optionally, "base" and "deployment".

        Raises ArtifactError for anything else: somebody else may have made the file.
        """
        if not isinstance(header, Mapping) or not isinstance(header.get("format"), Mapping):
            raise ArtifactError(f"{DAMAGED}: the format of prompts is missing. Train it again.")
        model, host = read_name(header, "model"), read_name(header, "host")
        base = read_name(header, "base") if header.get("base") is not None else model
        if encoding_of(model) is not None:
            base = base_model(model)  # known by its name, so it has no other price
        asked = model
        if dialect.deployments and header.get("deployment") is not None:
            asked = read_name(header, "deployment")
        try:
            codec = ExportFormat.from_dict(header["format"]).bind(labels)
        except ExportError as error:
            raise ArtifactError(f"{DAMAGED}: {error}") from error
        is_deployed = dialect.deployments
        by_name = not is_deployed and encoding_of(asked) is not None
        known = base_model(asked) if by_name else None
        return cls(model, asked, base, host.lower(), codec, known, is_deployed)


class RequestBuilder:
    """Bodies of requests to one tuned model, and their answers read.

    form:       `chat` or `completion`
    tuned:      the model
    options:    fields of a request beside the model and the prompt
    max_output: tokens that an answer is given: of the longest one, and one more, so that a label
                that goes on is told from one that ends
    Raises ArtifactError for a damaged header, AccessError when the model is not at the host that
    the operator set.
    """

    def __init__(
        self, header: Header, labels: LabelSet, endpoint: Endpoint, dialect: Dialect = OPENAI
    ) -> None:
        self.tuned = StoredModel.of(header, labels, dialect)
        here = dialect.host(endpoint)
        check_host(self.tuned.model, self.tuned.host, dialect.trainer, here)
        codec = self._codec = self.tuned.codec
        self.form = codec.format.form
        tokenizer = tokenizer_for(self.tuned.base)
        self.max_output = longest_answer(codec, tokenizer)
        self.options: JsonObject = {**self._usual_options(), **extra_body_of(endpoint)}
        self._scorer = TokenScorer(codec, tokenizer.split)
        # Most answers of a fine-tuned model are one of a few texts.
        self._read = lru_cache(maxsize=1000)(AnswerReader(codec).read)
        self._count = tokenizer.count
        # Chat: 3 tokens and the role for each message, 3 for the beginning of the answer.
        system = 4 + tokenizer.count(codec.system) if codec.system else 0
        self._frame = 3 + 4 + system if self.form == "chat" else 0

    def body(self, text: str, options: JsonObject | None = None) -> dict[str, Any]:
        """The JSON of a request, with `options` in the place of the usual ones."""
        prompt = {"messages" if self.form == "chat" else "prompt": self._codec.prompt_for(text)}
        return {"model": self.tuned.asked, **prompt, **(options or self.options)}

    def expected(self, text: str, options: JsonObject | None = None) -> Usage:
        """The tokens that it takes, at most: exact, with the model's vocabulary, for the prompt."""
        prompt = text if self.form == "chat" else text + self._codec.format.separator
        used = options or self.options
        most = next((used[name] for name in TOKEN_LIMITS if name in used), self.max_output)
        return Usage(
            self._frame + self._count(prompt), 0, most if isinstance(most, int) else self.max_output
        )

    def read(self, data: object, hold: float | None = None) -> InferenceResponse:
        """Reads an answer, which is JSON. Raises TryAgain when it is not in OpenAI's form."""
        try:
            return self._response(data, hold)
        except (LookupError, TypeError, AttributeError):
            raise TryAgain(f"{self.tuned.host} gave an answer without a choice in it.") from None

    def _response(self, data: Any, hold: float | None) -> InferenceResponse:
        if not data.get("choices") and data.get("error"):
            # Some servers say 200 first and fail then.
            raise Refusal(200, data, self.tuned.host).problem()
        choice = data["choices"][0]
        said, refusal = self._said(choice)
        finish_reason = text_or_none(choice.get("finish_reason"))
        answer = self._read(said, finish_reason=finish_reason, refusal=refusal)
        scores = None
        if answer.reason not in ("refused", "filtered"):
            scores = self._scorer.score(choice.get("logprobs"))
        return InferenceResponse(answer, scores, usage_of(data), hold)

    def _said(self, choice: JsonObject) -> tuple[str | None, str | None]:
        if self.form == "completion":
            return text_or_none(choice["text"]), None
        message = choice["message"]
        return text_or_none(message.get("content")), text_or_none(message.get("refusal"))

    def _usual_options(self) -> dict[str, Any]:
        if self.form == "chat":
            effort = {"reasoning_effort": EFFORTS[0]} if _REASONS.match(self.tuned.base) else {}
            return {
                "max_completion_tokens": self.max_output, "temperature": 0,
                "logprobs": True, "top_logprobs": TOP_CHAT,
                **effort,
            }  # fmt: skip
        stop = {"stop": self._codec.stop} if self._codec.stop else {}
        return {
            "max_tokens": self.max_output, "temperature": 0, "logprobs": TOP_COMPLETION, **stop,
        }  # fmt: skip


def usage_of(data: JsonObject) -> Usage:
    """Of an answer; zeros for what it does not say."""
    usage = data.get("usage")
    if not isinstance(usage, Mapping):
        return Usage()
    details = usage.get("prompt_tokens_details")
    cached = _tokens(details, "cached_tokens") if isinstance(details, Mapping) else 0
    read = _tokens(usage, "prompt_tokens")
    return Usage(read, min(cached, read), _tokens(usage, "completion_tokens"))


def longest_answer(codec: Codec, tokenizer: Tokenizer) -> int:
    """Tokens of the longest answer that names labels, and one more.

    Without the vocabulary, and of flags, which may be cut in any way, a token for each byte: more
    than that no text has.
    """
    labels = codec.labels.values
    answers = [(value,) for value in labels] if codec.labels.exclusive else [labels]
    flags = codec.answers_are_flags
    exact = tokenizer.exact and not flags

    def count(text: str) -> int:
        return tokenizer.count(text) if exact else len(text.encode("utf-8", "replace"))

    return 1 + max(count(codec.prefix + codec.answer_for(a) + codec.stop) for a in answers)


def _tokens(usage: JsonObject, field: str) -> int:
    count = usage.get(field)
    return count if isinstance(count, int) and count > 0 else 0
