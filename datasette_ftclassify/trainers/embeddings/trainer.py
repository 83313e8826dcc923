"""An embedding model at a service as one of the trainers: the service turns texts into vectors, and
the local trainer learns from them beside words. Imports what it needs when that is first used."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING

from ...core.errors import ArtifactError, TrainingError
from ...core.labels import LabelSet
from ...core.prediction import fits
from ...core.training_report import Header
from ...prompts.price_table import untuned_name
from ..access import Endpoint
from ..base import Capabilities, Progress, Trained, TrainerOptions, TrainingSet, check_taken
from ..openai_protocol.dialect import OPENAI, Dialect
from ..options import DIMENSIONS, EMBEDDING_MODEL
from ..service import FineTunedModel, InferenceClient, Service, TrainingLog, TrainingSpec
from ..stored_model import check_host, read_name

if TYPE_CHECKING:
    from ..local.model import LocalModel
    from ..local.text_vectors import GivenVectors
    from .client import EmbeddingClient
    from .paid_vectors import PaidVectors

DEFAULT_MODEL = "text-embedding-3-small"
_OTHERS = ("text-embedding-3-large",)
LOCAL = "local"
"""The trainer whose classifier it is where vectors did not help: it needs no service."""


class EmbeddingsTrainer(Service):
    """A service (`capabilities.learns_here`) that turns texts into vectors, from which is learnt in
    this process. Its classifiers have parts, as a `Learner`'s.

    dialect: of the server, under the trainer's own name
    """

    name: str = "openai-embeddings"
    title: str = "Embeddings by OpenAI, or a server that speaks its protocol: learn here from them"
    capabilities = Capabilities(
        trains=True,
        needs_examples=True,
        scores_every_label=True,
        leaves_machine=True,
        costs_money=True,
        learns_here=True,
    )
    options = (EMBEDDING_MODEL, DIMENSIONS)

    def __init__(self, dialect: Dialect = OPENAI) -> None:
        if dialect is not OPENAI:
            self.name = f"{dialect.trainer}-embeddings"
            self.title = f"Embeddings by a deployment in {dialect.provider}: learn here from them"
        self.dialect = replace(dialect, trainer=self.name)
        self._reached_as = dialect.trainer

    @property
    def reached_as(self) -> str:
        return self._reached_as

    @property
    def variables(self) -> Mapping[str, str]:
        return self.dialect.variables

    @property
    def default_model(self) -> str | None:
        return None if self.dialect.deployments else DEFAULT_MODEL

    def proposed_models(self, endpoint: Endpoint, day: date) -> Sequence[str]:
        if endpoint.base_url not in (None, self.dialect.home) or self.default_model is None:
            return ()
        models = (DEFAULT_MODEL, *_OTHERS)
        return [model for model in models if self.why_closed(model, endpoint, day) is None]

    def why_closed(self, model: str | None, endpoint: Endpoint, day: date) -> str | None:
        """By the price table; nothing is trained at the service."""
        if model is None:
            return None
        return self.prices(endpoint).why_closed(self.priced_as(model), day, trains=False)

    def priced_as(self, model: str) -> str:
        return untuned_name(model)

    def host(self, endpoint: Endpoint) -> str:
        """The one that is asked. Raises AccessError when the address is none."""
        return self.dialect.host(endpoint)

    def check(self, spec: TrainingSpec, endpoint: Endpoint) -> None:
        """Raises TrainingError for options that mean nothing here, AccessError without a key."""
        # The format is ours by now: that nothing was said of one is known before (`check_options`).
        check_taken(self, replace(spec.options, format=None))
        self.dialect.check(endpoint)

    def train(
        self, spec: TrainingSpec, training_log: TrainingLog, endpoint: Endpoint
    ) -> FineTunedModel:
        raise TrainingError(f"The service of {self.name} trains nothing.")

    # What is learnt here

    def texts_for(self, texts: Sequence[str], labels: LabelSet) -> list[str]:
        """What a training on these texts sends, each once: the texts that are not empty, and the
        words of the labels' names where rows are so few that those are learnt from. Raises
        TrainingError for more rows than vectors are learnt from."""
        from ..local.label_names import label_texts
        from ..local.memory import plan_memory
        from ..local.training import learnt_names

        memory = plan_memory(texts, len(labels)) if texts else None
        if memory is not None and memory.large:
            raise TrainingError(
                f"Since {memory.said}, no vectors can be used in training: train on fewer rows.",
                fields=("where",),
            )
        names = learnt_names(len(texts), labels)
        named = label_texts(names) if names is not None else None
        return [text for text in dict.fromkeys([*texts, *(named or ())]) if text.strip()]

    def vectors(self, model: str, dimensions: int | None, endpoint: Endpoint) -> PaidVectors:
        """Those that this machine has of a model."""
        from .paid_vectors import EmbeddingModel, PaidVectors

        url = self.dialect.address(endpoint).geturl().rstrip("/")
        return PaidVectors(EmbeddingModel(url, self.host(endpoint), model, dimensions))

    def vector_client(
        self, vectors: PaidVectors, endpoint: Endpoint, *, hold: bool = False
    ) -> EmbeddingClient:
        """Adds to the vectors; its answers have no label. hold: for a training, which pays for no
        vector that cannot be stored. Raises AccessError without a key."""
        from .client import EmbeddingClient

        priced_as = self.priced_as(vectors.model.name)
        at = self.dialect.extended(endpoint)
        return EmbeddingClient(vectors, at, self.dialect, priced_as=priced_as, hold=hold)

    def learn(
        self,
        data: TrainingSet,
        options: TrainerOptions,
        vectors: PaidVectors,
        without: Collection[str],
        progress: Progress,
    ) -> Trained:
        """From texts whose vectors are there. without: texts that the service gave none for, which
        count by their words alone. Raises TrainingError when the data do not suffice."""
        from ..local.serialization import to_parts
        from ..local.training import fit

        given = _given(vectors, [*without, *(text for text in data.texts if not text.strip())])
        model, report, held_out = fit(data, seed=options.seed, vectors=given, progress=progress)
        header, parts = to_parts(model)
        if model.embedding is None:
            return Trained(model, header, parts, report, held_out, trainer=LOCAL)
        asked = vectors.model
        header |= {
            "model": asked.name, "base": asked.name, "host": asked.host,
            "dimensions": asked.dimensions,
        }  # fmt: skip
        report["service"] = {"model": asked.name, "host": asked.host}
        return Trained(model, header, parts, report, held_out)

    # What is stored

    def inference_client(
        self, header: Header, labels: LabelSet, endpoint: Endpoint
    ) -> InferenceClient:
        """One that estimates requests. Raises ArtifactError for a damaged header, AccessError
        without a key, or when the model is at another host than the one the operator set."""
        from .inference import VectorInferenceClient

        vectors = self.stored_vectors(header, endpoint)
        return VectorInferenceClient(self.vector_client(vectors, endpoint), None, labels)

    def answering_client(
        self, header: Header, parts: Mapping[str, bytes], labels: LabelSet, endpoint: Endpoint
    ) -> InferenceClient:
        """As `inference_client`, whose clients estimate alone; also raises ArtifactError for parts
        that are damaged."""
        from .inference import VectorInferenceClient

        vectors = self.stored_vectors(header, endpoint)
        predictor = load(header, parts, labels)
        return VectorInferenceClient(self.vector_client(vectors, endpoint), predictor, labels)

    def explained(
        self,
        header: Header,
        parts: Mapping[str, bytes],
        labels: LabelSet,
        text: str,
        endpoint: Endpoint,
    ) -> LocalModel | None:
        """A model that can answer and explain this text without a request; None where the text's
        vector is not on this machine. Raises as `answering_client` does."""
        from .inference import with_vectors

        vector = self.stored_vectors(header, endpoint).get(text)
        return None if vector is None else with_vectors(load(header, parts, labels), {text: vector})

    def stored_vectors(self, header: Header, endpoint: Endpoint) -> PaidVectors:
        """The vectors of a stored classifier's model. Raises as `inference_client` does."""
        model = read_name(header, "model")
        check_host(model, read_name(header, "host").lower(), self.name, self.host(endpoint))
        dimensions = header.get("dimensions")
        if dimensions is not None:
            DIMENSIONS.check(dimensions, self.name)
        return self.vectors(model, dimensions, endpoint)


def load(header: Header, parts: Mapping[str, bytes], labels: LabelSet) -> LocalModel:
    """The stored weights. Raises ArtifactError for damaged ones."""
    from ..local.serialization import from_parts
    from ..local.text_vectors import GivenVectors

    model = from_parts(header, parts)
    if not fits(model, labels) or not isinstance(model.embedding, GivenVectors):
        raise ArtifactError("The stored classifier is damaged: its weights are of another kind.")
    return model


def _given(vectors: PaidVectors, without: Collection[str]) -> GivenVectors:
    """As a training reads them: those that have none count by their words alone."""
    import numpy as np

    from ..encoders.vector_store import text_key
    from ..local.text_vectors import GivenVectors

    if vectors.dimensions is None:
        raise TrainingError(f"{vectors.model.title} gave no vector for any text.")
    zeros = np.zeros(vectors.dimensions, dtype=np.float32)
    none = {text_key(text): zeros for text in without}
    return GivenVectors(lambda keys: none | vectors.find(keys), vectors.dimensions)
