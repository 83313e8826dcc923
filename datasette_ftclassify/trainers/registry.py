"""Trainers by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import TrainingError
from ..predictions import Predictor
from .base import Progress, Trained, Trainer, TrainerOptions, TrainingSet, no_progress


class LocalTrainer:
    """Trains on this machine; nothing leaves it, nothing is paid."""

    name = "local"

    def train(
        self, data: TrainingSet, options: TrainerOptions, progress: Progress = no_progress
    ) -> Trained:
        from .local import fit

        model, report = fit(
            data.texts,
            data.targets,
            len(data.labels),
            multilabel=data.labels.multilabel,
            seed=options.seed,
            embeddings=options.embeddings,
            progress=progress,
        )
        header, parts = model.to_parts()
        return Trained(model, header, parts, report)

    def load(self, header: Mapping[str, Any], parts: Mapping[str, bytes]) -> Predictor:
        from .local import LocalModel

        return LocalModel.from_parts(header, parts)


_TRAINERS: dict[str, Trainer] = {"local": LocalTrainer()}


def trainer_names() -> list[str]:
    return sorted(_TRAINERS)


def get_trainer(name: str) -> Trainer:
    """Raises TrainingError for a name that nothing registered."""
    trainer = _TRAINERS.get(name)
    if trainer is None:
        raise TrainingError(f"There is no trainer called {name}: use {', '.join(trainer_names())}.")
    return trainer
