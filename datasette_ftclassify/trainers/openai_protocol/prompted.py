"""Prompting a chat model that is not fine-tuned, with the labels in the prompt: the baseline for a
fine-tuned one, on the same rows, before or after that is paid for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from typing import Any

from ...core.errors import TrainingError
from ...core.labels import LabelSet
from ...core.training_report import Header, TrainingReport
from ...export import Codec, ExportFormat
from ...prompts.price_table import untuned_name
from ...prompts.tokenizer import DEFAULT_MODEL
from ..access import Endpoint
from ..base import PROMPTS, TrainerOptions, check_taken
from ..options import DESCRIPTIONS, FORMAT, MODEL_TO_ASK
from ..service import FineTunedModel, TrainingLog, TrainingSpec
from .dialect import OPENAI, Dialect
from .trainer import OpenAITrainer

DIALECT = replace(
    OPENAI,
    trainer="prompted",
    title="OpenAI, or a server that speaks its protocol: prompt a model, no training",
)


class PromptedTrainer(OpenAITrainer):
    """Trains nothing: sends a chat model the prompt that a tuned one is trained on."""

    capabilities = replace(PROMPTS, batch=True)

    options = (MODEL_TO_ASK, *FORMAT, DESCRIPTIONS)
    reached_as = OPENAI.trainer

    def __init__(self, dialect: Dialect = DIALECT) -> None:
        super().__init__(dialect)

    def epochs_for(self, rows: int) -> int:
        """Once, as far as that means anything where nothing is learnt."""
        return 1

    def proposed_models(self, endpoint: Endpoint, day: date) -> Sequence[str]:
        """Those that the price table knows to answer at the host on that day."""
        found = self.prices(endpoint).answering(day)
        return sorted(found, key=lambda name: name != DEFAULT_MODEL)

    def priced_as(self, model: str) -> str:
        """An untuned model is cheaper to ask than a fine-tune of it."""
        return untuned_name(model)

    def choose_format(self, labels: LabelSet, options: TrainerOptions) -> Mapping[str, Any]:
        """As OpenAITrainer's, with descriptions of labels in the system message."""
        fmt = dict(super().choose_format(labels, options))
        if options.descriptions and fmt["system"] is None:
            fmt["system"] = describing(
                ExportFormat.from_dict(fmt).bind(labels), options.descriptions
            )
        return fmt

    def check_options(self, options: TrainerOptions) -> None:
        """Raises TrainingError for two system messages."""
        if options.descriptions and (options.format or {}).get("system") is not None:
            raise TrainingError(
                "Descriptions of labels go into the system message: give either that or them."
            )

    def train(
        self, spec: TrainingSpec, training_log: TrainingLog, endpoint: Endpoint
    ) -> FineTunedModel:
        """Sends no request: a classifier is the prompt, which is made of the labels."""
        training_log.check()
        self._check_order(spec, endpoint)
        host = self.host(endpoint)
        return FineTunedModel(
            header={
                "model": spec.model,
                "base": spec.model,
                "format": spec.codec.resolved.to_dict(),
                "host": host,
                "deployment": None,
            },
            report={
                "why": f"{spec.model} is prompted at {host}, without training.",
                "service": {"model": spec.model, "host": host},
            },
            trained_tokens=0,
        )

    def delete_remote(
        self, header: Header, report: TrainingReport, endpoint: Endpoint
    ) -> list[str]:
        """Nothing: the model is the provider's own, and no file was sent."""
        return []

    def _check_order(self, spec: TrainingSpec, endpoint: Endpoint) -> None:
        if not spec.model:
            raise TrainingError(f"Name the model that {self.name} is to ask.", fields=("model",))
        check_taken(self, spec.options)
        if spec.codec.format.form != "chat":
            raise TrainingError(
                f"{spec.model} takes prompts to be completed and follows no instruction, so it "
                "cannot be used without training: name a chat model."
            )


def describing(codec: Codec, descriptions: Mapping[str, str]) -> str:
    """The codec's system message, and what labels mean: by their codes, where answers are those.

    Raises TrainingError for a description of what is no label, or of nothing.
    """
    labels = codec.labels.names
    named = dict(zip(labels, codec.codes or labels, strict=True))
    lines = []
    for name, meaning in descriptions.items():
        if name not in named:
            raise TrainingError(f"There is a description of {name}, which is not a label.")
        if not meaning.strip():
            raise TrainingError(f"The description of {name} is empty: write what it means.")
        code = named[name]
        label = name if code == name else f"{code} = {name}"
        lines.append(f"{' '.join(label.split())}: {' '.join(meaning.split())}")
    return "\n".join([codec.system, "What the labels mean:", *lines])
