"""The trainers that come with the plugin, registered as those of any other package are."""

from __future__ import annotations

from ..hookspecs import hookimpl
from .base import Trainer
from .decisions.trainer import DecisionsTrainer
from .local.trainer import LocalTrainer
from .openai_protocol.azure import AzureTrainer
from .openai_protocol.prompted import PromptedTrainer
from .openai_protocol.trainer import OpenAITrainer


@hookimpl
def register_trainers() -> list[Trainer]:
    return [
        LocalTrainer(), OpenAITrainer(), AzureTrainer(), DecisionsTrainer(), PromptedTrainer(),
    ]  # fmt: skip
