"""Requests to an embedding model. What is asked for at once goes together in one request.

Each text is asked for by itself, so that its cost is reserved, settled, retried and given up by
itself. A text that a service refuses is found by sending those of its request one by one.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...prompts.answer_parser import Answer
from ...prompts.tokenizer import Tokenizer, tokenizer_for
from ..access import Endpoint
from ..encoders.encoder import MAX_DIMENSIONS
from ..encoders.vector_store import VectorStoreError, text_key
from ..local.features import FloatArray
from ..openai_protocol.dialect import Dialect
from ..openai_protocol.errors import FAILURES, Refusal, problem
from ..openai_protocol.http_client import HttpClient
from ..openai_protocol.rate_limits import hold_of
from ..openai_protocol.training_options import extra_body_of
from ..service import InferenceResponse
from ..service_errors import AskAgain, RowRejected, ServiceProblem, ServiceRefused, TryAgain
from ..usage import Usage
from .paid_vectors import PaidVectors, as_stored

TOGETHER = 32
"""Texts of one request. OpenAI takes 2,048 of them; so many vectors of 4,096 numbers written out
are 3 MB, and an answer may have 4."""
TOKENS_TOGETHER = 100_000
"""Of one request, of which OpenAI takes 300,000."""
LEAST = 200
"""Characters to which a text that is too long is cut at most, each time by half."""
TIMEOUT = 60.0
"""Seconds for one request."""
_MARGIN = 1.25
"""What the model's own vocabulary, where it is not known, may add to a count of tokens."""


@dataclass(frozen=True, slots=True)
class Embedded:
    """vector: shape (dimensions,), of length 1 or 0. hold: as of `InferenceResponse`"""

    vector: FloatArray
    usage: Usage
    hold: float | None


@dataclass(frozen=True, slots=True, eq=False)
class _Asked:
    text: str
    sent: str
    tokens: int
    result: asyncio.Future[Embedded]


class EmbeddingClient:
    """The `InferenceClient` of one model, for one event loop: an answer is a vector, and no label.

    priced_as: the name by which prices are looked up
    hold:      keep vectors in memory, for a training; then one that cannot be stored is not paid
               for either: raises ServiceRefused
    Raises AccessError without a key.
    """

    def __init__(
        self,
        vectors: PaidVectors,
        endpoint: Endpoint,
        dialect: Dialect,
        *,
        priced_as: str,
        hold: bool = False,
        timeout: float = TIMEOUT,
    ) -> None:
        model = vectors.model
        self.model = priced_as
        self.vectors = vectors
        self._hold = hold
        self._tokenizer: Tokenizer = tokenizer_for(model.name)
        self._fields: dict[str, Any] = {
            **extra_body_of(endpoint), "model": model.name, "encoding_format": "base64",
        }  # fmt: skip
        if model.dimensions is not None:
            self._fields["dimensions"] = model.dimensions
        self._http = HttpClient(endpoint, "embeddings", model.name, dialect, timeout=timeout)
        self._waiting: list[_Asked] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._alone: set[bytes] = set()
        self._characters: dict[bytes, int] = {}

    async def ask(self, text: str) -> InferenceResponse:
        """See `embed`. The vector is in `vectors`."""
        found = await self.embed(text)
        return InferenceResponse(Answer(None, None, None, ""), None, found.usage, found.hold)

    async def embed(self, text: str) -> Embedded:
        """At most one request, perhaps with other texts. The vector is stored before it is told of.

        Raises RowRejected, TryAgain (and AskAgain) or ServiceRefused.
        """
        loop = asyncio.get_running_loop()
        sent = text[: self._characters.get(text_key(text), len(text))]
        asked = _Asked(text, sent, self._count(text), loop.create_future())
        if not self._waiting:
            loop.call_soon(self._send_waiting)
        self._waiting.append(asked)
        return await asked.result

    def expected(self, text: str) -> Usage:
        """The tokens that a request about the text takes, at most; none where there is a vector. A
        training asks for no others."""
        if not self._hold and self.vectors.get(text) is not None:
            return Usage()
        return Usage(self._count(text))

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._http.close()

    def _count(self, text: str) -> int:
        count = self._tokenizer.count(text)
        return count if self._tokenizer.exact else math.ceil(count * _MARGIN) + 2

    def _send_waiting(self) -> None:
        waiting, self._waiting = self._waiting, []
        for batch in self._batches(waiting):
            task = asyncio.get_running_loop().create_task(self._send(batch))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def _batches(self, waiting: Sequence[_Asked]) -> Iterator[list[_Asked]]:
        batch: list[_Asked] = []
        tokens = 0
        for asked in waiting:
            if text_key(asked.text) in self._alone:
                yield [asked]
                continue
            if batch and (len(batch) == TOGETHER or tokens + asked.tokens > TOKENS_TOGETHER):
                yield batch
                batch, tokens = [], 0
            batch.append(asked)
            tokens += asked.tokens
        if batch:
            yield batch

    async def _send(self, batch: list[_Asked]) -> None:
        try:
            results = await self._results(batch)
        except asyncio.CancelledError:
            results = [TryAgain("It was not waited for.", unbilled=False)] * len(batch)
            raise
        except Exception as error:
            results = [error] * len(batch)
        finally:
            for asked, result in zip(batch, results, strict=True):
                if asked.result.done():
                    continue  # nobody waits for it any more
                if isinstance(result, Embedded):
                    asked.result.set_result(result)
                else:
                    asked.result.set_exception(result)

    async def _results(self, batch: list[_Asked]) -> Sequence[Embedded | Exception]:
        try:
            data, hold = await self._post(batch)
        except ServiceProblem as error:
            raise self._apart(batch, error) from None
        found = read_vectors(data, len(batch), self.vectors.dimensions)
        usages = shared(data, [asked.tokens for asked in batch])
        pairs = [(text_key(a.text), v) for a, v in zip(batch, found, strict=True) if v is not None]
        try:
            self.vectors.add(pairs, hold=self._hold)
        except VectorStoreError as error:
            if self._hold:
                raise billed(f"{error} So nothing more is paid for.") from None
        return [
            _no_vector() if vector is None else Embedded(vector, usage, hold)
            for vector, usage in zip(found, usages, strict=True)
        ]

    async def _post(self, batch: list[_Asked]) -> tuple[Any, float | None]:
        body = json.dumps(
            {**self._fields, "input": [a.sent for a in batch]}, ensure_ascii=False
        ).encode("utf-8", "replace")
        try:
            response = await self._http.post(body)
            if not response.is_success:
                raise self._refused(Refusal.of(response), batch)
            return response.json(), hold_of(response.headers)
        except FAILURES as error:
            raise problem(error) from None

    def _refused(self, refusal: Refusal, batch: list[_Asked]) -> ServiceProblem:
        told = refusal.parameter == "encoding_format" or "encoding_format" in refusal.words
        if told and self._fields.pop("encoding_format", None):
            return AskAgain(str(refusal))
        if refusal.too_long and len(batch) == 1 and len(batch[0].sent) > LEAST:
            sent = batch[0].sent
            self._characters[text_key(batch[0].text)] = max(LEAST, len(sent) // 2)
            return AskAgain(str(refusal))
        if refusal.too_long:
            return RowRejected(f"{refusal} The text is too long.")
        return refusal.problem()

    def _apart(self, batch: list[_Asked], error: ServiceProblem) -> ServiceProblem:
        """What is raised for each text of a failed request. One of several may be what it failed
        for, so they are sent one by one from now on."""
        again = isinstance(error, TryAgain) and not isinstance(error, AskAgain)
        limited = isinstance(error, TryAgain) and error.rate_limited
        if len(batch) == 1 or not (isinstance(error, RowRejected) or (again and not limited)):
            return error
        self._alone.update(text_key(asked.text) for asked in batch)
        return AskAgain(str(error)) if isinstance(error, RowRejected) else error


def _no_vector() -> RowRejected:
    problem = RowRejected("The service gave no vector of finite numbers for the text.")
    problem.unbilled = False
    return problem


def billed(message: str) -> ServiceRefused:
    """An answer that was given, and is no use: the next one would be none either."""
    problem = ServiceRefused(message)
    problem.unbilled = False
    return problem


def read_vectors(data: Any, texts: int, dimensions: int | None) -> list[FloatArray | None]:
    """In the order of the texts, as they are stored; None for one with a number that is none.

    dimensions: that a vector has to have; None: any
    Raises ServiceRefused for an answer that is not about these texts, or has other dimensions.
    """
    listed = data.get("data") if isinstance(data, dict) else None
    if not isinstance(listed, list) or len(listed) != texts:
        some = len(listed) if isinstance(listed, list) else "no"
        raise billed(f"The service gave {some} vectors for {texts} texts.")
    found: list[FloatArray | None] = [None] * texts
    seen = set()
    for place, item in enumerate(listed):
        index = item.get("index", place) if isinstance(item, dict) else None
        if type(index) is not int or not 0 <= index < texts or index in seen:
            raise billed("The service does not say rightly which vector is which text's.")
        seen.add(index)
        numbers = _numbers(item.get("embedding"))
        if numbers is None or not 1 <= len(numbers) <= MAX_DIMENSIONS:
            raise billed(
                f"The service's answer is no vector of at most {MAX_DIMENSIONS:,} numbers."
            )
        dimensions = dimensions or len(numbers)
        if len(numbers) != dimensions:
            raise billed(
                f"The service gave a vector of {len(numbers):,} numbers, and of {dimensions:,} "
                "before: another model answers under this name. Name another one, or delete its "
                "vectors: encoders remove."
            )
        if np.isfinite(numbers).all():
            found[index] = as_stored(numbers)
    return found


def _numbers(said: Any) -> FloatArray | None:
    """Of a list of numbers, or of base64 of little-endian floats, as OpenAI's SDK reads them."""
    try:
        if isinstance(said, str):
            return np.frombuffer(base64.b64decode(said, validate=True), "<f4").astype(np.float32)
        if isinstance(said, list) and all(n is None or type(n) in (int, float) for n in said):
            # Servers write null for what is no number.
            numbers = [math.nan if n is None else n for n in said]
            with np.errstate(over="ignore"):
                return np.array(numbers, dtype=np.float64).astype(np.float32)
    except (binascii.Error, ValueError, OverflowError):
        pass
    return None


def shared(data: Any, expected: Sequence[int]) -> list[Usage]:
    """The tokens that an answer says, by text; nothing where it does not say it.

    expected: tokens of each text, by which they are shared
    """
    said = data.get("usage") if isinstance(data, dict) else None
    tokens = said.get("prompt_tokens", said.get("total_tokens")) if isinstance(said, dict) else None
    if type(tokens) is not int or tokens <= 0:
        return [Usage()] * len(expected)
    total = max(sum(expected), 1)
    shares = [tokens * count // total for count in expected]
    shares[0] += tokens - sum(shares)
    return [Usage(share) for share in shares]
