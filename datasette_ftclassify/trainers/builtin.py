"""The trainers that come with the plugin, registered as those of any other package are."""

from __future__ import annotations

from ..hookspecs import hookimpl
from .base import Trainer
from .decisions.trainer import DecisionsTrainer
from .embeddings.trainer import EmbeddingsTrainer
from .finetuning.trainer import EncoderTrainer
from .llm_models.trainer import LlmTrainer, is_installed
from .local.names_trainer import NamesTrainer
from .local.trainer import LocalTrainer
from .openai_protocol.dialect import AZURE, DIALECTS
from .openai_protocol.prompted import PromptedTrainer
from .openai_protocol.trainer import OpenAITrainer


@hookimpl
def register_trainers() -> list[Trainer]:
    return [*always(), *([LlmTrainer()] if is_installed() else [])]


def always() -> list[Trainer]:
    """Those that need no further package."""
    protocol = map(OpenAITrainer, DIALECTS)
    others = [DecisionsTrainer(), PromptedTrainer(), EmbeddingsTrainer(), EmbeddingsTrainer(AZURE)]
    return [LocalTrainer(), NamesTrainer(), EncoderTrainer(), *protocol, *others]
