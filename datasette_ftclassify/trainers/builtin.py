"""The trainers that come with the plugin, registered as those of any other package are."""

from __future__ import annotations

from ..hookspecs import hookimpl
from .base import Trainer
from .decisions.trainer import DecisionsTrainer
from .embeddings.trainer import TRAINERS as EMBEDDINGS
from .local.names_trainer import NamesTrainer
from .local.trainer import LocalTrainer
from .openai_protocol.dialect import DIALECTS
from .openai_protocol.prompted import PromptedTrainer
from .openai_protocol.trainer import OpenAITrainer


@hookimpl
def register_trainers() -> list[Trainer]:
    protocol = map(OpenAITrainer, DIALECTS)
    others = [DecisionsTrainer(), PromptedTrainer(), *EMBEDDINGS]
    return [LocalTrainer(), NamesTrainer(), *protocol, *others]
