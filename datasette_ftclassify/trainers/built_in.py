"""The trainers that come with the plugin, registered as those of any other package are."""

from __future__ import annotations

from ..hookspecs import hookimpl
from .base import Trainer
from .local.trainer import LocalTrainer


@hookimpl
def register_trainers() -> list[Trainer]:
    return [LocalTrainer()]
