"""The fields of a request that a model or server refuses, and what to send instead.

The refusal of a field means the same for a single request and in a batch.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ...core.labels import LabelSet
from ...core.training_report import Header
from ..access import Endpoint
from ..usage import Usage
from .dialect import Dialect
from .errors import Refusal
from .requests import EFFORTS, TOKEN_LIMITS, RequestBuilder
from .training_options import extra_body_of

REASONING_TOKENS = 2_000
"""Added to the tokens of an answer once a model has spent them all on reasoning."""

_NAMED = re.compile(
    r"\b(reasoning_effort|max_completion_tokens|max_tokens|temperature|top_logprobs|logprobs)\b"
)
_SPENT = re.compile(r"output limit was reached|higher max_tokens", re.IGNORECASE)


@dataclass(frozen=True)
class Fields:
    """What is known of the fields of requests to a model.

    fixed:            set by the operator, who knows the server: never left out
    form, max_output: see `RequestBuilder`
    """

    fixed: frozenset[str]
    form: str
    max_output: int

    @classmethod
    def of(cls, builder: RequestBuilder, endpoint: Endpoint) -> Fields:
        return cls(frozenset(extra_body_of(endpoint)), builder.form, builder.max_output)

    def without_refused(
        self, options: Mapping[str, Any], refusal: Refusal, text: str
    ) -> dict[str, Any] | None:
        """The options without, or with another form of, the one that was refused; None when the
        refusal is not about one."""
        if refusal.status not in (400, 403, 422) or refusal.of_text:
            return None
        if _SPENT.search(refusal.words):
            return self.longer(options)
        # A refusal may quote the text, which must not choose what is left out.
        words = [name for name in _NAMED.findall(refusal.words) if name not in text]
        named = [refusal.parameter, *words]
        field = next((name for name in named if name in options and name not in self.fixed), None)
        if field is None or field == "stop":
            return None
        changed = {k: v for k, v in options.items() if k != field}
        if field == "reasoning_effort":
            weaker = EFFORTS[1 + EFFORTS.index(options[field]) :]
            changed |= {field: weaker[0]} if weaker else {}
        elif field == "max_completion_tokens":
            changed["max_tokens"] = options[field]
        elif field == "max_tokens" and self.form == "completion":
            return None  # which have no other name for it, and say little without
        elif field == "logprobs":
            changed.pop("top_logprobs", None)
        elif field == "top_logprobs" and options[field] > 5:
            changed["top_logprobs"] = 5
        elif field == "top_logprobs":
            changed.pop("logprobs", None)
        return changed

    def longer(self, options: Mapping[str, Any]) -> dict[str, Any] | None:
        """With room for reasoning; None when there is already."""
        most = self.max_output + REASONING_TOKENS
        name = next((n for n in TOKEN_LIMITS if n in options and n not in self.fixed), None)
        return None if name is None or options[name] >= most else {**options, name: most}


class StoredModelClient:
    """What the clients of a stored classifier's model share.

    priced_as: from the name of the model that it was tuned from to the one that prices are under
    Raises ArtifactError for a damaged header, and AccessError without a key, or when the model is
    not at the host that the operator set.
    """

    def __init__(
        self,
        header: Header,
        labels: LabelSet,
        endpoint: Endpoint,
        dialect: Dialect,
        priced_as: Callable[[str], str],
    ) -> None:
        self._builder = RequestBuilder(header, labels, endpoint, dialect)
        self._tuned = self._builder.tuned
        self.model = priced_as(self._tuned.priced)
        self.unknown_as = None if self._tuned.known else (self._tuned.host, self._tuned.asked)
        self._priced_as = priced_as
        self._fields = Fields.of(self._builder, endpoint)
        # Replaced and never changed, so that a request can see whether another one found out more.
        self._options = self._builder.options

    def stands_for(self, base: str) -> None:
        """See `OfUnknownModel`."""
        self.model, self.unknown_as = self._priced_as(base), None

    def expected(self, text: str) -> Usage:
        """See `RequestBuilder.expected`."""
        return self._builder.expected(text, self._options)
