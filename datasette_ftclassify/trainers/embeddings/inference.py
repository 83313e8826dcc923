"""Answers of a classifier whose vectors come from a service: its weights are in the file."""

from __future__ import annotations

from collections.abc import Mapping

from ...core.errors import AccessError
from ...core.labels import LabelSet
from ...core.prediction import Answerer
from ...prompts.answer_parser import Answer
from ...prompts.token_scores import LabelScores
from ..encoders.vector_store import text_key
from ..local.features import FloatArray
from ..local.model import LocalModel
from ..local.text_vectors import GivenVectors
from ..service import InferenceResponse
from ..usage import Usage
from .client import EmbeddingClient


class VectorInferenceClient:
    """The `InferenceClient` of a stored classifier. For one event loop.

    predictor: None: it estimates requests, and sends none
    """

    def __init__(
        self, client: EmbeddingClient, predictor: LocalModel | None, labels: LabelSet
    ) -> None:
        self.model = client.model
        self._client = client
        self._predictor = predictor
        self._labels = labels

    async def ask(self, text: str) -> InferenceResponse:
        """One request, or none where the text's vector is stored on this machine."""
        if self._predictor is None:
            raise AccessError("The weights of this classifier were not read.")
        usage, hold = Usage(), None
        vector = self._client.vectors.get(text)
        if vector is None:
            found = await self._client.embed(text)
            vector, usage, hold = found.vector, found.usage, found.hold
        predictor = with_vectors(self._predictor, {text: vector})
        answer = Answerer(predictor, self._labels).answer(text)
        scores = LabelScores(tuple(answer.logprobs), 0.0, exact=True)
        return InferenceResponse(Answer(answer.labels, "exact", None, ""), scores, usage, hold)

    def expected(self, text: str) -> Usage:
        return self._client.expected(text)

    async def close(self) -> None:
        await self._client.close()


def with_vectors(model: LocalModel, vectors: Mapping[str, FloatArray]) -> LocalModel:
    """The same model, which knows the vectors of these texts."""
    assert isinstance(model.embedding, GivenVectors)
    keys = {text_key(text): vector for text, vector in vectors.items()}
    return model.with_vectors(GivenVectors(lambda wanted: keys, model.embedding.dimensions))
