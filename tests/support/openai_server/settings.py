"""What kind of server to be: OpenAI itself, Azure, or one that is merely compatible."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Dialect = Literal["openai", "azure", "compatible"]


@dataclass(frozen=True)
class BaseModelInfo:
    """A model before tuning.

    form:      which endpoint it answers on
    alias_of:  the dated name that answers carry
    logprobs:  whether it gives log-probabilities
    reasoning: refuses temperature, max_tokens and log-probabilities, as reasoning models do
    dimensions, shortens, most_tokens: of vectors, whether fewer may be asked for, and of a text
    """

    form: Literal["chat", "completion", "decision", "embedding"] = "chat"
    alias_of: str | None = None
    logprobs: bool = True
    reasoning: bool = False
    tunable: bool = True
    encoding: str = "o200k_base"
    shutdown_date: str | None = None
    dimensions: int = 16
    shortens: bool = True
    most_tokens: int = 8_192


def _models() -> dict[str, BaseModelInfo]:
    end = "2099-01-14"
    models = {}
    for alias, date in (
        ("gpt-4.1", "2025-04-14"), ("gpt-4.1-mini", "2025-04-14"), ("gpt-4o", "2024-08-06"),
        ("gpt-4o-mini", "2024-07-18"),
    ):  # fmt: skip
        models[alias] = BaseModelInfo(alias_of=f"{alias}-{date}", shutdown_date=end)
        models[f"{alias}-{date}"] = BaseModelInfo(shutdown_date=end)
    for name in ("babbage-002", "davinci-002"):
        models[name] = BaseModelInfo("completion", encoding="cl100k_base", shutdown_date=end)
    models["gpt-5-mini"] = BaseModelInfo(reasoning=True, logprobs=False, tunable=False)
    models["gpt-6-luna"] = BaseModelInfo("decision", tunable=False)
    for name in ("text-embedding-3-small", "text-embedding-3-large", "nomic-embed-text"):
        models[name] = BaseModelInfo(
            "embedding", tunable=False, encoding="cl100k_base", shortens=name.startswith("text-")
        )
    return models


@dataclass
class Settings:
    """Change them while the server runs: each request reads them anew.

    dialect:           azure wants deployments, short suffixes and a byte order mark, and writes
                       its own result columns; compatible takes hyperparameters at the top alone
    api_key:           the one that is let in
    key_header:        which holds the key; None: a bearer token, or Azure's api-key
    extra_body:        fields beyond OpenAI's that request bodies may have
    latency:           seconds that each answer of a model takes, its computation included
    silent:            models answer nothing for as long as this is true
    pace:              seconds that a job or batch stays in each state
    metrics:           metric events of a job at most
    base64_results:    whether result files are base64
    no_logprobs:       models, by exact id, that refuse log-probabilities
    max_in_flight:     more requests for answers at once are refused with 429
    per_minute:        as are more in a minute; also told in the rate-limit headers
    ready_seconds:     how long after its job's success a model is still unknown
    batch_tokens:      enqueued tokens beyond which a batch fails
    variants, other:   probability a tuned model gives to other spellings, and to no label at all
    base64_vectors:    False: vectors are lists of numbers even where base64 was asked for
    meanings:          of words, see `embeddings.vector`
    keep_log:          False for millions of requests: counts them, keeps none
    """

    dialect: Dialect = "openai"
    api_key: str = "sk-test-canary"
    key_header: str | None = None
    organization: str = "org-test"
    extra_body: set[str] = field(default_factory=set)
    latency: float = 0.0
    silent: bool = False
    pace: float = 0.005
    metrics: int = 50
    base64_results: bool = True
    models: dict[str, BaseModelInfo] = field(default_factory=_models)
    no_logprobs: set[str] = field(default_factory=set)
    max_in_flight: int | None = None
    per_minute: int | None = None
    ready_seconds: float = 0.0
    batch_tokens: int | None = None
    variants: float = 0.03
    other: float = 0.01
    base64_vectors: bool = True
    meanings: dict[str, str] = field(default_factory=dict)
    keep_log: bool = True
