"""OpenAI's Decisions API as one of the trainers. Imports what it needs when that is first used."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from ...core.errors import ArtifactError, TrainingError
from ...core.labels import LabelSet
from ...core.training_report import Header
from ..access import Endpoint
from ..base import PROMPTS, check_taken
from ..openai_protocol.dialect import OPENAI
from ..options import DESCRIPTIONS, MODEL_TO_ASK
from ..service import FineTunedModel, InferenceClient, Service, TrainingLog, TrainingSpec
from ..stored_model import DAMAGED, check_host, read_name
from .requests import DEFAULT_MODEL, DIALECT, NAME, PRICED_AS, build_questions, check_fits


class DecisionsTrainer(Service):
    """Trains nothing: a ready model is asked which label fits, and needs no examples."""

    name = NAME
    title = "OpenAI's Decisions API: closed questions about each text, no training"
    capabilities = PROMPTS
    options = (MODEL_TO_ASK, DESCRIPTIONS)
    default_model = DEFAULT_MODEL
    reached_as = OPENAI.trainer
    variables = OPENAI.variables

    def priced_as(self, model: str) -> str:
        """Decisions cost something else than the model's chat does."""
        return PRICED_AS.format(model)

    def check(self, spec: TrainingSpec, endpoint: Endpoint) -> None:
        """Raises TrainingError for labels that make no question, or options that mean nothing
        here; AccessError without a key."""
        # The format is ours by now: that nothing was said of one is known before (`check_options`).
        check_taken(self, replace(spec.options, format=None))
        check_fits(spec.labels, spec.options.descriptions)
        DIALECT.check(endpoint)

    def host(self, endpoint: Endpoint) -> str:
        """The one that is asked. Raises AccessError when the address is none."""
        return DIALECT.host(endpoint)

    def train(
        self, spec: TrainingSpec, training_log: TrainingLog, endpoint: Endpoint
    ) -> FineTunedModel:
        """Sends no request: a classifier is the questions, and they are made of the labels."""
        training_log.check()
        self.check(spec, endpoint)
        model, host = spec.model or DEFAULT_MODEL, self.host(endpoint)
        descriptions = dict(spec.options.descriptions)
        count = len(spec.labels)
        asked = (
            f"one question with {count} choices"
            if spec.labels.exclusive
            else f"{count} questions, one for each label"
        )
        described = f", {len(descriptions)} of them described" if descriptions else ""
        why = f"{model} is prompted without training: {asked}{described}."
        return FineTunedModel(
            header={
                "model": model,
                "base": PRICED_AS.format(model),
                "host": host,
                "descriptions": descriptions,
            },
            report={"why": why, "service": {"model": model, "host": host}},
            trained_tokens=0,
        )

    def inference_client(
        self, header: Header, labels: LabelSet, endpoint: Endpoint
    ) -> InferenceClient:
        """Raises ArtifactError for a damaged header, AccessError without a key, or when the model
        is at another host than the one the operator set."""
        model, descriptions = _read_header(header, labels)
        check_host(model, read_name(header, "host").lower(), NAME, self.host(endpoint))
        from .inference import DecisionsInferenceClient

        return DecisionsInferenceClient(
            model, build_questions(labels, descriptions), labels, endpoint
        )


def _read_header(header: Header, labels: LabelSet) -> tuple[str, dict[str, str]]:
    """(model, descriptions), from a file that anyone may have written."""
    model, descriptions = read_name(header, "model"), header.get("descriptions")
    if not isinstance(descriptions, Mapping) or not all(
        isinstance(text, str) for text in descriptions.values()
    ):
        raise ArtifactError(
            f"{DAMAGED}: its descriptions are missing or malformed. Train it again."
        )
    try:
        check_fits(labels, descriptions)
    except TrainingError as error:
        raise ArtifactError(f"The classifier does not fit the Decisions API: {error}") from error
    return model, dict(descriptions)
